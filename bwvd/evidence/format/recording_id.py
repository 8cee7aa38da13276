"""Ids of recordings: the time, the device and the serial number that a folder's name holds. Pure.

Whoever has the card in hand can name a folder as he likes. A number that is far ahead of all others does not count: it
would make a hole that no recording fills, and the one after the largest that an id can hold would be none.
"""

from __future__ import annotations

import datetime
import re

# A device's id may hold hyphens.
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-(?P<device>.+)-(?P<serial>[0-9]{6,12})")

AHEAD = 10_000_000  # a recording a minute for nineteen years: no number is used so far ahead of the one before it

LARGEST = 899_999_999_999  # that counts; behind it there is room to count on in numbers that _ID knows


def recording_id(pressed_s: int, device: str, serial: int) -> str:
    """`20261122T071503Z-BWV-0001-000042`; `pressed_s` is Unix time."""
    pressed = datetime.datetime.fromtimestamp(max(0, pressed_s), tz=datetime.UTC)
    return f"{pressed:%Y%m%dT%H%M%SZ}-{device}-{serial:06d}"


def parts_of(recording: str) -> tuple[str, int] | None:
    """The device's id and the serial number in a recording's id (or its folder's name); None if it is no such id."""
    found = _ID.fullmatch(recording.rstrip("/"))
    return (found[1], int(found[2])) if found else None


def serial_of(recording: str) -> int | None:
    """The serial number in a recording's id (or its folder's name); None if it is no such id."""
    found = parts_of(recording)
    return found[1] if found else None


def device_of(recording: str) -> str:
    """The device's id in a recording's (or in its folder's name); "" if it is no such id."""
    found = parts_of(recording)
    return found[0] if found else ""


def began(recording: str) -> str:
    """The UTC of the press that is in a recording's id; "" if it is no such id."""
    if parts_of(recording) is None:
        return ""
    day, time = recording[:8], recording[9:15]
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}Z"


def counted(last: int, serial: int) -> int:
    """The largest number that is used, after `last` was, when somebody says that `serial` is."""
    return max(last, serial) if serial <= min(last + AHEAD, LARGEST) else last


def known(last: int) -> int:
    """What the beginning of a journal says of the largest number before it; 0 if no number is so large."""
    return last if 0 <= last <= LARGEST else 0
