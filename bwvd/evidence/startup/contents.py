"""A recording's files, held against what is signed of them: names and sizes, and, in a second pass, what is in them.

Blocking, in steps; reads only. What a start or the look tells of a recording is not told again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bwvd import hashing
from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.flash.pieces import pieces
from bwvd.evidence.flash.steps import STEP_NAMES, Steps
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE
from bwvd.evidence.format.chain_tail import ending_steps
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.file_names import harmless, original
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS, is_convenience, is_litter
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.format.sums import read_sums
from bwvd.evidence.format.totals import Contents
from bwvd.evidence.journal.files import first_record
from bwvd.evidence.startup.closed import closed_steps
from bwvd.evidence.startup.known import CHANGED, MISSING, Finding, Known
from bwvd.text import counted, printable


@dataclass(slots=True)
class _Inventory(Contents):
    """And what recoveries have found."""

    found: dict[str, records.Found] = field(default_factory=dict)  # by name
    unnamed: bool = False  # a recovery has found more than it could name: SHA256SUMS lists it

    def take(self, record: records.Record | Unknown) -> None:
        Contents.take(self, record)
        found = record.found if isinstance(record, records.Recovered) else []
        found = [record.found] if isinstance(record, records.TornTail) else found
        for one in found:
            self.found[original(one.where)] = one
            self.unnamed = self.unnamed or one.what == "not_named"


def sized_steps(volume: Volume, recording: str, known: Known) -> Steps[Finding | None]:
    """Whose recording lies in a folder, and whether its files are there, each as long as its record says.

    known: what the journal says. Raises OSError.
    """
    folder = f"{RECORDINGS}/{recording}"
    names = volume.names(folder)
    serial = serial_of(recording)
    closed = yield from closed_steps(volume, folder, names)
    if closed is None or not closed.manifest_matches:
        # Without its end or its sums it is recovery's; but nobody else's may lie here under this device's name.
        opening = first_record(volume, f"{folder}/{MANIFEST}") if MANIFEST in names else None
        foreign = isinstance(opening, records.Open) and _is_foreign(opening.signer, known)
        return Finding(recording, _FOREIGN, CHANGED, serial) if foreign else None
    if _is_foreign(closed.key, known):
        return Finding(recording, _FOREIGN, CHANGED, serial)
    path = f"{folder}/{MANIFEST}"
    ending, inventory = yield from ending_steps(volume, path, MANIFEST, MANIFEST_NAMESPACE, _Inventory, key=closed.key)
    yield
    sizes = volume.sizes(folder)
    gone = [name for name, stored in inventory.files.items() if sizes.get(name, -1) < stored.bytes]
    longer = [name for name, stored in inventory.files.items() if sizes.get(name, -1) > stored.bytes]
    yield
    told = []
    if gone:
        told.append(f"{_those(gone)} gone or cut short")
    if longer:
        told.append(f"{_those(longer)} longer than signed")
    if unnamed := _unnamed(names, inventory):
        told.append(f"no record names {_names(unnamed)}")
    wanted = known.manifests.get(harmless(recording), "")
    if wanted and ending.sha512 is not None and ending.sha512.hexdigest() != wanted:
        told.append("its manifest is not the one that the journal says it had at its end")
    return Finding(recording, "; ".join(told), MISSING if gone else CHANGED, serial) if told else None


def digested_steps(volume: Volume, recording: str, begin: str, end: str, at: list[str]) -> Steps[Finding | None]:
    """Whether what is in a recording's files is what is signed; a step reads a MiB at most.

    begin, end: names of files, "" for the first and for all; from the one to before the other.
    at: holds the name of the file that is being read.

    What is not as long as it was is not read: that was told. Raises OSError.
    """
    folder = f"{RECORDINGS}/{recording}"
    names = volume.names(folder)
    closed = yield from closed_steps(volume, folder, names)
    if closed is None or not closed.manifest_matches:
        return None
    path = f"{folder}/{MANIFEST}"
    _, inventory = yield from ending_steps(volume, path, MANIFEST, MANIFEST_NAMESPACE, _Inventory, key=closed.key)
    try:
        expected = read_sums(volume, folder)
    except (SignatureBad, ValueError):
        return None  # it is being finished anew
    expected.pop(MANIFEST, None)  # closed_steps has read it
    expected |= {name: stored.sha256 for name, stored in inventory.files.items()}
    expected |= {name: one.sha256 for name, one in inventory.found.items() if name in expected and one.sha256}
    yield
    sizes = volume.sizes(folder)
    changed = []
    for number, name in enumerate(sorted(expected), start=1):
        if not number % STEP_NAMES:
            yield
        stored = inventory.files.get(name)
        size = sizes.get(name)
        if size is None or name < begin or (end and name >= end) or (stored is not None and stored.bytes != size):
            continue
        at[:] = [name]
        sha256 = hashing.sha256()
        for piece in pieces(volume, f"{folder}/{name}", 0, size):
            sha256.update(piece)
            yield
        if sha256.hexdigest() != expected[name]:
            changed.append(name)
    if not changed:
        return None
    return Finding(recording, f"{_those(changed)} not what was signed", CHANGED, serial_of(recording))


_FOREIGN = "is by a key that no file of this device's journal is of"


def _is_foreign(key: str, known: Known) -> bool:
    # What a custodian has taken over may have been the journal of an earlier key, and so may what is told to be gone.
    return key not in known.keys and known.whole and not known.taken_over


def _unnamed(names: list[str], inventory: _Inventory) -> list[str]:
    """Files and folders of a recording that has its end which nothing signed names."""
    if inventory.unnamed:
        return []
    named = {MANIFEST, *inventory.files, *inventory.found}
    return [name for name in names if not (name.rstrip("/") in named or is_convenience(name) or is_litter(name))]


def _those(names: list[str]) -> str:
    return f"{_names(names)} {'is' if len(names) == 1 else 'are'}"


def _names(names: list[str]) -> str:
    """The first of them, and how many."""
    first = printable(harmless(min(names))[:100])
    return first if len(names) == 1 else f"{counted(len(names), 'file')} ({first} the first)"
