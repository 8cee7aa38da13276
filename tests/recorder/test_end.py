"""The end of a recording: the last group of pictures may come late, with a camera that sends few key frames or falls
silent, and what it holds is in the recording all the same; of a camera that is away, the end says that it was."""

from __future__ import annotations

import pytest
import trio

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.media.samples import Batch
from bwvd.messages import Answer, Command, Order, Pressed
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from tests.support.rig import Rig, configuration

RATE = 4
POST_ROLL_S = 2.0


def _rig(gop_s: int) -> Rig:
    clock = VirtualClock()
    return Rig(
        config=configuration(loop={"seconds": 30}, recording={"post_roll_s": POST_ROLL_S}),
        clock=clock,
        camera=VirtualCamera(clock, rate=RATE, gop_frames=RATE * gop_s),
    )


def _camera(rig: Rig) -> VirtualCamera:
    assert rig.camera is not None
    return rig.camera


def _gaps(rig: Rig, recording: str) -> list[tuple[int, int, records.Gap]]:
    """From, to (CLOCK_MONOTONIC), and the record."""
    opening, *others = rig.manifest(recording)
    assert isinstance(opening, records.Open)
    origin_ns = opening.origin_mono_ns
    return [(origin_ns + gap.from_ns, origin_ns + gap.to_ns, gap) for gap in others if isinstance(gap, records.Gap)]


def _close(rig: Rig, recording: str) -> records.Close:
    close = rig.manifest(recording)[-1]
    assert isinstance(close, records.Close)
    assert close.reason == "stop"
    return close


@pytest.mark.parametrize("gop_s", [1, 5, 20, 30])
async def test_key_frames_that_are_far_apart(gop_s: int, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: up to the end of the post-roll every frame is there, however long the last group takes to come."""
    rig = _rig(gop_s)
    async with rig.running():
        await trio.sleep(60)
        await rig.press()
        await trio.sleep(20)
        await rig.stop()
        asked_ns = rig.clock.monotonic_ns()
        await rig.closed()
        (recording,) = rig.recordings()
        opening = rig.manifest(recording)[0]
        assert isinstance(opening, records.Open)
        until_s = (asked_ns - opening.origin_mono_ns) / NS + POST_ROLL_S
        frames = rig.frames(recording)
        assert frames[-1][1] + 1 / RATE >= until_s
        numbers = [number for number, _ in frames]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert _close(rig, recording).gaps == 0


async def test_key_frames_that_never_come(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: a recording does not wait for ever, and says what it lacks."""
    rig = _rig(gop_s=80)
    async with rig.running():
        await trio.sleep(81)
        await rig.press()
        await trio.sleep(3)
        await rig.stop()
        ends_ns = rig.clock.monotonic_ns() + round(POST_ROLL_S * NS)
        await rig.closed()
        (recording,) = rig.recordings()
        opening = rig.manifest(recording)[0]
        assert isinstance(opening, records.Open)
        (gap,) = [record for record in rig.manifest(recording) if isinstance(record, records.Gap)]
        assert gap.to_ns == ends_ns - opening.origin_mono_ns
        assert gap.frames == round((gap.to_ns - gap.from_ns) / NS * RATE)
        assert _close(rig, recording).gaps == 1


@pytest.mark.parametrize("before_s", [1.99, 1.01, 0.76, 0.51, 0.26, 0.24, 0.01, -0.01, -0.26])
async def test_a_camera_that_falls_silent_at_the_end(before_s: float, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: what it had delivered is kept, though its last group was never whole."""
    rig = _rig(gop_s=1)
    camera = _camera(rig)
    async with rig.running():
        await trio.sleep(40)
        await rig.press()
        await trio.sleep(5)
        await rig.stop()
        await trio.sleep(POST_ROLL_S - max(before_s, 0.001))
        taken = camera.number
        await trio.sleep(max(-before_s, 0))
        camera.stall(60)
        await rig.closed()
        (recording,) = rig.recordings()
        frames = rig.frames(recording)
        assert frames[-1][0] >= taken - 1
        _close(rig, recording)


@pytest.mark.parametrize("away_s", [8.0, 1.5, 0.5])
@pytest.mark.parametrize("has_microphone", [False, True])
async def test_a_camera_that_is_away_at_the_end(
    away_s: float, has_microphone: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 4: whoever reads the recording is told that its last seconds have no pictures, whether sound goes on or
    not, and when the camera went before the stop or after it."""
    rig = _rig(gop_s=1)
    rig.has_microphone = has_microphone
    camera = _camera(rig)
    async with rig.running():
        await trio.sleep(40)
        await rig.press()
        await trio.sleep(10 + POST_ROLL_S - away_s if away_s > POST_ROLL_S else 10)
        if away_s > POST_ROLL_S:
            camera.unplug()
            await trio.sleep(away_s - POST_ROLL_S)
        await rig.stop()
        ends_ns = rig.clock.monotonic_ns() + round(POST_ROLL_S * NS)
        if away_s <= POST_ROLL_S:
            await trio.sleep(POST_ROLL_S - away_s)
            camera.unplug()
        await rig.closed()
        (recording,) = rig.recordings()
    (_, seen_s), *_ = reversed(rig.frames(recording))
    opening = rig.manifest(recording)[0]
    assert isinstance(opening, records.Open)
    ((from_ns, to_ns, gap),) = _gaps(rig, recording)
    assert from_ns - opening.origin_mono_ns == pytest.approx((seen_s + 1 / RATE) * NS, abs=1e6)
    assert to_ns == ends_ns
    assert gap.track == "video"
    assert "No such device" in gap.cause
    assert to_ns - from_ns == pytest.approx(away_s * NS, abs=NS / RATE)
    assert gap.frames == round((to_ns - from_ns) / NS * RATE)
    if has_microphone:
        assert rig.sound_span(recording)[1] >= (ends_ns - opening.origin_mono_ns) / NS


@pytest.mark.parametrize("reason", ["shutdown", "storage_full", "max_s"])
async def test_an_end_that_nobody_asked_for(reason: str, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: the same where the device ends the recording by itself."""
    rig = _rig(gop_s=1)
    rig.config = configuration(loop={"seconds": 30}, recording={"max_s": 15})
    camera = _camera(rig)
    async with rig.running():
        await trio.sleep(40)
        await rig.press()
        await trio.sleep(10)
        camera.unplug()
        await trio.sleep(3)
        if reason == "storage_full":
            rig.daemon.recorder.end_recording(reason)
        if reason != "shutdown":
            await rig.closed()
        ends_ns = rig.clock.monotonic_ns()
    (recording,) = rig.recordings()
    ((from_ns, to_ns, _),) = _gaps(rig, recording)
    assert ends_ns - from_ns == pytest.approx((5 if reason == "max_s" else 3) * NS, abs=NS / 4)
    assert to_ns == pytest.approx(ends_ns, abs=NS / 10)


async def test_a_camera_that_never_comes_back(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: a recording of what the loop still held says that nothing came after it."""
    rig = _rig(gop_s=1)
    camera = _camera(rig)
    async with rig.running():
        await trio.sleep(40)
        camera.unplug()
        gone_ns = rig.clock.monotonic_ns()
        await trio.sleep(5)
        await rig.press()
        await trio.sleep(5)
        await rig.stop()
        ends_ns = rig.clock.monotonic_ns() + round(POST_ROLL_S * NS)
        await rig.closed()
    (recording,) = rig.recordings()
    ((from_ns, to_ns, _),) = _gaps(rig, recording)
    assert from_ns == pytest.approx(gone_ns, abs=NS / RATE)
    assert to_ns == ends_ns


@pytest.mark.parametrize("silent_s", [0.5, 2.8])
async def test_a_camera_that_is_silent_when_the_daemon_ends(
    silent_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 4: it was not lost yet, but has delivered nothing for too long to be between two pictures."""
    rig = _rig(gop_s=1)
    camera = _camera(rig)
    async with rig.running():
        await trio.sleep(40)
        await rig.press()
        await trio.sleep(5)
        camera.stall(60)
        await trio.sleep(silent_s)
        ends_ns = rig.clock.monotonic_ns()
    (recording,) = rig.recordings()
    gaps = _gaps(rig, recording)
    assert len(gaps) == (silent_s > 1)
    for from_ns, to_ns, gap in gaps:
        assert to_ns == pytest.approx(ends_ns, abs=NS / 10)
        assert to_ns - from_ns == pytest.approx(silent_s * NS, abs=NS / RATE)
        assert gap.frames == round((to_ns - from_ns) / NS * RATE)


async def test_a_source_that_has_ended_lacks_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """A file that is played to its end: its recording ends with it."""
    rig = _rig(gop_s=1)
    camera = _camera(rig)
    async with rig.running():
        await trio.sleep(40)
        await rig.press()
        await trio.sleep(5)
        camera.end()
        await rig.closed()
    (recording,) = rig.recordings()
    close = rig.manifest(recording)[-1]
    assert isinstance(close, records.Close)
    assert (close.reason, close.gaps) == ("source_ended", 0)


async def test_a_press_in_the_moment_in_which_all_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 5: nobody may take it from the queue any more, and it is answered and told all the same."""
    rig = _rig(gop_s=1)
    answers: list[Answer] = []
    with trio.CancelScope() as scope:
        async with rig.running() as daemon:
            await trio.sleep(5)
            scope.cancel()
            daemon.post(Command(Order.PRESS, "test", rig.clock.monotonic_ns(), reply=answers.append))
    assert [(answer.ok, answer.text) for answer in answers] == [(False, "ending")]
    assert [event.outcome for event in rig.events if isinstance(event, Pressed)] == ["refused"]


async def test_what_the_camera_suffers_is_told(autojump_clock: trio.testing.MockClock) -> None:
    """A fault that goes on when the recording begins is in it, and so is the end of each."""
    rig = _rig(gop_s=1)
    camera = _camera(rig)
    async with rig.running():
        await trio.sleep(40)
        camera.unplug()
        await trio.sleep(5)
        await rig.press()
        await trio.sleep(5)
        camera.plug()
        await trio.sleep(10)
        camera.unplug()
        await trio.sleep(1)
        camera.plug()
        await trio.sleep(10)
        await rig.stop()
        await rig.closed()
        await rig.press()
        await trio.sleep(5)
        await rig.stop()
        await rig.closed()
    first, second = rig.recordings()
    told = [record for record in rig.manifest(first) if isinstance(record, records.Fault)]
    assert [(one.name, one.active) for one in told] == [("camera", True), ("camera", False)] * 2
    assert [one.at_ns for one in told] == sorted(one.at_ns for one in told)
    assert not any(isinstance(record, records.Fault) for record in rig.manifest(second))


async def test_a_fault_that_ends_before_the_first_picture(autojump_clock: trio.testing.MockClock) -> None:
    """A press finds neither camera nor loop: the recording begins with the fault that made it wait."""
    rig = _rig(gop_s=1)
    camera = _camera(rig)
    async with rig.running():
        await trio.sleep(2)
        camera.unplug()
        await trio.sleep(60)
        await rig.press()
        await trio.sleep(5)
        camera.plug()
        await trio.sleep(5)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    told = [record for record in rig.manifest(recording) if isinstance(record, records.Fault)]
    assert [(one.name, one.active) for one in told] == [("camera", True), ("camera", False)]
    assert [one.at_ns >= 0 for one in told] == [True, True]


async def test_an_error_at_the_end_leaves_nobody_waiting(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariants 2 and 12: the writer is told that nothing more comes and signs what it has; the loop is wiped."""
    rig = _rig(gop_s=1)
    held: list[Batch] = []

    class Defect(Exception):
        pass

    def fail(*_: object) -> None:
        raise Defect

    async def record() -> None:
        with trio.fail_after(300):
            async with rig.running() as daemon:
                await trio.sleep(40)
                await rig.press()
                await trio.sleep(10)
                held.extend(batch for gop in daemon.recorder.loop.held() for batch in gop.batches)
                monkeypatch.setattr(daemon.recorder, "_flush", fail)

    with pytest.raises(ExceptionGroup) as caught:
        await record()
    assert caught.value.split(Defect)[1] is None
    (recording,) = rig.recordings()
    close = rig.manifest(recording)[-1]
    assert isinstance(close, records.Close)
    assert close.frames >= 38 * RATE
    assert not [batch for batch in held if any(batch.data)]
