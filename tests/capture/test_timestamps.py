"""Device stamps to CLOCK_MONOTONIC: steady ones stay exact, nonsense never breaks the order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bwvd.capture.timestamps import (
    LEAST_STEP_NS,
    MS,
    FrameTimes,
    KernelStamps,
    OwnClock,
    Playback,
    Stamps,
    UnixStamps,
    WithoutJumps,
)
from bwvd.clock import NS

START = 5_000 * NS  # CLOCK_MONOTONIC at the first arrival
UNIX = 1_795_000_000 * NS
STEP = NS // 30
HOUR = 3_600 * NS


KINDS: dict[str, Callable[[], Stamps]] = {
    "kernel": KernelStamps,
    "unix": UnixStamps,
    "own": OwnClock,
    "own without jumps": lambda: WithoutJumps(OwnClock()),
    "played": lambda: Playback(START).of(0),
}

stamps_or_none = st.one_of(st.none(), st.integers(-(1 << 63), 1 << 63), st.integers(START - NS, START + 10 * NS))


@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(stamps_or_none, stamps_or_none, st.integers(0, 2 * NS)), max_size=40),
    st.booleans(),
)
def test_any_stamps_give_rising_decode_times_and_no_presentation_before_decoding(
    kind: str, frames: list[tuple[int | None, int | None, int]], reorder: bool
) -> None:
    playback = Playback(START)
    stamps = playback.of(0) if kind == "played" else KINDS[kind]()
    times = FrameTimes(stamps, STEP, live=kind != "played")
    arrival, last = START, 0
    for pts, dts, passed in frames:
        arrival += passed
        if kind == "played" and dts is not None:
            playback.due(dts)
        placed = times.place(pts, dts, arrival, UNIX + arrival, reorder=reorder)
        assert placed.dts_ns >= last + LEAST_STEP_NS or last == 0
        assert 0 <= placed.pts_ns - placed.dts_ns <= 2 * NS
        if kind != "played":
            # What claims to be live is never from the future, but for the least steps of a burst.
            assert placed.dts_ns <= arrival + NS + 40 * 4 * STEP
        last = placed.dts_ns


@given(st.lists(st.integers(-10 * MS, 10 * MS), min_size=2, max_size=60), st.integers(0, 200 * MS))
def test_a_camera_stamped_by_the_kernel_keeps_its_stamps_to_the_nanosecond(jitter: list[int], delay: int) -> None:
    times = FrameTimes(KernelStamps(), STEP, live=True)
    for number, off in enumerate(jitter):
        stamp = START + number * STEP + off
        placed = times.place(stamp, stamp, stamp + delay, UNIX)
        assert placed == (stamp, stamp, False)


@given(st.integers(0, 200 * MS), st.integers(1, 10**9).map(lambda s: s * NS))
def test_a_camera_stamped_with_unix_time_comes_out_monotonic(delay: int, ahead: int) -> None:
    times = FrameTimes(KernelStamps(), STEP, live=True)
    for number in range(10):
        taken = START + number * STEP
        placed = times.place(taken + ahead + HOUR, None, taken + delay, taken + delay + ahead + HOUR)
        assert placed.dts_ns == taken


def test_a_step_of_the_wall_clock_moves_no_frame_of_a_camera_stamped_with_unix_time() -> None:
    """Invariant 9: Unix-stamped frames across a step lie where they were taken; the one in flight is guessed."""
    times = FrameTimes(KernelStamps(), STEP, live=True)
    ahead = UNIX
    for number in range(90):
        taken = START + number * STEP
        stamp = taken + ahead
        if number == 45:
            ahead -= HOUR  # the step happens between taking and reading this frame
        placed = times.place(stamp, None, taken + 5 * MS, taken + 5 * MS + ahead)
        assert abs(placed.dts_ns - taken) <= 6 * MS
        assert placed.doubt == (number == 45)


@pytest.mark.parametrize("stamp", [None, 0, 17, -HOUR, START + HOUR])
def test_a_camera_without_believable_stamps_follows_the_arrivals_smoothly(stamp: int | None) -> None:
    times = FrameTimes(KernelStamps(), STEP, live=True)
    last = None
    for number in range(300):
        arrival = START + number * STEP + (number % 3) * 4 * MS  # jitter of the arrivals
        placed = times.place(stamp, stamp, arrival, arrival + UNIX)
        assert placed.doubt
        assert abs(placed.dts_ns - arrival) < 20 * MS
        if last is not None and number > 30:
            assert abs(placed.dts_ns - last - STEP) < 2 * MS
        last = placed.dts_ns


@example(step=HOUR)
@example(step=-HOUR)
@given(step=st.integers(-24, 24).map(lambda quarter: quarter * HOUR // 4))
def test_a_wall_clock_step_moves_no_sound(step: int) -> None:
    """Invariant 9: ALSA's Unix stamps step and then ring for a second; nobody believes them until that is over."""
    stamps = UnixStamps()
    ahead, wrong = UNIX, 0.0
    period = 1024 * NS // 48_000
    for number in range(2_000):
        begin = START + number * period
        arrival = begin + period + 2 * MS
        if number == 500:
            ahead += step
            wrong = float(step)  # libav's filter still believes in the old time …
        found = stamps.monotonic(begin + ahead - round(wrong), arrival, arrival + ahead)
        wrong *= -0.6  # … and swings in
        if found is not None:
            assert abs(found - begin) <= 2
        else:
            assert step
            assert 500 <= number < 500 + 15 * NS // period + 2
    assert found is not None


def test_a_camera_with_a_clock_of_its_own_is_followed_over_hours() -> None:
    """A drift of 100 ppm is 0.36 s an hour; jitter of the network does not show."""
    clock = OwnClock()
    drift = 100
    for number in range(2 * 3_600 * 5):
        taken = START + number * NS // 5
        stamp = 7 * NS + (taken - START) * (1_000_000 + drift) // 1_000_000
        arrival = taken + 10 * MS + (number * 7919 % 50) * MS
        found = clock.monotonic(stamp, arrival, 0)
        assert found is not None
        if number > 100:
            assert -5 * MS < found - taken < 65 * MS


def test_a_burst_at_the_opening_of_a_stream_is_spread_out_and_not_from_the_future_for_long() -> None:
    """A server hands out its last second at once; the stamps of that second are corrected within ten."""
    clock = OwnClock()
    for number in range(600):
        stamp = number * STEP
        arrival = START + max(stamp - NS, 0)
        found = clock.monotonic(stamp, arrival, 0)
        assert found is not None
        if number > 330 + 30:
            assert found - arrival <= OwnClock.AHEAD_NS


def test_a_late_first_packet_is_corrected_by_a_tenth_of_each_step_however_the_packets_come() -> None:
    """The first one came half a second late, the others come four at once, and sound of the same clock between them."""
    clock = OwnClock()
    video, sound = FrameTimes(WithoutJumps(clock), STEP, live=True), WithoutJumps(clock)
    found = []
    for number in range(300):
        taken = START + number * STEP
        arrival = START + NS // 2 if number == 0 else max(START + (number // 4 + 1) * 4 * STEP, START + NS // 2)
        found.append(video.place(7 * NS + number * STEP, None, arrival, 0).dts_ns - taken)
        sound.monotonic(7 * NS + number * STEP + STEP // 2, arrival, 0)
    assert found[0] == NS // 2
    assert found[-1] < 5 * STEP, "they come up to four steps late"
    assert all(abs(after - before) <= STEP // 10 + 1 for before, after in pairwise(found))


def test_a_camera_that_restarts_its_stamps_goes_on_in_time() -> None:
    times = FrameTimes(OwnClock(), STEP, live=True)
    last = START - STEP
    for number in range(60):
        arrival = START + number * STEP
        stamp = number * STEP if number < 30 else number * STEP + 13 * HOUR
        placed = times.place(stamp, stamp, arrival, 0)
        assert placed.dts_ns == last + STEP
        last = placed.dts_ns


@pytest.mark.parametrize("jump_ms", [-36_000_000, -4_000, -2_000, -600, 400, 2_000, 4_000, 36_000_000])
def test_a_network_cameras_clock_that_is_set_moves_no_frame_and_no_sound(jump_ms: int) -> None:
    """Its tracks show the jump one after the other; each goes on in time, and together."""
    clock, drift = OwnClock(), 100
    video, sound = FrameTimes(WithoutJumps(clock), STEP, live=True), WithoutJumps(clock)
    doubts = []
    for number in range(900):
        taken = START + number * STEP
        own = 7 * NS + (taken - START) * (1_000_000 + drift) // 1_000_000
        arrival = taken + 10 * MS + (number * 7919 % 30) * MS
        placed = video.place(own + (jump_ms * MS if number >= 450 else 0), None, arrival, 0)
        doubts += [number] if placed.doubt else []
        heard = sound.monotonic(own + (jump_ms * MS if number >= 455 else 0), arrival + MS, 0)
        if number > 30:
            assert -5 * MS < placed.dts_ns - taken < 80 * MS
            assert heard is None or abs(heard - placed.dts_ns) < 50 * MS
            assert (heard is None) == (number == 455)
    assert [number for number in doubts if number != 450] == []
    assert doubts == [450]


def test_pictures_that_come_in_another_order_than_they_are_shown_are_no_jumps() -> None:
    """Where a server says nothing of decoding, their stamps go to and fro, at 10 frames/s by half a second."""
    stamps = WithoutJumps(OwnClock())
    for number in range(400):
        shown = number // 4 * 4 + (4, 2, 1, 3)[number % 4]
        found = stamps.monotonic(shown * NS // 10, START + number * NS // 10 + 10 * MS, 0)
        assert found is not None
        if number > 200:
            assert abs(found - START - shown * NS // 10) < NS // 2


def test_a_stall_of_the_network_is_no_jump_of_the_stamps() -> None:
    """For two seconds nothing comes, then all of it at once, or the rest of it."""
    for dropped in (0, 40):
        times = FrameTimes(WithoutJumps(OwnClock()), STEP, live=True)
        for number in range(900):
            if 500 - dropped <= number < 500:
                continue
            taken = START + number * STEP
            arrival = max(taken, START + 500 * STEP) if number >= 440 else taken
            placed = times.place(taken - START, None, arrival + 5 * MS, 0)
            assert not placed.doubt
            assert abs(placed.dts_ns - taken) < 20 * MS


@pytest.mark.parametrize("late_ms", [0, 5, 150, 800])
@pytest.mark.parametrize("fault", ["repeated", "early", "future", "missing"])
def test_wrong_stamps_of_a_driver_put_no_frame_far_from_where_it_was_taken(fault: str, late_ms: int) -> None:
    """A frame in ten, and then for good from the 200th on: each is a doubt, none is piled upon the last."""
    times = FrameTimes(KernelStamps(), STEP, live=True)
    last = None
    for number in range(300):
        taken = START + number * STEP
        stamp: int | None = taken
        wrong = number % 10 == 9 or number >= 200
        if wrong:
            stamp = {"repeated": taken - STEP, "early": taken - 2 * NS, "future": taken + HOUR, "missing": None}[fault]
        if fault == "repeated" and number > 200:
            stamp = START + 199 * STEP  # the same for ever
        late = late_ms * MS * min(number, 150) // 150  # the machine is busier and busier
        placed = times.place(stamp, None, taken + late, UNIX)
        assert placed.doubt == wrong
        assert abs(placed.dts_ns - taken) < 12 * MS
        if last is not None:
            assert abs(placed.dts_ns - last - STEP) < 12 * MS
        last = placed.dts_ns


def test_a_file_that_begins_again_goes_on_without_a_jump() -> None:
    playback = Playback(START)
    times = FrameTimes(playback.of(0), STEP, live=False)
    found = []
    for _ in range(4):
        for number in range(90):
            playback.due(number * STEP, STEP)
            found.append(times.place(number * STEP, number * STEP, 0, 0).dts_ns)
        playback.again(playback.length_ns(0))
    assert found == [START + number * STEP for number in range(360)]


@pytest.mark.parametrize("asleep_s", [3, 10, 11, 3_600])
def test_what_is_played_goes_on_in_time_after_nothing_ran_for_a_while(asleep_s: int) -> None:
    """Invariants 2 and 9: a process that was stopped, a board that slept. Its frames must not stay behind the clock for
    ever: the loop would take each for too old."""
    playback = Playback(START)
    times = FrameTimes(playback.of(0), STEP, live=False)
    for number in range(100):
        late = asleep_s * NS if number >= 50 else 0
        due = playback.due(number * STEP)
        arrival = START + number * STEP + late
        if arrival - due > 2 * NS:  # as who reads a played source skips ahead
            playback.late(arrival - due)
        placed = times.place(number * STEP, number * STEP, arrival, 0)
        assert placed == (arrival, arrival, False)


@given(st.integers(-100, 100).map(lambda hours: hours * HOUR).filter(bool))
def test_a_jump_in_a_files_stamps_is_neither_waited_for_nor_shown(jump: int) -> None:
    playback = Playback(START)
    times = FrameTimes(playback.of(0), STEP, live=False)
    last = None
    for number in range(100):
        stamp = number * STEP + (jump if number >= 50 else 0)
        due = playback.due(stamp)
        assert START <= due <= START + 100 * STEP
        placed = times.place(stamp, stamp, due, 0)
        if last is not None:
            assert 0 < placed.dts_ns - last <= STEP
        last = placed.dts_ns


@pytest.mark.parametrize("late_s", [0, 3])
@pytest.mark.parametrize("off_s", [-100, -5, 0, 5, 100])
def test_a_track_whose_stamps_lie_elsewhere_is_laid_where_it_comes_in_the_file(off_s: int, late_s: int) -> None:
    """Frames keep their pace, whatever the sound's stamps say, and over each new beginning."""
    playback = Playback(START)
    video, audio = playback.of(0), playback.of(1)
    late_ns = 0
    for turn in range(3):
        for number in range(90):
            if turn == 1 and number == 60:
                late_ns = late_s * NS
                playback.late(late_ns)
            expected = START + (turn * 90 + number) * STEP + late_ns
            assert playback.due(number * STEP, STEP, track=0) == expected
            assert video.monotonic(number * STEP, 0, 0) == expected
            stamp = number * STEP + off_s * NS
            heard = playback.due(stamp, STEP, track=1)
            # What is far off comes when it comes in the file; what is not keeps its distance.
            assert heard == expected + (0 if abs(off_s) > 10 or off_s < 0 else off_s * NS)
            assert audio.monotonic(stamp, 0, 0) == heard
        assert playback.length_ns(0) == 90 * STEP
        playback.again(90 * STEP)


def test_tracks_whose_stamps_begin_anew_stay_together() -> None:
    playback = Playback(START)
    for number in range(200):
        stamp = number * STEP + (3 * HOUR if number >= 100 else 0)
        assert playback.due(stamp, STEP, track=0) == START + (number - (number >= 100)) * STEP
        assert playback.due(stamp + 7 * MS, STEP, track=1) == playback.due(stamp, STEP, track=0) + 7 * MS


@given(st.lists(st.integers(0, 16), min_size=1, max_size=30))
def test_reordered_frames_keep_their_distance_between_decoding_and_presentation(order: list[int]) -> None:
    times = FrameTimes(KernelStamps(), STEP, live=True)
    for number, later in enumerate(order):
        dts = START + number * STEP
        placed = times.place(dts + later * STEP, dts, dts + NS, 0, reorder=True)
        assert placed == (dts + later * STEP, dts, False)


@pytest.mark.parametrize("delay", [0, 5 * MS, 60 * MS])
def test_stamps_that_stand_still_press_no_frames_together(delay: int) -> None:
    """Invariant 4: for four seconds a driver repeats one stamp, which stays plausible; the frames keep their places."""
    times = FrameTimes(KernelStamps(), STEP, live=True)
    last = None
    for number in range(300):
        taken = START + number * STEP
        stuck = 100 < number <= 220
        placed = times.place(START + 100 * STEP if stuck else taken, None, taken + delay, UNIX)
        assert placed.doubt or not stuck
        assert abs(placed.dts_ns - taken) <= delay + MS
        assert last is None or placed.dts_ns - last <= 3 * STEP
        last = placed.dts_ns


def test_the_beat_is_learned_and_a_hole_is_none() -> None:
    times, at = FrameTimes(KernelStamps(), STEP, live=True), START
    for step in (*[STEP] * 30, 5 * STEP, *[STEP] * 2):
        at += step
        times.place(at, None, at, UNIX + at)
    assert times.step_ns == pytest.approx(STEP, rel=0.01), "a hole has not changed it"
    for _ in range(3):
        at += NS
        times.place(at, None, at, UNIX + at)
    assert times.step_ns == pytest.approx(NS, rel=0.01), "one frame a second, from here on"


@pytest.mark.parametrize("live", [False, True])
def test_a_frame_without_a_time_lies_in_the_beat_that_its_camera_has_shown(live: bool) -> None:
    """Invariant 4: not in the nominal one, which a camera need not keep. A hole is no beat."""
    times, at = FrameTimes(Identity(), STEP, live), START
    for hole_ns in [0] * 60 + [NS] + [0] * 5:
        at += 40 * MS + hole_ns
        assert times.place(at, at, at + MS, UNIX) == (at, at, False)
    placed = times.place(None, None, at + 41 * MS, UNIX)
    assert placed.doubt
    assert placed.dts_ns == pytest.approx(at + 40 * MS, abs=MS)


def test_a_stamp_of_what_is_played_that_lies_far_ahead_is_no_pause() -> None:
    """Invariant 4: nothing has run for so long; the frame follows the last one, and those behind it follow it."""
    times = FrameTimes(Identity(), 8 * NS, live=False)  # a time lapse: 1.6 of its intervals are more than any pause
    assert times.place(START, START, START, UNIX) == (START, START, False)
    ahead = START + 12 * NS
    assert times.place(ahead, ahead, START + 1, UNIX) == (START + 8 * NS, START + 8 * NS, True)
    assert times.place(ahead + 8 * NS, ahead + 8 * NS, START + 2, UNIX).dts_ns == START + 16 * NS


class Identity:
    """Stamps that are on CLOCK_MONOTONIC already."""

    def monotonic(self, stamp_ns: int | None, arrival_ns: int, unix_ns: int) -> int | None:  # noqa: ARG002 - of Stamps
        return stamp_ns


STRIDES = st.one_of(
    st.integers(STEP - 2 * MS, STEP + 2 * MS),
    st.integers(-2, 4).map(lambda steps: steps * STEP),
    st.sampled_from([0, LEAST_STEP_NS - 1, LEAST_STEP_NS, -NS, 3 * NS, 11 * NS]),
)
SEEN = st.tuples(STRIDES, st.sampled_from(["both", "both", "both", "none"]), st.integers(-5 * MS, 200 * MS))


@given(st.booleans(), st.lists(SEEN, max_size=30))
@example(True, [(STEP, "both", 100 * MS)] * 9 + [(STEP, "none", 100 * MS)])  # how late it is is learned
@example(False, [(STEP, "both", 0)] * 3 + [(-NS, "both", 0)] + [(STEP, "both", 0)] * 3)  # stamps began anew
@example(True, [(STEP, "both", 0)] * 3 + [(0, "both", STEP)] + [(STEP, "both", 0)] * 3)  # a clock that stood still
def test_a_frame_in_its_beat_is_placed_as_any_other(live: bool, frames: list[tuple[int, str, int]]) -> None:
    """Invariant 4: the short way to a place is a way to the same place, and leaves behind what the long one does."""
    short, long = (FrameTimes(Identity(), STEP, live) for _ in range(2))
    at = arrival = START
    for stride, stamps, late in frames:
        at += stride
        arrival = max(arrival + 1, at + late)
        time = at if stamps == "both" else None
        # Where only the decode time is told, the presentation time is the same one, and it is looked at in full.
        assert short.place(time, time, arrival, UNIX, reorder=True) == long.place(
            None, time, arrival, UNIX, reorder=True
        )
        assert short.step_ns == long.step_ns
    for _ in range(3):
        arrival += STEP
        assert short.place(None, None, arrival, UNIX) == long.place(None, None, arrival, UNIX)
