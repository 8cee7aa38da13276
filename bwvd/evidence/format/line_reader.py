"""Lines of a file that may be hostile: none takes more memory than a record may have, and rubbish is passed over in
blocks, because to look at a gigabyte of newlines one by one would take an hour. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

# Bytes read at once: a block that the C library does not ask the kernel for each time (the daemon's limit for such is
# 128 KiB), which was a quarter of the cost of reading a large journal.
_CHUNK = 65_536


class Readable(Protocol):
    """What an open binary file can do."""

    def read(self, size: int, /) -> bytes | None:
        """Some bytes; none at the end. Raises: OSError."""
        ...


class LineReader:
    """Cuts an open binary file into lines.

    Args:
        limit: bytes of a line, its newline included; a longer one comes in pieces of that size.

    **Synchronization:** one thread.
    """

    def __init__(self, file: Readable, limit: int) -> None:
        self._file = file
        self._limit = limit
        self._buffer = b""
        self._at = 0  # what lies before has been given
        self._ended = False

    def next(self) -> bytes:
        """The next line with its newline, or a piece of one; b"" at the end. Raises: OSError."""
        searched = self._at
        while True:
            end = self._buffer.find(b"\n", searched, self._at + self._limit) + 1
            if not end and len(self._buffer) - self._at >= self._limit:
                end = self._at + self._limit
            if end:
                line = self._buffer[self._at : end]
                self._at = end
                return line
            searched = len(self._buffer) - self._at
            if not self._fill():
                line, self._buffer, self._at = self._buffer[self._at :], b"", 0
                return line

    def at_hand(self) -> tuple[bytes, int]:
        """Bytes that were read and not given yet, some lines of them if there are more: those behind the offset.

        Raises: OSError.
        """
        if len(self._buffer) - self._at < _CHUNK:
            self._fill()
        return self._buffer, self._at

    def pass_over(self, size: int) -> None:
        """Go on behind so many of the bytes at hand, which the caller has taken: whole lines."""
        self._at += size

    def skip(self, *beginnings: bytes) -> bytes:
        """Whole lines, as many as are at hand, up to the first that begins with one of `beginnings`.

        Returns: b"" where the next line is one of those, or is not at hand as a whole: `next` gives it.
        Raises: OSError.
        """
        if self._at == len(self._buffer) and not self._fill():
            return b""
        end = self._buffer.rfind(b"\n", self._at) + 1
        for beginning in beginnings:
            if self._buffer.startswith(beginning, self._at):
                return b""
            found = self._buffer.find(b"\n" + beginning, self._at, end) + 1
            end = min(found or end, end)
        if end <= self._at:
            return b""
        block = self._buffer[self._at : end]
        self._at = end
        return block

    def _fill(self) -> bool:
        data = b"" if self._ended else self._file.read(_CHUNK) or b""
        self._ended = not data
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
        return bool(data)


def lines_before(reader: LineReader, beginning: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each line that begins with `beginning`, with the line before it, which is none of them."""
    before = b""
    while True:
        while block := reader.skip(beginning):
            before = block[block.rfind(b"\n", 0, -1) + 1 :]
        line = reader.next()
        if not line:
            return
        if line.startswith(beginning):
            if before:
                yield before, line
            before = b""
        else:
            before = line
