"""Invariants 1, 2 and 9 for positions: none that was not said, none of the loop, none that stands for a later one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from bwvd.clock import NS
from bwvd.evidence.export.track import Track, track_of
from bwvd.evidence.format import records
from bwvd.position.actor import LOOK_S
from bwvd.position.watch import LOST_AFTER_S
from tests.faults.aftermath import Aftermath
from tests.faults.recorded import Recording
from tests.faults.shift import GOP_S, LOOP_S

LATE_NS = 2 * NS  # as long as words may be on their way
TOLD_NS = 2 * NS  # how much later than it is lost a position may still be told: looked for each second
AGAIN_NS = 35 * NS  # behind the end of a fault: the receiver is opened again by then
HANDED_OVER_NS = round(LOOK_S * NS) + NS // 4  # behind the press
STEP_NS = NS // 2


def check_positions(after: Aftermath) -> Iterator[str]:
    """What a recording says of where it was, against what the receiver said."""
    world = after.world
    if not world.has_position:
        return
    said = [(at_ns, one) for at_ns, one in world.receiver.said if one.mode >= 2]
    places = {(round(one.latitude, 9), round(one.longitude, 9)): at_ns for at_ns, one in said}
    for recording in after.before:
        if recording.opening is None:
            continue
        earliest_ns = recording.opening.press.stamp.mono_ns - round((LOOP_S + GOP_S) * NS)
        for record in recording.lines:
            if not isinstance(record, records.Position) or record.fix is None:
                continue
            at_ns = record.fix.stamp.mono_ns
            when_ns = places.get((round(record.fix.latitude, 9), round(record.fix.longitude, 9)))
            if when_ns is None:
                yield f"9: {recording.id} names a place that the receiver never named"
            elif not 0 <= at_ns - when_ns <= LATE_NS:
                yield f"9: {recording.id} dates a position by {at_ns} ns that was said at {when_ns} ns"
            if at_ns < earliest_ns:
                yield f"2: {recording.id} has a position of {at_ns} ns, from before what the loop holds"
        yield from _told(after, recording, [at_ns for at_ns, _ in said])


def _told(after: Aftermath, recording: Recording, said: list[int]) -> Iterator[str]:
    """At each moment of the recording the newest position counts, and none that is older than it may be."""
    if recording.opening is None or not recording.frames:
        return
    origin_ns = recording.opening.origin_mono_ns
    track: Track = track_of(recording.lines)
    last_ns = recording.frames[-1].pts_ns
    for moment_ns in range(recording.frames[0].pts_ns, last_ns, STEP_NS):
        at = bisect_right(said, moment_ns) - 1
        since_ns = moment_ns - said[at] if at >= 0 else 1 << 62
        fix = track.at(moment_ns - origin_ns)
        if fix is not None and since_ns > LOST_AFTER_S * NS + LATE_NS + TOLD_NS:
            yield f"9: {recording.id} has a position at {moment_ns} ns that was lost {since_ns / NS} s before"
        if (
            fix is None
            and since_ns < NS
            and said[at] >= recording.frames[0].pts_ns
            and not _excused(after, recording, moment_ns)
        ):
            yield f"9: {recording.id} has no position at {moment_ns} ns, where the receiver had one"


def _excused(after: Aftermath, recording: Recording, moment_ns: int) -> bool:
    """While the fault is there, and until the receiver is read again; and behind the last record of one cut off."""
    struck_ns = after.world.struck_ns
    if after.cut_off or recording.end is None or recording.opening is None:
        return True
    pressed_ns = recording.opening.press.stamp.mono_ns
    if after.world.errors and 0 <= struck_ns - pressed_ns <= HANDED_OVER_NS and moment_ns <= pressed_ns:
        return True  # it crashed before the loop's positions were handed over
    return (
        bool(struck_ns)
        and struck_ns <= moment_ns + 2 * NS
        and (not after.kind.heals or moment_ns < struck_ns + 25 * NS + AGAIN_NS)
    )
