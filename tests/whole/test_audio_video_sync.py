"""Sound stays with the pictures: measured from what is heard in the decoded sound, not from its time stamps.

A card hears a click at each full second, a camera sees it. Both go through the real paths: libav's stamps, our lines of
time, the resampler, the AAC encoder, a decoder. Where the click is found, less where the picture is that was taken
then, is the offset. `pytest -s` prints the figures; `-m complete` makes the half hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import av
import pytest

from bwvd.capture.audio.drift_statistics import Corrections
from bwvd.capture.audio.transcode import EncodedAudio
from bwvd.capture.source import AudioGate
from bwvd.capture.timestamps import MS, FrameTimes, KernelStamps, UnixStamps
from bwvd.clock import NS
from bwvd.config.schema import Audio
from bwvd.messages import MediaEvent
from tests.support.capture_listen import Listener, extradata
from tests.support.sound_card import CLICK_NS, UNIX_NS, SoundCard, find_clicks

BEGIN_NS = 5_000 * NS + 300 * MS
MOST_NS = 20 * MS
MINUTE_NS = 60 * NS
HOUR_NS = 3_600 * NS
FRAME_NS = NS // 30


@dataclass
class Heard:
    """What came out of the sound path."""

    listener: Listener = field(default_factory=Listener)
    corrections: Corrections = field(default_factory=Corrections)
    ended_ns: int = 0  # when the last sample was taken
    samples_in: int = 0
    samples_out: int = 0

    def send(self, event: MediaEvent) -> None:
        self.listener.send(event)
        self.corrections.take(event)

    def listen(self, card: SoundCard, until_ns: int) -> None:
        """One opening of the card, to its end."""
        gate = AudioGate()
        gate.open(0)
        path, stamps = EncodedAudio(Audio(), "test", gate), UnixStamps()
        for frame, end_ns, stamp_ns, arrival_ns, unix_ns in card.read(until_ns):
            self.samples_in += frame.samples
            self.ended_ns = end_ns
            path.take(frame, stamps.monotonic(stamp_ns, arrival_ns, unix_ns), arrival_ns, self.send)
        path.finish(self.send)
        path.close()

    def clicks(self) -> list[int]:
        return find_clicks(self._decoded())

    def _decoded(self) -> Iterator[tuple[int, memoryview[float], int]]:
        batches = self.listener.batches("audio")
        context = av.CodecContext.create("aac", "r")
        assert isinstance(context, av.AudioCodecContext)
        context.extradata = extradata(batches[0].track)
        for batch in batches:
            for sample in batch.samples:
                packet = av.Packet(bytes(batch.data[sample.offset : sample.offset + sample.size]))
                for frame in context.decode(packet):
                    self.samples_out += frame.samples
                    levels = memoryview(frame.planes[0]).cast("f")[: frame.samples]
                    yield sample.pts_ns, levels, frame.sample_rate


def seen(until_ns: int, steps: list[tuple[int, int]]) -> dict[int, int]:
    """Where a V4L2 camera's picture of each click lies, less when the click was: stamps in µs, read a little late."""
    times = FrameTimes(KernelStamps(), FRAME_NS, live=True)
    found = {}
    at_ns = BEGIN_NS
    while at_ns < until_ns:
        arrival_ns = at_ns + 7 * MS
        ahead_ns = UNIX_NS + sum(step_ns for step_at_ns, step_ns in steps if step_at_ns <= arrival_ns)
        placed = times.place(at_ns // 1_000 * 1_000, None, arrival_ns, arrival_ns + ahead_ns)
        assert not placed.doubt
        nearest = round(at_ns / CLICK_NS) * CLICK_NS
        if abs(at_ns - nearest) <= FRAME_NS // 2:
            found[nearest] = placed.pts_ns - at_ns
        at_ns += FRAME_NS
    return found


def offsets(heard: Heard, until_ns: int, steps: list[tuple[int, int]]) -> dict[int, int]:
    """By the time of each click that was found: how much later than its picture it is heard."""
    pictures = seen(until_ns, steps)
    found = {}
    for click_ns in heard.clicks():
        true_ns = round(click_ns / CLICK_NS) * CLICK_NS
        assert true_ns not in found, "a click is heard twice"
        found[true_ns] = click_ns - true_ns - pictures[true_ns]
    return found


def check(name: str, heard: Heard, until_ns: int, lost: list[tuple[int, int]], steps: list[tuple[int, int]]) -> None:
    found = offsets(heard, until_ns, steps)
    worst = max(found.values(), key=abs)
    print(
        f"\n{name}: {len(found)} clicks, offset {min(found.values()) / MS:+.2f} to {max(found.values()) / MS:+.2f} ms; "
        f"{vars(heard.corrections)}"
    )
    assert abs(worst) <= MOST_NS
    first = (BEGIN_NS // CLICK_NS + 1) * CLICK_NS
    all_of_them = range(first, until_ns - CLICK_NS // 2, CLICK_NS)
    missing = [click for click in all_of_them if click not in found]
    # Only what was lost is missing. A click at the edge of a hole may be half lost.
    edge_ns = 50 * MS
    assert [at for at in missing if not any(a - edge_ns <= at <= b + edge_ns for a, b in lost)] == []


@pytest.mark.parametrize("ppm", [200, -200])
@pytest.mark.parametrize("minutes", [3, pytest.param(30, marks=pytest.mark.complete)])
def test_sound_of_a_card_that_runs_off_and_loses_periods_stays_with_the_pictures(minutes: int, ppm: int) -> None:
    """± 20 ms, and each sample that was put in or left out is counted."""
    end_ns = BEGIN_NS + minutes * MINUTE_NS
    # One period, four, and half a second; where a click is, and where none is.
    lengths = [(21, 400), (85, 990), (500, 200)]
    lost = [
        ((BEGIN_NS // NS + 40 + number * 58) * NS + at_ms * MS, length_ms * MS)
        for number, (length_ms, at_ms) in enumerate(lengths * (minutes // 3))
    ]
    spans = [(at_ns, at_ns + length_ns) for at_ns, length_ns in lost]
    card = SoundCard(BEGIN_NS, ppm=ppm, lost=list(spans))
    heard = Heard()
    heard.listen(card, end_ns)
    check(f"{minutes} min at {ppm:+} ppm", heard, end_ns, spans, [])
    counted = heard.corrections
    # What the drift demands: so many samples the card gave more (or fewer) than 48,000 a second. It is followed to a
    # millisecond, and each hole is filled up to the stamp behind it, which may be a third of one off.
    demanded = -heard.samples_in * ppm // (1_000_000 + ppm)
    assert counted.put_in - counted.left_out == pytest.approx(demanded, abs=96 + 16 * len(lost))
    assert (counted.left_out if ppm > 0 else counted.put_in) >= abs(demanded) - 96 - 16 * len(lost)
    assert (counted.put_in if ppm > 0 else counted.left_out) < 96 * (1 + len(lost))
    gaps = heard.listener.gaps()
    assert len(gaps) == len(lost)
    for gap, (from_ns, to_ns) in zip(gaps, spans, strict=True):
        assert gap.cause == "dropped_by_device"
        # A card loses whole periods, from the end of the last that was read to what it gives when it goes on.
        assert abs(gap.from_ns - from_ns) <= 22 * MS
        assert abs(gap.to_ns - to_ns) <= 12 * MS
    # In the end there is neither a sample too many nor one too few for the time that has passed.
    assert heard.samples_in + counted.put_in - counted.left_out + counted.gap_ns * 48_000 // NS == pytest.approx(
        (heard.ended_ns - BEGIN_NS) * 48_000 // NS, abs=96
    )
    # The books balance: what came out is what came in, what was stretched, and what silence stands for.
    silence = counted.gap_ns * 48_000 // NS
    whole = heard.samples_in + counted.put_in - counted.left_out + silence
    assert abs(heard.samples_out - whole) <= 3 * 1_024  # the encoder's lead-in, its last frame, and what was not told


def test_sound_of_a_card_that_is_closed_and_opened_again_stays_with_the_pictures() -> None:
    """It comes back with the other end of its tolerance, as another card would."""
    heard = Heard()
    away_ns, back_ns, end_ns = BEGIN_NS + 40 * NS, BEGIN_NS + 44 * NS, BEGIN_NS + 90 * NS
    heard.listen(SoundCard(BEGIN_NS, ppm=200), away_ns)
    heard.listen(SoundCard(back_ns, ppm=-200, period=4_096), end_ns)
    check("opened again", heard, end_ns, [(away_ns, back_ns)], [])


@pytest.mark.parametrize("step_ns", [HOUR_NS, -HOUR_NS])
@pytest.mark.parametrize("period", [1_024, 16_384])
def test_a_step_of_the_wall_clock_moves_no_sound(step_ns: int, period: int) -> None:
    """Invariant 9: ALSA's stamps are Unix time. They step with it, and ring; what is heard stays where it was."""
    steps = [(BEGIN_NS + 20 * NS, step_ns), (BEGIN_NS + 25 * NS, 40 * MS), (BEGIN_NS + 45 * NS, -step_ns)]
    heard = Heard()
    end_ns = BEGIN_NS + 70 * NS
    heard.listen(SoundCard(BEGIN_NS, ppm=100, period=period, steps=steps), end_ns)
    check(f"a step of {step_ns // HOUR_NS:+} h, periods of {period}", heard, end_ns, [], steps)
    assert heard.listener.gaps() == []
