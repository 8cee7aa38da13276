"""What must come of every fault, by where in the shift it strikes: the one table that judges and that is printed.

A cell holds all that is right; which of it comes is a question of the very operation that is struck. A dash: it can't
strike there. Orders have the answer that they get.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from tests.faults.shift import Phase


class Outcome(StrEnum):
    """What comes of a fault, the worst of several."""

    WHOLE = "whole"
    TOLD = "told"
    SHORT = "short"
    GAP = "gap"
    NO_VIDEO = "no-video"
    MENDED = "mended"
    CONTINUED = "continued"
    FULL = "full"
    REFUSED = "refused"
    LOST = "lost"
    ENDED = "ended"
    CRASHED = "crashed"
    RECOVERED = "recovered"
    UNTOUCHED = "untouched"
    NO_START = "no-start"


MEANING: Final[Mapping[Outcome, str]] = {
    Outcome.WHOLE: "no picture is lost, no fault is told",
    Outcome.TOLD: "no picture is lost that the camera delivered; the fault is told while it lasts",
    Outcome.SHORT: "the pre-event part is short, and the recording says why",
    Outcome.GAP: "what is missing is named by a signed gap record",
    Outcome.NO_VIDEO: "a press has nothing to record: the camera's fault is told, and the journal says so",
    Outcome.MENDED: "no picture is lost; the recording's end is written later, without a restart",
    Outcome.CONTINUED: "no picture is lost; the recording goes on in a new one that names the broken one",
    Outcome.FULL: "the recording is closed and signed as full on the room that is reserved for it",
    Outcome.REFUSED: "the flash is full: a press is refused, heard, and journalled",
    Outcome.LOST: "the flash takes nothing up to the end: the fault is told all the time, what it did not take is lost",
    Outcome.ENDED: "the recording is closed and signed to its last frame, then the daemon ends",
    Outcome.CRASHED: "the recording is closed and signed, then the daemon ends with the error and is started again",
    Outcome.RECOVERED: "cut off; the next start recovers everything that was acknowledged, and says what it found",
    Outcome.UNTOUCHED: "cut off where nothing was being recorded: what lies on the flash is as it was",
    Outcome.NO_START: "the daemon does not start, and starts when the fault is over",
}

TABLE: Final = """
storage-eio          | whole told no-start | whole told | told continued | whole told continued | whole told mended continued | whole told continued | whole told mended continued
storage-eio-20s      | gap no-start | gap | gap continued | continued | gap continued lost recovered | lost recovered | whole told recovered
storage-eio-lasting  | lost no-start | lost | lost | lost | lost | lost recovered | whole told recovered
storage-enospc       | whole told no-start | - | told full | told full | whole told full | told full | whole told full
storage-full         | refused no-start | - | refused | full refused | full | full | whole told full
storage-erofs        | whole told no-start | - | told continued | told continued | whole told mended continued | told continued | whole told mended continued
storage-read-only    | lost no-start | - | lost | lost | lost | lost recovered | told recovered
storage-short        | whole told no-start | - | told continued | told continued | whole told mended continued | told continued | whole told mended continued
storage-short-full   | whole told no-start | - | told full | told full | whole told full | told full | whole told full
storage-stall-0.5s   | whole | whole | whole | whole | whole | whole | whole
storage-stall-7s     | whole short | whole | whole | whole | whole | whole | whole
storage-stall-15s    | whole short | whole | whole gap | whole gap | whole gap | whole | whole
storage-stall-40s    | short gap | gap | gap | gap | whole gap | whole | whole
power-cut-lost       | untouched | untouched | recovered untouched | recovered | recovered untouched | recovered untouched | recovered untouched
power-cut-kept       | untouched | untouched | recovered untouched | recovered | recovered untouched | recovered untouched | recovered untouched
power-cut-torn       | untouched | untouched | recovered untouched | recovered | recovered untouched | recovered untouched | recovered untouched
camera-unplug-2s     | - | short gap | gap | gap | gap | told gap | told
camera-gone          | - | no-video | no-video | gap no-video | gap | told gap | told
camera-stall         | - | short gap | gap | gap | gap | whole told gap | whole
camera-hold          | - | whole | whole | whole | whole | whole | whole
camera-drop          | - | whole gap | gap | gap | gap | whole gap | whole
camera-corrupt       | - | whole | whole | whole | whole | whole | whole
camera-jump-forward  | - | gap | gap | gap | gap | whole gap | whole
camera-jump-back     | - | gap | gap | gap | gap | whole gap | whole
camera-repeat        | - | gap | gap | gap | gap | whole gap | whole
camera-another       | - | gap | gap | gap | gap | told gap | told
camera-refused       | - | no-video | no-video | gap no-video | gap | told gap | told
camera-bug           | - | crashed | crashed | crashed | crashed | crashed | crashed
camera-end           | - | no-video | no-video | gap no-video | gap | told | told
microphone-unplug-2s | - | told | told | told | told | told | told
microphone-gone      | - | told | told | told | told | told | told
microphone-stall     | - | told | told | told | told | whole told | whole
microphone-end       | - | told | told | told | told | told | told
fix-lost-5s          | - | whole | whole | whole | whole | whole | whole
fix-lost-20s         | - | whole told | told | told | told | whole told | whole
fix-jump             | - | told | told | told | told | told | told
fix-time             | - | told | told | told | told | told | told
receiver-silent-12s  | - | whole told | told | told | told | whole told | whole
receiver-silent-25s  | - | told | told | told | told | whole told | whole
receiver-unplug-2s   | - | told | told | told | told | told | told
receiver-foreign-20s | - | whole told | told | told | told | whole told | whole
receiver-slow-20s    | - | whole | whole | whole | whole | whole | whole
receiver-gone        | - | told | told | told | told | told | told
receiver-noise       | - | whole | whole | whole | whole | whole | whole
receiver-torn        | - | whole | whole | whole | whole | whole | whole
receiver-dribble     | - | whole | whole | whole | whole | whole | whole
press                | - | recording | marker | marker | recording resumed | marker resumed | recording
record               | - | recording | already | already | recording resumed | already resumed | recording
hold                 | - | refused | stop_asked | stop_asked | refused already | already stop_asked | refused
stop                 | - | refused | post_roll | post_roll | refused already | already post_roll | refused
mark                 | - | refused | marker | marker | refused marker | marker | refused
sleep                | - | asleep | refused | refused | refused asleep | refused | asleep
storm                | - | recording | marker | marker | recording resumed | marker resumed | recording
clock-forward        | - | whole | whole | whole | whole | whole | whole
clock-back           | - | whole | whole | whole | whole | whole | whole
clock-not-set        | - | told | told | told | told | told | told
battery-empty        | - | ended | ended | told ended | told | told | told
process-kill         | untouched | untouched | recovered untouched | recovered | recovered untouched | recovered untouched | recovered untouched
process-cancel       | untouched | untouched | recovered untouched | recovered | recovered untouched | recovered untouched | recovered untouched
process-bug          | crashed no-start | crashed | crashed recovered | crashed recovered | crashed recovered | crashed recovered | crashed recovered
process-end          | - | ended | ended | ended | ended | ended | ended whole
process-end-twice    | - | ended | ended | ended | ended | ended | ended whole
light-lost           | - | - | told | - | told | told | told
tone-lost            | - | - | told | told | told | told | told
light-bug            | - | - | crashed | - | crashed | crashed | crashed
line-hangs-up        | - | - | told | told | told | told | told
line-stalls          | - | - | whole | whole | whole | whole | whole
receiver-bug         | crashed | crashed | crashed | crashed | crashed | crashed | crashed
signer-bug           | no-start crashed | - | recovered | recovered | crashed recovered | recovered | crashed recovered
"""  # noqa: E501 - a table is read by its columns


def _read(table: str) -> dict[str, dict[Phase, frozenset[str]]]:
    found: dict[str, dict[Phase, frozenset[str]]] = {}
    for line in table.strip().splitlines():
        name, *cells = (part.strip() for part in line.split("|"))
        allowed = {phase: frozenset(cell.split()) for phase, cell in zip(Phase, cells, strict=True) if cell != "-"}
        found[name] = allowed
    return found


ALLOWED: Final[Mapping[str, Mapping[Phase, frozenset[str]]]] = _read(TABLE)
