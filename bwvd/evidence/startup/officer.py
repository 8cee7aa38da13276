"""The officer's id over restarts: on the flash, readable with the device's signing key alone, bound to the journal.

The id is private: a stolen card must not tell it. The device holds no key that opens what is sealed for the agency, so
this one file is encrypted with a key that only the device's signer can make again: its signatures are deterministic.

A file of yesterday is encrypted as well as one of today. So the journal has the digest of the one that counts (entry
`officer_kept`, repeated in every file of it), and an earlier journal is what the witness is there for. The order: the
new file under another name, durable; the entry, durable; then the name. Whatever the power does in between, one of the
two names has what the last entry says:

    .wearer                 as the entry says; what lies beside it was never entered, and counts for nothing
    .wearer.new             as the entry says: the power went before it got its name
    neither                 no power cut does that: it was exchanged or taken away, and nobody is assigned
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from bwvd import hashing
from bwvd.clock import Reading
from bwvd.evidence.flash.new_file import new_file
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.format.layout import NEW, OFFICER
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import OFFICER_KEPT, Detail

NAMESPACE = "bwvd-wearer-key"  # signed for nothing else, and the signature is never written anywhere
_MESSAGE = hashing.sha512(b"the key of the wearer's id").digest()
_NONCE_BYTES = 12
_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Kept:
    """The officer's id as a start finds it."""

    officer: str = ""
    refused: str = ""  # why a file that is there, or the want of one, does not count; one line
    bind: str | None = None  # the digest that the journal has to be told; None: it has the right one
    exchanged: bool = False  # the journal named a file, and none such is there: no power cut does that

    def drafts(self, reading: Reading) -> list[Draft]:
        """What the journal has to be told."""
        detail: Detail = {"reason": self.refused, "exchanged": self.exchanged}
        told = [Draft("officer_refused", detail, reading)] if self.refused else []
        return told if self.bind is None else [*told, Draft(OFFICER_KEPT, {"sha256": self.bind}, reading)]


def save_officer(volume: Volume, signer: Signer, journal: Journal, officer: str, reading: Reading) -> None:
    """Keep `officer`, or nobody with "". Durable when this returns.

    Blocking, in a job of the storage that the journal is appended to in. May raise OSError; then the last one is kept
    or this one, and it may be called again.
    """
    journal.append(())  # after an attempt that failed nobody knows what it has entered: settled first
    new, bound = OFFICER + NEW, _bound(journal)
    if bound and _sha256(volume, OFFICER) != bound == _sha256(volume, new):
        volume.rename(new, OFFICER)  # of an attempt that came as far as the entry
    volume.sync_dir("")  # one that failed may have left the name in the cache alone
    with suppress(FileNotFoundError):
        volume.remove(new)
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + ChaCha20Poly1305(_key(signer)).encrypt(nonce, officer.encode(), None)
    new_file(volume, new, [sealed])
    volume.sync_dir("")
    journal.append([Draft(OFFICER_KEPT, {"sha256": hashing.sha256(sealed).hexdigest()}, reading)])
    volume.rename(new, OFFICER)
    volume.sync_dir("")


def load_officer(volume: Volume, signer: Signer, journal: Journal, *, rolled_back: bool = False) -> Kept:
    """The id that was kept, if it is the one that the journal names.

    rolled_back: the journal is not as the device had left it, and what it names need not be the last.

    A storage of an earlier version has a journal that names none yet: there the file that is found is entered. Reads
    only. Blocking; may raise OSError.
    """
    bound, found = _bound(journal), _sha256(volume, OFFICER)
    if bound is None and (found == "" or not (journal.is_new or rolled_back)):
        plain = _opened(volume, signer, OFFICER) if found else ""
        if plain is None:
            return Kept(refused=f"{OFFICER} was kept under another key; nobody is assigned", bind="")
        return Kept(plain, bind=found)
    if rolled_back and (bound or found):
        return Kept(refused="the storage was put back to an earlier state; nobody is assigned", bind="")
    for name in (OFFICER, OFFICER + NEW):
        if bound and _sha256(volume, name) == bound and (plain := _opened(volume, signer, name)) is not None:
            return Kept(plain)
    if not bound and not found:
        return Kept()
    if bound == "" and _opened(volume, signer, OFFICER) is None:
        return Kept()  # of an earlier key: told when the key was changed, and it stays until somebody is assigned
    what = "is not the one that this device kept last" if found else "is gone"
    return Kept(
        refused=f"{OFFICER} {what}; nobody is assigned", bind="" if bound != "" else None, exchanged=bool(bound)
    )


def _bound(journal: Journal) -> str | None:
    """The digest that the journal names, "" for no file; None if it has never named one."""
    detail = journal.latest(OFFICER_KEPT)
    return None if detail is None else str(detail.get("sha256", ""))


def _sha256(volume: Volume, name: str) -> str:
    """The digest of a file; "" if there is none. One that is too large to be ours has the digest of its beginning."""
    return hashing.sha256(volume.read(name, 0, _MAX_BYTES)).hexdigest() if name in volume.names("") else ""


def _opened(volume: Volume, signer: Signer, name: str) -> str | None:
    """What is kept in a file; None if that is nothing of this key's."""
    data = volume.read(name, 0, _MAX_BYTES)
    with suppress(InvalidTag, ValueError):
        plain = ChaCha20Poly1305(_key(signer)).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)
        return plain.decode("utf-8", "replace")
    return None


def _key(signer: Signer) -> bytes:
    return hashing.sha256(signer.sign(_MESSAGE, NAMESPACE)).digest()
