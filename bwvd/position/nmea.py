"""NMEA 0183 from a receiver's own line: fixes out of GGA and RMC. Pure.

Two sentences of the same second make a fix: GGA has the height and the satellites, RMC the date, and only RMC says that
the receiver itself holds it for valid. A line whose sum is not right is none. No library: of the standard's hundred
sentences these two count, and what a library makes of a torn line is another program's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bwvd.messages import Fix
from bwvd.position.fix import metres, position, unix_s

MOST_LINE = 256  # bytes; the standard allows 82, and receivers exceed it

_SENTENCE = re.compile(rb"\$([\x20-\x7e]{6,200})\*([0-9A-Fa-f]{2})")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)(\.\d{1,6})?", re.ASCII)
_DATE = re.compile(r"(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])(\d{2})", re.ASCII)
_ANGLE = re.compile(r"(\d{2,3})([0-5]\d(?:\.\d{1,8})?)", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,6}(?:\.\d{1,6})?", re.ASCII)
_ERROR_OF_DOP_M = 5.0  # of one unit of dilution: what a plain receiver has


@dataclass(frozen=True, slots=True)
class _Height:
    """What a GGA says beside the position."""

    time: str
    satellites: int | None
    dilution: float | None
    altitude_m: float | None


class Nmea:
    """Reads a receiver's lines, one after the other."""

    def __init__(self) -> None:
        self._height: _Height | None = None
        self.speaks = False  # a whole sentence has come

    def take(self, line: bytes, at_ns: int) -> Fix | None:
        """A fix, if the line is an RMC with one."""
        fields = sentence(line)
        if fields is None:
            return None
        self.speaks = True
        match fields[0][2:]:
            case "GGA" if len(fields) >= 10:
                satellites = fields[7]
                self._height = _Height(
                    time=fields[1],
                    satellites=int(satellites) if re.fullmatch(r"\d{1,2}", satellites, re.ASCII) else None,
                    dilution=_number(fields[8]),
                    altitude_m=metres(_number(fields[9])),
                )
            case "RMC" if len(fields) >= 10 and fields[2] == "A":
                return self._fix(fields, at_ns)
        return None

    def _fix(self, fields: list[str], at_ns: int) -> Fix | None:
        where = position(_angle(fields[3], fields[4], "NS"), _angle(fields[5], fields[6], "EW"))
        if where is None:
            return None
        height = self._height if self._height is not None and self._height.time == fields[1] else None
        dilution = height.dilution if height is not None else None
        return Fix(
            at_ns=at_ns,
            utc=_utc(fields[9], fields[1]),
            latitude=where[0],
            longitude=where[1],
            altitude_m=height.altitude_m if height is not None else None,
            error_m=None if dilution is None else round(dilution * _ERROR_OF_DOP_M, 1),
            mode=3 if height is not None and height.altitude_m is not None else 2,
            satellites=height.satellites if height is not None else None,
        )


def sentence(line: bytes) -> list[str] | None:
    """The fields of a line whose sum is right; None for any other."""
    found = _SENTENCE.fullmatch(line.strip())
    if found is None:
        return None
    total = 0
    for byte in found[1]:
        total ^= byte
    return found[1].decode("ascii").split(",") if total == int(found[2], 16) else None


def _angle(text: str, side: str, sides: str) -> float | None:
    found = _ANGLE.fullmatch(text)
    if found is None or side not in sides or not side:
        return None
    degrees = int(found[1]) + float(found[2]) / 60
    return round(degrees if side == sides[0] else -degrees, 8)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _utc(date: str, time: str) -> str:
    day, moment = _DATE.fullmatch(date), _TIME.fullmatch(time)
    if day is None or moment is None:
        return ""
    text = f"20{day[3]}-{day[2]}-{day[1]}T{moment[1]}:{moment[2]}:{moment[3]}{(moment[4] or '.')[:4].ljust(4, '0')}Z"
    return text if unix_s(text) is not None else ""
