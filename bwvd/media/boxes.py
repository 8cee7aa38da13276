"""Boxes of an MP4 (ISO/IEC 14496-12, 4.2): a size, a type, a content. Pure."""

from __future__ import annotations

from collections.abc import Iterator

HEADER = 8  # bytes: size and type
LARGE_HEADER = 16  # of a box of 4 GiB and more


class BoxUnusable(Exception):
    """Bytes that are no MP4, or none that we can read. One line."""


def box(kind: bytes, *payload: bytes) -> bytes:
    """A box of these contents."""
    size = HEADER + sum(map(len, payload))
    return b"".join((size.to_bytes(4, "big"), kind, *payload))


def full_box(kind: bytes, version: int, flags: int, *payload: bytes) -> bytes:
    """A box that begins with a version and flags."""
    return box(kind, bytes([version]), flags.to_bytes(3, "big"), *payload)


def boxes(data: memoryview, begin: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Type, begin and end of each box's content, in order.

    Raises: BoxUnusable where one does not lie within `begin` and `end`.
    """
    end = len(data) if end is None else end
    while begin < end:
        size, header = int.from_bytes(data[begin : begin + 4], "big"), HEADER
        kind = bytes(data[begin + 4 : begin + HEADER])
        if size == 1:
            size, header = int.from_bytes(data[begin + HEADER : begin + LARGE_HEADER], "big"), LARGE_HEADER
        if size < header or begin + size > end:
            raise BoxUnusable(f"a box of {size} bytes where {end - begin} are left")
        yield kind, begin + header, begin + size
        begin += size


def find(data: memoryview, path: str, begin: int = 0, end: int | None = None) -> tuple[int, int]:
    """Begin and end of the content of the first box at `path`: "moov/mvhd".

    Raises: BoxUnusable if there is none.
    """
    for name in path.split("/"):
        wanted = name.encode("ascii")
        found = next(((at, to) for kind, at, to in boxes(data, begin, end) if kind == wanted), None)
        if found is None:
            raise BoxUnusable(f"no {path} box")
        begin, end = found
    assert end is not None  # noqa: S101 - a path has a part
    return begin, end


def number(data: memoryview, at: int, size: int, end: int) -> int:
    """An unsigned integer of `size` bytes. Raises: BoxUnusable if it does not lie before `end`."""
    if at + size > end:
        raise BoxUnusable("a box is too short")
    return int.from_bytes(data[at : at + size], "big")
