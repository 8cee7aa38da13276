"""What reaches a log line: text and numbers, short and printable, and no media."""

from __future__ import annotations

import array
import json
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.log.clean import clean_value
from bwvd.media.samples import Batch, Gop, Sample, Track
from bwvd.messages import Order
from bwvd.text import MAX_CHARACTERS, clean

SECRET = b"\x00\x00\x01SECRETPIXELS\xff"
TRACK = Track("video", "h264", 90_000, SECRET, "v4l2:/dev/video0", "libx264")
BATCH = Batch(TRACK, (Sample(0, len(SECRET), 0, 0, 1, True),), bytearray(SECRET))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SECRET, "<16 bytes>"),
        (bytearray(SECRET), "<16 bytes>"),
        (memoryview(SECRET), "<16 bytes>"),
        (array.array("H", [1, 2]), "<4 bytes>"),
        (av.Packet(SECRET), "<16 bytes>"),
        (TRACK, "<Track>"),
        (BATCH, "<Batch>"),
        (Gop(BATCH), "<Gop>"),
        (BATCH.samples, ["<Sample>"]),
        ({"data": SECRET, "of": [SECRET]}, {"data": "<16 bytes>", "of": ["<16 bytes>"]}),
        (ValueError(SECRET), "ValueError: <bytes>"),
        (repr(SECRET), "<bytes>"),
        (ValueError("bad", bytearray(SECRET)), "ValueError: ('bad', bytearray(<bytes>))"),
    ],
)
def test_media_is_named_by_its_size_or_its_type(value: object, expected: object) -> None:
    """Invariant 1: nothing of the loop reaches a log."""
    assert clean_value(value) == expected


def test_a_picture_is_named_by_its_type() -> None:
    """Invariant 1: nothing of the loop reaches a log."""
    assert clean_value(av.VideoFrame(16, 16, "gray")) == "<VideoFrame>"


anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.sampled_from([*Order]),
        st.builds(ValueError, st.text()), st.just(BATCH), st.just(Path("/x\n")), st.just(SECRET), st.just(object()),
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.dictionaries(st.one_of(st.text(), st.integers()), inner)
    ),
    max_leaves=12,
)  # fmt: skip


@given(anything)
def test_any_value_becomes_short_printable_json_without_media(value: object) -> None:
    """Invariant 1: nothing of the loop reaches a log."""
    cleaned = clean_value(value)
    assert "SECRET" not in json.dumps(cleaned)
    for string in strings(cleaned):
        assert string.isprintable()
        assert len(string) <= 10 * MAX_CHARACTERS + 40  # an unprintable character is written with up to ten


def strings(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [found for entry in value for found in strings(entry)]
        case dict():
            return [found for key, entry in value.items() for found in [str(key), *strings(entry)]]
        case _:
            assert value is None or isinstance(value, bool | int | float)
            return []


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", "a\\x1b[31mred\\x1b[0m"),
        ("one\r\ntwo\x00", "one\\r\\ntwo\\x00"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("\x9b31m", "\\x9b31m"),
        ("\ud800", "\\ud800"),
        ("Grüße, 世界", "Grüße, 世界"),
        ("rtsp://admin:hunter2@camera/x and http://k@h", "rtsp://…@camera/*** and http://…@h"),
        ("x" * 501, "x" * 500 + "… <1 more>"),
    ],
)
def test_text_is_made_harmless(written: str, shown: str) -> None:
    assert clean(written) == shown


def test_a_value_that_contains_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert clean_value(loop) == [[[["<list>"]]]]


def test_many_entries_are_counted() -> None:
    assert clean_value(list(range(60))) == [*range(50), "<10 more>"]
    assert len(str(clean_value({str(n): n for n in range(60)}))) < 1000


def test_a_traceback_keeps_its_lines_and_its_end() -> None:
    cleaned = clean_value({"exception": "Traceback\n" + "  frame\x1b\n" * 2000 + "ValueError: b'\\x00SECRET'"})
    assert isinstance(cleaned, dict)
    lines = cleaned["exception"].split("\n")
    assert lines[0] == "…"
    assert lines[-2:] == ["  frame\\x1b", "ValueError: <bytes>"]
