"""Bytes of several buffers that are to follow each other in a file, without a copy of them. Pure."""

from __future__ import annotations


class Views:
    """What lies in one piece in a buffer stays in one.

    Args:
        at: where in the file they go.
    """

    def __init__(self, at: int) -> None:
        self._at = at
        self._views: list[memoryview] = []
        self._last: memoryview | None = None
        self._begin = self._end = 0  # in the last buffer

    def put(self, data: memoryview, begin: int, size: int) -> int:
        """Returns where in the file the bytes will be."""
        if data is not self._last or begin != self._end:
            self._take_last()
            self._last, self._begin = data, begin
        self._end = begin + size
        self._at += size
        return self._at - size

    def all(self) -> list[memoryview]:
        """None of them is empty."""
        self._take_last()
        return self._views

    def _take_last(self) -> None:
        if self._last is not None and self._end > self._begin:
            self._views.append(self._last[self._begin : self._end])
        self._last = None
