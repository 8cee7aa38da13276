"""Closed recordings, as a start and the look behind it find them: whether all is as it was left at the end.

SHA256SUMS.sig is what is written last. The sums name the manifest as it was with its end, so that one whose end was cut
off is not taken for closed though the sums still lie beside it; and they count only where the key that signed them is
the one that signed the manifest's last line. Another recording of the device's that was copied into this one's place is
whole in itself: so the first record must be this one's. Whose key that is, is the caller's question: a device may have
got another key since, and what lies on the card does not tell that from somebody who has signed it all anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from bwvd import hashing
from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.flash.pieces import pieces
from bwvd.evidence.flash.steps import STEP_BYTES, Steps, digest_steps
from bwvd.evidence.flash.volume import NOT_A_FILE, Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE
from bwvd.evidence.format.decode import MAX_LINE, Unknown, decode, signature_of
from bwvd.evidence.format.layout import ENCRYPTED, MANIFEST, SUMS, SUMS_SIGNATURE
from bwvd.evidence.format.sums import read_signed_sums
from bwvd.evidence.journal.files import first_record
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.keys.sshsig import Signature

_LAST_BYTES = 65_536  # of a manifest: its last two lines, but where a recovery has found very much


@dataclass(frozen=True, slots=True)
class Closed:
    """A recording with sums whose signature holds."""

    key: str  # whose signature: "ssh-ed25519 AAAA…"
    whole: bool  # every file that the sums list is there, whatever is in it
    manifest_matches: bool  # the manifest is this recording's and the one of the sums, its last signature by that key
    segments: int  # that the sums list
    end: records.Record | Unknown | None = None  # its last record, where the manifest matches


def closed_steps(volume: Volume, folder: str, names: list[str]) -> Steps[Closed | None]:
    """What the sums of a recording say, in steps; None where there are none whose signature holds. Raises OSError."""
    if SUMS not in names or SUMS_SIGNATURE not in names or MANIFEST not in names:
        return None
    try:
        # An interrupted second attempt may have left the signature of the first beside other sums.
        listed, signer = read_signed_sums(volume, folder)
        key = _line(signer)
        end = yield from _end_of_manifest(volume, f"{folder}/{MANIFEST}", listed.get(MANIFEST, ""), key)
        first = first_record(volume, f"{folder}/{MANIFEST}")
        if not is_of(first if isinstance(first, records.Open) else end, folder.rpartition("/")[2]):
            end = None
    except (SignatureBad, ValueError):
        return None
    except OSError as error:
        if error.errno not in NOT_A_FILE:
            raise
        return None
    segments = sum(name.removesuffix(ENCRYPTED).endswith(".m4s") for name in listed)
    return Closed(key, listed.keys() <= set(names), end is not None, segments, end)


def goes_on_steps(volume: Volume, path: str, said: records.Removed) -> Steps[bool]:
    """Whether a manifest goes on from where the journal says that it was durable. Raises OSError.

    The journal says so behind the manifest's sync, and nothing that is durable of a manifest is ever written anew as
    anything else: what a power cut leaves does go on from there.
    """
    if volume.size(path) < said.manifest_bytes:
        return False
    sha512 = yield from digest_steps(hashing.sha512(), volume, path, 0, said.manifest_bytes)
    return sha512 == said.manifest_sha512


def is_of(first: records.Record | Unknown | None, recording: str) -> bool:
    """Whether a manifest may be that recording's, by its first record."""
    match first:
        case records.Open():
            return first.recording == recording
        case records.Recovered():  # by earlier versions without an id
            return first.recording in ("", recording)
        case _:
            return True


def last_signer(volume: Volume, path: str, size: int) -> str:
    """The key that the signature in a file's last line names; "" if that is none. Raises OSError."""
    _, blob, _ = _last(volume, path, size)
    try:
        return "" if blob is None else _line(Signature.parse(blob).key)
    except SignatureBad:
        return ""


def _end_of_manifest(volume: Volume, path: str, sha256: str, key: str) -> Steps[records.Record | Unknown | None]:
    """The last record, if the file has this SHA-256 and its last line is a signature by `key`, over all before it."""
    size = volume.size(path)
    record, blob, signed = _last(volume, path, size)
    if blob is None:
        return None
    whole, before, done = hashing.sha256(), hashing.sha512(), 0
    for begin, end in ((0, signed), (signed, size)):
        for piece in pieces(volume, path, begin, end):
            whole.update(piece)
            if begin < signed:
                before.update(piece)
            done += len(piece)
            if done >= STEP_BYTES:
                done = 0
                yield
    if whole.hexdigest() != sha256:
        return None
    try:
        signature = Signature.parse(blob)
        holds = _line(signature.verify(before.digest(), MANIFEST_NAMESPACE)) == key
    except SignatureBad:
        return None
    return record if holds else None


def _last(volume: Volume, path: str, size: int) -> tuple[records.Record | Unknown | None, bytes | None, int]:
    """The last record, the signature behind it, and the offset of that one's line."""
    for length in (_LAST_BYTES, 2 * MAX_LINE):
        begin = max(0, size - length)
        data = volume.read(path, begin, size - begin)
        lines = data.splitlines(keepends=True)
        if len(lines) > 2 or (len(lines) == 2 and begin == 0):
            break
    if len(lines) < 2:
        return None, None, 0
    record = decode(lines[-2])
    blob = signature_of(lines[-1].removesuffix(b"\n") + b"\n")
    return (None, None, 0) if isinstance(record, str) else (record, blob, size - len(lines[-1]))


def _line(signer: PublicKey | Certificate) -> str:
    return (signer.key if isinstance(signer, Certificate) else signer).line
