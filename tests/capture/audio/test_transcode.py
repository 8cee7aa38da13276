"""Sound: counted, contiguous, kept in by the gate, and edited by single samples only where the clock demands it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.audio.transcode import EncodedAudio, silence_like, wipe_frame, without_first
from bwvd.capture.libav_errors import STRICT
from bwvd.capture.source import AudioGate, SourceRefused
from bwvd.capture.timestamps import KernelStamps, Moment, TimeBase
from bwvd.clock import NS
from bwvd.config.schema import Audio
from bwvd.testing.clip import numbered_clip
from tests.support.capture_listen import Listener, decode_sound

RATE = 48_000
START = 500 * NS
BLOCK = 960


def block(
    value: int = 0, samples: int = BLOCK, rate: int = RATE, fmt: str = "s16", layout: str = "mono"
) -> av.AudioFrame:
    frame = av.AudioFrame(fmt, layout, samples)
    frame.sample_rate = rate
    for plane in frame.planes:
        plane.update(value.to_bytes(2, "little") * (plane.buffer_size // 2))
    return frame


class Microphone:
    def __init__(self, audio: Audio | None = None, gate_from: int | None = 0) -> None:
        self.gate = AudioGate()
        if gate_from is not None:
            self.gate.open(gate_from)
        self.sound = EncodedAudio(audio or Audio(), "test", self.gate)
        self.listener = Listener()
        self.at = START

    def hear(self, blocks: int, *, value: int = 1000, rate: int = RATE) -> None:
        for _ in range(blocks):
            self.sound.take(block(value, rate=rate), self.at, self.at + 30_000_000, self.listener.send)
            self.at += BLOCK * NS // rate

    def end(self) -> Listener:
        self.sound.finish(self.listener.send)
        self.sound.close()
        return self.listener


def contiguous(listener: Listener) -> None:
    samples = [sample for batch in listener.batches("audio") for sample in batch.samples]
    for before, after in pairwise(samples):
        assert abs(after.dts_ns - before.dts_ns - before.duration_ns) <= 1


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
def test_samples_are_contiguous_and_cover_what_was_heard(rate: int) -> None:
    microphone = Microphone()
    microphone.hear(200, rate=rate)
    listener = microphone.end()
    contiguous(listener)
    samples = [sample for batch in listener.batches("audio") for sample in batch.samples]
    assert abs(samples[0].pts_ns - START) <= 22_000_000  # the encoder's lead-in
    assert abs(samples[-1].pts_ns + samples[-1].duration_ns - microphone.at) <= 45_000_000
    assert listener.gaps() == []


def test_the_sound_lies_where_it_was_heard() -> None:
    """A click in the middle is decoded within a few milliseconds of its time."""
    microphone = Microphone()
    microphone.hear(50, value=0)
    click_ns = microphone.at
    microphone.hear(2, value=20_000)
    microphone.hear(50, value=0)
    frames = decode_sound(microphone.end().batches("audio"))
    loudest = max(frames, key=lambda found: max(map(abs, memoryview(found[1].planes[0]).cast("f")[:1024])))
    levels = [abs(level) for level in memoryview(loudest[1].planes[0]).cast("f")[:1024]]
    first = next(index for index, level in enumerate(levels) if level > 0.3)
    assert abs(loudest[0] + first * NS // RATE - click_ns) < 25_000_000


def test_lost_sound_becomes_silence_with_a_name() -> None:
    microphone = Microphone()
    microphone.hear(50)
    lost_from = microphone.at
    microphone.at += 300_000_000
    microphone.hear(50)
    listener = microphone.end()
    contiguous(listener)
    (gap,) = listener.gaps()
    assert (gap.kind, gap.cause) == ("audio", "dropped_by_device")
    assert abs(gap.from_ns - lost_from) < 1_000
    assert abs(gap.to_ns - gap.from_ns - 300_000_000) < 1_000


def test_after_a_long_hole_the_count_begins_anew_and_nothing_overlaps() -> None:
    microphone = Microphone()
    microphone.hear(50)
    microphone.at += 30 * NS
    resumed = microphone.at
    microphone.hear(50)
    listener = microphone.end()
    samples = [sample for batch in listener.batches("audio") for sample in batch.samples]
    assert all(a.dts_ns + a.duration_ns <= b.dts_ns + 1 for a, b in pairwise(samples))
    assert any(abs(sample.pts_ns - resumed) < 22_000_000 for sample in samples)
    assert [gap.cause for gap in listener.gaps()] == ["dropped_by_device"]
    assert len({batch.track for batch in listener.batches("audio")}) == 1


def test_a_closed_gate_keeps_sound_in_and_an_opening_one_lets_it_out_from_the_press() -> None:
    """The press comes through late; the sound begins with it all the same, and not a sample before."""
    microphone = Microphone(gate_from=None)
    microphone.hear(100, value=20_000)
    press_ns = microphone.at
    microphone.hear(5, value=100)  # 100 ms until the gate is open
    assert microphone.listener.batches("audio") == []
    microphone.gate.open(press_ns)
    microphone.hear(50, value=100)
    listener = microphone.end()
    contiguous(listener)
    first = listener.batches("audio")[0].start_ns
    assert press_ns <= first <= press_ns + 22_000_000
    for _, frame in decode_sound(listener.batches("audio"))[1:]:
        assert max(map(abs, memoryview(frame.planes[0]).cast("f")[: frame.samples])) < 0.05  # nothing of the loud part


def test_a_press_in_the_middle_of_a_block_lets_out_nothing_of_the_half_before_it() -> None:
    """And all of the half after it: the first AAC frame begins with the press, to a sample."""
    microphone = Microphone(gate_from=None)
    microphone.hear(20, value=20_000)
    half = block(20_000)
    plane = half.planes[0]
    plane.update((20_000).to_bytes(2, "little") * (BLOCK // 2) + bytes(plane.buffer_size - BLOCK))
    press_ns = microphone.at + BLOCK // 2 * NS // RATE
    microphone.gate.open(press_ns)
    microphone.sound.take(half, microphone.at, microphone.at, microphone.listener.send)
    microphone.at += BLOCK * NS // RATE
    microphone.hear(50, value=0)
    batches = microphone.end().batches("audio")
    assert abs(batches[0].start_ns - press_ns) <= NS // RATE
    for _, frame in decode_sound(batches):
        assert max(map(abs, memoryview(frame.planes[0]).cast("f")[: frame.samples])) < 0.01


def test_a_gate_that_opens_into_the_past_doubles_no_sound() -> None:
    microphone = Microphone()
    microphone.hear(50)
    microphone.gate.close()
    microphone.hear(5)
    microphone.gate.open(0)
    microphone.hear(50)
    samples = [sample for batch in microphone.end().batches("audio") for sample in batch.samples]
    assert all(a.dts_ns + a.duration_ns <= b.dts_ns + 1 for a, b in pairwise(samples))
    assert samples[-1].dts_ns - samples[0].dts_ns > 2 * NS


def test_a_press_with_sound_in_the_loop_already_cuts_none_that_is_on_its_way() -> None:
    """Invariant 4, with `audio.pre_event`: the gate is open, and a recording opens it again from the press on."""
    microphone = Microphone()
    microphone.hear(55)  # some of it is in a batch that is not full yet
    microphone.gate.open(microphone.at)
    microphone.hear(50)
    contiguous(microphone.end())


def test_a_gate_that_closes_and_opens_again_leaves_no_hole_behind_and_tells_of_none() -> None:
    microphone = Microphone()
    microphone.hear(50)
    microphone.gate.close()
    muted_ns = microphone.at
    microphone.hear(100)
    microphone.gate.open(microphone.at)
    opened_ns = microphone.at
    microphone.hear(50)
    listener = microphone.end()
    samples = [sample for batch in listener.batches("audio") for sample in batch.samples]
    assert not [s for s in samples if muted_ns + 22_000_000 < s.pts_ns < opened_ns]
    assert [s for s in samples if s.pts_ns >= opened_ns]
    assert listener.gaps() == []


def test_held_sound_is_overwritten() -> None:
    microphone = Microphone(gate_from=None)
    kept = [block(7) for _ in range(40)]
    for frame in kept:
        microphone.sound.take(frame, microphone.at, microphone.at, microphone.listener.send)
        microphone.at += BLOCK * NS // RATE
    wiped = [not any(bytes(frame.planes[0])) for frame in kept]
    assert wiped[:20] == [True] * 20
    assert not any(wiped[-10:])
    microphone.sound.close()
    assert not any(any(bytes(frame.planes[0])) for frame in kept)


@pytest.mark.parametrize("audio", [Audio(rate=1), Audio(rate=12_345)])
def test_a_rate_that_aac_has_not_is_refused_with_the_key(audio: Audio) -> None:
    with pytest.raises(SourceRefused, match=r"^audio\.rate"):
        EncodedAudio(audio, "test", AudioGate())


@given(
    st.integers(1, 400),
    st.integers(0, 450),
    st.sampled_from([("s16", "mono"), ("s16", "stereo"), ("fltp", "stereo"), ("s32", "mono"), ("u8", "mono")]),
)
def test_sound_is_cut_to_the_sample_in_every_form(samples: int, skip: int, kind: tuple[str, str]) -> None:
    frame = av.AudioFrame(*kind, samples)
    frame.sample_rate = RATE
    width = frame.format.bytes * (1 if frame.format.is_planar else len(frame.layout.channels))
    for plane in frame.planes:
        counted = b"".join((n % 251).to_bytes(1, "little") * width for n in range(samples))
        plane.update(counted + bytes(plane.buffer_size - len(counted)))
    rest = without_first(frame, skip)
    if skip >= samples:
        assert rest is None
        return
    assert rest is not None
    assert rest.samples == samples - skip
    for old, new in zip(frame.planes, rest.planes, strict=True):
        assert bytes(new)[: rest.samples * width] == bytes(old)[skip * width : samples * width]


def test_silence_is_silent() -> None:
    for kind in ("s16", "u8", "fltp"):
        frame = silence_like(block(fmt=kind), 100)
        assert set(bytes(frame.planes[0])[:100]) == ({0x80} if kind == "u8" else {0})
        wipe_frame(frame)


def test_sound_that_can_not_be_decoded_is_named_as_such(tmp_path: Path) -> None:
    """Invariant 4: the hole has its cause, and nothing that the decoder made up fills it."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 60, audio=True)
    microphone = Microphone()
    with av.open(str(clip)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.options = dict(STRICT)
        base = stream.time_base
        assert base is not None
        for index, packet in enumerate(packet for packet in container.demux(stream) if packet.size):
            if index in (20, 21):
                packet.update(b"\xff" * packet.size)
            packet.pts = (packet.pts or 0) + round(START / NS / base)
            at_ns = int((packet.pts or 0) * base * NS)
            microphone.sound.feed(packet, TimeBase.of(base), KernelStamps(), Moment(at_ns, 0), microphone.listener.send)
    listener = microphone.end()
    (gap,) = listener.gaps()
    assert (gap.kind, gap.cause) == ("audio", "corrupt")
    assert gap.to_ns - gap.from_ns == pytest.approx(2 * 1024 * NS / RATE, abs=NS / RATE)
    contiguous(listener)
