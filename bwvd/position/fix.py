"""What of a receiver's words is a place, a height or a time. Pure."""

from __future__ import annotations

import datetime
import math

from bwvd.messages import Fix


def position(latitude: object, longitude: object) -> tuple[float, float] | None:
    """Both as numbers that are a place on Earth; None for anything else."""
    north, east = _number(latitude), _number(longitude)
    if north is None or east is None or abs(north) > 90 or abs(east) > 180:
        return None
    return north, east


def metres(value: object, most: float = 100_000.0) -> float | None:
    """A height or an error in metres; None for what can be none."""
    number = _number(value)
    return number if number is not None and abs(number) <= most else None


def distance_m(one: Fix, other: Fix) -> float:
    """Along the sphere; good to 0.6 %."""
    lat1, lat2 = math.radians(one.latitude), math.radians(other.latitude)
    half = math.sin((lat2 - lat1) / 2) ** 2
    half += math.cos(lat1) * math.cos(lat2) * math.sin(math.radians(other.longitude - one.longitude) / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(min(1.0, half)))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def unix_s(utc: object) -> float | None:
    """ISO 8601 with Z in Unix seconds; None for anything else."""
    if not isinstance(utc, str) or not utc.endswith("Z") or len(utc) > 40:
        return None
    try:
        return datetime.datetime.fromisoformat(utc).timestamp()
    except (ValueError, OverflowError):
        return None
