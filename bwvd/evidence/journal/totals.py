"""Facts that a journal's entries add up to: used numbers, releases, what manifests must hold (a fold). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from bwvd import hashing
from bwvd.evidence.format import records
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.recording_id import counted, known

Detail = dict[str, str | int | float | bool | None]

# Kinds of entries of which the last one counts: it stands in every later file of the journal as well.
NEWEST = "newest"  # how the recording of the largest number that has an end came to it
OFFICER_KEPT = "officer_kept"  # the digest of the file with the officer's id
SETTLED = "settled"  # up to which serial number a start has looked at every recording
ARCHIVE_RELEASED = "archive_released"  # the newest archive for which a receipt was held; older ones went before it
ROLLED_BACK = "storage_rolled_back"  # an entry with the largest number that a witness remembers, whatever lies here
INSPECTED = "inspected"  # how far the reading of all files' content has come
LATEST = frozenset({NEWEST, OFFICER_KEPT, ARCHIVE_RELEASED, SETTLED, INSPECTED})

WITH_SERIAL = frozenset({"opened", "recovered", "released"})  # entries whose `serial` is a number that is used

PROGRESS = "progress"  # how far a recording that goes on has come: of these too the last one of a recording counts
BEGUN = frozenset({"opened", PROGRESS})  # entries that know of no end
ENDS = frozenset({"closed", "recovered"})
UNKNOWN = "unknown"  # no entry: the file of the journal that may have told of an end is gone, or is not what it was

# Of entries of other events it counts only that they are there.
ASKED_FOR = LATEST | WITH_SERIAL | BEGUN | ENDS | {ROLLED_BACK}


@dataclass(slots=True)
class JournalTotals:
    """What has to be known of the journal's entries (a fold)."""

    opening: records.Journal | None = None
    entries: int = 0
    last_serial: int = 0
    released: dict[str, records.Entry] = field(default_factory=dict)  # by recording
    said: dict[str, records.Removed] = field(default_factory=dict)  # by recording: what its manifest must hold
    last_closed: str = ""  # the recording that came to its end last
    latest: dict[str, records.Entry] = field(default_factory=dict)  # of the kinds in LATEST

    def take(self, record: records.Record | Unknown) -> None:
        if isinstance(record, records.Journal):
            self.opening = self.opening or record
            self.last_serial = max(self.last_serial, known(record.last_serial))
        elif isinstance(record, records.Entry):
            self.entries += 1
            event = record.event
            if event in LATEST:
                self.latest[event] = record
            if event == ROLLED_BACK and isinstance(last := record.detail.get("last_serial"), int):
                self.last_serial = max(self.last_serial, known(last))
            if isinstance(serial := record.detail.get("serial"), int):
                if event in WITH_SERIAL:
                    self.last_serial = counted(self.last_serial, serial)
                if isinstance(recording := record.detail.get("recording"), str):
                    self._of_recording(event, recording, record)

    def _of_recording(self, event: str, recording: str, record: records.Entry) -> None:
        detail = record.detail
        if event in ENDS:
            self._ended(record)
            self.last_closed = recording
        if event == "released":
            self.released[recording] = record
        elif event in ENDS or event == PROGRESS or (event == "opened" and "found" not in detail):
            # An entry says so after the manifest's line was durable; one that was found at a start says nothing of it.
            sha512 = detail.get("manifest_sha512", "")
            said = records.Removed(
                event=event,
                segments=_number(detail.get("segments")),
                manifest_sha512=sha512 if isinstance(sha512, str) else "",
                manifest_bytes=_number(detail.get("manifest_bytes")),
                duration_ns=_number(detail.get("duration_ns")),
            )
            # An entry may stand there twice: what was known does not get less by that.
            known = self.said.get(recording)
            if known is None or _how_far(known) <= _how_far(said):
                self.said[recording] = said

    def _ended(self, record: records.Entry) -> None:
        known, serial = self.latest.get(NEWEST), record.detail["serial"]
        if known is None or _number(known.detail.get("serial")) <= _number(serial):
            names = ("recording", "serial", "segments", "manifest_sha512")
            detail = {name: record.detail[name] for name in names if name in record.detail}
            self.latest[NEWEST] = msgspec.structs.replace(
                record, event=NEWEST, detail={**detail, "ended": record.event}
            )

    def follow(self, earlier: JournalTotals) -> None:
        """Add what an earlier file says; where both say something, this one's word counts."""
        self.released = {**earlier.released, **self.released}
        self.said = {**earlier.said, **self.said}
        self.latest = {**earlier.latest, **self.latest}
        self.last_closed = self.last_closed or earlier.last_closed
        self.entries += earlier.entries
        self.last_serial = max(self.last_serial, earlier.last_serial)

    def join(self, other: JournalTotals) -> None:
        """Add what a later file says."""
        self.entries += other.entries
        self.last_serial = max(self.last_serial, other.last_serial)
        self.released.update(other.released)
        self.said.update(other.said)
        self.latest.update(other.latest)
        self.last_closed = other.last_closed or self.last_closed


def newest_of(detail: Detail) -> records.Before:
    """What an entry NEWEST says."""
    recording, event, sha512 = (str(detail.get(name, "")) for name in ("recording", "ended", "manifest_sha512"))
    serial, segments = (_number(detail.get(name)) for name in ("serial", "segments"))
    return records.Before(serial, recording, event, segments, sha512)


def _how_far(said: records.Removed) -> tuple[bool, int]:
    return said.event in ENDS, said.manifest_bytes


def _number(value: str | int | float | bool | None) -> int:
    return value if isinstance(value, int) else 0


def storage_of(opening: records.Journal) -> str:
    """The id of a storage by its journal's first record; one from before there were ids is known by that record."""
    return opening.storage or hashing.sha256(msgspec.json.encode(opening)).hexdigest()
