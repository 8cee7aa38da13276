"""A receipt: whoever took a recording over says so, signed. The only thing that lets the device let go of one.

One JSON object, and a signature that stock ssh-keygen makes:

    {"type": "receipt", "format": 1, "recording": "20261122T071503Z-BWV-0001-000042", "device": "BWV-0001",
     "manifest_sha512": "…", "received_utc": "2026-11-22T19:02:11Z", "by": "evidence-server"}

    ssh-keygen -Y sign -n bwvd-receipt -f KEY receipt.json

or for an archive of the journal, whose `sha512` is `sha512sum journal-000001.jsonl`:

    {"type": "journal-receipt", "format": 1, "journal": "journal-000001.jsonl", "device": "BWV-0001",
     "sha512": "…", "received_utc": "2026-11-22T19:02:11Z", "by": "evidence-server"}

`manifest_sha512` is `sha512sum manifest.jsonl`. The signature lies beside the text (`receipt.json.sig`), or is appended
to it, or is the last line, `{"sig":"…"}`, over all bytes before it, as in our own files. `by` is the name under which a
file of `keys.release`, an allowed_signers file, lists the key. Its namespaces must name `bwvd-receipt`, and the key may
be listed for nothing that a device signs: so a fleet's list there lets no camera acknowledge its own recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

from bwvd import hashing
from bwvd.evidence.errors import EvidenceError, SignatureBad
from bwvd.evidence.format.decode import signature_of
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.named_signer import a_devices, check_named_signer, device_lines
from bwvd.evidence.keys.sshsig import Signature, unarmour
from bwvd.text import foreign_encoding, one_line

RECEIPT_NAMESPACE = "bwvd-receipt"
RECEIPT_BYTES = 65_536  # more is no receipt

_ARMOUR = b"-----BEGIN SSH SIGNATURE-----"


class ReceiptBad(EvidenceError):
    """The receipt is none, or nobody who may has signed it. One line."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="receipt"):
    """What a receipt says. Fields that are not known are ignored: they are signed all the same."""

    format: Literal[1]
    recording: str
    device: str
    manifest_sha512: str
    received_utc: str
    by: str


class ArchiveReceipt(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="journal-receipt"):
    """The same for an archived file of a device's journal, whole as it lies there."""

    format: Literal[1]
    journal: str  # its name: "journal-000001.jsonl"
    device: str
    sha512: str  # of the whole file
    received_utc: str
    by: str


Kind = TypeVar("Kind", Receipt, ArchiveReceipt)


@dataclass(frozen=True, slots=True)
class Accepted(Generic[Kind]):
    """A receipt whose signature holds, by a key that may sign receipts."""

    receipt: Kind
    sha256: str  # of the signed bytes, for the journal
    fingerprint: str  # of the key, or of the authority that certified it


def accept_receipt(
    data: bytes,
    signature: bytes | None,
    signers: Sequence[AllowedSigners],
    at_s: float,
    *,
    device: AllowedSigners | None = None,
) -> Accepted[Receipt]:
    """Judge a receipt for a recording.

    Args:
        data: the receipt's file.
        signature: the file beside it; None if there is none.
        signers: of `keys.release`; empty = nobody may sign.
        at_s: now, Unix seconds: the keys must be valid.
        device: the device's own key, or the authority that certified it, which may never sign receipts.

    Pure. Raises: ReceiptBad.
    """
    return _accept(Receipt, data, signature, signers, at_s, device)


def accept_archive_receipt(
    data: bytes,
    signature: bytes | None,
    signers: Sequence[AllowedSigners],
    at_s: float,
    *,
    device: AllowedSigners | None = None,
) -> Accepted[ArchiveReceipt]:
    """Judge a receipt for an archive of the journal: by the same keys, and as `accept_receipt` does."""
    return _accept(ArchiveReceipt, data, signature, signers, at_s, device)


def _accept(
    kind: type[Kind],
    data: bytes,
    signature: bytes | None,
    signers: Sequence[AllowedSigners],
    at_s: float,
    device: AllowedSigners | None,
) -> Accepted[Kind]:
    receipt: Kind
    message, blob, receipt = _read(data, signature, kind)
    if not signers:
        raise ReceiptBad("keys.release: no key may sign receipts, so nothing can be released")
    try:
        key = Signature.parse(blob).verify(hashing.sha512(message).digest(), RECEIPT_NAMESPACE)
    except SignatureBad as error:
        raise ReceiptBad(f"the receipt's signature does not hold: {error}") from None
    try:
        fingerprint = check_named_signer(key, RECEIPT_NAMESPACE, receipt.by, signers, at_s, device=device)
    except SignatureBad as error:
        raise ReceiptBad(f"the receipt's signer may not sign receipts: {error}") from None
    return Accepted(receipt, hashing.sha256(message).hexdigest(), fingerprint)


def read_receipt(data: bytes, signature: bytes | None) -> Receipt | ArchiveReceipt:
    """What a receipt says, whoever has signed it: for whoever sorts receipts, not for who acts on one.

    Pure. Raises: ReceiptBad.
    """
    receipt: Receipt | ArchiveReceipt = _read(data, signature, Receipt | ArchiveReceipt)[2]
    return receipt


def unfit(signers: Sequence[AllowedSigners], device: AllowedSigners | None) -> list[str]:
    """Of the lists in `keys.release`: those that let nobody sign receipts, and the lines that seem to allow it and do
    not, each with the reason."""
    said = [
        f'{allowed.name}: nobody in it signs receipts: namespaces="{RECEIPT_NAMESPACE}" must name them'
        for allowed in signers
        if not any(line.allows(RECEIPT_NAMESPACE) for line in allowed.lines())
    ]
    devices = device_lines(signers, device)
    for line in (line for allowed in signers for line in allowed.lines() if line.allows(RECEIPT_NAMESPACE)):
        where = f"{line.file} line {line.line}"
        if not line.names(RECEIPT_NAMESPACE):
            said.append(f'{where}: signs no receipts: namespaces="{RECEIPT_NAMESPACE}" must name them')
        elif (other := devices.get(line.key.blob)) is not None:
            said.append(f"{where}: signs no receipts: the key is {a_devices(other)}")
    return said


def _read(data: bytes, signature: bytes | None, kind: Any) -> tuple[bytes, bytes, Any]:
    """The signed bytes, the binary signature, and what they say."""
    if max(len(data), len(signature or b"")) > RECEIPT_BYTES:
        raise ReceiptBad(f"the receipt is larger than {RECEIPT_BYTES} bytes")
    if encoding := foreign_encoding(data):
        raise ReceiptBad(f"the receipt {encoding}")
    message, blob = _parted(data, signature)
    try:
        return message, blob, msgspec.json.decode(message, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReceiptBad(f"not a receipt: {one_line(error)}") from None


def _parted(data: bytes, signature: bytes | None) -> tuple[bytes, bytes]:
    """The signed bytes and the binary signature, from whichever of the three forms it is."""
    if signature is not None:
        return data, _unarmoured(signature)
    at = data.find(_ARMOUR)
    if at >= 0:
        return data[:at], _unarmoured(data[at:])
    start = data.rfind(b"\n", 0, len(data) - 1) + 1
    blob = signature_of(data[start:])
    if blob is None:
        raise ReceiptBad("the receipt is not signed")
    return data[:start], blob


def _unarmoured(text: bytes) -> bytes:
    if encoding := foreign_encoding(text):
        raise ReceiptBad(f"the receipt's signature {encoding}")
    try:
        return unarmour(text.decode("ascii", "replace"))
    except SignatureBad as error:
        raise ReceiptBad(f"the receipt's signature: {error}") from None
