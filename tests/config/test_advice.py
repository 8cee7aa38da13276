"""What is allowed but probably not meant, as `bwvd check` says it."""

from __future__ import annotations

import pytest

from bwvd.config.advice import advice, loop_bytes
from bwvd.config.load import parse
from bwvd.config.schema import Config

# A configuration that gives no cause for advice.
QUIET = """
[audio]
source = "alsa:default"
[keys]
recipients = ["/etc/bwvd/recipients"]
[[gpio]]
"""


def test_a_whole_configuration_needs_no_advice() -> None:
    assert advice(parse(QUIET, "f")) == []


def test_the_defaults_say_what_they_lack() -> None:
    keys = [line.split(":")[0] for line in advice(Config())]
    assert keys == ["keys.recipients", "gpio, input, serial", "audio.source"]


def test_a_loop_that_does_not_fit_says_how_much_does() -> None:
    config = parse(QUIET + "[loop]\nseconds = 60\nmax_bytes = 15_250_000", "f")
    (line,) = advice(config)
    assert line.startswith(
        "loop.max_bytes: 15250000 bytes hold about 30 s of the 60 s asked at video.bitrate = 4000000"
    )
    assert loop_bytes(config) == 61 * 4_000_000 // 8


def test_sound_in_the_loop_counts() -> None:
    with_sound = parse(QUIET.replace("[keys]", "pre_event = true\n[keys]"), "f")
    assert loop_bytes(with_sound) - loop_bytes(parse(QUIET, "f")) == 31 * 64_000 // 8


@pytest.mark.parametrize(("path", "warned"), [("/data/key", True), ("/data", True), ("/database/key", False)])
def test_a_signing_key_on_the_evidence_storage_is_pointed_out(path: str, warned: bool) -> None:
    text = QUIET.replace("[keys]", f'[storage]\npath = "/data"\n[keys]\nsigning = "{path}"')
    assert [line.split(":")[0] for line in advice(parse(text, "f"))] == (["keys.signing"] if warned else [])


def test_a_button_without_gestures_is_pointed_out() -> None:
    text = QUIET + "gestures.press = ''\ngestures.hold = ''\n[[gpio]]\nline = 3"
    assert advice(parse(text, "f")) == ["gpio#1.gestures: every gesture is empty; the control does nothing"]


@pytest.mark.parametrize(
    ("port", "warned"),
    [
        ("/dev/ttyUSB0", "serial.port: /dev/ttyUSB0 is whichever adapter came first; name it by its link in "),
        ("/dev/ttyACM12", "serial.port: /dev/ttyACM12 is whichever adapter came first"),
        ("/dev/pts/3", "serial.port: /dev/pts/3 is given to the next one who logs in; name a link that"),
        ("/dev/serial/by-id/usb-FTDI_FT232R-if00-port0", None),
        ("/dev/ttyS1", None),
        ("/dev/ttyAMA0", None),
        ("/run/dock/line", None),
    ],
)
def test_a_port_whose_name_may_become_anothers_is_pointed_out(port: str, warned: str | None) -> None:
    lines = advice(parse(QUIET + f'[[serial]]\nport = "{port}"', "f"))
    assert len(lines) == bool(warned)
    assert not warned or lines[0].startswith(warned)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('source = "rtsp://cam/live"\nsize = "640x480"\nrate = 15', ["video.size", "video.rate"]),
        ('source = "v4l2:/dev/video0"\nsize = "640x480"\nrate = 15\npixel_format = "mjpeg"', []),
        ('encoder = "copy"\nstamp = false\nbitrate = 8_000_000\nkeyframe_s = 2', ["video.bitrate", "video.keyframe_s"]),
        ('source = "exec:camera"\nformat = "h264"\nsize = "640x480"', ["video.size"]),
        ('source = "lavfi:testsrc2"\nbitrate = 2_000_000', []),
    ],
)
def test_what_is_set_and_asked_for_by_nothing_is_pointed_out(text: str, keys: list[str]) -> None:
    lines = advice(parse(f"[video]\n{text}\n" + QUIET, "f"))
    assert [line.split(":")[0] for line in lines] == keys


@pytest.mark.parametrize(
    ("audio", "keys"),
    [
        ('source = ""\nrate = 16_000\nchannels = 2', ["audio.source", "audio.rate", "audio.channels"]),
        ('source = "video"\nbitrate = 32_000', ["audio.bitrate"]),
        ('source = "video"', []),
        ('source = "alsa:default"\nbitrate = 32_000\nrate = 16_000', []),
    ],
)
def test_settings_of_audio_that_is_not_ours_are_pointed_out(audio: str, keys: list[str]) -> None:
    text = QUIET.replace('source = "alsa:default"', audio) + '[video]\nsource = "rtsp://cam/live"\n'
    assert [line.split(":")[0] for line in advice(parse(text, "f"))] == keys
