"""Where a JPEG ends, and where its transfer broke off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.media.jpeg import has_end


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", False),
        (b"\xd9", False),
        (b"\xff\xd9", True),
        (b"\xff\xd8 image \xff\xd9", True),
        (b"\xff\xd8 image", False),
        (b"\xff\xd8 image \xff\xd9 rubbish", False),
        (bytes(1_000), False),
    ],
)
def test_an_end(data: bytes, expected: bool) -> None:
    assert has_end(memoryview(data)) is expected


@given(st.integers(0, 600), st.integers(0, 1_000))
def test_zeros_behind_it_do_not_count(image: int, padding: int) -> None:
    data = b"\x55" * image + b"\xff\xd9" + bytes(padding)
    assert has_end(memoryview(data))
    assert not has_end(memoryview(data[:image]))
