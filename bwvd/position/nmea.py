"""NMEA 0183 from a receiver's own line: fixes out of GGA and RMC, which pynmea2 takes apart.

Two sentences of the same second make a fix: GGA has the height and the satellites, RMC the date, and only RMC says that
the receiver itself holds it for valid. A line whose sum is not right is none.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, TypeVar

import pynmea2

from bwvd.messages import Fix
from bwvd.position.fix import metres, position

T = TypeVar("T")

_ERROR_OF_DOP_M = 5.0  # of one unit of dilution: what a plain receiver has


# What the library raises for fields that are missing, or none of their kind, with a sum that is right.
_NONE = (ValueError, TypeError, AttributeError, LookupError, OverflowError)


class Nmea:
    """Reads a receiver's lines, one after the other."""

    def __init__(self) -> None:
        self._height: Any = None  # the last GGA
        self.speaks = False  # a whole sentence has come

    def take(self, line: bytes, at_ns: int) -> Fix | None:
        """A fix, if the line is an RMC with one."""
        said = sentence(line)
        if said is None:
            return None
        self.speaks = True
        if said.sentence_type == "GGA":
            self._height = said
        return self._fix(said, at_ns) if said.sentence_type == "RMC" and said.status == "A" else None

    def silence(self) -> str:
        """Why there is no fix: it has none, or what comes is no NMEA."""
        return "answers, and has no position yet" if self.speaks else "what it says is no NMEA: another baud rate?"

    def _fix(self, said: Any, at_ns: int) -> Fix | None:
        where = _position(said)
        if where is None:
            return None
        height: Any = self._height if self._height is not None and self._height.data[:1] == said.data[:1] else None
        altitude_m = _read(lambda: metres(height.altitude))
        dilution = _read(lambda: metres(float(height.horizontal_dil), 100.0))
        return Fix(
            at_ns=at_ns,
            utc=_read(lambda: _utc(said.datetime)) or "",
            latitude=where[0],
            longitude=where[1],
            altitude_m=altitude_m,
            error_m=None if dilution is None else round(dilution * _ERROR_OF_DOP_M, 1),
            mode=2 if altitude_m is None else 3,
            satellites=_read(lambda: int(height.num_sats)),
        )


def sentence(line: bytes) -> Any:
    """A sentence whose sum is right, as pynmea2 has it; None for any other line. Its values are read when asked for."""
    try:
        said = pynmea2.parse(line.strip().decode("ascii"), check=True)
    except (pynmea2.ParseError, *_NONE):
        return None
    return said if isinstance(said, pynmea2.TalkerSentence) else None


def _position(said: Any) -> tuple[float, float] | None:
    # For a side that is none, and for an empty field, the library gives 0.
    if said.lat_dir not in ("N", "S") or said.lon_dir not in ("E", "W") or not said.lat or not said.lon:
        return None
    return _read(lambda: position(round(said.latitude, 8), round(said.longitude, 8)))


def _utc(moment: datetime.datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _read(value: Callable[[], T | None]) -> T | None:
    """What a field says; None where it is not there, or says nothing that it may."""
    try:
        return value()
    except _NONE:
        return None
