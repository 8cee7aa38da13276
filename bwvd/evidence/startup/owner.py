"""Owner of a storage: the device that everything on it names.

Nothing is verified here. A card that was put into the wrong camera must be known before anything is written on it,
also where its journal is gone: one word that it is another device's is enough to keep off it. Silence is none: the
journal or the list of this device's own card may be missing or damaged. Two devices of the same id are told apart by
their keys, which a device may change; there it is the recovery that writes under no manifest of another key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from bwvd.evidence.errors import SignersUnusable
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.decode import decode
from bwvd.evidence.format.layout import ALLOWED_SIGNERS, JOURNAL, MANIFEST, RECORDINGS
from bwvd.evidence.format.recording_id import device_of
from bwvd.evidence.keys.allowed_signers import DEFAULT_PRINCIPAL, AllowedSigners, matches
from bwvd.text import printable

# A start on a card of thousands of recordings must not read them all. Their names are all looked at; a card that is
# another device's as a whole shows it in its newest manifests.
NEWEST = 16

_FIRST_LINE = 65_536  # bytes: more than the first line of a journal or a manifest can have
_LIST_BYTES = 65_536  # a device's own list is a line or a few; a fleet's, which is longer, says nothing

R = TypeVar("R", bound=records.Record)


@dataclass(frozen=True, slots=True)
class Claim:
    """A device's id, and what on the storage gives it."""

    device: str
    by: str


def other_owner(volume: Volume, device: str) -> Claim | None:
    """The first thing that says that the storage belongs to another device than `device`; None if nothing does.

    Its texts may be shown. Blocking. Raises OSError.
    """
    for claim in _claims(volume, device):
        if claim.device not in ("", device):
            return Claim(printable(claim.device[:80]), printable(claim.by))
    return None


def _claims(volume: Volume, device: str) -> Iterator[Claim]:
    names = volume.names("")
    journals = [name for name in names if name.startswith("journal")]
    for name in sorted(journals, key=lambda name: (name != JOURNAL, name)):
        if (journal := _first_record(volume, name, records.Journal)) is not None:
            yield Claim(journal.device, "its journal")
    if ALLOWED_SIGNERS in names:
        yield Claim(_listed(volume.read(ALLOWED_SIGNERS, 0, _LIST_BYTES + 1), device), f"its {ALLOWED_SIGNERS}")
    if f"{RECORDINGS}/" in names:
        yield from _of_recordings(volume, device)


def _of_recordings(volume: Volume, device: str) -> Iterator[Claim]:
    folders = [name.removesuffix("/") for name in volume.names(RECORDINGS) if name.endswith("/")]
    ids = sorted(((name, of) for name in folders if (of := device_of(name))), reverse=True)  # the newest first, by time
    for recording, of in ids:
        if of != device:  # ten thousand of this device's own say nothing
            yield Claim(of, f"its recording {recording}")
    for recording, _ in ids[:NEWEST]:
        with suppress(OSError):  # one that can't be read says nothing; recovery names it
            opening = _first_record(volume, f"{RECORDINGS}/{recording}/{MANIFEST}", records.Open)
            if opening is not None:
                yield Claim(opening.device, f"the manifest of its recording {recording}")


def _first_record(volume: Volume, path: str, kind: type[R]) -> R | None:
    line = volume.read(path, 0, _FIRST_LINE).partition(b"\n")[0]
    record = decode(line)
    return record if isinstance(record, kind) else None


def _listed(data: bytes, device: str) -> str:
    """The device that a list names and `device` is not among; "" where it says nothing of the kind.

    The line of a fleet's authority names no device by itself.
    """
    try:
        patterns = AllowedSigners.parse(data, ALLOWED_SIGNERS).principals if len(data) <= _LIST_BYTES else []
    except SignersUnusable:
        return ""
    if any(matches(name, each) for each in patterns for name in (device, DEFAULT_PRINCIPAL)):
        return ""
    return patterns[0] if patterns else ""
