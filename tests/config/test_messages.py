"""Every way to write a wrong configuration gives one line that names the file, the key and what is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bwvd.config.load import digest, load, parse, read
from bwvd.config.schema import Config, ConfigError

RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"  # the one of age's own test vectors
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def refused(text: str) -> str:
    """The message of a configuration that must be refused, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "bwvd.toml")
    message = str(caught.value)
    assert message.startswith("bwvd.toml: ")
    assert message.isprintable()
    return message.removeprefix("bwvd.toml: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[video\n", "line 1, column 7: "),
        ("a = 1\n\nb = ", "line 3: "),
        ("loop.seconds = 5\nloop.seconds = 6\n", "line 2"),
        ("[loop]\n\n[loop]\n", "line 3, column "),
        ("x = " + "9" * 5000, "line 1: a number of thousands of digits"),
        ("y = 1\nx = -1_" + "9" * 4400, "line 2: a number of thousands of digits"),
        ("x = " + "[" * 20_000, "syntax: values are nested too deeply"),
        ("\ufeffprofile = ''", "line 1: starts with a byte order mark; save the file as UTF-8 without one"),
    ],
)
def test_syntax_errors_name_the_line(text: str, expected: str) -> None:
    assert refused(text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[video]\nbitrat = 1", "video.bitrat: unknown key; did you mean bitrate?"),
        ("[video]\nkeyframeS = 1", "video.keyframeS: unknown key; did you mean keyframe_s?"),
        ("[vidoe]\nrate = 30", "vidoe: unknown key; did you mean video?"),
        ("bitrate = 1", "bitrate: unknown key; did you mean audio.bitrate or video.bitrate?"),
        ("[loop]\nkeyframe_s = 1", "loop.keyframe_s: unknown key; did you mean video.keyframe_s?"),
        ("[device]\nserial_number_of_it = 1", "device.serial_number_of_it: unknown key; known in [device]: id"),
        ("[[gpio]]\n[[gpio]]\nlien = 1", "gpio#2.lien: unknown key; did you mean line?"),
        ("[[gpio]]\ngestures.pres = ''", "gpio.gestures.pres: unknown key; did you mean press?"),
        ('[loop]\n"a\\nb" = 1', 'loop."a\\nb": unknown key; known in [loop]: seconds, max_bytes'),
    ],
)  # fmt: skip
def test_unknown_keys_name_the_nearest(text: str, expected: str) -> None:
    assert refused(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[video]\nrate = '30'", "video.rate: expected a number, got a string"),
        ("[video]\nrate = true", "video.rate: expected a number, got true"),
        ("[video]\nbitrate = 4e6", "video.bitrate: expected a whole number, got the number 4e+06"),
        ("[video]\nstamp = 1", "video.stamp: expected true or false, got a whole number"),
        ("[device]\nid = 7", "device.id: expected a string, got a whole number"),
        ("[device]\nid = 2026-11-22", "device.id: expected a string, got a date or time"),
        ("[device]\nid = [1]", "device.id: expected a string, got a list"),
        ("[keys]\nrecipients = 'age1'", "keys.recipients: expected a list, got a string"),
        ("[keys]\nrecipients = ['/a', 1]", "keys.recipients, entry 2: expected a string, got a whole number"),
        ("[[gpio]]\nline = 1.5", "gpio.line: expected a whole number or a string, got the number 1.5"),
        ("[video]\nrtsp_transport = 'upd'", 'video.rtsp_transport: must be one of "auto", "tcp", "udp", not "upd"'),
        ("[[gpio]]\nmode = 'swich'", 'gpio.mode: must be one of "button", "switch", not "swich"; did you mean switch?'),
        ("[[gpio]]\nmode = 3", "gpio.mode: expected a string, got a whole number"),
        ("[gpio]\nline = 1", "gpio: expected a list of tables; write [[gpio]], not [gpio]"),
        ("gpio = 1", "gpio: expected tables, [[gpio]], got a whole number"),
        ("gpio = [1]", "gpio: expected a table, [gpio], got a whole number"),
        ("[[video]]\n[[video]]", "video: expected one table, got a list; write [video], once"),
        ("video = 'x'", "video: expected a table, [video], got a string"),
        (f"[video]\nbitrate = {2**60}", "video.bitrate = 1152921504606846976: must be from 50000 to 200000000"),
        (f"[video]\nrate = 1{'0' * 400}", "video.rate: does not fit in 64 bits"),
    ],
)  # fmt: skip
def test_wrong_kinds_say_what_was_expected_and_what_was_got(text: str, expected: str) -> None:
    assert refused(text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[loop]\nseconds = 0.9", "loop.seconds = 0.9"),
        ("[loop]\nseconds = 3601", "loop.seconds = 3601"),
        ("[loop]\nseconds = nan", "loop.seconds = nan"),
        ("[video]\nrate = 0", "video.rate = 0"),
        ("[video]\nrate = 241", "video.rate = 241"),
        ("[video]\nrate = inf", "video.rate = inf"),
        ("[video]\nbitrate = 1000", "video.bitrate = 1000"),
        ("[video]\nbitrate = -4_000_000", "video.bitrate = -4000000"),
        ("[video]\nkeyframe_s = 0", "video.keyframe_s = 0"),
        ("[audio]\nbitrate = 1", "audio.bitrate = 1"),
        ("[audio]\nrate = 44000", "audio.rate = 44000"),
        ("[audio]\nchannels = 0", "audio.channels = 0"),
        ("[loop]\nmax_bytes = 1", "loop.max_bytes = 1"),
        ("[recording]\nsegment_s = 0", "recording.segment_s = 0"),
        ("[recording]\npost_roll_s = -1", "recording.post_roll_s = -1"),
        ("[recording]\nstop_confirm_s = 0", "recording.stop_confirm_s = 0"),
        ("[recording]\nmax_s = 0.5", "recording.max_s = 0.5"),
        ("[recording]\nreminder_s = -1", "recording.reminder_s = -1"),
        ("[storage]\nreserve_bytes = 0", "storage.reserve_bytes = 0"),
        ("[storage]\nbacklog_bytes = 0", "storage.backlog_bytes = 0"),
        ("[storage]\njournal_bytes = 0", "storage.journal_bytes = 0"),
        ("[[gpio]]\ndebounce_ms = 1001", "gpio.debounce_ms = 1001"),
        ("[[gpio]]\nline = -1", "gpio.line = -1"),
        ("[[gpio]]\nline = ' '", 'gpio.line = " "'),
        ("[[gpio]]\n[[gpio]]\nline = 3\ngestures.hold_s = 0.1", "gpio#2.gestures.hold_s = 0.1"),
        ("[[serial]]\nbaud = 115201", "serial.baud = 115201"),
        ("[power]\nwarn_percent = 101", "power.warn_percent = 101"),
        ("[power]\ncritical_percent = -1", "power.critical_percent = -1"),
    ],
)
def test_values_out_of_range_name_the_key_the_value_and_the_range(text: str, key: str) -> None:
    assert refused(text).startswith(f"{key}: must be ")


@pytest.mark.parametrize(
    "name", ["", ".", "-", ".hidden", "-rf", "a/b", "a b", "x" * 33, "ü", "a\\nb", "..", "a\\u0000"]
)
def test_a_device_id_is_one_safe_path_component(name: str) -> None:
    assert refused(f'[device]\nid = "{name}"').startswith("device.id")


@pytest.mark.parametrize("name", ["B", "BWV-0001", "_x", "9.9", "a" * 32, "unit_7.b"])
def test_good_device_ids_are_taken(name: str) -> None:
    assert parse(f'[device]\nid = "{name}"', "x").device.id == name


@pytest.mark.parametrize(
    "value", ["1280", "1280X720", "1281x720", "1280x721", "16x16", "9000x720", "01280x720", "\uff11280x720", "-2x2"]
)
def test_sizes_are_even_and_within_reason(value: str) -> None:
    assert refused(f'[video]\nsize = "{value}"').startswith("video.size = ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("storage.path", ""), ("storage.path", "evidence"), ("storage.path", "./x"), ("storage.path", "~/x"),
        ("storage.path", "/"), ("storage.path", "//"), ("keys.signing", "device_key"), ("socket.path", "control.sock"),
        ("socket.path", "/" + "x" * 107), ("metrics.textfile", "bwvd.prom"), ("metrics.textfile", "/run/bwvd.txt"),
        ("power.supply", "a/b"), ("power.supply", ".."),
    ],
)  # fmt: skip
def test_paths_are_absolute(key: str, value: str) -> None:
    assert refused(f'{key} = "{value}"').startswith(f"{key} = ")


@pytest.mark.parametrize("chip", ["/dev/gpiochip0", "gpiochip0", "pinctrl-bcm2711", "INT34C6:00"])
@pytest.mark.parametrize("table", ["gpio", "led", "haptic", "tone"])
def test_a_chip_is_named_by_its_file_or_its_label(table: str, chip: str) -> None:
    (entry,) = getattr(parse(f"[[{table}]]\nchip = '{chip}'\nline = 1", "x"), table)
    assert entry.chip == chip


@pytest.mark.parametrize("chip", ["./gpiochip0", "../x", "a/b", "-x", "ü", "x" * 65])
@pytest.mark.parametrize("table", ["gpio", "led"])
def test_what_names_no_chip(table: str, chip: str) -> None:
    assert "must be the path of a chip" in refused(f"[[{table}]]\nchip = '{chip}'\nline = 1")


@pytest.mark.parametrize(
    "text",
    [
        "[[input]]\ndevice = 'event0'",
        "[[serial]]\nport = 'ttyS1'",
        "[[led]]\ndevice = 'x'",
        "[[haptic]]\ndevice = 'x'",
        "[[tone]]\ndevice = 'x'",
    ],
)
def test_device_files_are_absolute(text: str) -> None:
    assert "must be an absolute path" in refused(text)


@pytest.mark.parametrize(
    "source",
    [
        "v4l2:/dev/video0", "rtsp://camera/stream", "rtsp://user:pa%40ss@10.0.0.7:8554/a?b=c", "rtsp://[fe80::1]:554/",
        "file:/srv/clip.mp4", "file:/srv/clip.mp4?loop=1", "lavfi:testsrc2=size=1280x720:rate=30",
        "exec:gst-launch-1.0 -q libcamerasrc ! fdsink", "exec:/opt/camera 'two words'",
        "rpicam:0", "rpicam:imx708_wide", "rpicam:/base/soc/i2c0mux/i2c@1/imx708@1a",
    ],
)  # fmt: skip
def test_video_sources_that_are_good(source: str) -> None:
    form = 'format = "nut"' if source.startswith("exec:") else ""
    assert parse(f'[video]\nsource = "{source}"\n{form}', "x").video.source == source


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("", "must be v4l2:PATH"),
        ("/dev/video0", 'did you mean "v4l2:/dev/video0"?'),
        ("v412:/dev/video0", 'did you mean "v4l2:/dev/video0"?'),
        ("v4l2:video0", "absolute"),
        ("v4l2:", "absolute"),
        ("rtps://camera/x", 'did you mean "rtsp://camera/***"?'),
        ("rtsp://admin:s3c/ret@camera/live", "is written as %2F %3F %23 %40 %3A"),
        ("rtsp://admin:s3c@ret@camera/live", "is written as %2F %3F %23 %40 %3A"),
        ("rtsp://admin:s3c#ret@camera/live", "is written as %2F %3F %23 %40 %3A"),
        ("rtsp:camera", "must be rtsp://"),
        ("rtsp:///x", "must be rtsp://"),
        ("rtsp://camera:99999/x", "must be rtsp://"),
        ("rtsp://camera:0/x", "must be rtsp://"),
        ("file:clip.mp4", "absolute"),
        ("file:/clip.mp4?lop=1", '"?loop=1"'),
        ("lavfi:", "filter graph"),
        ("rpicam:", "rpicam:N or rpicam:NAME"),
        ("rpicam:--hflip", "rpicam:N or rpicam:NAME"),
        ("exec:", "a program and its arguments"),
        ("exec:camera 'torn", "is not a command: no closing quotation"),
        ("exec:camera | tee copy", 'no shell runs the command: "|" would be an argument'),
        ("webcam", "must be v4l2:PATH"),
    ],
)
def test_video_sources_that_are_not(source: str, hint: str) -> None:
    message = refused(f'[video]\nsource = "{source}"')
    assert message.startswith("video.source = ")
    assert hint in message


def test_a_password_in_a_source_is_not_repeated() -> None:
    message = refused('[video]\nsource = "rtsp://admin:hunter@2@:8554/x"')
    assert "hunter" not in message
    assert "admin" not in message


@pytest.mark.parametrize("source", ["", "alsa:default", "alsa:hw:1,0", "alsa:plughw:CARD=Device,DEV=0", "lavfi:sine"])
def test_audio_sources_that_are_good(source: str) -> None:
    assert parse(f'[audio]\nsource = "{source}"', "x").audio.source == source


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("asla:default", "alsa:default"), ("vidoe", '"video"'), ("alsa:", "alsa:DEVICE"), ("lavfi: ", "graph"),
        ("mic", "must be"),
    ],
)  # fmt: skip
def test_audio_sources_that_are_not(source: str, hint: str) -> None:
    message = refused(f'[audio]\nsource = "{source}"')
    assert message.startswith("audio.source = ")
    assert hint in message


@pytest.mark.parametrize("entry", [RECIPIENT, SSH_KEY, SSH_KEY + " a comment", "/etc/bwvd/recipients"])
def test_recipients_that_are_good(entry: str) -> None:
    assert parse(f'[keys]\nrecipients = ["{entry}"]', "x").keys.recipients == [entry]


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        (RECIPIENT[:-1], "checksum"),
        (RECIPIENT[:20] + ("q" if RECIPIENT[20] != "q" else "p") + RECIPIENT[21:], "checksum"),
        (RECIPIENT.upper(), "must be an age1"),
        ("age1", "checksum"),
        ("ssh-ed25519", "not a public key"),
        (SSH_KEY.replace("ssh-ed25519 ", "ssh-rsa "), "not a public key"),
        ("ssh-dss AAAA", "not a public key"),
        ("recipients.txt", "absolute path"),
        ("", "must be an age1"),
    ],
)
def test_recipients_that_are_not(entry: str, hint: str) -> None:
    message = refused(f'[keys]\nrecipients = ["/a", "{entry}"]')
    assert message.startswith("keys.recipients, entry 2: ")
    assert hint in message


def test_a_secret_key_among_the_recipients_is_refused_and_not_repeated() -> None:
    message = refused('[keys]\nrecipients = ["AGE-SECRET-KEY-1QQPQPZRFR7ZZ2WCV"]')
    assert "secret key" in message
    assert "QQPQ" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[loop]\nseconds = 4", "video.keyframe_s = 1, loop.seconds = 4: key frames are too far apart"),
        (
            "[video]\nkeyframe_s = 6.1\n[recording]\nsegment_s = 7",
            "video.keyframe_s = 6.1, loop.seconds = 30: key frames",
        ),
        ("[video]\nkeyframe_s = 0.1\nrate = 5", "video.keyframe_s = 0.1, video.rate = 5: key frames would be less"),
        ("[video]\nkeyframe_s = 2.0", "recording.segment_s = 1, video.keyframe_s = 2: a segment holds whole groups"),
        ("[video]\npreset = 'ultrafst'", 'video.preset = "ultrafst": did you mean ultrafast?'),
        ("[video]\nencoder = 'libx265'\npreset = 'p4'", 'video.preset = "p4": must be one of ultrafast'),
        ("[video]\nencoder = 'lib x264'", 'video.encoder = "lib x264": must be a name of libav'),
        (
            "[video]\nencoder = 'copy'\nstamp = true",
            'video.encoder = "copy", video.stamp = true: frames that are copied',
        ),
        ("[video]\nencoder = 'copy'\nsource = 'lavfi:testsrc'", 'video.encoder = "copy": a filter graph'),
        ("[video]\nencoder = 'copy'\npreset = 'fast'", 'video.encoder = "copy", video.preset: what is copied'),
        ("[video]\nsource = 'lavfi:x'\npixel_format = 'nv12'", "video.pixel_format: is asked of v4l2 cameras only"),
        ("[video]\nsource = 'exec:camera'", "video.format, video.source: format says what an exec: program writes"),
        ("[video]\nformat = 'nut'", "video.format, video.source: format says what an exec: program writes"),
        (
            "[video]\nsource = 'exec:camera'\nformat = 'yuv4mpegpipe'\nencoder = 'copy'",
            'video.encoder = "copy", video.format = "yuv4mpegpipe": raw frames have to be encoded',
        ),
        (
            "[video]\nsource = 'exec:camera'\nformat = 'h264'\n[audio]\nsource = 'video'",
            'audio.source = "video", video.format = "h264": this format carries no audio',
        ),
        ("[video]\nrtsp_transport = 'udp'", "video.rtsp_transport: is for cameras at rtsp://…"),
        (
            "[video]\nsource = 'rtsps://h/live'\nrtsp_transport = 'udp'",
            'video.rtsp_transport = "udp": would leave TLS',
        ),
        ("[audio]\nsource = 'video'", 'audio.source = "video": a v4l2 camera carries no audio'),
        ("[audio]\npre_event = true", 'audio.pre_event = true: there is no audio to keep: audio.source is ""'),
        ("[loop]\nmax_bytes = 900_000", "loop.max_bytes = 900000: is less than two groups of pictures, 1000000 bytes"),
        (
            "[loop]\nmax_bytes = 67_108_865",
            "storage.backlog_bytes = 67108864, loop.max_bytes = 67108865: the backlog must",
        ),
        ("[power]\ncritical_percent = 15", "power.critical_percent = 15, power.warn_percent = 15: the critical level"),
    ],
)
def test_values_that_contradict_each_other_name_both_keys(text: str, expected: str) -> None:
    assert refused(text).startswith(expected)


def test_a_group_of_pictures_longer_than_a_fifth_of_the_loop_is_refused_at_its_exact_border() -> None:
    text = "[video]\nkeyframe_s = {}\n[recording]\nsegment_s = 10"
    assert parse(text.format("6.0"), "x").video.keyframe_s == 6
    assert "loop.seconds = 30" in refused(text.format("6.001"))


def test_copied_pictures_are_not_stamped_by_default() -> None:
    assert parse("[video]\nencoder = 'copy'", "x").video.stamp is False
    assert parse("", "x").video.stamp is True


@pytest.mark.parametrize("text", ["", "# nothing\n", "[video]\n", "profile = ''\n"])
def test_everything_has_a_default(text: str) -> None:
    assert parse(text, "x") == Config()


def test_the_files_name_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "bwvd.toml"
    path.write_text("[loop]\nsecond = 30\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: loop.second: unknown key; did you mean seconds?"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no such file"),
        (b"a = 1\nb = '\xff'", "line 2: not UTF-8 (byte 0xff)"),
        (b"#" * 1_048_577, "is larger than 1048576 bytes: not a configuration file"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "bwvd.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {expected}"


def test_a_folder_and_an_impossible_name_are_refused_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "a\nb", tmp_path / "a\0b", tmp_path / ("x" * 300)):
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert str(caught.value).isprintable()


def test_the_digest_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bwvd.toml"
    content = b"# d\xc3\xa9j\xc3\xa0 vu\r\n[loop]\r\nseconds = 20\r\n"
    path.write_bytes(content)
    assert digest(read(path)) == hashlib.sha256(content).hexdigest()
    assert load(path).loop.seconds == 20
