"""Times of day as records write them: annotations that may be nonsense, so every use asks whether there is one."""

from __future__ import annotations

import datetime

from bwvd.clock import Reading, utc_text
from bwvd.evidence.format.records import Stamp


def stamp_at(mono_ns: int, reading: Reading) -> Stamp:
    """A monotonic moment with the UTC that it was by the clock as it stands now."""
    return Stamp(
        mono_ns=mono_ns,
        utc=utc_text(reading.utc_ns + mono_ns - reading.mono_ns),
        quality=reading.quality,
        uncertainty_us=reading.uncertainty_us,
    )


def parse_utc(text: str) -> datetime.datetime | None:
    """ISO 8601 in UTC; None if it is no such time."""
    try:
        moment = datetime.datetime.fromisoformat(text)
        return moment.astimezone(datetime.UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def unix_s(text: str) -> float | None:
    """The same in Unix seconds."""
    moment = parse_utc(text)
    return None if moment is None else moment.timestamp()


def utc_after(text: str, passed_ns: int) -> str:
    """What the time of day is so long after `text`, to the millisecond; "" if it is no time of day.

    `passed_ns` may be negative, and as large as a manifest that lies says.
    """
    begin = parse_utc(text)
    if begin is None:
        return ""
    try:
        moment = begin + datetime.timedelta(microseconds=passed_ns // 1000)
    except OverflowError:
        return ""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
