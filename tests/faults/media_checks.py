"""Invariants 3, 4 and 9: where a recording begins, that nothing is missing unnamed, and that its times are true."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.messages import State, StateChanged
from bwvd.recorder.loop import NEIGHBOUR_NS
from tests.faults.aftermath import Aftermath
from tests.faults.recorded import Kept, Recording
from tests.faults.shift import GOP_S, LOOP_S, POST_ROLL_S, RATE, SOUND_RATE
from tests.faults.witness import Seen

TICK_NS = NS // 90_000 + 1
FRAME_NS = NS // RATE
HOLE_NS = FRAME_NS * 8 // 5  # between two frames: more means that one is missing
SLACK_NS = FRAME_NS
SOUND_TICK_NS = NS // SOUND_RATE


def check_beginning(after: Aftermath) -> Iterator[str]:
    """Invariant 3."""
    frames = after.world.witness.frames
    for chain in after.chains:
        recording = chain[0]
        opening = recording.opening
        if opening is None or not recording.frames or _is_second(after, recording):
            continue
        if opening.continues:
            yield f"3: {recording.id} continues {opening.continues}, which is not there"
            continue
        if not recording.frames[0].key:
            yield f"3: {recording.id} does not begin at a key frame"
        pre, press_ns = opening.pre_event, opening.press.stamp.mono_ns
        got_ns = max(0, press_ns - recording.frames[0].pts_ns)
        if abs(pre.got_s * NS - got_ns) > TICK_NS:
            yield f"3: {recording.id} says {pre.got_s} s before the press and has {got_ns / NS} s"
        if got_ns > (LOOP_S + GOP_S) * NS + SLACK_NS:
            yield f"2, 3: {recording.id} has {got_ns / NS} s from before the press"
        if got_ns < LOOP_S * NS and not pre.reason:
            yield f"3: {recording.id} has {got_ns / NS} s before the press and does not say why"
        late = opening.press.handled_mono_ns - press_ns > GOP_S * NS
        stalled = pre.reason == "backlog_full"  # the flash has stalled for longer than the backlog lasts
        if got_ns < LOOP_S * NS and not late and not stalled and _could_have(frames, press_ns):
            yield f"3: {recording.id} has {got_ns / NS} s before the press ({pre.reason}) where there was all of it"


def _could_have(frames: Sequence[Seen], press_ns: int) -> bool:
    """Whether the camera delivered without a hole from `LOOP_S` before the press."""
    before = [frame.pts_ns for frame in frames if frame.pts_ns <= press_ns]
    since_ns = press_ns - round(LOOP_S * NS) - round(GOP_S * NS)
    stretch = [pts_ns for pts_ns in before if pts_ns >= since_ns]
    whole = all(b - a <= HOLE_NS for a, b in itertools.pairwise(stretch))
    return bool(stretch) and whole and stretch[0] <= since_ns + FRAME_NS and press_ns - stretch[-1] <= HOLE_NS


def check_stream(after: Aftermath) -> Iterator[str]:
    """Invariants 4 and 9: frame by frame against what the camera delivered, at the times at which it was taken."""
    for chain in after.chains:
        if chain[0].opening is None or _is_second(after, chain[0]):
            continue
        kept = [frame for recording in chain for frame in recording.frames]
        gaps = [gap for recording in chain for gap in recording.gaps]
        if kept:
            yield from _compare(chain[0].id, kept, gaps, after.world.witness.frames, _required_until(after, chain))


def _compare(
    name: str,
    kept: Sequence[Kept],
    gaps: Sequence[tuple[int, int, records.Gap]],
    frames: Sequence[Seen],
    until_ns: int,
) -> Iterator[str]:
    times = [frame.pts_ns for frame in frames]
    found: list[int] = []
    for one in kept:
        at = bisect_left(times, one.pts_ns - TICK_NS)
        if at == len(times) or abs(times[at] - one.pts_ns) > TICK_NS:
            yield f"9: {name} has a frame at {one.pts_ns} ns that no camera took then"
        elif frames[at].data != one.data:
            yield f"4: {name} has another frame than was taken at {one.pts_ns} ns"
        else:
            found.append(at)
    if found != sorted(set(found)):
        yield f"4: {name} has frames doubled or out of order"
    if not found:
        return
    there = set(found)
    last = found[-1]
    while last + 1 < len(times) and times[last + 1] < until_ns:
        last += 1
    lost = [(times[at], times[at] + FRAME_NS) for at in range(found[0], last + 1) if at not in there]
    holes = [
        (times[at] + FRAME_NS, times[at + 1]) for at in range(found[0], last) if times[at + 1] - times[at] > HOLE_NS
    ]
    if until_ns - times[last] > HOLE_NS:
        holes.append((times[last] + FRAME_NS, until_ns))
    for begin, end in [*lost, *holes]:
        if not is_named(begin, end, [(a, b) for a, b, _ in gaps], SLACK_NS):
            yield f"4: {name} lacks {begin} to {end} ns and no gap record names it"
    for begin, end, gap in gaps:
        told = any(a < end + SLACK_NS and begin - SLACK_NS < b for a, b in [*lost, *holes])
        outside = end >= times[last] or (gap.cause == "backlog_full" and gap.to_ns == 0 and gap.frames)
        if not told and not outside and gap.cause != "timestamps":
            yield f"4: {name} names a gap ({gap.cause}) from {begin} to {end} ns where nothing is missing"


def check_sound(after: Aftermath) -> Iterator[str]:
    """Invariants 4 and 9: the same for the sound, from its first moment in the recording on."""
    for chain in after.chains:
        if chain[0].opening is None or _is_second(after, chain[0]):
            continue
        kept = [sound for recording in chain for sound in recording.sounds]
        if kept:
            yield from _compare_sound(chain, kept, after.world.witness.sounds, _required_until(after, chain))


def _compare_sound(
    chain: Sequence[Recording], kept: Sequence[Kept], sounds: Sequence[Seen], until_ns: int
) -> Iterator[str]:
    name = chain[0].id
    by_time = {round(sound.pts_ns / SOUND_TICK_NS): sound for sound in sounds}
    found: list[int] = []
    for one in kept:
        tick = round(one.pts_ns / SOUND_TICK_NS)
        seen = next((at for at in (tick, tick - 1, tick + 1) if at in by_time), None)
        if seen is None:
            yield f"9: {name} has sound at {one.pts_ns} ns that no microphone took then"
        elif by_time[seen].data != one.data:
            yield f"4: {name} has other sound than was taken at {one.pts_ns} ns"
        else:
            found.append(by_time[seen].pts_ns)
    if found != sorted(set(found)):
        yield f"4: {name} has sound doubled or out of order"
    if not found:
        return
    there, last_ns = set(found), max([*found, until_ns - NEIGHBOUR_NS])
    due = [sound for sound in sounds if found[0] <= sound.pts_ns <= last_ns]
    lost = [(sound.pts_ns, sound.pts_ns + sound.duration_ns) for sound in due if sound.pts_ns not in there]
    holes = [(a.pts_ns + a.duration_ns, b.pts_ns) for a, b in itertools.pairwise(due)]
    told = [*_silences(chain), *((a, b) for recording in chain for a, b, _ in recording.sound_gaps)]
    for begin, end in [*lost, *((a, b) for a, b in holes if b - a > SLACK_NS)]:
        if not is_named(begin, end, told, SLACK_NS):
            yield f"4: {name} lacks the sound from {begin} to {end} ns and no gap record names it"


def check_continuity(after: Aftermath) -> Iterator[str]:
    """Invariant 15: where there are frames there is audio, if only silence, and no more silence than is counted."""
    for recording in after.recordings:
        audio, frames = recording.audio, recording.frames
        step_ns = 1024 * NS // SOUND_RATE
        jumps = [(a.pts_ns, b.pts_ns) for a, b in itertools.pairwise(frames) if b.pts_ns - a.pts_ns > HOLE_NS]
        for a, b in itertools.pairwise(audio):
            begin_ns, end_ns = a.pts_ns + step_ns, b.pts_ns
            if end_ns - begin_ns > step_ns and not is_named(begin_ns, end_ns, jumps, round(GOP_S * NS)):
                yield f"15: {recording.id} has no audio from {begin_ns} to {end_ns} ns, where there are frames"
        if audio and frames and audio[0].pts_ns - frames[0].pts_ns > step_ns and len(recording.inits) == 1:
            yield f"15: {recording.id} has no audio before {audio[0].pts_ns} ns"
        said = sum(segment.silent_frames for segment in recording.segments)
        if said != len(audio) - len(recording.sounds):
            yield f"15: {recording.id} counts {said} frames of silence of {len(audio) - len(recording.sounds)}"


def is_named(begin_ns: int, end_ns: int, told: Iterable[tuple[int, int]], slack_ns: int) -> bool:
    """Whether of all of the span it is told that nothing is there, by one record or by several together."""
    for from_ns, to_ns in sorted(told):
        if from_ns - slack_ns <= begin_ns:
            begin_ns = max(begin_ns, to_ns)
    return end_ns - begin_ns <= slack_ns


def _silences(chain: Sequence[Recording]) -> Iterator[tuple[int, int]]:
    """Where a recording says that there is no sound: from, to (CLOCK_MONOTONIC)."""
    for recording in chain:
        off_ns: int | None = None
        for record in recording.lines:
            if isinstance(record, records.Audio) and recording.opening is not None:
                at_ns = recording.opening.origin_mono_ns + record.at_ns
                if record.on and off_ns is not None:
                    yield off_ns, at_ns
                off_ns = None if record.on else at_ns
        if off_ns is not None:
            yield off_ns, 1 << 63


def _required_until(after: Aftermath, chain: Sequence[Recording]) -> int:
    """Up to where the recording must hold every frame, by what was asked: CLOCK_MONOTONIC; 0 = its own last frame."""
    reason = chain[-1].reason
    if reason not in ("stop", "shutdown", "battery") or after.cut_off:
        return 0
    ids = {recording.id for recording in chain}
    post_roll_ns = end_ns = 0
    for event in after.world.events:
        if isinstance(event, StateChanged) and event.recording in ids:
            if event.state is State.POST_ROLL:
                post_roll_ns = event.at_ns
            elif event.state is State.STANDBY:
                end_ns = event.at_ns
    if reason == "stop":
        return post_roll_ns + round(POST_ROLL_S * NS)
    return end_ns


def check_decodes(after: Aftermath) -> Iterator[str]:
    """Invariant 4, in the pictures themselves: the numbers in them rise by one where nothing is missing."""
    for recording in after.recordings:
        if not recording.segments or after.kind.name.startswith("camera"):
            continue
        try:
            numbers = recording.decoded()
        except Exception as error:  # noqa: BLE001  whatever libav says, it is the complaint
            yield f"4: {recording.id} does not decode: {error}"
            continue
        missing = set(range(numbers[0], numbers[-1] + 1)) - set(numbers)
        if numbers != sorted(set(numbers)) or (missing and not recording.gaps):
            yield f"4: {recording.id} decodes to {numbers}"


def _is_second(after: Aftermath, recording: Recording) -> bool:
    """Whether it was made after the restart: another camera, another time."""
    return recording.id not in {one.id for one in after.before}
