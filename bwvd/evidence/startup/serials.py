"""Serial number of the next recording: gapless and never given twice, whatever the power does.

The making of a recording's folder is what uses a number up: the folder is durable before anything is written into it,
a half-made one is recovered like any other, and it stays until its release, which the journal knows before the folder
is gone. So the next number follows the largest one that a folder's name or the journal holds. The journal's `opened`
entry may come later than the folder, or be lost with a power cut; `unrecorded` tells what is to be entered at the next
start, so that the journal counts every recording.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from bwvd.evidence.format.recording_id import counted, known, serial_of


def next_serial(folders: Iterable[str], last_in_journal: int) -> int:
    """The number of the next recording, from the names in `recordings/` and the journal's last one."""
    used = sorted(serial for name in folders if (serial := serial_of(name)) is not None)
    return functools.reduce(counted, used, known(last_in_journal)) + 1


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
