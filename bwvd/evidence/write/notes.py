"""Notes of the recorder as records: what a manifest says between its segments. Pure."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import TypeVar, assert_never

import msgspec

from bwvd.clock import NS, Reading
from bwvd.evidence.format import records
from bwvd.evidence.format.utc import stamp_at
from bwvd.evidence.keys.age import Sealer, private_json
from bwvd.messages import (
    Assigned,
    AudioSwitched,
    ClockStepped,
    FaultChanged,
    Fix,
    GapSeen,
    Located,
    Marked,
    Note,
    PowerRead,
    Stage,
    TimeSource,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a manifest a record is written, and the clocks then."""

    n: int
    origin_ns: int  # the CLOCK_MONOTONIC that is media time 0
    reading: Reading


def fix_record(fix: Fix, reading: Reading) -> records.Fix:
    """A fix, with the camera's clocks when it came."""
    return records.Fix(
        stamp=stamp_at(fix.at_ns, reading),
        utc=fix.utc,
        latitude=fix.latitude,
        longitude=fix.longitude,
        altitude_m=fix.altitude_m,
        error_m=fix.error_m,
        mode=fix.mode,
        satellites=fix.satellites,
    )


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
        case TimeSource():
            return records.ClockSource(
                n=n,
                at_ns=max(0, at_ns),
                by=note.by,
                reference=note.reference,
                stratum=note.stratum,
                services=list(note.services),
            )
        case Located(fix=fix):
            return records.Position(
                n=n, at_ns=max(0, at_ns), fix=fix_record(fix, place.reading) if fix is not None else None
            )
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


def press_position(located: Located | None, press_ns: int, reading: Reading) -> records.PressPosition | None:
    """Where the camera was at the press, not sealed yet; None where there is no receiver."""
    if located is None or located.fix is None:
        return None if located is None else records.PressPosition(fix=None)
    age_s = round((press_ns - located.fix.at_ns) / NS, 3)
    return records.PressPosition(fix=fix_record(located.fix, reading), age_s=age_s)


Positioned = TypeVar("Positioned", records.Record, records.PressPosition, records.PressPosition | None)


def sealed_position(record: Positioned, sealer: Sealer | None) -> Positioned:
    """A position with its fix sealed, where the recording is; any other record as it is."""
    if sealer is None or not isinstance(record, records.Position | records.PressPosition) or record.fix is None:
        return record
    stored = sealer.seal(private_json({"fix": msgspec.json.encode(record.fix).decode()}, os.urandom(16)))
    return msgspec.structs.replace(record, fix=None, sealed=base64.b64encode(stored).decode())
