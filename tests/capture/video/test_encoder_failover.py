"""An encoder that fails in service: libx264 takes its place, and every picture is there or named."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import pytest
import trio
from av.video.frame import PictureType
from hypothesis import given, settings
from hypothesis import strategies as st

from bwvd.capture.device.libav_source import LibavSource, open_camera
from bwvd.capture.device.supervisor import run_source
from bwvd.capture.source import AudioGate, DeviceLost, SourceRefused
from bwvd.capture.video.encoder import Encoder, MakeEncoder
from bwvd.capture.video.encoder_choice import EncoderCall, EncoderChoice
from bwvd.capture.video.encoder_failover import SWALLOWED_FRAMES, SWALLOWED_NS, FailoverEncoder
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.libav_encoder import HARDWARE, VideoEncoder
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Video
from bwvd.media.samples import Batch
from bwvd.messages import FaultChanged, MediaEvent, MediaGap, SourceUp
from bwvd.testing.clip import numbered_clip
from bwvd.testing.encoder import EncoderFaults, faulty
from bwvd.testing.picture import draw_number
from tests.support.capture_listen import Listener, numbers

RATE = 30
STEP = NS // RATE
START = 50 * NS


def picture(number: int) -> av.VideoFrame:
    made = av.VideoFrame(64, 48, "yuv420p")
    draw_number(made, number)
    return made


def roster_of(make: MakeEncoder, *, hardware: bool = True) -> EncoderChoice:
    return EncoderChoice(make, lambda *_: hardware)


@dataclass
class Run:
    """One opening: numbered pictures at 30/s, and what came of them."""

    roster: EncoderChoice
    config: Video = field(default_factory=lambda: Video(keyframe_s=0.3))
    first: int = 0
    events: list[MediaEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.losses = Losses(STEP, live=False)
        self.serving = FailoverEncoder(self.config, "test", Fraction(RATE), self.losses, self.roster, EncoderCall())

    def take(self, count: int) -> Run:
        for number in range(self.first, self.first + count):
            self.serving.encode(picture(number), START + number * STEP, self.events.append)
        self.first += count
        return self

    def finish(self) -> Run:
        self.serving.finish(self.events.append)
        self.losses.tell(self.events.append)
        self.serving.close()
        return self

    @property
    def batches(self) -> list[Batch]:
        return [event for event in self.events if isinstance(event, Batch)]

    @property
    def gaps(self) -> list[MediaGap]:
        return [event for event in self.events if isinstance(event, MediaGap)]

    @property
    def encoders(self) -> list[str]:
        return [event.track.encoder for event in self.events if isinstance(event, SourceUp)]

    @property
    def faults(self) -> list[FaultChanged]:
        return [event for event in self.events if isinstance(event, FaultChanged)]

    def missing(self) -> list[int]:
        """The numbers of the pictures that gaps name; what they say and what is there must be all, and each once."""
        named: list[int] = []
        for gap in self.gaps:
            first = round((gap.from_ns - START) / STEP)
            assert round((gap.to_ns - gap.from_ns) / STEP) == gap.frames
            named += range(first, first + gap.frames)
        found = numbers(self.batches)
        assert found == sorted(found), "in order"
        assert sorted(found + named) == list(range(self.first)), "there or named, and not both"
        return named


@settings(deadline=None, max_examples=30)
@given(
    fails_at=st.integers(1, 40),
    holds=st.integers(0, 8),
    kind=st.sampled_from(["raises", "swallows"]),
    drops=st.sets(st.integers(0, 60), max_size=3),
)
def test_every_picture_is_there_or_named(fails_at: int, holds: int, kind: str, drops: set[int]) -> None:
    """Invariant 4, wherever an encoder fails, whatever is inside it and however it shows."""
    faults = EncoderFaults(
        fails_at=fails_at if kind == "raises" else None,
        swallows_from=fails_at if kind == "swallows" else None,
        holds=min(holds, max(fails_at - 1, 0)),
        drops=frozenset(drops),
    )
    run = Run(roster_of(faulty({HARDWARE: faults})))
    run.take(150).finish()
    missing = run.missing()
    inside = range(fails_at - faults.holds, fails_at)
    swallowed = 0 if kind == "raises" else max(SWALLOWED_FRAMES, SWALLOWED_NS // STEP)
    assert set(inside) <= set(missing)
    assert len(set(missing) - drops) <= len(inside) + swallowed + 1
    assert run.encoders[-1] == "libx264"
    assert [fault.active for fault in run.faults] == [True]


def test_an_encoder_that_fails_is_replaced_in_the_same_stream() -> None:
    run = Run(roster_of(faulty({HARDWARE: EncoderFaults(fails_at=40)})))
    run.take(100).finish()
    assert run.missing() == [], "the picture that it failed on is still there"
    assert run.encoders == [HARDWARE, "libx264"]
    first, second = (event.track for event in run.events if isinstance(event, SourceUp))
    assert first.init != second.init
    assert {batch.track for batch in run.batches} == {first, second}
    (fault,) = run.faults
    assert (fault.name, fault.active) == ("encoder", True)
    assert fault.detail == f"{HARDWARE} failed: Input/output error; libx264 has taken its place"
    assert fault.at_ns == START + 40 * STEP
    kinds = [type(event).__name__ for event in run.events if not isinstance(event, Batch)]
    assert kinds == ["SourceUp", "SourceUp", "FaultChanged"]


def test_what_it_took_and_never_gave_back_is_one_gap_in_its_place() -> None:
    run = Run(roster_of(faulty({HARDWARE: EncoderFaults(fails_at=40, holds=6)})))
    run.take(100).finish()
    assert run.missing() == list(range(34, 40))
    (gap,) = run.gaps
    assert (gap.kind, gap.cause, gap.frames) == ("video", "encoder_failed", 6)
    after = next(batch for batch in run.batches if batch.track.encoder == "libx264")
    assert run.events.index(gap) < run.events.index(after)
    assert abs(gap.to_ns - after.start_ns) < STEP // 10


def test_one_that_takes_and_gives_nothing_is_found_after_two_seconds() -> None:
    run = Run(roster_of(faulty({HARDWARE: EncoderFaults(swallows_from=30)})))
    run.take(30 + 2 * RATE)
    assert run.faults == []
    run.take(2)
    (fault,) = run.faults
    assert "nothing has come out for 2 s" in fault.detail
    run.take(60).finish()
    assert run.missing() == list(range(30, 31 + 2 * RATE)), "a step is a little less than a thirtieth"


def test_one_that_never_gave_a_picture_is_replaced_where_it_was_our_choice() -> None:
    for faults in (EncoderFaults(refuses=True), EncoderFaults(swallows_from=0), EncoderFaults(fails_at=0)):
        run = Run(roster_of(faulty({HARDWARE: faults})))
        run.take(120).finish()
        run.missing()
        assert run.encoders == ["libx264"]
        assert len(run.faults) == 1


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (EncoderFaults(refuses=True), "libx265 at 64x48: Device or resource busy"),
        (EncoderFaults(fails_at=0), "libx265 gives no picture: Input/output error"),
        (EncoderFaults(swallows_from=0), "libx265 gives no picture: nothing has come out for 2 s"),
    ],
)
def test_one_that_was_asked_for_and_never_worked_is_a_mistake_in_the_configuration(
    faults: EncoderFaults, said: str
) -> None:
    run = Run(EncoderChoice(faulty({"libx265": faults})), Video(encoder="libx265"))
    with pytest.raises(SourceRefused) as refused:
        run.take(120)
    assert str(refused.value) == f"video.encoder: {said}"


def test_one_that_was_asked_for_and_worked_is_replaced_like_any_other() -> None:
    run = Run(EncoderChoice(faulty({"libx265": EncoderFaults(fails_at=20)})), Video(encoder="libx265", keyframe_s=0.3))
    run.take(60).finish()
    assert run.missing() == []
    assert run.encoders == ["libx265", "libx264"]


def test_a_real_encoder_of_libavs_that_fails_in_service() -> None:
    """libx265, ended behind our back: from then on avcodec_send_frame itself refuses every picture."""

    class Ending(VideoEncoder):
        count = 0

        def encode(self, frame: av.VideoFrame, at_ns: int) -> list[Batch]:
            self.count += 1
            if self.count == 20:
                self._stream.encode(None)
            return super().encode(frame, at_ns)

    def make(name: str, *rest: object) -> Encoder:
        return (Ending if name == "libx265" else VideoEncoder)(name, *rest)  # type: ignore[arg-type]  # as MakeEncoder has them

    run = Run(EncoderChoice(make), Video(encoder="libx265", keyframe_s=0.3))
    run.take(60).finish()
    assert run.missing() == []
    assert run.encoders == ["libx265", "libx264"]
    assert [batch.track.codec for batch in run.batches][:: len(run.batches) - 1] == ["hevc", "h264"]
    assert "End of file" in run.faults[0].detail


def test_one_that_makes_no_key_frames_when_asked_is_a_mistake_in_the_configuration() -> None:
    """Its groups would be as long as it likes, and the last one is what a power cut takes."""
    run = Run(EncoderChoice(), Video(encoder="ffv1"))
    with pytest.raises(SourceRefused) as refused:
        run.take(60)
    assert str(refused.value) == "video.encoder: ffv1 is not fit: it makes no key frame after video.keyframe_s = 1"
    assert run.batches == []


@pytest.mark.parametrize("name", ["libx265", HARDWARE])
def test_one_that_ceases_to_make_key_frames_is_replaced(name: str) -> None:
    class Deaf(VideoEncoder):
        count = 0

        def _collect(self, frame: av.VideoFrame | None) -> None:
            self.count += 1
            if frame is not None and self.count > 40:
                frame.pict_type = PictureType.NONE
            super()._collect(frame)

    def make(asked: str, *rest: object) -> Encoder:
        return (Deaf if asked == name else VideoEncoder)("libx265" if asked == name else asked, *rest)  # type: ignore[arg-type]  # as MakeEncoder has them

    config = Video(encoder="auto" if name == HARDWARE else name, keyframe_s=0.3)
    run = Run(roster_of(make, hardware=name == HARDWARE), config)
    run.take(90).finish()
    assert run.missing() == []
    assert run.encoders == ["libx265", "libx264"]
    (fault,) = run.faults
    assert "it makes no key frame after video.keyframe_s = 0.3" in fault.detail
    assert max(batch.end_ns - batch.start_ns for batch in run.batches) < NS


def test_libx264_has_nobody_behind_it() -> None:
    run = Run(EncoderChoice(faulty({"libx264": EncoderFaults(fails_at=20)})), Video(encoder="libx264"))
    with pytest.raises(DeviceLost, match="the encoder libx264 failed: Input/output error"):
        run.take(60)


def test_libx264_in_the_place_of_another_may_fail_too() -> None:
    both = {HARDWARE: EncoderFaults(fails_at=20), "libx264": EncoderFaults(fails_at=0)}
    run = Run(roster_of(faulty(both)))
    with pytest.raises(DeviceLost, match="the encoder libx264 failed"):
        run.take(60)
    run.finish()
    assert numbers(run.batches) == list(range(20)), "what came out before is kept"


def test_what_has_failed_is_not_used_again_until_the_daemon_starts_again() -> None:
    roster = roster_of(faulty({HARDWARE: EncoderFaults(fails_at=20)}))
    Run(roster).take(60).finish()
    again = Run(roster)
    again.take(60).finish()
    assert again.encoders == ["libx264"]
    assert roster_of(faulty({})).choose(Video(), 64, 48, EncoderCall()) == HARDWARE


def test_one_that_worked_and_does_not_open_any_more_is_replaced() -> None:
    """Not a mistake in the configuration: it was right an hour ago."""
    faults = {"libx265": EncoderFaults()}
    roster = EncoderChoice(faulty(faults))
    Run(roster, Video(encoder="libx265")).take(10).finish()
    faults["libx265"] = EncoderFaults(refuses=True)
    again = Run(roster, Video(encoder="libx265"))
    again.take(10).finish()
    assert again.encoders == ["libx264"]
    assert [fault.name for fault in again.faults] == ["encoder"]


def test_pictures_that_an_encoder_skips_are_named() -> None:
    run = Run(roster_of(faulty({HARDWARE: EncoderFaults(drops=frozenset({10, 11, 25}), holds=3)})))
    run.take(60).finish()
    assert run.missing() == [10, 11, 25]
    assert {gap.cause for gap in run.gaps} == {"encoder_dropped"}
    assert run.encoders == [HARDWARE]


def test_an_encoder_that_fails_at_the_end_gives_what_had_come_out() -> None:
    run = Run(roster_of(faulty({HARDWARE: EncoderFaults(holds=5, fails_to_finish=True)})))
    run.take(60).finish()
    assert run.missing() == list(range(55, 60))


def test_where_the_thread_is_inside_an_encoder_is_known() -> None:
    inside = EncoderCall()
    seen: list[str] = []
    faults = EncoderFaults(on_picture=lambda _: seen.append(inside.encoder))
    serving = FailoverEncoder(
        Video(), "test", Fraction(RATE), Losses(STEP, live=False), roster_of(faulty({HARDWARE: faults})), inside
    )
    serving.encode(picture(0), START, lambda _: None)
    assert seen == [HARDWARE]
    assert inside.encoder == ""
    serving.close()


async def test_an_encoder_that_never_comes_back_is_not_used_by_the_next_opening(tmp_path: Path) -> None:
    """As a firmware that has crashed: the device's thread is given up, and it is known where it hangs."""
    clip = tmp_path / "clip.avi"
    numbered_clip(clip, 60, rate=RATE, codec="mjpeg")
    freed = threading.Event()

    def hang(number: int) -> None:
        if number == 20:
            freed.wait()

    roster = roster_of(faulty({HARDWARE: EncoderFaults(on_picture=hang)}))
    config = Config(video=Video(source=f"file:{clip}?loop=1", keyframe_s=0.3, stamp=False))
    clock, listener = SystemClock(), Listener()

    def opened() -> LibavSource:
        source = open_camera(config, clock, AudioGate(), roster)
        source._silence_s = 1.0
        return source

    try:
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: run_source(opened, listener.send, clock=clock, device="camera"))
                while not any(batch.track.encoder == "libx264" for batch in listener.batches()):
                    await listener.wait_batches(len(listener.batches()) + 1)
                nursery.cancel_scope.cancel()
    finally:
        freed.set()
    assert [up.track.encoder for up in listener.ups()] == [HARDWARE, "libx264"]
    (fault,) = [event for event in listener.events if isinstance(event, FaultChanged)]
    assert (fault.name, fault.active) == ("encoder", True)
    assert fault.detail == f"{HARDWARE} failed: it never came back; libx264 has taken its place"
