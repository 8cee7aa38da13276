"""Receipts in a store: what `bwvd receipt` signs, as one object, put once beside the recordings.

    devices/ID/receipts/REC.json        the receipt's line, and behind it the signature as ssh-keygen writes it

Of several custodians one puts it. What is there already counts if it is for the same manifest, and signed by this
custodian's key or by one that the list of signers names for receipts; anything else there is a finding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from bwvd.custody.bridge import read_small
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.format.utc import unix_s
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.ssh_keys import PublicKey
from bwvd.evidence.keys.sshsig import KeySigner, armour
from bwvd.evidence.release.receipt import (
    RECEIPT_BYTES,
    RECEIPT_NAMESPACE,
    ArchiveReceipt,
    Receipt,
    ReceiptBad,
    accept_receipt,
)
from bwvd.store import names
from bwvd.store.body import bytes_body
from bwvd.store.errors import ObjectDiffers, StoreUnreachable
from bwvd.store.ports import Put, Store


class OtherReceipt(EvidenceError):
    """Something else lies in the receipt's place, or a receipt that counts for nothing. One line."""


@dataclass(frozen=True, slots=True)
class Given:
    """A receipt that is in the store."""

    manifest_sha512: str
    received_utc: str
    by: str
    key: str  # fingerprint of what vouches for the key

    def row(self) -> dict[str, str]:
        return {
            "manifest_sha512": self.manifest_sha512,
            "received_utc": self.received_utc,
            "by": self.by,
            "key": self.key,
        }


@dataclass(frozen=True, slots=True)
class Desk:
    """Who signs receipts, and whose receipts count.

    Args:
        name: under which the cameras' `keys.release` lists the signer's key.
        signers: the devices' keys; its lines that name `bwvd-receipt` say which other custodians there are.
    """

    signer: KeySigner
    name: str
    signers: AllowedSigners

    @property
    def key(self) -> PublicKey:
        """What a list has to name: the signer's key, or the authority that certified it."""
        return self.signer.certificate.authority if self.signer.certificate is not None else self.signer.key

    def unlisted(self) -> str:
        """Why no camera takes a receipt by this key, as far as the list tells: it names others for that, and not it."""
        named = [line for line in self.signers.lines() if line.names(RECEIPT_NAMESPACE)]
        if not named or any(line.key.blob == self.key.blob for line in named):
            return ""
        return f"names other keys for {RECEIPT_NAMESPACE}, and not {self.key.fingerprint}: no camera takes its receipts"

    def lists(self) -> list[AllowedSigners]:
        """Whose receipts count."""
        option = "cert-authority," if self.signer.certificate is not None else ""
        line = f'* {option}namespaces="{RECEIPT_NAMESPACE}" {self.key.line}\n'
        return [AllowedSigners.parse(line.encode(), "the custodian's own key"), self.signers]


def signed_receipt(receipt: Receipt | ArchiveReceipt, signer: KeySigner) -> bytes:
    """The object: the text and its signature."""
    text = msgspec.json.encode(receipt) + b"\n"
    return text + armour(signer.sign(hashlib.sha512(text).digest(), RECEIPT_NAMESPACE)).encode()


async def give(store: Store, desk: Desk, device: str, recording: str, manifest_sha512: str, received_utc: str) -> Given:
    """Put a receipt, or find that one is there that counts.

    Raises: OtherReceipt; StoreError, after which it may be there or not: call it again.
    """
    receipt = Receipt(
        format=1,
        recording=recording,
        device=device,
        manifest_sha512=manifest_sha512,
        received_utc=received_utc,
        by=desk.name,
    )
    data = signed_receipt(receipt, desk.signer)
    name = names.receipt(device, recording)
    try:
        put = await store.put(name, bytes_body(data), size=len(data), sha256=hashlib.sha256(data).digest())
    except ObjectDiffers:
        put = Put.UNSEEN
    if put is Put.UNSEEN:
        found = await there(store, desk, device, recording, manifest_sha512, _at_s(received_utc))
        if found is None:
            raise StoreUnreachable(f"{name}: is there, and can't be read")
        return found
    return Given(manifest_sha512, received_utc, desk.name, desk.key.fingerprint)


async def there(
    store: Store, desk: Desk, device: str, recording: str, manifest_sha512: str, at_s: float
) -> Given | None:
    """The receipt that is in the store; None if none is. `manifest_sha512`: "" = whatever it says.

    Raises: OtherReceipt; StoreError.
    """
    name = names.receipt(device, recording)
    data = await read_small(store, name, RECEIPT_BYTES)
    if data is None:
        return None
    try:
        accepted = accept_receipt(data, None, desk.lists(), at_s)
    except ReceiptBad as error:
        raise OtherReceipt(f"{name}: {error}") from None
    receipt = accepted.receipt
    if (receipt.device, receipt.recording) != (device, recording):
        raise OtherReceipt(f"{name}: is for {receipt.recording[:80]} of {receipt.device[:80]}")
    if receipt.manifest_sha512 != manifest_sha512 and manifest_sha512:
        raise OtherReceipt(f"{name}: is for another manifest than the one that is here")
    return Given(receipt.manifest_sha512, receipt.received_utc, receipt.by, accepted.fingerprint)


def _at_s(utc: str) -> float:
    return unix_s(utc) or 0.0
