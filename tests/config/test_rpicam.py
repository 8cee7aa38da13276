"""Options that are passed on to rpicam-vid, and those that would break the recorder."""

from __future__ import annotations

import pytest

from bwvd.config.load import parse
from bwvd.config.rpicam import REFUSED, wrong_option
from bwvd.config.schema import ConfigError
from bwvd.testing.rpicam_vid import OPTIONS, SHORT


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse(text, "x")
    return str(error.value)


def with_options(*options: str) -> str:
    return f'[video]\nsource = "rpicam:0"\n[rpicam]\noptions = {list(options)!r}'


@pytest.mark.parametrize(
    "options",
    [
        ["--hflip"], ["--awb", "daylight"], ["--ev", "-0.5"], ["--roi=0.25,0.25,0.5,0.5"], ["--hdr"],
        ["--tuning-file", "/usr/share/libcamera/imx708_noir.json"], ["--denoise", "cdn_off"], ["--level", "4.2"],
        ["--mode", "1920:1080"],
    ],
)  # fmt: skip
def test_what_shapes_the_picture_is_passed_on(options: list[str]) -> None:
    assert parse(with_options(*options), "x").rpicam.options == options


def test_every_option_is_either_taken_or_refused_and_so_is_each_beginning_of_it() -> None:
    """Its parser takes `--out` for `--output`: what begins a refused option, and is none itself, is refused with it."""
    assert set(REFUSED) <= set(OPTIONS)
    for name in OPTIONS:
        assert bool(wrong_option(f"--{name}")) == (name in REFUSED), name
        assert bool(wrong_option(f"--{name}=5")) == (name in REFUSED), name
    for name in REFUSED:
        for end in range(1, len(name)):
            begun = name[:end]
            assert begun in OPTIONS or wrong_option(f"--{begun}"), begun
    for letter in SHORT:
        assert wrong_option(f"-{letter}")
        assert wrong_option(f"-{letter}5")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--output", "/x"], 'rpicam.options, entry 1 = "--output": the recorder sets it'),
        (["--hflip", "--segment=1000"], 'rpicam.options, entry 2 = "--segment=1000": the recorder reads one stream'),
        (["--low-latency"], "has no metadata yet"),
        (["--wid", "640"], "rpicam-vid takes it for --width: video.size decides"),
        (["-t", "5000"], "must be written in its long form"),
        (["daylight"], 'rpicam.options, entry 1: "daylight" is the value of no option'),
    ],
)
def test_what_would_break_the_recorder_is_refused_by_name(options: list[str], expected: str) -> None:
    assert expected in refused(with_options(*options))


def test_options_without_such_a_camera_are_a_mistake() -> None:
    assert "rpicam: is for ribbon cameras" in refused("[rpicam]\noptions = ['--hflip']")
    assert "a ribbon camera carries no audio" in refused('[video]\nsource = "rpicam:0"\n[audio]\nsource = "video"')
