"""What people, programs and cameras say: configuration, requests, serial lines, access units."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

from bwvd.config.load import load
from bwvd.config.schema import ConfigError
from bwvd.controls.serial_protocol import (
    MAX_LINE_BYTES,
    ErrorLimit,
    LineReader,
    NotUnderstood,
    parse_line,
)
from bwvd.controls.socket_protocol import ORDERS, BadRequest, encode_reply, error_reply, parse_order, parse_request
from bwvd.media.nal import NalForm, prefixed_room, write_prefixed
from tests.fuzz.target import Target, hold, one_line, scratch


def requests(data: bytes) -> None:
    try:
        name, request = parse_request(data)
        if name in ORDERS:
            _, text = parse_order(name, request)
            hold(text.isprintable(), "an order of more than one line")
    except BadRequest as error:
        encode_reply(error_reply(one_line(error)))


def requests_seeds() -> Iterable[bytes]:
    for name, (_, key) in ORDERS.items():
        yield json.dumps({"cmd": name, **({key: "a \U0001f6aa"} if key else {})}).encode()
    yield b'{"cmd":"mark","label":"\\ud800"}'
    yield '{"cmd":"stop"}'.encode("utf-16")
    yield b'{"cmd":"mark","label":' + b"9" * 5000 + b"}"
    yield b"[" * 60_000
    yield b'{"cmd":"mark","\\u001b' + b"x" * 60_000 + b'":1}'
    yield b'{"a":' * 10_000


def serial(data: bytes) -> None:
    whole, cut = LineReader(), LineReader()
    said = whole.feed(data)
    pieces = [piece for at in range(0, len(data), 7) for piece in cut.feed(data[at : at + 7])]
    hold(said == pieces, "what a line says depends on how it arrives")
    limit = ErrorLimit()
    for at_ns, one in enumerate(said):
        if isinstance(one, NotUnderstood):
            answer = limit.line(one.reason, at_ns * 1_000_000)
            hold(answer is None or (len(answer) <= MAX_LINE_BYTES and answer.isascii()), "an answer that is no line")
    parse_line(data)


def serial_seeds() -> Iterable[bytes]:
    yield b"RECORD\r\nstop\nMARK a door\rOFFICER 4711\n STATUS \nPING\nHELP\n"
    yield b"SLEEP\nWAKE\r\n\r\nMUTE\nUNMUTE x\n\n"
    yield b"MARK " + b"x" * 251 + b"\n" + b"MARK " + b"x" * 252 + b"\r\nPING\n"
    yield bytes(range(256)) * 8
    yield b"x\n" * 30_000


def nal(data: bytes) -> None:
    codec = "hevc" if data[:1] > b"\x7f" else "h264"
    extradata = {0: None, 1: b"\0\0\1x", 2: bytes([1]) * 30, 3: b"\1"}.get((data[0] & 3) if data else 0)
    if data and data[0] & 4:
        extradata = bytes([1]) + bytes([data[0] >> 3 & 3]) * 30
    unit = data[1:]
    form = NalForm.of(codec, extradata)  # type: ignore[arg-type]  # one of the two, but mypy sees a str
    try:
        looked = form.look(unit, reordered=bool(data and data[0] & 0x40))
    except ValueError as error:
        one_line(error)
        return
    spans = form.units(unit)
    hold(form.look(unit, bool(data and data[0] & 0x40), spans=spans) == looked, "other units that are looked at")
    form.parameter_sets(unit, spans)
    ends = [0, *(end for _, end in spans)]
    ordered = all(end <= start < stop for end, (start, stop) in zip(ends, spans, strict=False))
    hold(ordered and ends[-1] <= len(unit), "units that overlap")
    if not form.length_bytes:
        room = memoryview(bytearray(prefixed_room(len(unit))))
        written = write_prefixed(unit, spans, room)
        again = NalForm(form.codec, 4).units(bytes(room[:written]))
        hold([bytes(room[a:b]) for a, b in again] == [unit[a:b] for a, b in spans], "units that changed")


def nal_seeds() -> Iterable[bytes]:
    h264 = b"\0\0\0\1\x67\x42\x0a" + b"\0\0\1\x68\xce" + b"\0\0\1\x65\x88\x84\0\0\3\0" + b"\0\0\1\x41\x9a\0\0"
    hevc = b"\0\0\1\x40\1" + b"\0\0\1\x42\1" + b"\0\0\1\x44\1" + b"\0\0\1\x2a\1\xaf"
    yield b"\0" + h264
    yield b"\x80" + hevc
    yield b"\xc0" + hevc
    for size in range(1, 5):
        head = bytes([4 | (size - 1) << 3])
        yield head + b"".join(len(nal).to_bytes(size, "big") + nal for nal in (b"\x67\x42", b"\x65\x88\0", b""))
    yield b"\0" + bytes(65_000)
    yield b"\0" + b"\0\0\1" * 20_000
    yield b"\0" + b"\0\0\1\x65" * 16_000


def config(data: bytes) -> None:
    path = scratch() / "bwvd.toml"
    path.write_bytes(data)
    try:
        load(path)
    except ConfigError as error:
        hold(one_line(error).startswith(f"{path}"), "the file is not named")


FULL = """
profile = "met-2014"
[device]
id = "BWV-0001"
[video]
source = "v4l2:/dev/video0"
size = "1280x720"
rate = 25
encoder = "auto"
bitrate = 4_000_000
keyframe_s = 1.0
stamp = true
[audio]
source = "alsa:default"
pre_event = false
[loop]
seconds = 30
max_bytes = 67_108_864
[recording]
segment_s = 1.0
post_roll_s = 10
[storage]
path = "/var/lib/bwvd"
[keys]
signing = "/etc/bwvd/device_key"
recipients = ["age1x"]
[socket]
path = "/run/bwvd/control.sock"
[[gpio]]
chip = "/dev/gpiochip0"
line = 17
mode = "switch"
[[input]]
device = "/dev/input/event0"
key = "KEY_RECORD"
[[serial]]
port = "/dev/ttyS1"
button = "cts"
[[led]]
[[haptic]]
[[tone]]
"""


def config_seeds() -> Iterable[bytes]:
    yield b""
    yield FULL.encode()
    for table in FULL.split("\n["):
        yield b"[" + table.encode()
    yield b'video = {source = "rtsp://u:p@h/x", "\\u001b" = 1}\n'
    yield b"a = [1979-05-27T07:32:00Z, 07:32:00, +inf, nan, 0xff, 1e9999, " + b"9" * 5000 + b"]\n"
    yield b"a = \"\"\"\\\n  \\U0010FFFF\"\"\"\nb = '''x'''\n"
    yield b"x = " + b"[" * 30_000
    yield b"x = " + b"{a=" * 20_000
    yield b"a" + b".a" * 32_000 + b" = 1\n"
    yield b"[a" + b".a" * 32_000 + b"]\n"
    yield b"v = {" + b"'a' . " * 10_000 + b"a = 1}\n"
    yield b"[[gpio]]\n" * 7000
    yield b"".join(b"[a%d]\n" % number for number in range(8000))
    yield b"\xef\xbb\xbf[video]\n"
    yield b'[video]\nsource = "\xff"\n'


WORDS = (
    *(word.encode() for word in FULL.split()),
    *(b"0", b"-1", b"1e99", b"nan", b"inf", b"true", b'""', b"[]", b"{}", b"[[", b"]]", b"'''", b"9" * 30, b"\n", b"="),
)


def mutate_config(data: bytes, seed: int) -> bytes:
    """Exchange, add or drop words of lines."""
    chosen = random.Random(seed)
    lines = data.split(b"\n")
    at = chosen.randrange(len(lines))
    words = lines[at].split(b" ")
    match chosen.randrange(4):
        case 0:
            words[chosen.randrange(len(words))] = chosen.choice(WORDS)
        case 1:
            words.insert(chosen.randrange(len(words) + 1), chosen.choice(WORDS))
        case 2:
            words.pop(chosen.randrange(len(words)))
        case _:
            lines.insert(chosen.randrange(len(lines) + 1), chosen.choice(FULL.split("\n")).encode())
    lines[at] = b" ".join(words)
    return b"\n".join(lines)


TARGETS = (
    Target("requests", requests, requests_seeds, weight=0.5),
    Target("serial", serial, serial_seeds, weight=0.5),
    Target("nal", nal, nal_seeds, weight=0.5),
    Target("config", config, config_seeds, mutate_config, weight=1.5),
)
