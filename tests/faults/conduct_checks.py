"""What the daemon did while the fault was there: invariants 1, 2, 5, 6, 8, 10, 11 and 12."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from bwvd.clock import NS
from bwvd.daemon.peripherals import FAREWELL_S
from bwvd.evidence.format import records
from bwvd.messages import FaultChanged, Order, Pressed, Recorded, State, StateChanged, StopAsked
from tests.faults.aftermath import Aftermath
from tests.faults.media_checks import HOLE_NS
from tests.faults.outcomes import Outcome
from tests.faults.recorded import entries_of
from tests.faults.shift import END_S, GOP_S, LOOP_S, Phase

AUDIBLE_NS = NS // 2  # how soon a refusal is heard
CONTRACT = ("state", "device", "uptime_s", "loop", "recording", "video", "audio", "storage", "faults", "controls")
OWN_ENDS = frozenset({"stop", "no_video", "storage_full"})


def check_life(after: Aftermath) -> Iterator[str]:
    """It ends, and the next one starts and records."""
    if after.world.hung:
        yield "12: the daemon did not end"
    second = after.second
    if second is None:
        return
    if second.hung or second.errors or not second.started:
        yield f"12: the next start failed: {second.errors}"
        return
    mine = [recording for recording in after.recordings if recording.id not in {one.id for one in after.before}]
    if not any(recording.reason == "stop" and recording.frames for recording in mine):
        yield f"5: the next start did not record: {[(recording.id, recording.reason) for recording in mine]}"


def check_loop(after: Aftermath) -> Iterator[str]:
    """Invariants 1 and 2: what was not asked for is on no file, and wiped."""
    asked = _asked(after)
    content = b"\n".join(data for data in after.tree.values() if data)
    for frame in after.world.witness.frames:
        inside = any(begin <= frame.pts_ns < end for begin, end in asked)
        if frame.key and not inside and frame.data in content:
            yield f"1: the frame of {frame.pts_ns} ns was not asked for and is on the flash"
    yield from after.world.witness.complaints
    if not after.cut_off and not after.world.errors:
        left = [batch for batch in after.world.witness.batches if any(batch.data)]
        if left:
            yield f"2: {len(left)} groups of pictures are not wiped at the end, the first from {left[0].start_ns} ns"


def _asked(after: Aftermath) -> list[tuple[int, int]]:
    """The spans that presses asked for."""
    found: list[tuple[int, int]] = []
    for event in after.world.events:
        if isinstance(event, Pressed) and event.outcome == "recording":
            found.append((event.at_ns - round((LOOP_S + GOP_S) * NS) - HOLE_NS, 1 << 62))
        elif isinstance(event, StateChanged) and event.state in (State.STANDBY, State.ASLEEP) and found:
            # The group of pictures that holds the last moment is kept whole.
            found[-1] = (found[-1][0], min(found[-1][1], event.at_ns + round(GOP_S * NS)))
    return found


def check_presses(after: Aftermath) -> Iterator[str]:
    """Invariant 5: every press ends in recording, or in an audible, journalled reason."""
    world = after.world
    for given in world.given:
        # The hand of a shift is no control: it still asks while the lamps take their leave.
        dying = world.ended_ns - given.command.at_ns < (1 + FAREWELL_S) * NS or after.cut_off or world.errors
        if len(given.answers) > 1 or (not given.answers and not dying):
            yield f"5: {given.command.order} at {given.command.at_ns} ns was answered {len(given.answers)} times"
    presses = [event for event in world.events if isinstance(event, Pressed)]
    if after.cut_off or world.errors:
        return
    told_of = {(press.order, press.at_ns) for press in presses}
    for given in world.given:
        if given.answers and (given.command.order, given.command.at_ns) not in told_of:
            yield f"5: {given.command.order} at {given.command.at_ns} ns was answered, and nobody was told"
    without = [e.at_ns for e in world.events if isinstance(e, StateChanged) and e.cause == "no_video"]
    told = [e.at_ns for e in world.events if isinstance(e, FaultChanged) and e.active]
    heard = [at_ns for at_ns, level in world.tone.history if level]
    entered = {(e.event, e.stamp.mono_ns) for e in entries_of(after.tree)}
    for press in presses:
        if press.at_ns in after.lost_presses and not without and not told:
            yield f"5: the press at {press.at_ns} ns led to no recording, and nobody said so"
        if press.outcome == "refused":
            audible = any(0 <= at_ns - press.handled_ns <= AUDIBLE_NS for at_ns in heard)
            if not audible and not after.kind.silent:
                yield f"5: the refusal at {press.handled_ns} ns is not audible"
            if ("refused", press.at_ns) not in entered and after.kind.heals:
                yield f"5: the refusal at {press.at_ns} ns is not in the journal"


def check_acknowledged(after: Aftermath) -> Iterator[str]:
    """Invariants 6 and 8: what was acknowledged is there; a verdict on its bytes is the desk's."""
    there = {recording.id: recording for recording in after.recordings}
    for name, segments in after.world.storage.acknowledged.items():
        if not segments:
            continue
        if name not in there:
            yield f"6, 8: {name}, of which {segments} segments were acknowledged, is gone"
        elif len(there[name].segments) < segments:
            yield f"6, 8: {name} has {len(there[name].segments)} of {segments} acknowledged segments"
    for event in after.world.events:
        if isinstance(event, Recorded) and event.closed and event.at_ns <= (after.world.struck_ns or event.at_ns):
            recording = there.get(event.recording)
            if recording is None or not isinstance(recording.end, records.Close):
                yield f"6: {event.recording} was closed, and has no end"
    if after.cut_off and after.phase is Phase.RECORDING and not after.world.cancelled:
        # Up to a segment, a GOP in the making, and the commit in progress are not acknowledged yet.
        allowed_ns = round(2 * GOP_S * NS) + HOLE_NS
        last_ns = max((recording.frames[-1].pts_ns for recording in after.before if recording.frames), default=0)
        if after.world.struck_ns - last_ns > allowed_ns:
            yield f"6: {(after.world.struck_ns - last_ns) / NS} s are lost at the cut"


def check_camera(after: Aftermath) -> Iterator[str]:
    """Invariant 10: whatever else fails, the camera delivers every frame, on time."""
    world = after.world
    if after.kind.camera or not world.started:
        return
    if world.daemon.media.dropped:
        yield f"10: {world.daemon.media.dropped} batches found no room on their way from the camera"
    frames = world.witness.frames
    for a, b in itertools.pairwise(frames):
        if b.pts_ns - a.pts_ns > HOLE_NS:
            yield f"10: no frame between {a.pts_ns} and {b.pts_ns} ns"


def check_ends(after: Aftermath) -> Iterator[str]:
    """Invariant 11: nothing ends a recording but a confirmed stop, or the device for a reason of its own."""
    asked_until_ns = 0
    allowed = OWN_ENDS | after.kind.ends | {"shutdown"}
    orders: dict[int, list[Pressed]] = {}
    for event in after.world.events:
        match event:
            case StopAsked():
                asked_until_ns = event.until_ns
            case Pressed():
                orders.setdefault(event.handled_ns, []).append(event)
                if event.outcome == "post_roll" and event.order is not Order.STOP and event.at_ns > asked_until_ns:
                    yield f"11: the {event.order} at {event.at_ns} ns stopped a recording without having been asked"
            case StateChanged(state=State.POST_ROLL):
                if not any(press.outcome == "post_roll" for press in orders.get(event.at_ns, [])):
                    yield f"11: a post-roll began at {event.at_ns} ns and nobody confirmed a stop"
            case StateChanged(state=State.STANDBY, before=before) if before is not State.ASLEEP:
                if event.cause not in allowed and not after.world.errors and not after.cut_off:
                    yield f"11: a recording ended at {event.at_ns} ns for {event.cause}"
                if event.cause == "stop" and before is not State.POST_ROLL:
                    yield f"11: a recording ended at {event.at_ns} ns without a post-roll"


def check_closing(after: Aftermath) -> Iterator[str]:
    """Invariant 12: what could be closed is closed and signed when the process ends, and no fault is left."""
    world = after.world
    if after.cut_off or not after.kind.heals or not world.started:
        return
    if world.errors and after.outcome == Outcome.RECOVERED:
        return  # it was the storage side itself that failed
    for recording in after.before:
        if recording.end is None:
            yield f"12: {recording.id} has no end"
    struck_s = (world.struck_ns - world.start_ns) / NS
    if world.script_done and world.struck is not None and struck_s < END_S - after.kind.lasts_s and world.statuses:
        # A battery stays empty.
        left = [name for name in world.statuses[-1]["faults"] if name != "power" or "battery" not in after.kind.ends]
        if left:
            yield f"12: the faults {left} do not end"


def check_status(after: Aftermath) -> Iterator[str]:
    """`bwvd status --json` holds what its contract names, whatever is wrong."""
    for status in after.world.statuses:
        missing = [key for key in CONTRACT if key not in status]
        if missing:
            yield f"status: lacks {missing}"
        try:
            json.dumps(status, allow_nan=False)
        except (TypeError, ValueError) as error:
            yield f"status: no JSON: {error}"


def check_struck(after: Aftermath) -> Iterator[str]:
    """The case is one: its fault did strike."""
    if after.phase is None:
        yield "the fault did not strike"
    elif after.phase not in after.kind.outcomes:
        yield f"struck in {after.phase}, of which the table says nothing"
    elif after.outcome not in after.kind.outcomes[after.phase]:
        yield f"outcome in {after.phase}: {after.outcome}"
