"""An encoder that is slower than its camera: first its preset gives way, then pictures, each counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.timestamps import FrameTimes, KernelStamps, Moment, TimeBase
from bwvd.capture.video.encoder import Encoder
from bwvd.capture.video.encoder_choice import EncoderCall, EncoderChoice
from bwvd.capture.video.encoder_failover import FailoverEncoder
from bwvd.capture.video.encoder_load import (
    BUSY,
    HURRY_NS,
    LATE_NS,
    LATEST_NS,
    LEAST,
    PAUSE_NS,
    WARM_UP,
    WINDOW_NS,
    Pace,
)
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.libav_encoder import preset_of
from bwvd.capture.video.presentation import Presentation
from bwvd.capture.video.transcode import QUIET_NS, EncodedVideo
from bwvd.clock import NS, Reading
from bwvd.config.schema import Config, Device, Video
from bwvd.media.presets import PRESETS
from bwvd.media.samples import Batch
from bwvd.messages import FaultChanged, MediaEvent, MediaGap, SourceUp
from bwvd.testing.encoder import EncoderFaults, FaultyEncoder
from bwvd.testing.picture import draw_number
from tests.support.capture_listen import numbers

RATE = 30
STEP = NS // RATE
SOME = st.integers(0, 3 * STEP)

# --- the rule --------------------------------------------------------------------------------------------------------


def measure(pace: Pace, costs: list[int], late_ns: int = 0, step_ns: int = STEP) -> list[str]:
    """Feed pictures at the camera's beat, each encoded at its cost; returns the presets that were asked for."""
    asked = []
    for number, cost in enumerate(costs):
        pace.taken(number * step_ns)
        if (preset := pace.spent(cost, late_ns)) is not None:
            asked.append(preset)
    return asked


@given(
    st.sampled_from(PRESETS),
    st.lists(st.tuples(SOME, st.integers(0, 2 * NS), st.booleans()), max_size=300),
    st.integers(NS // 240, PAUSE_NS),
)
def test_a_preset_only_ever_gets_faster_and_never_beyond_the_fastest(
    preset: str, pictures: list[tuple[int, int, bool]], step_ns: int
) -> None:
    pace = Pace(preset)
    for number, (cost, late_ns, taken_up) in enumerate(pictures):
        pace.taken(number * step_ns)
        asked = pace.spent(cost, late_ns)
        if asked is not None:
            assert PRESETS.index(asked) < PRESETS.index(pace.preset or "")
            if taken_up:
                pace.anew(asked)


@given(st.one_of(st.none(), st.just(PRESETS[0])), st.lists(st.integers(0, NS), max_size=200), SOME)
def test_where_there_is_nothing_faster_nothing_is_asked_for(preset: str | None, costs: list[int], late_ns: int) -> None:
    assert measure(Pace(preset), costs, late_ns) == []


@given(st.sampled_from(PRESETS), st.lists(st.integers(0, int(BUSY * STEP) - 1), max_size=300), st.integers(0, 5 * NS))
def test_an_encoder_that_keeps_up_is_left_alone_however_late_the_pictures_come(
    preset: str, costs: list[int], late_ns: int
) -> None:
    """A network that stalls for seconds and then delivers all at once costs neither quality nor a picture."""
    pace = Pace(preset)
    for number, cost in enumerate(costs):
        pace.taken(number * STEP)
        assert not pace.leaves_out(late_ns)
        assert pace.spent(cost, late_ns) is None


@given(st.sampled_from([None, *PRESETS]), st.floats(0, 1), st.lists(st.integers(0, NS), max_size=100))
def test_a_picture_that_is_in_time_is_never_left_out(preset: str | None, share: float, costs: list[int]) -> None:
    pace = Pace(preset)
    late_ns = int(share * (LATE_NS if preset in (None, PRESETS[0]) else LATEST_NS))
    for number, cost in enumerate(costs):
        pace.taken(number * STEP)
        assert not pace.leaves_out(late_ns)
        pace.spent(cost, late_ns)


@pytest.mark.parametrize(("load", "steps"), [(0.95, 1), (1.5, 1), (2.0, 2), (3.5, 2), (7.0, 3), (100.0, 7)])
def test_it_goes_down_by_as_many_presets_as_the_load_calls_for(load: float, steps: int) -> None:
    """Two seconds of the camera's are measured, and then it is by one for each halving."""
    asked = measure(Pace("slower"), [int(load * STEP)] * (2 * RATE + WARM_UP + 2))
    assert asked == [PRESETS[PRESETS.index("slower") - steps]]


def test_it_does_not_wait_for_two_seconds_when_pictures_are_late() -> None:
    pace = Pace("slower")
    costs = [4 * STEP] * (WARM_UP + LEAST)
    assert measure(pace, costs[:-1], HURRY_NS + 1) == []
    assert measure(Pace("slower"), costs, HURRY_NS + 1) == [PRESETS[PRESETS.index("slower") - 3]]


def test_one_picture_that_took_long_is_no_reason() -> None:
    """The processor was somewhere else for a second."""
    for at in range(WARM_UP + LEAST):
        costs = [STEP // 3] * (WARM_UP + LEAST)
        costs[at] = NS
        assert measure(Pace("medium"), costs, HURRY_NS + 1) == []


def test_what_an_encoder_takes_to_set_itself_up_does_not_count() -> None:
    assert measure(Pace("medium"), [NS] * WARM_UP + [STEP // 2] * 100, HURRY_NS + 1) == []


def test_the_time_in_which_a_camera_stood_still_is_not_its_beat() -> None:
    """Thirty frames, then three seconds without one: the load is that of the thirty."""
    pace = Pace("medium")
    asked, at_ns = [], 0
    for number in range(40 * RATE):
        at_ns += STEP if number % RATE else 3 * NS
        pace.taken(at_ns)
        asked.append(pace.spent(int(1.5 * STEP), 0))
    assert any(asked)
    assert pace.load == pytest.approx(1.5, rel=0.01)


def test_a_camera_that_goes_slower_in_the_dark_gives_an_encoder_more_time() -> None:
    assert measure(Pace("medium"), [int(1.5 * STEP)] * 300, step_ns=2 * STEP) == []


def test_the_window_is_long_enough_for_a_slow_camera() -> None:
    assert WINDOW_NS >= LEAST * PAUSE_NS // 2


# --- pictures that are left out --------------------------------------------------------------------------------------


class HandClock:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.now_ns = 100 * NS

    def monotonic_ns(self) -> int:
        return self.now_ns

    def read(self) -> Reading:
        return Reading(self.now_ns, self.now_ns, "free", None)


@dataclass
class RawPacket:
    """A picture as a camera gives it; counts how often it was decoded."""

    number: int
    pts: int
    decoded: list[int]
    intra_only: bool = True
    size: int = 1
    is_corrupt: bool = False

    @property
    def stream(self) -> object:
        codec = SimpleNamespace(intra_only=self.intra_only, canonical_name="rawvideo")
        context = SimpleNamespace(codec=codec, sample_aspect_ratio=None, field_order=0)
        return SimpleNamespace(codec_context=context, sample_aspect_ratio=None)

    def decode(self) -> list[av.VideoFrame]:
        self.decoded.append(self.number)
        frame = av.VideoFrame(64, 48, "yuv420p")
        draw_number(frame, self.number)
        frame.pts = self.pts
        return [frame]


@dataclass
class Board:
    """A camera with a driver's queue, and an encoder that takes its time."""

    cost_ns: Callable[[str, int], int]  # of a picture, by preset and number
    video: Video
    queue: int = 1 << 30  # frames that the driver holds; what comes when it is full is dropped
    intra_only: bool = True
    clock: HandClock = field(default_factory=HandClock)
    events: list[MediaEvent] = field(default_factory=list)
    lags: list[int] = field(default_factory=list)  # how late each picture was through
    decoded: list[int] = field(default_factory=list)
    dropped_by_driver: list[int] = field(default_factory=list)

    def run(self, count: int) -> Board:
        config = Config(device=Device(id="X"), video=self.video)
        losses = Losses(STEP, live=True, queues=True)
        roster = EncoderChoice(self._make, lambda *_: True)
        serving = FailoverEncoder(config.video, "camera", Fraction(RATE), losses, roster, EncoderCall())
        path = EncodedVideo(config, self.clock, FrameTimes(KernelStamps(), STEP, live=True), losses, serving)
        begin_ns = self.clock.now_ns
        waiting: deque[int] = deque()
        taken = 0
        while taken < count or waiting:
            if not waiting:
                self.clock.now_ns = max(self.clock.now_ns, begin_ns + taken * STEP)
            while taken < count and begin_ns + taken * STEP <= self.clock.now_ns:
                if len(waiting) < self.queue:
                    waiting.append(taken)
                else:
                    self.dropped_by_driver.append(taken)
                taken += 1
            number = waiting.popleft()
            at_ns = begin_ns + number * STEP
            packet = RawPacket(number, at_ns, self.decoded, self.intra_only)
            path.feed(packet, TimeBase(1, 1), Moment(self.clock.now_ns, self.clock.now_ns), self.events.append)  # type: ignore[arg-type]  # has what is asked of a packet
            self.lags.append(self.clock.now_ns - at_ns)
        path.finish(self.events.append, whole=False)
        path.close()
        return self

    def _make(
        self,
        name: str,
        config: Video,
        width: int,
        height: int,
        rate: Fraction,
        source: str,
        begin_ns: int,
        shown: Presentation,
    ) -> Encoder:
        preset = preset_of(name, config)

        def work(_: int) -> None:
            self.clock.now_ns += self.cost_ns(preset, len(self.decoded))

        return FaultyEncoder(
            EncoderFaults(on_picture=work), name, config, width, height, rate, source, begin_ns, shown, preset=preset
        )

    @property
    def gaps(self) -> list[MediaGap]:
        return [event for event in self.events if isinstance(event, MediaGap)]

    @property
    def found(self) -> list[int]:
        return numbers([event for event in self.events if isinstance(event, Batch)])

    @property
    def presets(self) -> list[str]:
        return [event.track.preset for event in self.events if isinstance(event, SourceUp)]

    def faults(self) -> list[tuple[str, bool]]:
        return [(event.name, event.active) for event in self.events if isinstance(event, FaultChanged)]


def video(preset: str = "", encoder: str = "libx264") -> Video:
    return Video(encoder=encoder, preset=preset, keyframe_s=0.3, stamp=False)


def test_its_preset_steps_down_before_a_picture_is_left_out() -> None:
    """Twice as slow as the camera, and each preset is twice as fast as the one before: no picture is lost."""
    board = Board(lambda preset, _: STEP * 2 ** PRESETS.index(preset) // 16, video("slow")).run(10 * RATE)
    assert board.found == list(range(10 * RATE))
    assert board.gaps == []
    assert board.presets[0] == "slow"
    assert PRESETS.index(board.presets[-1]) <= PRESETS.index("faster")
    assert board.presets == sorted(board.presets, key=PRESETS.index, reverse=True)
    assert max(board.lags) < LATE_NS
    assert board.lags[-1] < 2 * STEP, "and it has caught up"
    assert board.faults() == []


def test_a_step_is_another_track_from_the_next_key_frame_on() -> None:
    board = Board(lambda preset, _: STEP * 2 ** PRESETS.index(preset) // 16, video("slow")).run(10 * RATE)
    batches = [event for event in board.events if isinstance(event, Batch)]
    assert len({batch.track.init for batch in batches}) == len(board.presets) > 1
    ups = [index for index, event in enumerate(board.events) if isinstance(event, SourceUp)]
    for index in ups:
        after = next(event for event in board.events[index:] if isinstance(event, Batch))
        assert after.track.preset == board.presets[ups.index(index)]
    for before, after in pairwise(batches):
        assert abs(before.end_ns - after.start_ns) <= 100_000
        assert before.end_ns - before.start_ns <= 0.31 * NS, "no group is longer than asked"


@pytest.mark.parametrize("slowness", [1.2, 2.0, 3.0, 10.0])
@pytest.mark.parametrize("queue", [1 << 30, 32])
def test_at_the_fastest_the_late_pictures_are_left_out_and_each_is_counted(slowness: float, queue: int) -> None:
    """Invariant 4: there, or named and counted; and the loop does not lag further and further behind the camera."""
    count = 40 * RATE
    board = Board(lambda *_: int(slowness * STEP), video(), queue).run(count)
    assert board.presets == ["ultrafast"]
    missing = sorted(set(range(count)) - set(board.found))
    assert missing
    assert sum(gap.frames for gap in board.gaps) == pytest.approx(len(missing), abs=2)
    assert {gap.cause for gap in board.gaps} == {"encoder_slow"}
    settled = board.lags[len(board.lags) // 4 :]
    assert max(settled) <= LATE_NS + 2 * slowness * STEP
    share = len(board.found) / count
    assert share >= 0.9 / slowness, "no more is left out than has to be"
    assert board.faults()[0] == ("encoder_slow", True)


def test_what_is_left_out_of_pictures_on_their_own_is_not_even_decoded() -> None:
    board = Board(lambda *_: 3 * STEP, video()).run(40 * RATE)
    assert len(board.decoded) == pytest.approx(len(board.found), abs=10)
    all_of_them = Board(lambda *_: 3 * STEP, video(), intra_only=False).run(40 * RATE)
    assert len(all_of_them.decoded) == 40 * RATE, "the next one may need it"
    assert len(all_of_them.found) < 20 * RATE


def test_a_driver_with_few_buffers_drops_and_each_is_counted_too() -> None:
    """libav does not hand on the driver's count. Half of the frames are missing, all the time: not a camera at 15/s."""
    count = 40 * RATE
    board = Board(lambda *_: 2 * STEP, video(), queue=4).run(count)
    assert len(board.dropped_by_driver) > count // 3
    named = sum(gap.frames for gap in board.gaps)
    # Until two seconds have been measured nobody knows that it is the encoder.
    assert named == pytest.approx(len(board.dropped_by_driver), abs=2.2 * RATE)
    assert {gap.cause for gap in board.gaps} == {"encoder_slow"}


def test_an_encoder_that_has_no_presets_goes_straight_to_leaving_out() -> None:
    board = Board(lambda *_: 2 * STEP, video("slow", encoder="auto")).run(20 * RATE)
    assert board.presets == [""]
    assert board.gaps


def test_a_load_that_passes_leaves_no_fault() -> None:
    """A minute of something else on the processor."""
    board = Board(lambda _, decoded: (2 if 60 < decoded < 400 else 1) * STEP // 2 * 3 // 2, video())
    board.run(40 * RATE + QUIET_NS // STEP)
    assert board.faults() == [("encoder_slow", True), ("encoder_slow", False)]
    assert board.lags[-1] < LATE_NS
