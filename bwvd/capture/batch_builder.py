"""Samples to batches: one reused buffer, copied out at the size it has, and wiped. Pure."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from operator import sub

from bwvd.media.samples import Batch, Sample, Track, overwrite

FIRST_BYTES = 1 << 16
LEEWAY_NS = 2_000_000  # time stamps of a container are rounded to milliseconds at worst

Payload = bytes | bytearray | memoryview
# A `Sample` in the making, with the duration that it has if none follows. A plain tuple: one is made for each frame.
_Row = tuple[int, int, int, int, int, bool]
_OFFSET, _PTS, _DTS, _DURATION = 0, 2, 3, 4
_make = tuple.__new__  # a tuple's type with names calls a function of Python for it

Copy = Callable[[memoryview], int]
"""Writes a sample's bytes into the room given and returns how many it wrote."""


class Assembler:
    """The batch in the making.

    **Synchronization:** one thread.
    """

    def __init__(self, first_bytes: int = FIRST_BYTES) -> None:
        """first_bytes: room to begin with; it doubles where it is too small."""
        self._buffer = bytearray(first_bytes)
        self._view = memoryview(self._buffer)
        self.size = 0  # bytes held
        self._samples: list[_Row] = []

    @property
    def empty(self) -> bool:
        return not self._samples

    @property
    def start_ns(self) -> int:
        """Decode time of the first sample held."""
        return self._samples[0][_DTS]

    def add(self, payload: Payload, pts_ns: int, dts_ns: int, duration_ns: int, key: bool) -> None:
        """Append a sample; `duration_ns` holds until the next sample's decode time is known."""
        used, size = self.size, len(payload)
        end = used + size
        if end > len(self._buffer):
            self._grow(end)
        self._view[used:end] = payload
        self._samples.append((used, size, pts_ns, dts_ns, duration_ns, key))
        self.size = end

    def write(self, copy: Copy, most: int, pts_ns: int, dts_ns: int, duration_ns: int, key: bool) -> int:
        """Append a sample of at most `most` bytes that `copy` writes straight into the buffer; returns its size."""
        self._grow(self.size + most)
        size = copy(self._view[self.size : self.size + most])
        self._samples.append((self.size, size, pts_ns, dts_ns, duration_ns, key))
        self.size += size
        return size

    def take(self, track: Track, next_dts_ns: int | None = None) -> Batch:
        """Hand over what is held, in a buffer of its own, and begin anew. There must be a sample."""
        # By columns: a loop over the rows would be an eighth of all that is done for a frame that is copied.
        offsets, sizes, pts_ns, dts_ns, durations_ns, keys = zip(*self._samples, strict=True)
        ends_ns = (*dts_ns[1:], dts_ns[-1] + durations_ns[-1] if next_dts_ns is None else next_dts_ns)
        rows = zip(offsets, sizes, pts_ns, dts_ns, map(sub, ends_ns, dts_ns), keys, strict=True)
        samples = tuple(map(_make, repeat(Sample), rows))
        batch = Batch(track, samples, bytearray(self._view[: self.size]))
        self.wipe()
        return batch

    def cut_incomplete(self) -> None:
        """Leave out what is shown after a frame that has not come yet: the end of a reordered group that was cut off.

        A frame still to come is shown no earlier than it is decoded, and it would be decoded next.
        """
        if not self._samples:
            return
        next_ns = self._samples[-1][_DTS] + self._samples[-1][_DURATION] + LEEWAY_NS
        whole = next((n for n, row in enumerate(self._samples) if row[_PTS] > next_ns), len(self._samples))
        if whole < len(self._samples):
            used = self._samples[whole][_OFFSET]
            overwrite(self._view[used : self.size])
            self.size = used
            del self._samples[whole:]

    def wipe(self) -> None:
        """Forget what is held and overwrite it."""
        overwrite(self._view[: self.size])
        self._samples.clear()
        self.size = 0

    def _grow(self, needed: int) -> None:
        if needed <= len(self._buffer):
            return
        # Not `extend`: it may move the samples and leave the old place unwiped.
        buffer = bytearray(max(needed, 2 * len(self._buffer)))
        view = memoryview(buffer)
        view[: self.size] = self._view[: self.size]
        overwrite(self._view[: self.size])
        self._view.release()
        self._buffer, self._view = buffer, view
