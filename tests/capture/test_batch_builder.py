"""The batch in the making: exact copies, exact times, and nothing left behind in its buffer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.batch_builder import Assembler
from bwvd.media.samples import Track

TRACK = Track("video", "h264", 90_000, b"", "test", "copy")
STEP = 33_000_000

groups = st.lists(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=12), min_size=1, max_size=6)


@given(groups)
def test_what_goes_in_comes_out_in_buffers_of_its_size(found: list[list[bytes]]) -> None:
    assembler = Assembler(16)  # so small that it has to grow
    at = 0
    for group in found:
        for index, payload in enumerate(group):
            assembler.add(payload, at, at, STEP, index == 0)
            at += STEP
        batch = assembler.take(TRACK, at + 7)
        assert len(batch.data) == sum(map(len, group)) == sum(sample.size for sample in batch.samples)
        assert [bytes(batch.data[s.offset : s.offset + s.size]) for s in batch.samples] == group
        assert [s.key for s in batch.samples] == [True] + [False] * (len(group) - 1)
        assert batch.end_ns == at + 7
        assert not any(assembler._buffer)


@given(st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=20))
def test_growing_leaves_nothing_in_the_old_buffer(payloads: list[bytes]) -> None:
    """Invariant 2: buffers that we own are overwritten before they are let go."""
    assembler = Assembler(8)
    old = []
    for payload in payloads:
        before = assembler._buffer
        assembler.add(payload, 0, 0, STEP, False)
        if assembler._buffer is not before:
            old.append(before)
    assert bool(old) == (sum(map(len, payloads)) > 8)
    assert not any(any(buffer) for buffer in old)
    assembler.wipe()
    assert not any(assembler._buffer)
    assert assembler.empty


def test_the_end_of_a_reordered_group_that_was_cut_off_has_no_hole() -> None:
    """Decode order I P B B P B …: what is shown after a frame that never came is left out, and wiped."""
    shown = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    for length in range(1, len(shown) + 1):
        assembler = Assembler()
        for index, place in enumerate(shown[:length]):
            # libav's convention: decode times begin early by the reorder depth of one frame
            assembler.add(bytes([index + 1]) * 4, place * STEP, (index - 1) * STEP, STEP, index == 0)
        assembler.cut_incomplete()
        kept = assembler.take(TRACK)
        pictures = sorted(sample.pts_ns // STEP for sample in kept.samples)
        assert pictures == list(range(len(pictures)))
        assert len(pictures) >= length - 3
        assert not any(assembler._buffer)
