"""Raw H.264, or raw frames, in pieces of any size to whole access units. Pure.

Source: ITU-T H.264, 7.4.1.2.3: after the last slice of a picture, the first unit of certain kinds begins the next one.
"""

from __future__ import annotations

from typing import NamedTuple

from bwvd.media.nal import START_CODE, unit_type
from bwvd.media.samples import overwrite

MOST_BYTES = 1 << 23  # of one access unit: no camera's frame is as large

_PICTURE = range(1, 6)
_BEGINNING = frozenset({6, 7, 8, 9, *range(14, 19)})  # after a slice: messages, parameter sets, a delimiter
_SEQUENCE_SET = 7


def _is_bidirectional(first: int) -> bool:
    """From the first byte behind a slice's header: first_mb_in_slice = 0 is one bit, slice_type (1, or 6) follows."""
    return first & 0xF0 == 0xA0 or first & 0xFC == 0x9C


class NotAnnexB(Exception):
    """This is no H.264 with start codes."""


class AccessUnit(NamedTuple):
    """One frame, with what comes before it."""

    data: bytes
    at_ns: int  # when its first byte came
    key: bool  # it has parameter sets
    bidirectional: bool  # a B-frame: shown before a frame that came before it


class RawSplitter:
    """Raw frames of one size, in pieces of any: as `AccessUnitSplitter`. **Synchronization:** one thread."""

    def __init__(self, size: int) -> None:
        """size: bytes of a frame."""
        self._size = size
        self._data = bytearray()
        self._at_ns = 0

    @property
    def has_picture(self) -> bool:
        """True if what is held is a whole frame."""
        return len(self._data) >= self._size

    @property
    def held_at_ns(self) -> int | None:
        """When the frame came that is held, or its beginning; None where nothing is."""
        return self._at_ns if self._data else None

    def feed(self, data: bytes, at_ns: int) -> list[AccessUnit]:
        """Take what has come at `at_ns`; returns the frames behind which the next one has begun."""
        if not self._data:
            self._at_ns = at_ns
        self._data += data
        units = []
        while len(self._data) > self._size:
            units.append(self._take())
            self._at_ns = at_ns
        return units

    def flush(self) -> AccessUnit | None:
        """The frame that is held, if it is whole."""
        return self._take() if self.has_picture else None

    def _take(self) -> AccessUnit:
        unit = AccessUnit(bytes(memoryview(self._data)[: self._size]), self._at_ns, True, False)
        overwrite(memoryview(self._data)[: self._size])
        del self._data[: self._size]
        return unit


class AccessUnitSplitter:
    """Finds where access units end. **Synchronization:** one thread."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at_ns = 0  # when the first byte held came
        self._looked = 0  # up to here all start codes are known
        self._picture = False  # a slice is held
        self._key = False  # a sequence parameter set is held
        self._bidirectional = False  # a slice of a B-frame is held

    @property
    def has_picture(self) -> bool:
        """True if what is held has begun a frame."""
        return self._picture

    @property
    def held_at_ns(self) -> int | None:
        """When the frame came that is held, or its beginning; None where nothing is."""
        return self._at_ns if self._data else None

    def feed(self, data: bytes, at_ns: int) -> list[AccessUnit]:
        """Take what has come at `at_ns`; returns the access units that the next one's beginning has completed.

        Raises: NotAnnexB.
        """
        if not self._data:
            self._at_ns = at_ns
        self._data += data
        units: list[AccessUnit] = []
        while (start := self._data.find(START_CODE, self._looked)) >= 0:
            header = start + len(START_CODE)
            if header + 1 >= len(self._data):
                self._looked = start  # the first bytes of the unit are still to come
                break
            kind = unit_type("h264", self._data[header])
            first = self._data[header + 1]
            slice_begins = kind in _PICTURE and bool(first & 0x80)  # first_mb_in_slice = 0
            if self._picture and (slice_begins or kind in _BEGINNING):
                # A zero before the start code belongs to it.
                end = start - 1 if start and not self._data[start - 1] else start
                units.append(self._take(end))
                self._at_ns = at_ns
                header -= end
            self._picture = self._picture or kind in _PICTURE
            self._key = self._key or kind == _SEQUENCE_SET
            self._bidirectional = self._bidirectional or (slice_begins and _is_bidirectional(first))
            self._looked = header
        else:
            self._looked = max(self._looked, len(self._data) - len(START_CODE))
        if len(self._data) > MOST_BYTES:
            raise NotAnnexB(f"{MOST_BYTES} bytes without the end of a frame")
        return units

    def flush(self) -> AccessUnit | None:
        """The frame that is held: nothing more of it comes."""
        return self._take(len(self._data)) if self._picture else None

    def _take(self, end: int) -> AccessUnit:
        unit = AccessUnit(bytes(self._data[:end]), self._at_ns, self._key, self._bidirectional)
        overwrite(memoryview(self._data)[:end])
        del self._data[:end]
        self._looked, self._picture, self._key, self._bidirectional = 0, False, False, False
        return unit
