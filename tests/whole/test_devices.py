"""Camera and microphone come, go, change and sleep under a whole daemon on virtual devices."""

from __future__ import annotations

from typing import TypeVar

import pytest
import trio
import trio.testing

from bwvd.clock import NS
from bwvd.daemon.daemon import COMMAND_BOUND, PRESS_ROOM
from bwvd.evidence.format import records
from bwvd.messages import Command, FaultChanged, Order, Pressed, State, StateChanged
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from tests.support.rig import Rig, configuration

RATE = 10

T = TypeVar("T", bound=records.Record)


def _rig(*, has_microphone: bool = False, **sections: dict[str, object]) -> Rig:
    clock = VirtualClock()
    sections.setdefault("loop", {"seconds": 5})
    sections.setdefault("recording", {"post_roll_s": 1})
    camera = VirtualCamera(clock, rate=RATE, gop_frames=RATE)
    return Rig(config=configuration(**sections), clock=clock, camera=camera, has_microphone=has_microphone)


def _camera(rig: Rig) -> VirtualCamera:
    assert rig.camera is not None
    return rig.camera


def _of(manifest: list[records.Record], kind: type[T]) -> list[T]:
    return [record for record in manifest if isinstance(record, kind)]


def _open(manifest: list[records.Record]) -> records.Open:
    (opening,) = _of(manifest, records.Open)
    return opening


async def test_an_unplugged_camera_leaves_a_gap_that_is_named(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: the recording goes on across it, and the loop turns again."""
    rig = _rig()
    async with rig.running() as daemon:
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(3.35)
        _camera(rig).unplug()
        await trio.sleep(4)
        assert "camera" in daemon.hub.faults
        assert daemon.recorder.machine.state is State.RECORDING
        _camera(rig).plug()
        await trio.sleep(10)
        assert "camera" not in daemon.hub.faults
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    (gap,) = _of(manifest, records.Gap)
    assert gap.track == "video"
    assert "No such device" in gap.cause
    assert 4 <= (gap.to_ns - gap.from_ns) / NS <= 10
    frames = rig.frames(recording)
    numbers = [number for number, _ in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "what the camera took is all there"
    before = [time for _, time in frames if time <= gap.from_ns / NS]
    after = [time for _, time in frames if time >= gap.to_ns / NS - 1e-6]
    assert len(before) + len(after) == len(frames)
    assert [fault.active for fault in _of(manifest, records.Fault)][:1] == [True]
    playlist = rig.volume.read(f"recordings/{recording}/index.m3u8").decode()
    assert playlist.count("#EXT-X-DISCONTINUITY") == 1


async def test_another_camera_begins_an_epoch_in_the_same_recording(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: other parameters after the gap get an init segment of their own."""
    rig = _rig()
    async with rig.running():
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(3)
        _camera(rig).unplug()
        _camera(rig).change(96, 64)
        await trio.sleep(1)
        _camera(rig).plug()
        await trio.sleep(8)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    (init,) = _of(manifest, records.Init)
    assert init.epoch == 2
    assert (init.tracks[0].width, init.tracks[0].height) == (96, 64)
    assert {segment.epoch for segment in _of(manifest, records.Segment)} == {1, 2}
    names = rig.volume.names(f"recordings/{recording}")
    assert {"init.mp4", "init-2.mp4"} <= set(names)
    assert rig.frames(recording, epoch=2)


async def test_sleep_closes_the_camera_and_wipes_the_loop(autojump_clock: trio.testing.MockClock) -> None:
    """Invariants 1 and 2: asleep nothing is held; a press wakes and records without a pre-event part, and says why."""
    rig = _rig()
    async with rig.running() as daemon:
        await trio.sleep(7)
        assert (await rig.order(Order.SLEEP)).ok
        await trio.sleep(1)
        assert daemon.recorder.machine.state is State.ASLEEP
        assert len(daemon.recorder.loop) == 0
        assert daemon.hub.faults == {}
        taken = _camera(rig).number
        await trio.sleep(5)
        assert _camera(rig).number == taken
        answer = await rig.press()
        assert answer.ok
        await trio.sleep(4)
        assert (await rig.order(Order.SLEEP)).text == "recording"
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    opening = _open(rig.manifest(recording))
    assert (opening.pre_event.got_s, opening.pre_event.reason) == (0, "asleep")
    numbers = [number for number, _ in rig.frames(recording)]
    assert numbers[0] == taken


async def test_waking_turns_the_loop_again(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 3: a press after waking has the seconds since, and says why they are few."""
    rig = _rig()
    async with rig.running() as daemon:
        await trio.sleep(7)
        await rig.order(Order.SLEEP)
        await trio.sleep(1)
        await rig.order(Order.WAKE)
        await trio.sleep(3.5)
        assert daemon.recorder.machine.state is State.STANDBY
        await rig.press()
        await trio.sleep(3)
    (recording,) = rig.recordings()
    opening = _open(rig.manifest(recording))
    assert opening.pre_event.reason == "asleep"
    assert 2 <= opening.pre_event.got_s <= 3.5


async def test_a_press_before_the_loop_is_full(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 3: started a moment ago."""
    rig = _rig()
    async with rig.running():
        await trio.sleep(2.5)
        await rig.press()
        await trio.sleep(3)
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    assert _open(manifest).pre_event.reason == "started"
    assert _of(manifest, records.Close)[0].reason == "shutdown"


async def test_a_press_without_a_camera_records_when_it_comes(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 5: the press counts; the recording begins with the first frame."""
    rig = _rig()
    _camera(rig).unplug()
    async with rig.running() as daemon:
        await trio.sleep(5)
        assert "camera" in daemon.hub.faults
        answer = await rig.press()
        assert answer.ok
        assert rig.recordings() == []
        _camera(rig).plug()
        await trio.sleep(10)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    assert recording == answer.recording
    assert _open(rig.manifest(recording)).pre_event.got_s == 0


async def test_a_press_that_never_saw_a_frame_uses_no_number(autojump_clock: trio.testing.MockClock) -> None:
    """Serial numbers stay gapless."""
    rig = _rig()
    _camera(rig).unplug()
    async with rig.running():
        await trio.sleep(5)
        await rig.press()
        await trio.sleep(1)
        await rig.stop()
        await trio.sleep(10)
        _camera(rig).plug()
        await trio.sleep(8)
        await rig.press()
        await trio.sleep(3)
    (recording,) = rig.recordings()
    assert recording.endswith("000001")


async def test_a_press_soon_after_a_stop_has_its_own_pre_event_part(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 3: also where the last recording holds the same seconds."""
    rig = _rig()
    async with rig.running():
        await trio.sleep(8)
        await rig.press()
        await trio.sleep(3)
        await rig.stop()
        await rig.closed()
        await rig.press()
        await trio.sleep(3)
    first, second = rig.recordings()
    assert _open(rig.manifest(second)).pre_event.got_s >= 5
    ends = rig.frames(first)[-1][0]
    begins = rig.frames(second)[0][0]
    assert begins <= ends


async def test_sound_begins_at_the_press(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 1: without `audio.pre_event` no sample of the microphone from before the press is anywhere."""
    rig = _rig(has_microphone=True)
    async with rig.running() as daemon:
        await trio.sleep(8)
        assert all(gop.audio is None for gop in daemon.recorder.loop.before(rig.clock.monotonic_ns()))
        await rig.press()
        await trio.sleep(4)
        await rig.stop()
        await rig.closed()
        await trio.sleep(1)
        await rig.press()
        await trio.sleep(2)
    for recording in rig.recordings():
        manifest = rig.manifest(recording)
        opening = _open(manifest)
        before, audio = _of(manifest, records.Audio)
        assert (before.on, before.at_ns, before.reason) == (False, 0, "pre-event")
        press_ns = opening.press.stamp.mono_ns - opening.origin_mono_ns
        assert (audio.on, audio.reason) == (True, "press")
        assert audio.at_ns == press_ns
        silent = [s for s in _of(manifest, records.Segment) if s.pts_ns + s.duration_ns <= press_ns]
        assert silent
        assert all(segment.audio_frames == segment.silent_frames > 0 for segment in silent)
        first, last = rig.sound_span(recording)
        assert press_ns / NS - 0.03 <= first <= press_ns / NS + 0.05
        assert last >= _of(manifest, records.Close)[0].duration_ns / NS - 0.3


async def test_pre_event_sound_where_it_is_asked_for(autojump_clock: trio.testing.MockClock) -> None:
    rig = _rig(has_microphone=True, audio={"pre_event": True})
    async with rig.running():
        await trio.sleep(8)
        await rig.press()
        await trio.sleep(4)
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    assert _open(manifest).pre_event.audio
    assert all(segment.audio_frames > 40 for segment in _of(manifest, records.Segment)[:-1])
    assert rig.sound_span(recording)[0] <= 0.03


async def test_mute_and_unmute_are_in_the_manifest(autojump_clock: trio.testing.MockClock) -> None:
    rig = _rig(has_microphone=True)
    async with rig.running():
        await trio.sleep(8)
        await rig.press()
        await trio.sleep(3)
        await rig.order(Order.MUTE)
        await trio.sleep(5)
        await rig.order(Order.UNMUTE)
        await trio.sleep(3)
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    _, *audio = _of(manifest, records.Audio)
    assert [(record.on, record.reason) for record in audio] == [(True, "press"), (False, "mute"), (True, "unmute")]
    from_s, to_s = audio[1].at_ns / NS, audio[2].at_ns / NS
    times = rig.sound_times(recording)
    assert not [time for time in times if from_s < time < to_s - 0.03], "not a sample while muted"
    assert [time for time in times if from_s - 0.1 < time <= from_s]
    assert [time for time in times if to_s <= time < to_s + 0.1]


@pytest.mark.parametrize("later_s", [round(0.02 * step, 2) for step in range(26)])
async def test_sound_that_was_on_its_way_at_the_end_is_in_no_later_recording(
    later_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 2: without pre-event sound nothing of it is from before the press, wherever a batch is cut."""
    rig = _rig(has_microphone=True)
    async with rig.running():
        await trio.sleep(8 + later_s)
        await rig.press()
        await trio.sleep(3)
        await rig.stop()
        await rig.closed()
        await trio.sleep(0.4)  # within the next group of pictures
        await rig.press()
        await trio.sleep(3)
    _, second = rig.recordings()
    opening = rig.manifest(second)[0]
    assert isinstance(opening, records.Open)
    pressed_s = (opening.press.stamp.mono_ns - opening.origin_mono_ns) / NS
    assert rig.sound_times(second)[0] >= pressed_s - 0.03


async def test_sound_goes_on_without_the_camera(autojump_clock: trio.testing.MockClock) -> None:
    """A torn-off camera: what is said meanwhile is evidence too."""
    rig = _rig(has_microphone=True)
    async with rig.running():
        await trio.sleep(8)
        await rig.press()
        await trio.sleep(3)
        _camera(rig).unplug()
        await trio.sleep(10)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    alone = [s for s in _of(rig.manifest(recording), records.Segment) if not s.frames]
    assert sum(segment.audio_frames for segment in alone) > 8 * 46


async def test_a_microphone_that_goes_is_a_fault_and_a_record(autojump_clock: trio.testing.MockClock) -> None:
    rig = _rig(has_microphone=True)
    async with rig.running() as daemon:
        await trio.sleep(8)
        await rig.press()
        await trio.sleep(3)
        assert rig.microphone is not None
        rig.microphone.unplug()
        await trio.sleep(5)
        assert "audio" in daemon.hub.faults
        rig.microphone.plug()
        await trio.sleep(8)
        assert "audio" not in daemon.hub.faults
    (recording,) = rig.recordings()
    assert [record.on for record in _of(rig.manifest(recording), records.Audio)] == [False, True, False, True]
    numbers = [number for number, _ in rig.frames(recording)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_a_source_that_ends_closes_the_recording(autojump_clock: trio.testing.MockClock) -> None:
    rig = _rig()
    async with rig.running() as daemon:
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(3.5)
        _camera(rig).end()
        await rig.closed()
        assert "camera" in daemon.hub.faults
        assert daemon.recorder.machine.state is State.STANDBY
        taken = _camera(rig).number
    (recording,) = rig.recordings()
    assert _of(rig.manifest(recording), records.Close)[0].reason == "source_ended"
    assert rig.frames(recording)[-1][0] == taken - 1, "to the last frame"


async def test_a_press_after_the_last_source_has_ended_is_answered(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 5: there is nothing to record any more, and that is what the wearer and the journal are told."""
    rig = _rig()
    async with rig.running() as daemon:
        await trio.sleep(7)
        _camera(rig).end()
        await trio.sleep(20)
        assert "camera" in daemon.hub.faults
        pressed = await rig.press()
        assert pressed.text == "recording"
        await trio.sleep(2)
        assert (await rig.stop()).ok
        await trio.sleep(10)
        assert daemon.recorder.machine.state is State.STANDBY
    assert [event.cause for event in rig.events if isinstance(event, StateChanged)][-1] == "no_video"
    assert rig.recordings() == []


async def test_an_order_for_which_there_is_no_room_is_refused_like_any_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Invariant 5: more orders at one instant than fit are told and journalled as refused."""
    rig = _rig()
    async with rig.running() as daemon:
        await trio.sleep(7)
        for number in range(COMMAND_BOUND + PRESS_ROOM + 9):
            daemon.post(Command(Order.PRESS, "storm", rig.clock.monotonic_ns() + number))
        await trio.sleep(3)
    presses = [event for event in rig.events if isinstance(event, Pressed)]
    assert len(presses) == COMMAND_BOUND + PRESS_ROOM + 9
    refused = [press.reason for press in presses if press.outcome == "refused"]
    assert refused == ["busy"] * len(refused)
    assert 7 <= len(refused) <= 9, "one or two were taken out of the queue before it was full"


async def test_no_sample_is_older_than_the_loop_and_a_gop(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 2, with a camera that stalls: the timer evicts what no new frame pushes out."""
    rig = _rig()
    async with rig.running() as daemon:
        await trio.sleep(8)
        _camera(rig).unplug()
        for _ in range(80):
            await trio.sleep(0.1)
            now_ns = rig.clock.monotonic_ns()
            for gop in daemon.recorder.loop.held():
                assert now_ns - gop.start_ns <= 5 * NS + (gop.end_ns - gop.start_ns)
        assert len(daemon.recorder.loop) == 0
    assert not any(isinstance(event, FaultChanged) and event.name == "storage" for event in rig.events)
