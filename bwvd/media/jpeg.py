"""The end of a JPEG image, as a camera sends it. Pure. Source: ITU-T T.81, table B.1."""

from __future__ import annotations

END = b"\xff\xd9"
_STEP = 256  # bytes looked at; padding that is longer is looked through


def has_end(data: memoryview) -> bool:
    """True if the image ends with its EOI marker; zeros that fill up the camera's buffer behind it don't count.

    Where a transfer broke off, a decoder may find valid codes in whatever fills the rest.
    """
    view = data.cast("B")
    if view[-2:] == END:
        return True  # nearly always: no padding
    end = len(view)
    while end:
        begin = max(end - _STEP, 0)
        piece = bytes(view[begin:end]).rstrip(b"\0")
        if piece:
            end = begin + len(piece)
            return bytes(view[max(end - 2, 0) : end]) == END
        end = begin
    return False
