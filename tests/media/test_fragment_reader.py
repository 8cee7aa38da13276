"""The reader of fragments, held against libav's demuxer; and against bytes that are no fragments."""

from __future__ import annotations

import contextlib
import io
from itertools import accumulate

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.media.boxes import BoxUnusable
from bwvd.media.fragment import Epoch
from bwvd.media.fragment_reader import Run, read_fragments, read_init
from tests.support.evidence_folder import START_NS, media


def written(bframes: int = 0, *, gops: int = 2) -> tuple[bytes, bytes]:
    """An init segment, and a segment behind it."""
    clip = media(bframes=bframes)
    epoch = Epoch(clip.video, clip.audio)
    parts = [epoch.fragment(clip.gop(index, sound=index > 0), index + 1, START_NS) for index in range(gops)]
    epoch.close()
    return epoch.init, b"".join(parts)


def samples(run: Run) -> list[tuple[int, int, int, int, bool]]:
    """Decode and presentation time, duration, size, whether a key frame."""
    times = list(accumulate(run.durations, initial=run.dts))
    shifts = run.shifts if run.shifts is not None else [0] * len(run)
    keys = range(len(run)) if run.keys is None else run.keys
    return [(times[n], times[n] + shifts[n], run.durations[n], run.sizes[n], n in keys) for n in range(len(run))]


@pytest.mark.parametrize("bframes", [0, 2])
def test_what_is_read_is_what_libav_reads(bframes: int) -> None:
    """Invariant 4: no sample of a fragment is passed over, moved or cut."""
    init, segment = written(bframes)
    found: dict[str, list[tuple[int, int, int, int, bool]]] = {"video": [], "audio": []}
    data: dict[str, list[bytes]] = {"video": [], "audio": []}
    for run in read_fragments(memoryview(segment), read_init(init)):
        found[run.head.kind] += samples(run)
        offsets = list(accumulate(run.sizes, initial=run.offset))
        data[run.head.kind] += [segment[at : at + size] for at, size in zip(offsets, run.sizes, strict=False)]
    with av.open(io.BytesIO(init + segment), "r", format="mp4") as container:
        for packet in container.demux():
            if packet.size:
                kind = packet.stream.type
                assert packet.dts is not None
                there = (packet.dts, packet.pts, packet.duration, packet.size, packet.is_keyframe)
                assert found[kind].pop(0) == there
                assert data[kind].pop(0) == bytes(packet)
    assert found == {"video": [], "audio": []}


def test_the_init_segment_says_what_the_tracks_are() -> None:
    heads = read_init(written()[0])
    assert [(head.kind, head.timescale) for head in heads] == [("video", 90_000), ("audio", 48_000)]
    assert heads[0].size == (96 << 16).to_bytes(4, "big") + (64 << 16).to_bytes(4, "big")
    assert [head.entry[4:8] for head in heads] == [b"avc1", b"mp4a"]


def test_parameters_differ_where_a_decoder_must_be_set_up_anew() -> None:
    video, audio = (head.parameters for head in read_init(written()[0]))
    other = read_init(media(size=(128, 96)).video.init)[0].parameters
    assert read_init(media().video.init)[0].parameters == video
    assert len({video, audio, other}) == 3


def test_the_bit_rate_is_no_parameter() -> None:
    """Two microphones that differ in nothing else share a track, as their decoder does."""
    init = written()[0]
    head = read_init(init)[1]
    at = init.index(head.entry)
    rate = head.entry.index(b"esds") + 12 + 18  # into the descriptor of the decoder: its bit rates
    louder = bytearray(init)
    louder[at + rate] ^= 0x01
    assert read_init(bytes(louder))[1].entry != head.entry
    assert read_init(bytes(louder))[1].parameters == head.parameters


@given(st.data())
def test_damaged_bytes_are_named_or_lie_within_the_segment(data: st.DataObject) -> None:
    init, segment = written(2)
    damaged = {"init": bytearray(init), "segment": bytearray(segment)}
    for _ in range(data.draw(st.integers(1, 3))):
        which = damaged[data.draw(st.sampled_from(sorted(damaged)))]
        # Where the tables are: behind them damage is nothing that a reader of tables sees.
        which[data.draw(st.integers(0, min(len(which), 1500) - 1))] = data.draw(st.integers(0, 255))
    try:
        for run in read_fragments(memoryview(bytes(damaged["segment"])), read_init(bytes(damaged["init"]))):
            assert 0 <= run.offset <= run.offset + sum(run.sizes) <= len(segment)
            assert len(run.sizes) == len(run.durations) <= len(segment)
            assert run.shifts is None or len(run.shifts) == len(run)
            assert all(0 <= key < len(run) for key in run.keys or [])
    except BoxUnusable as error:
        assert "\n" not in str(error)  # noqa: PT017 - any is fine, none is as well


@given(st.binary(max_size=200))
def test_any_bytes_are_no_fragment_or_an_error_of_ours(data: bytes) -> None:
    for read in (lambda: read_init(data), lambda: list(read_fragments(memoryview(data), []))):
        with contextlib.suppress(BoxUnusable):
            read()


def test_a_count_of_samples_beyond_all_memory_is_refused() -> None:
    """Without a table of its own, each sample would take its size from a default: nothing in the bytes limits them."""
    init, segment = written()
    at = segment.index(b"trun")
    flags = bytearray(segment)
    flags[at + 4 : at + 12] = b"\0\0\0\0" + (0xFFFFFFF0).to_bytes(4, "big")
    with pytest.raises(BoxUnusable, match="samples"):
        list(read_fragments(memoryview(bytes(flags)), read_init(init)))
