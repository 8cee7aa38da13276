"""Times of day as records write them: annotations that may be nonsense, so every use asks whether there is one."""

from __future__ import annotations

import datetime


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
