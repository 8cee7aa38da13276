"""What the source strings mean, and what is said when they mean nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.address import parse_address, without_password
from bwvd.capture.source import SourceRefused
from bwvd.config.schema import AUDIO_SCHEMES, VIDEO_SCHEMES


@pytest.mark.parametrize(
    ("text", "scheme", "target", "loop"),
    [
        ("v4l2:/dev/video0", "v4l2", "/dev/video0", False),
        ("file:/a/b.mp4", "file", "/a/b.mp4", False),
        ("file:/a/b.mp4?loop=1", "file", "/a/b.mp4", True),
        ("file:/a/b.mp4?loop=0", "file", "/a/b.mp4", False),
        ("lavfi:testsrc2=size=320x240:rate=30", "lavfi", "testsrc2=size=320x240:rate=30", False),
        ("rtsp://u:p@h:554/s?x=1", "rtsp", "rtsp://u:p@h:554/s?x=1", False),
    ],
)
def test_an_address_is_taken_apart(text: str, scheme: str, target: str, loop: bool) -> None:
    address = parse_address(text, "video.source", VIDEO_SCHEMES)
    assert (address.scheme, address.target, address.loop) == (scheme, target, loop)


@pytest.mark.parametrize(
    "text",
    ["", "video0", "/dev/video0", "v4l2:", "http://x/", "file:/a?lop=1", "file:/a?loop=2", "rtsp:///x", "alsa:x"],
)
def test_what_means_nothing_is_refused_in_one_line_that_names_the_key(text: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        parse_address(text, "video.source", VIDEO_SCHEMES)
    assert str(refused.value).startswith("video.source: ")
    assert "\n" not in str(refused.value)


def test_a_password_is_neither_shown_nor_stored() -> None:
    address = parse_address("rtsp://cam:s3cret@10.0.0.2/live", "video.source", VIDEO_SCHEMES)
    assert address.text == "rtsp://cam:***@10.0.0.2/live"
    assert "s3cret" in address.target
    with pytest.raises(SourceRefused) as refused:
        parse_address("rtmp://cam:s3cret@10.0.0.2/live", "video.source", VIDEO_SCHEMES)
    assert "s3cret" not in str(refused.value)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for schemes in (VIDEO_SCHEMES, AUDIO_SCHEMES):
        with suppress(SourceRefused):
            address = parse_address(text, "audio.source", schemes)
            assert address.scheme in schemes
            assert address.target


@given(st.text())
def test_blotting_out_leaves_other_text_alone(text: str) -> None:
    if "://" not in text:
        assert without_password(text) == text
