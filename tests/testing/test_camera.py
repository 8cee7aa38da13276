"""The virtual camera and microphone: what they deliver decodes, is numbered, and lies where the clock says."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import pytest
import trio

from bwvd.capture.source import AudioGate, DeviceLost
from bwvd.clock import NS
from bwvd.messages import MediaGap
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clip import numbered_sound
from bwvd.testing.clock import VirtualClock
from bwvd.testing.microphone import VirtualMicrophone
from bwvd.testing.picture import NUMBERS, draw_number, frame_number
from tests.support.capture_listen import Listener, decode_sound, numbers


async def listen(source: VirtualCamera | VirtualMicrophone, seconds: float, *, flush: bool = True) -> Listener:
    listener = Listener()
    source.flush_on_cancel(flush)
    with trio.move_on_after(seconds):
        await source.run(listener.send)
    return listener


@pytest.mark.parametrize(("rate", "gop_frames", "jitter_ms"), [(30, 30, 0), (25, 12, 8), (10, 1, 0), (60, 120, 3)])
async def test_every_frame_carries_the_next_number_and_lies_on_the_beat(
    autojump_clock: trio.abc.Clock, rate: int, gop_frames: int, jitter_ms: int
) -> None:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=rate, gop_frames=gop_frames, jitter_ns=jitter_ms * 1_000_000, seed=3)
    began_ns = clock.monotonic_ns()
    listener = await listen(camera, 5)
    batches = listener.batches()
    assert numbers(batches) == list(range(camera.number))
    assert abs(camera.number - 5 * rate) <= 1
    samples = [sample for batch in batches for sample in batch.samples]
    for number, sample in enumerate(samples):
        assert 0 <= sample.pts_ns - began_ns - number * NS // rate <= 2 * jitter_ms * 1_000_000
    for before, after in pairwise(samples):
        assert before.duration_ns == after.dts_ns - before.dts_ns > 0
    assert {len(batch.samples) for batch in batches[:-1]} == {gop_frames}


async def test_a_batch_comes_when_its_next_key_frame_is_taken(autojump_clock: trio.abc.Clock) -> None:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=10, gop_frames=10, jitter_ns=20_000_000)
    listener = Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(camera.run, listener.send)
        for count in range(1, 5):
            await listener.wait_batches(count)
            assert abs(clock.monotonic_ns() - listener.batches()[-1].end_ns) < 1_000
        nursery.cancel_scope.cancel()


async def test_the_same_seed_gives_the_same_stream(autojump_clock: trio.abc.Clock) -> None:
    runs = []
    for _ in range(2):
        clock = VirtualClock(mono_ns=0)
        start = clock.monotonic_ns()
        camera = VirtualCamera(clock, rate=20, gop_frames=7, jitter_ns=9_000_000, seed=11)
        listener = await listen(camera, 3)
        runs.append([(s.pts_ns - start, bytes(b.data)) for b in listener.batches() for s in b.samples])
    assert [at for at, _ in runs[0]] == pytest.approx([at for at, _ in runs[1]], abs=1_000)
    assert [data for _, data in runs[0]] == [data for _, data in runs[1]]


async def test_dropped_frames_are_missing_and_named(autojump_clock: trio.abc.Clock) -> None:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    listener = Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(camera.run, listener.send)
        await trio.sleep(1.45)
        camera.drop(3)
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    found = numbers(listener.batches())
    assert found[:15] == list(range(15))
    assert found[15:17] == [18, 19]
    (gap,) = listener.gaps()
    assert (gap.cause, gap.frames, gap.to_ns - gap.from_ns) == ("dropped_by_device", 3, 3 * NS // 10)


async def test_damaged_frames_arrive_and_do_not_decode_to_their_number(autojump_clock: trio.abc.Clock) -> None:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    camera.corrupt(1)
    listener = await listen(camera, 2.05)
    undamaged = True
    try:
        undamaged = numbers(listener.batches()[:1]) == list(range(10))
    except (ValueError, av.FFmpegError):  # no number in the picture, or no picture
        undamaged = False
    assert not undamaged
    assert len(listener.batches()[0].samples) == 10
    assert numbers(listener.batches()[1:2]) == list(range(10, 20))


async def test_a_short_stall_is_a_named_hole_and_a_long_one_a_loss(autojump_clock: trio.abc.Clock) -> None:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    listener = Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(camera.run, listener.send)
        await trio.sleep(1.05)
        camera.stall(1)
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    (gap,) = listener.gaps()
    assert gap.cause == "stalled"
    assert gap.to_ns - gap.from_ns == pytest.approx(NS, abs=NS // 10)
    camera.stall(10)
    began = trio.current_time()
    with pytest.raises(DeviceLost, match="delivered nothing for 3 s"):
        await camera.run(listener.send)
    assert trio.current_time() - began == pytest.approx(3)


async def test_a_camera_comes_back_with_another_size(autojump_clock: trio.abc.Clock) -> None:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    first = await listen(camera, 1.5)
    camera.change(96, 64)
    second = await listen(camera, 1.5)
    assert numbers(first.batches() + second.batches()) == list(range(camera.number))
    assert (second.ups()[0].track.width, first.ups()[0].track.width) == (96, 64)
    assert first.ups()[0].track.init != second.ups()[0].track.init


async def test_without_flush_the_group_in_the_making_is_not_delivered(autojump_clock: trio.abc.Clock) -> None:
    camera = VirtualCamera(VirtualClock(), rate=10, gop_frames=10)
    listener = await listen(camera, 2.55, flush=False)
    assert numbers(listener.batches()) == list(range(20))


async def test_the_microphones_packets_are_numbered_and_contiguous(autojump_clock: trio.abc.Clock) -> None:
    gate = AudioGate()
    gate.open(0)
    microphone = VirtualMicrophone(VirtualClock(), gate)
    listener = await listen(microphone, 3)
    batches = listener.batches("audio")
    samples = [sample for batch in batches for sample in batch.samples]
    for before, after in pairwise(samples):
        assert after.pts_ns == before.pts_ns + before.duration_ns
    packets = [bytes(b.data[s.offset : s.offset + s.size]) for b in batches for s in b.samples]
    assert packets == [numbered_sound().packet(number) for number in range(len(packets))]
    assert len(packets) == microphone.number == 3 * 48_000 // 1024
    assert all(NS // 4 <= b.end_ns - b.start_ns < NS // 3 for b in batches[:-1])
    assert len(decode_sound(batches)) >= len(packets) - 1


async def test_a_closed_gate_keeps_every_packet_in(autojump_clock: trio.abc.Clock) -> None:
    clock, gate, listener = VirtualClock(), AudioGate(), Listener()
    microphone = VirtualMicrophone(clock, gate)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(microphone.run, listener.send)
        await trio.sleep(2)
        assert listener.batches("audio") == []
        opened_ns = clock.monotonic_ns()
        gate.open(opened_ns)
        await trio.sleep(2)
        closed_ns = clock.monotonic_ns()
        gate.close()
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    samples = [sample for batch in listener.batches("audio") for sample in batch.samples]
    assert opened_ns <= samples[0].pts_ns < opened_ns + 22_000_000
    assert closed_ns - 110_000_000 < samples[-1].pts_ns < closed_ns
    assert len(listener.ups()) == 1


async def test_b_frames_are_decoded_in_order_and_shown_in_another(autojump_clock: trio.abc.Clock) -> None:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=Fraction(30_000, 1001), gop_frames=12, b_frames=2, jitter_ns=9_000_000, seed=5)
    listener = await listen(camera, 3.3)
    batches = listener.batches()
    assert numbers(batches) == list(range(camera.number))
    assert len(batches[-1].samples) < 12
    samples = [sample for batch in batches for sample in batch.samples]
    assert any(sample.pts_ns > later.pts_ns for sample, later in pairwise(samples))
    assert all(sample.pts_ns >= sample.dts_ns for sample in samples)
    for before, after in pairwise(samples):
        assert before.dts_ns + before.duration_ns == after.dts_ns > before.dts_ns
    for earlier, later in pairwise(batches):
        assert earlier.end_ns == later.start_ns


async def test_a_held_camera_delivers_everything_late_and_at_once(autojump_clock: trio.abc.Clock) -> None:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=10, gop_frames=5)
    listener = Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(camera.run, listener.send)
        await listener.wait_up()
        await trio.sleep(1.05)
        held = len(listener.batches())
        camera.hold(2.5)
        await trio.sleep(2.4)
        assert len(listener.batches()) == held
        await trio.sleep(0.2)
        assert len(listener.batches()) == held + 5
        nursery.cancel_scope.cancel()
    assert listener.gaps() == []
    assert numbers(listener.batches()) == list(range(5 * len(listener.batches())))


async def test_a_camera_that_is_held_for_too_long_is_lost(autojump_clock: trio.abc.Clock) -> None:
    camera = VirtualCamera(VirtualClock(), rate=10, gop_frames=5)
    listener = Listener()
    async with trio.open_nursery() as nursery:
        with pytest.RaisesGroup(pytest.RaisesExc(DeviceLost, match="delivered nothing for 3 s")):
            async with trio.open_nursery() as inner:
                inner.start_soon(camera.run, listener.send)
                await listener.wait_up()
                camera.hold(60)
        nursery.cancel_scope.cancel()


async def test_a_jump_of_the_cameras_clock_is_named_and_loses_nothing(autojump_clock: trio.abc.Clock) -> None:
    camera = VirtualCamera(VirtualClock(), rate=10, gop_frames=5)
    listener = Listener()
    with trio.move_on_after(3.05):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(camera.run, listener.send)
            await listener.wait_up()
            await trio.sleep(1.02)
            camera.jump(2)
            await trio.sleep_forever()
    assert [(gap.cause, gap.frames) for gap in listener.gaps()] == [("timestamps", 0)] * 2
    assert numbers(listener.batches()) == list(range(30))


async def test_frames_are_lost_by_chance_the_same_each_time(autojump_clock: trio.abc.Clock) -> None:
    found = []
    for _ in range(2):
        camera = VirtualCamera(VirtualClock(), rate=20, gop_frames=10, loss=0.2, seed=9)
        listener = await listen(camera, 10)
        delivered = numbers(listener.batches())
        missing = set(range(delivered[0], delivered[-1])) - set(delivered)
        assert 20 <= len(missing) <= 60
        assert sum(gap.frames for gap in listener.gaps()) == len(missing)
        found.append(delivered)
    assert found[0] == found[1]


async def test_a_changed_camera_delivers_other_parameters_after_the_next_opening(
    autojump_clock: trio.abc.Clock,
) -> None:
    camera = VirtualCamera(VirtualClock(), rate=10, gop_frames=5)
    first = await listen(camera, 1.05)
    camera.change(rate=25, gop_frames=25, b_frames=1)
    second = await listen(camera, 2.05)
    assert second.ups()[0].track.init != first.ups()[0].track.init
    assert second.ups()[0].track.rate == 25
    assert {len(batch.samples) for batch in second.batches()[:-1]} == {25}
    assert numbers(first.batches() + second.batches()) == list(range(camera.number))
    with pytest.raises(ValueError, match="jitter"):
        VirtualCamera(VirtualClock(), rate=10, jitter_ns=10_000_000).change(rate=60)


async def test_a_stalled_microphone_leaves_a_named_hole(autojump_clock: trio.abc.Clock) -> None:
    gate = AudioGate()
    gate.open(0)
    microphone, listener = VirtualMicrophone(VirtualClock(), gate), Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(microphone.run, listener.send)
        await trio.sleep(1)
        microphone.stall(1)
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    (gap,) = listener.gaps()
    assert isinstance(gap, MediaGap)
    assert (gap.kind, gap.cause) == ("audio", "dropped_by_device")
    assert gap.to_ns - gap.from_ns == pytest.approx(NS, abs=45_000_000)


@pytest.mark.parametrize("size", [(64, 48), (96, 64), (320, 240), (1280, 720), (66, 50)])
def test_a_number_is_read_back_from_every_size(size: tuple[int, int]) -> None:
    for number in (0, 1, 255, 256, 0x5AA5, NUMBERS - 1, NUMBERS):
        frame = av.VideoFrame(*size, "yuv420p")
        draw_number(frame, number)
        assert frame_number(frame) == number % NUMBERS
    frame.planes[0].update(bytes([128]) * frame.planes[0].buffer_size)
    with pytest.raises(ValueError, match="no number"):
        frame_number(frame)


@pytest.mark.parametrize("ppm", [-300.0, 300.0])
async def test_a_drifting_microphone_has_more_or_fewer_packets_and_no_holes(
    ppm: float, autojump_clock: trio.abc.Clock
) -> None:
    gate = AudioGate()
    gate.open(0)
    microphone = VirtualMicrophone(VirtualClock(), gate, drift_ppm=ppm)
    listener = await listen(microphone, 600)
    exact = 600 * 48_000 / 1024
    assert microphone.number == int(exact * (1 + ppm / 1e6))
    samples = [sample for batch in listener.batches("audio") for sample in batch.samples]
    assert all(after.pts_ns == before.pts_ns + before.duration_ns for before, after in pairwise(samples))


async def test_dropped_buffers_leave_a_named_hole(autojump_clock: trio.abc.Clock) -> None:
    gate, listener = AudioGate(), Listener()
    gate.open(0)
    microphone = VirtualMicrophone(VirtualClock(), gate)
    with trio.move_on_after(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(microphone.run, listener.send)
            await listener.wait_up()
            await trio.sleep(1)
            microphone.drop(10)
            before = microphone.number
            await trio.sleep_forever()
    (gap,) = listener.gaps()
    assert gap.cause == "dropped_by_device"
    assert gap.to_ns - gap.from_ns == pytest.approx(10 * 1024 * NS / 48_000, abs=2)
    packets = [bytes(b.data[s.offset : s.offset + s.size]) for b in listener.batches("audio") for s in b.samples]
    kept = [number for number in range(before + len(packets)) if not before <= number < before + 10]
    assert packets == [numbered_sound().packet(number) for number in kept[: len(packets)]]


async def test_a_microphone_that_restarts_is_gone_for_a_moment(autojump_clock: trio.abc.Clock) -> None:
    gate, listener = AudioGate(), Listener()
    gate.open(0)
    microphone = VirtualMicrophone(VirtualClock(), gate)
    with pytest.RaisesGroup(pytest.RaisesExc(DeviceLost, match="No such device")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(microphone.run, listener.send)
            await listener.wait_up()
            microphone.restart(0.5)
    with pytest.raises(DeviceLost):
        await microphone.run(Listener().send)
    await trio.sleep(0.6)
    assert (await listen(microphone, 1)).batches("audio")
