"""What the source strings mean, and what is said when they mean nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.address import parse_address
from bwvd.capture.source import SourceRefused
from bwvd.config.problem import shown
from bwvd.config.schema import AUDIO_SCHEMES, VIDEO_SCHEMES
from bwvd.text import clean, source_address, stream_address


@pytest.mark.parametrize(
    ("text", "scheme", "target", "loop"),
    [
        ("v4l2:/dev/video0", "v4l2", "/dev/video0", False),
        ("file:/a/b.mp4", "file", "/a/b.mp4", False),
        ("file:/a/b.mp4?loop=1", "file", "/a/b.mp4", True),
        ("file:/a/b.mp4?loop=0", "file", "/a/b.mp4", False),
        ("lavfi:testsrc2=size=320x240:rate=30", "lavfi", "testsrc2=size=320x240:rate=30", False),
        ("rtsp://u:p@h:554/s?x=1", "rtsp", "rtsp://u:p@h:554/s?x=1", False),
        ("rtsps://u:p@h/s", "rtsps", "rtsps://u:p@h/s", False),
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
    assert address.text == "rtsp://10.0.0.2/live"
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://[::1]:8554/live", "rtsp://[::1]:8554/live"),
        ("rtsp://admin:s3c%2Fret@10.0.0.2:8554/stream1", "rtsp://10.0.0.2:8554/stream1"),
        ("rtsp://10.0.0.2/user=admin_password=s3cret_channel=1_stream=0.sdp?real_stream", "rtsp://10.0.0.2/***?***"),
        ("rtsp://10.0.0.2/live?username=admin&password=s3cret", "rtsp://10.0.0.2/live?***"),
        ("rtsp://10.0.0.2?password=s3cret", "rtsp://10.0.0.2?***"),
        ("rtsp://10.0.0.2/Streaming/Channels/101", "rtsp://10.0.0.2/Streaming/Channels/***"),
        ("rtsps://10.0.0.2:7441/s3cretTokenOfAKind?enableSrtp", "rtsps://10.0.0.2:7441/***?***"),
        ("RTSP://10.0.0.2/s3cret", "RTSP://10.0.0.2/***"),
    ],
)
def test_of_a_streams_address_nothing_is_stored_that_may_be_a_secret(text: str, shown: str) -> None:
    assert stream_address(text) == shown
    assert stream_address(f"x: {text}: Not Found") == f"x: {shown}: Not Found"
    assert stream_address(shown) == shown, "what is blotted out stays as it is"


@given(st.from_regex(r"[A-Za-z0-9%=_&.-]{8,20}", fullmatch=True).filter(lambda text: not text.startswith("*")))
def test_a_secret_is_shown_nowhere_in_an_address(secret: str) -> None:
    for text in (
        f"rtsp://u:{secret}@h/x",
        f"rtsp://h/{secret}",
        f"rtsp://h/a/{secret}/live",
        f"rtsps://h/live?p={secret}",
    ):
        assert secret not in stream_address(text)
        assert secret not in clean(f"camera lost: {text}: timed out")
        assert secret not in shown(text)


@given(st.text())
def test_blotting_out_leaves_other_text_alone(text: str) -> None:
    if "://" not in text:
        assert stream_address(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("exec:/opt/camera --password hunter2", "exec:camera"),
        ("exec: ffmpeg -i rtsp://u:p@h/x", "exec:ffmpeg"),
        ("v4l2:/dev/video0", "v4l2:/dev/video0"),
        ("rtsp://u:p@h/live", "rtsp://h/live"),
        ("exec:", "exec:"),
        ("", ""),
    ],
)
def test_of_a_program_its_name_alone_is_shown(text: str, shown: str) -> None:
    """Also in the status, where nothing is recorded yet that would say what was opened."""
    assert source_address(text) == shown
