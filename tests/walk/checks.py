"""What must hold in a walk, after every step and at its end; each complaint begins with the invariant's number."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from bwvd.clock import NS
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.format import records
from bwvd.messages import FaultChanged, Pressed, Recorded, State, StateChanged
from bwvd.testing.flash.faults import PowerCut
from bwvd.testing.flash.medium import Tree
from tests.faults.media_checks import is_named
from tests.faults.recorded import Recording, entries_of, recordings_of
from tests.support.desk import verify_storage
from tests.walk.world import GOP_S, LOOP_S, POST_ROLL_S, RATE, Broken, Life, World

TICK_NS = NS // 90_000 + 1
FRAME_NS = NS // RATE
HOLE_NS = FRAME_NS * 8 // 5  # between two frames: more means that one is missing
AUDIBLE_NS = NS // 2  # how soon a refusal is heard


def now(world: World) -> Iterator[str]:
    """After every step."""
    life = world.life
    yield from _deaths(life)
    if not life.ready or life.over.is_set():
        return
    recorder = life.daemon.recorder
    state, now_ns = recorder.machine.state, life.boot.clock.monotonic_ns()
    if (state in (State.RECORDING, State.POST_ROLL)) != (recorder.current is not None):
        yield f"5: {state} with {recorder.current}"
    held = recorder.loop.held()
    if state is State.ASLEEP and held:
        yield f"2: asleep with {len(held)} groups of pictures"
    for gop in held[:1]:
        if now_ns - gop.end_ns > round(LOOP_S * NS) + 100_000_000:
            yield f"2: a group that ended {(now_ns - gop.end_ns) / NS} s ago is in the loop"
    if recorder.loop.bytes != sum(gop.size for gop in held):
        yield f"2: the loop counts {recorder.loop.bytes} bytes and holds {sum(gop.size for gop in held)}"
    if recorder.loop.bytes > life.daemon.config.loop.max_bytes:
        yield f"2: the loop holds {recorder.loop.bytes} bytes"
    try:
        json.dumps(life.daemon.status(), allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"status: no JSON: {error}"


def _deaths(life: Life) -> Iterator[str]:
    """A process ends because it was asked to, or because of what was done to it."""
    for error in () if life.cut_off or life.storage.volume.gate.dead else life.errors:
        at_the_start = not life.ready and isinstance(error, OSError | EvidenceError)
        if not isinstance(error, Broken | PowerCut) and not at_the_start:
            yield f"12: it died of {type(error).__name__}: {error}"


def at_the_end(world: World, folder: Path) -> Iterator[str]:
    """When everything was put right, closed in order, started once more and closed again."""
    for life in world.lives:
        yield from _deaths(life)
        yield from _presses(life)
    tree = world.volume.tree()
    _lay_out(tree, folder)
    for report in verify_storage(folder):
        if not report.good:
            yield f"7: verify: {report.id} is {report.verdict}: {[one.as_dict() for one in report.findings][:3]}"
    recordings = recordings_of(tree)
    serials = {recording.serial for recording in recordings} | {int(name[-6:]) for name in world.releasing}
    if serials != set(range(1, max(serials, default=0) + 1)):
        yield f"7: the serial numbers {sorted(serials)} have a hole"
    there = {recording.id: recording for recording in recordings}
    for life in world.lives:
        yield from _acknowledged(life, there, world.releasing)
    entered = {(entry.event, entry.stamp.mono_ns) for entry in entries_of(tree)}
    last = world.life
    for event in last.events:
        if isinstance(event, Pressed) and event.outcome == "refused" and ("refused", event.at_ns) not in entered:
            yield f"5: the refusal at {event.at_ns} ns is not in the journal"
    for chain in _chains(recordings):
        yield from _beginning(world, chain)
        yield from _stream(world, chain)
    if not any(recording.reason == "stop" and recording.frames for recording in recordings[-1:]):
        yield f"5: when all was well again, it did not record: {[(one.id, one.reason) for one in recordings[-2:]]}"


def _lay_out(tree: Tree, folder: Path) -> None:
    """A virtual flash as a folder, for the commands of a desk."""
    folder.mkdir()
    for path in sorted(tree):
        content = tree[path]
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)


def _presses(life: Life) -> Iterator[str]:
    """Invariant 5: an answer for each, and a refusal is heard."""
    heard = [at_ns for at_ns, level in life.boot.tone.history if level]
    for event in life.events:
        if not isinstance(event, Pressed) or event.outcome != "refused":
            continue
        if not event.reason:
            yield f"5: refused without a reason at {event.handled_ns} ns"
        # Who has crashed waits for the flash alone: no light, no sounder, and nobody who would read a button either.
        gone = event.reason == "ending" or (life.over.is_set() and life.ended_ns - event.handled_ns <= AUDIBLE_NS)
        if not gone and not any(0 <= at_ns - event.handled_ns <= AUDIBLE_NS for at_ns in heard):
            yield f"5: the refusal of {event.order} at {event.handled_ns} ns is not heard"
    for given in life.given:
        if len(given.answers) > 1:
            yield f"5: {given.command.order} was answered {len(given.answers)} times"


def _acknowledged(life: Life, there: dict[str, Recording], released: set[str]) -> Iterator[str]:
    """Invariants 6 and 8."""
    for name, segments in life.storage.acknowledged.items():
        if name in released or not segments:
            continue
        found = len(there[name].segments) if name in there else 0
        if found < segments:
            yield f"6, 8: {name} has {found} of {segments} acknowledged segments"
    for event in life.events:
        if not isinstance(event, Recorded) or event.recording in released:
            continue
        if event.recording not in there:
            yield f"6, 8: {event.recording}, which was on the flash, is gone"
        elif event.closed and not isinstance(there[event.recording].end, records.Close):
            yield f"6: {event.recording} was closed, and has no end"


def _chains(recordings: Sequence[Recording]) -> list[list[Recording]]:
    """Each recording with those that go on from it after a storage error."""
    chains: list[list[Recording]] = []
    for recording in recordings:
        continues = recording.opening.continues if recording.opening else ""
        before = next((chain for chain in chains if continues and chain[-1].id == continues), None)
        if before is not None:
            before.append(recording)
        elif recording.opening is not None:
            chains.append([recording])
    return chains


def _life_of(world: World, recording: Recording) -> Life | None:
    """The process that recorded it: the one that was there at the press."""
    opening = recording.opening
    assert opening is not None
    for life in world.lives:
        presses = (event for event in life.events if isinstance(event, Pressed) and event.outcome == "recording")
        if life.boot.id == opening.boot and any(press.at_ns == opening.press.stamp.mono_ns for press in presses):
            return life
    return None


def _beginning(world: World, chain: Sequence[Recording]) -> Iterator[str]:
    """Invariants 2 and 3."""
    recording = chain[0]
    life, opening = _life_of(world, recording), recording.opening
    if life is None:
        yield f"1: {recording.id} is of a press that nobody made"
        return
    if opening is None or opening.continues or not recording.frames:
        return
    if not recording.frames[0].key:
        yield f"3: {recording.id} does not begin at a key frame"
    pre, press_ns = opening.pre_event, opening.press.stamp.mono_ns
    got_ns = max(0, press_ns - recording.frames[0].pts_ns)
    if abs(pre.got_s * NS - got_ns) > TICK_NS:
        yield f"3: {recording.id} says {pre.got_s} s before the press and has {got_ns / NS} s"
    times = [frame.pts_ns for frame in life.witness.frames]
    keys = [frame.pts_ns for frame in life.witness.frames if frame.key]
    # As far back as a group of pictures reaches that was not over `LOOP_S` before the press: holes make it longer.
    reach_ns = press_ns - round(LOOP_S * NS)
    begins = [at_ns for at_ns in keys if at_ns <= reach_ns]
    oldest_ns = (begins[-1] if begins else reach_ns) - FRAME_NS
    if recording.frames[0].pts_ns < oldest_ns:
        yield f"2, 3: {recording.id} has {got_ns / NS} s from before the press"
    if got_ns < LOOP_S * NS and not pre.reason:
        yield f"3: {recording.id} has {got_ns / NS} s before the press and does not say why"
    late = opening.press.handled_mono_ns - press_ns > GOP_S * NS
    if got_ns < LOOP_S * NS and not late and _could_have(times, press_ns, life):
        yield f"3: {recording.id} has {got_ns / NS} s before the press ({pre.reason}) where there was all of it"


def _could_have(times: Sequence[int], press_ns: int, life: Life) -> bool:
    """Whether the camera delivered without a hole from `LOOP_S` + 1 GOP before the press, and nobody slept."""
    since_ns = press_ns - round((LOOP_S + GOP_S) * NS)
    slept = any(
        isinstance(event, StateChanged) and State.ASLEEP in (event.state, event.before) and event.at_ns >= since_ns
        for event in life.events
    )
    stretch = [at_ns for at_ns in times if since_ns <= at_ns <= press_ns]
    whole = all(b - a <= HOLE_NS for a, b in pairwise(stretch))
    return not slept and bool(stretch) and whole and stretch[0] <= since_ns + FRAME_NS


def _stream(world: World, chain: Sequence[Recording]) -> Iterator[str]:
    """Invariants 4 and 9: frame by frame against what the camera delivered, at the times at which it was taken."""
    life = _life_of(world, chain[0])
    kept = [frame for recording in chain for frame in recording.frames]
    if life is None or not kept:
        return
    name = chain[0].id
    shown = sorted(enumerate(life.witness.frames), key=lambda numbered: numbered[1].pts_ns)
    times = [frame.pts_ns for _, frame in shown]
    decoded: list[int] = []
    found: list[int] = []
    for one in kept:
        at = bisect_left(times, one.pts_ns - TICK_NS)
        if at == len(times) or abs(times[at] - one.pts_ns) > TICK_NS:
            yield f"9: {name} has a frame at {one.pts_ns} ns that no camera took then"
        elif shown[at][1].data != one.data:
            yield f"4: {name} has another frame than was taken at {one.pts_ns} ns"
        else:
            found.append(at)
            decoded.append(shown[at][0])
    if decoded != sorted(set(decoded)):
        yield f"4: {name} has frames doubled or out of order"
    if not found:
        return
    found.sort()
    gaps = [gap for recording in chain for gap in recording.gaps]
    there, last, until_ns = set(found), found[-1], _required_until(life, chain)
    while last + 1 < len(times) and times[last + 1] < until_ns:
        last += 1
    lost = [(times[at], times[at] + 1) for at in range(found[0], last + 1) if at not in there]
    holes = [
        (times[at] + FRAME_NS, times[at + 1]) for at in range(found[0], last) if times[at + 1] - times[at] > HOLE_NS
    ]
    if until_ns - times[last] > HOLE_NS:
        holes.append((times[last] + FRAME_NS, until_ns))
    for begin, end in [*lost, *holes]:
        if not is_named(begin, end, [(a, b) for a, b, _ in gaps], FRAME_NS):
            yield f"4: {name} lacks {begin} to {end} ns and no gap record names it"


def _required_until(life: Life, chain: Sequence[Recording]) -> int:
    """Up to where the recording must hold every frame, by what was asked: CLOCK_MONOTONIC; 0 = its own last frame."""
    if chain[-1].reason != "stop":
        return 0
    ids = {recording.id for recording in chain}
    return max(
        (
            event.at_ns + round(POST_ROLL_S * NS)
            for event in life.events
            if isinstance(event, StateChanged) and event.state is State.POST_ROLL and event.recording in ids
        ),
        default=0,
    )


def lost_presses(world: World) -> Iterator[str]:
    """Invariant 5: what began a recording is on the flash, or somebody said why it is not."""
    begun = {
        recording.opening.press.stamp.mono_ns for recording in recordings_of(world.volume.tree()) if recording.opening
    }
    for life in world.lives:
        excused = life.cut_off or life.errors or any(isinstance(e, FaultChanged) and e.active for e in life.events)
        for event in life.events:
            if not isinstance(event, Pressed) or event.outcome != "recording" or event.at_ns in begun:
                continue
            without = any(
                isinstance(end, StateChanged) and end.cause == "no_video" and end.recording == event.recording
                for end in life.events
            )
            if event.recording not in world.releasing and not excused and not without:
                yield f"5: the press at {event.at_ns} ns led to no recording, and nobody said so"
