"""Notes of the recorder as records: what a manifest says between its segments. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from bwvd.clock import Reading
from bwvd.evidence.format import records
from bwvd.evidence.format.utc import stamp_at
from bwvd.messages import (
    Assigned,
    AudioSwitched,
    ClockStepped,
    FaultChanged,
    GapSeen,
    Marked,
    Note,
    PowerRead,
    Stage,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a manifest a record is written, and the clocks then."""

    n: int
    origin_ns: int  # the CLOCK_MONOTONIC that is media time 0
    reading: Reading


def note_record(note: Note, place: Place, label: str, sealed: records.Sealed | None) -> records.Record:
    """The record of a note. `label` and `sealed` are a marker's text, in the clear or sealed; the caller seals the
    officer's id."""
    n, origin_ns = place.n, place.origin_ns
    at_ns = 0 if isinstance(note, GapSeen) else note.at_ns - origin_ns
    match note:
        case Marked():
            stamp = stamp_at(note.at_ns, place.reading)
            return records.Mark(n=n, at_ns=at_ns, source=note.source, stamp=stamp, label=label, sealed=sealed)
        case GapSeen():
            from_ns, to_ns = (max(0, ns - origin_ns) for ns in (note.from_ns, note.to_ns))
            return records.Gap(
                n=n, track=note.track, from_ns=from_ns, to_ns=to_ns, cause=note.cause, frames=note.frames
            )
        case AudioSwitched():
            return records.Audio(n=n, on=note.on, at_ns=max(0, at_ns), reason=note.reason)
        case PowerRead():
            flags = list(note.flags)
            return records.Power(n=n, at_ns=at_ns, percent=note.percent, supply=note.supply, flags=flags)
        case Stage():
            return records.State(n=n, state=note.stage, at_ns=at_ns, source=note.source)
        case FaultChanged():
            return records.Fault(n=n, name=note.name, active=note.active, at_ns=at_ns, detail=note.detail)
        case ClockStepped():
            stamp = stamp_at(note.at_ns, place.reading)
            return records.ClockStep(n=n, at_ns=at_ns, step_ns=note.step_ns, stamp=stamp)
        case Assigned():
            return records.Officer(n=n, at_ns=at_ns, officer="", sealed=sealed)
        case _:
            assert_never(note)
