"""Which serial number comes next. Gapless and never given twice, whatever the power does.

The making of a recording's folder is what uses a number up: the folder is durable before anything is written into it,
a half-made one is recovered like any other, and it stays until its release, which the journal knows before the folder
is gone. So the next number follows the largest one that a folder's name or the journal holds. The journal's `opened`
entry may come later than the folder, or be lost with a power cut; `unrecorded` tells what is to be entered at the next
start, so that the journal counts every recording.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

RECORDINGS = "recordings"

# The id that bwvd.evidence.naming gives: time, device, number. A device's id may hold hyphens.
# A larger number than any device reaches does not count: a folder that somebody named so would end the counting.
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-(?P<device>.+)-(?P<serial>[0-9]{6,12})")


def serial_of(recording: str) -> int | None:
    """The serial number in a recording's id (or its folder's name); None if it is no such id."""
    found = _ID.fullmatch(recording.rstrip("/"))
    return int(found["serial"]) if found else None


def device_of(recording: str) -> str:
    """The device's id in a recording's (or in its folder's name); "" if it is no such id."""
    found = _ID.fullmatch(recording.rstrip("/"))
    return found["device"] if found else ""


def next_serial(folders: Iterable[str], last_in_journal: int) -> int:
    """The number of the next recording, from the names in `recordings/` and the journal's last one."""
    used = [serial for name in folders if (serial := serial_of(name)) is not None]
    return max([last_in_journal, *used]) + 1


def unrecorded(folders: Iterable[str], last_in_journal: int) -> list[tuple[int, str]]:
    """Number and id of the recordings that the journal does not know yet, in order."""
    found = [(serial, name.rstrip("/")) for name in folders if (serial := serial_of(name)) is not None]
    return sorted(entry for entry in found if entry[0] > last_in_journal)
