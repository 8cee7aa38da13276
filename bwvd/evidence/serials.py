"""Which serial number comes next. Gapless and never given twice, whatever the power does.

The making of a recording's folder is what uses a number up: the folder is durable before anything is written into it,
a half-made one is recovered like any other, and it stays until its release, which the journal knows before the folder
is gone. So the next number follows the largest one that a folder's name or the journal holds. The journal's `opened`
entry may come later than the folder, or be lost with a power cut; `unrecorded` tells what is to be entered at the next
start, so that the journal counts every recording.

Whoever has the card in hand can name a folder as he likes. A number that is far ahead of all others does not count: it
would make a hole that no recording fills, and the one after the largest that an id can hold would be none.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

RECORDINGS = "recordings"

# The id that bwvd.evidence.naming gives: time, device, number. A device's id may hold hyphens.
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-(?P<device>.+)-(?P<serial>[0-9]{6,12})")

AHEAD = 10_000_000  # a recording a minute for nineteen years: no number is used so far ahead of the one before it
LARGEST = 899_999_999_999  # that counts; behind it there is room to count on in numbers that _ID knows


def serial_of(recording: str) -> int | None:
    """The serial number in a recording's id (or its folder's name); None if it is no such id."""
    found = _ID.fullmatch(recording.rstrip("/"))
    return int(found["serial"]) if found else None


def device_of(recording: str) -> str:
    """The device's id in a recording's (or in its folder's name); "" if it is no such id."""
    found = _ID.fullmatch(recording.rstrip("/"))
    return found["device"] if found else ""


def counted(last: int, serial: int) -> int:
    """The largest number that is used, after `last` was, when somebody says that `serial` is."""
    return max(last, serial) if serial <= min(last + AHEAD, LARGEST) else last


def next_serial(folders: Iterable[str], last_in_journal: int) -> int:
    """The number of the next recording, from the names in `recordings/` and the journal's last one."""
    used = sorted(serial for name in folders if (serial := serial_of(name)) is not None)
    return functools.reduce(counted, used, known(last_in_journal)) + 1


def known(last: int) -> int:
    """What the beginning of a journal says of the largest number before it; 0 if no number is so large."""
    return last if 0 <= last <= LARGEST else 0


def unrecorded(folders: Iterable[str], last_in_journal: int) -> list[tuple[int, str]]:
    """Number and id of the recordings that the journal does not know yet, in order."""
    found = sorted((serial, name.rstrip("/")) for name in folders if (serial := serial_of(name)) is not None)
    last = last_in_journal
    missed = []
    for serial, recording in found:
        last = counted(last, serial)
        if last_in_journal < serial == last:
            missed.append((serial, recording))
    return missed
