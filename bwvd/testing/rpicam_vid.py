"""A program in the place of rpicam-vid: the same options, files, metadata, messages, exit codes, faults.

    python -m bwvd.testing.rpicam_vid --timeout 0 --codec h264 --inline --output FIFO.h264 --metadata FIFO …

Written from the published source of rpicam-apps 1.9 to 1.13: apps/rpicam_vid.cpp, core/options.cpp,
core/video_options.hpp, output/*.cpp, encoder/*.cpp. Its frames carry numbers (`bwvd.testing.picture`). What the board
and the camera are like, and what goes wrong, stands in one variable of the environment, `FAKE_RPICAM`, as JSON
(`Board`); `script` writes a program that sets it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.video.frame import PictureType

from bwvd.testing.picture import draw_number

# Every option of rpicam-vid, and whether it takes a value: "" = always, a default for one that may stand alone.
ALWAYS = ""
OPTIONS: dict[str, str] = {
    **dict.fromkeys(("help", "version", "list-cameras", "nopreview", "fullscreen", "qt-preview", "hflip", "vflip",
                     "flush", "lores-par", "no-raw", "inline", "listen", "keypress", "signal", "split", "libav-audio",
                     "low-latency"), "true"),
    **dict.fromkeys(("camera", "info-text", "width", "height", "timeout", "output", "post-process-file",
                     "post-process-libs", "preview", "preview-libs", "preview-backend", "rotation", "roi", "shutter",
                     "analoggain", "gain", "metering", "exposure", "ev", "awb", "awbgains", "ccm", "wrap", "brightness",
                     "contrast", "saturation", "sharpness", "framerate", "denoise", "viewfinder-width",
                     "viewfinder-height", "tuning-file", "lores-width", "lores-height", "mode", "viewfinder-mode",
                     "buffer-count", "viewfinder-buffer-count", "autofocus-mode", "autofocus-range", "autofocus-speed",
                     "autofocus-window", "lens-position", "metadata", "metadata-format", "flicker-period", "bitrate",
                     "profile", "level", "intra", "codec", "encoder-libs", "save-pts", "quality", "initial", "segment",
                     "frames", "libav-video-codec", "libav-video-codec-opts", "libav-format", "audio-codec",
                     "audio-source", "audio-device", "audio-channels", "audio-bitrate", "audio-samplerate", "av-sync",
                     "sync"), ALWAYS),
    "verbose": "2", "config": "config.txt", "hdr": "auto", "circular": "4",
}  # fmt: skip
SHORT = {
    "h": "help", "v": "verbose", "c": "config", "t": "timeout", "o": "output", "n": "nopreview", "p": "preview",
    "f": "fullscreen", "b": "bitrate", "g": "intra", "q": "quality", "l": "listen", "k": "keypress", "s": "signal",
    "i": "initial",
}  # fmt: skip
FAILED = 255  # main returns -1
LATE_S = 0.012  # from the begin of a frame to its end in the encoder
FRAMES_HELD = 5  # by libx264's threads on a board of four cores
# How far it falls behind its sensor at most. Frames wait in a handful of buffers, and while none is free those of the
# sensor are lost; one that runs beside other tests is given longer than that.
MOST_BEHIND_S = 1.0


@dataclass(frozen=True, slots=True)
class Board:
    """What the program runs on, and what goes wrong there. `at` counts frames."""

    platform: str = "vc4"  # "vc4": Pi 4, 3, Zero 2 W, with an encoder | "pisp": Pi 5, without
    model: str = "imx708_wide"
    plug: str = ""  # a file: while it is not there, no camera is
    lock: str = ""  # a file that the camera's user locks
    orders: str = ""  # a file: the fault that stands in it strikes at the next frame, and the file is gone
    fault: str = ""
    at: int = 0
    count: int = 1  # frames or lines that the fault takes


class _Failed(Exception):
    """What the real program throws as std::runtime_error."""


def script(folder: Path, board: Board, name: str = "rpicam-vid") -> str:
    """Write a program of that name into a folder, which runs this with `board`. Returns its path."""
    path = folder / name
    settings = json.dumps(asdict(board))
    path.write_text(
        f"#!/bin/sh\nexport FAKE_RPICAM='{settings}'\nexport PYTHONPATH='{Path(__file__).parents[2]}'\n"
        f'exec "{sys.executable}" -m bwvd.testing.rpicam_vid "$@"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(path)


# --- options ---------------------------------------------------------------------------------------------------------


def parse(words: list[str]) -> dict[str, str]:
    """As boost's parser: long options, also begun ones, `=`, short ones with the value behind them. Raises: _Failed."""
    found: dict[str, str] = {}
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            whole = [name] if name in OPTIONS else [known for known in OPTIONS if name and known.startswith(name)]
            if len(whole) > 1:
                raise _Failed(f"option '{word}' is ambiguous and matches different versions of …")
            if not whole:
                raise _Failed(f"unrecognised option '{word}'")
            name = whole[0]
        elif word.startswith("-") and len(word) > 1 and word[1] in SHORT:
            name, equals, value = SHORT[word[1]], word[2:], word[2:]
        elif word.startswith("-"):
            raise _Failed(f"unrecognised option '{word}'")
        else:
            raise _Failed("too many positional options have been specified on the command line")
        if not equals:
            alone = OPTIONS[name]
            taken = rest and (alone == ALWAYS or not rest[0].startswith("-"))
            if not taken and alone == ALWAYS:
                raise _Failed(f"the required argument for option '--{name}' is missing")
            value = rest.popleft() if taken else alone
        if name in found:
            raise _Failed(f"option '--{name}' cannot be specified more than once")
        found[name] = value
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _list(board: Board) -> None:
    if not _there(board):
        print("No cameras available!")
        return
    print("Available cameras\n-----------------")
    print(f"0 : {board.model} [4608x2592 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx708@1a)")
    print("    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.13 fps - (768, 432)/3072x1728 crop]")
    print("                             4608x2592 [14.35 fps - (0, 0)/4608x2592 crop]\n")


def _there(board: Board) -> bool:
    return not board.plug or Path(board.plug).exists()


# --- frames ----------------------------------------------------------------------------------------------------------


class _Encoder:
    """H.264 with start codes: a hardware encoder that gives each frame at once, or libx264 with its threads' delay."""

    def __init__(self, options: dict[str, str], width: int, height: int, rate: Fraction, board: Board) -> None:
        self._intra = int(options.get("intra", "0")) or (60 if board.platform == "vc4" else max(int(rate), 1))
        soft = board.platform != "vc4"
        given = dict(pair.split("=") for pair in options.get("libav-video-codec-opts", "").split(";") if pair)
        b_frames = int(given.get("bf", "1")) if soft else 0
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, av.VideoCodecContext)  # noqa: S101 - narrows the type
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = Fraction(1, 1_000_000), rate
        context.bit_rate = int(options.get("bitrate", "0")) or 4_000_000
        context.gop_size, context.max_b_frames, context.thread_count = 1 << 20, b_frames, 1
        context.options = {
            "preset": "ultrafast",
            "forced-idr": "1",
            "x264-params": f"scenecut=0:open-gop=0:repeat-headers=1:bframes={b_frames}:b-adapt=0:rc-lookahead=0",
        } | ({} if b_frames else {"tune": "zerolatency"})
        self._context = context
        self._held: deque[bytes] = deque()
        self._delay = FRAMES_HELD if soft and "low-latency" not in options else 0
        self._number = 0

    def encode(self, frame: av.VideoFrame) -> list[bytes]:
        frame.pict_type = PictureType.NONE if self._number % self._intra else PictureType.I
        self._number += 1
        self._held.extend(bytes(packet) for packet in self._context.encode(frame))
        return [self._held.popleft() for _ in range(len(self._held) - self._delay)]

    def flush(self) -> list[bytes]:
        return [*self._held, *(bytes(packet) for packet in self._context.encode(None))]


def _raw(frame: av.VideoFrame) -> bytes:
    rows = []
    for plane in frame.planes:
        view = memoryview(plane)
        rows += [view[at : at + plane.width] for at in range(0, plane.height * plane.line_size, plane.line_size)]
    return b"".join(rows)


class _Output:
    """output.cpp and file_output.cpp: a frame, then its metadata; the file is opened with its first frame."""

    def __init__(self, options: dict[str, str], board: Board, elementary: bool) -> None:
        self._options = options
        self.board = board  # as it is now
        self._elementary = elementary  # else libav writes the file, and there is no metadata
        self._file: BinaryIO | None = None
        self._metadata: BinaryIO | None = None
        self._queue: deque[int] = deque()
        self._frames = self._lines = 0
        where = options.get("metadata", "")
        if where:
            self._metadata = sys.stdout.buffer if where == "-" else Path(where).open("wb")  # noqa: SIM115 - kept

    def has(self, stamp_ns: int) -> None:
        """The encoder has done with a frame's buffer: its metadata waits."""
        self._queue.append(stamp_ns)

    def write(self, data: bytes) -> None:
        if self._file is None:
            where = self._options.get("output", "")
            self._file = sys.stdout.buffer if where == "-" else Path(where % ()).open("wb")  # noqa: SIM115 - kept
        number, self._frames = self._frames, self._frames + 1
        if not self._faulty("no_frame", number):
            self._file.write(data)
            if "flush" in self._options:
                self._file.flush()
        if self._metadata is None or not self._elementary:
            return
        stamp_ns = self._queue.popleft()
        if self._faulty("no_line", number) or (self.board.fault == "no_lines" and number >= self.board.at):
            return
        self._metadata.write(_metadata(stamp_ns, self._options.get("metadata-format", "json")))
        self._metadata.flush()

    def _faulty(self, fault: str, number: int) -> bool:
        return self.board.fault == fault and self.board.at <= number < self.board.at + self.board.count


def _metadata(stamp_ns: int, form: str) -> bytes:
    values = {
        "FocusFoM": "1234", "AeState": "2", "ColourGains": "[ 2.121212, 1.818181 ]", "FrameDuration": "33333",
        "SensorTimestamp": str(stamp_ns), "ColourCorrectionMatrix": "[ " + ", ".join(["1.000000"] * 9) + " ]",
        "ExposureTime": "16630", "AnalogueGain": "2.000000", "Lux": "118.421051", "ScalerCrop": "(0, 0)/4608x2592",
    }  # fmt: skip
    if form == "txt":
        return "".join(f"{name}={value}\n" for name, value in values.items()).encode() + b"\n"
    return json.dumps(values).encode()


# --- the program -----------------------------------------------------------------------------------------------------


def _stamps(rate: Fraction, board: Board) -> Iterator[int]:
    """When the sensor begins each frame: ns of CLOCK_BOOTTIME."""
    began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 20_000_000
    number = 0
    while True:
        behind_s = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - began_ns) / 1e9 - number / rate
        if behind_s > MOST_BEHIND_S:
            number += int(behind_s * rate)
        if board.fault == "dropped" and board.at <= number < board.at + board.count:
            number += 1
            continue
        yield began_ns + int(number * 1_000_000_000 / rate)
        number += 1


def _ordered(board: Board, number: int) -> Board:
    """The board from this frame on: with another fault, where one was ordered."""
    try:
        fault = Path(board.orders).read_text() if board.orders else ""
    except FileNotFoundError:
        return board
    if not fault:  # it is being written
        return board
    Path(board.orders).unlink()
    return replace(board, fault=fault, at=number)


def _strike(board: Board, number: int) -> None:
    """What goes wrong at a frame."""
    if not board.fault or number != board.at:
        return
    match board.fault:
        case "timeout":  # the sensor does not answer: libcamera gives up on it again and again
            while True:
                _say("ERROR: Device timeout detected, attempting a restart!!!")
                time.sleep(1)
        case "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hangs":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            time.sleep(3600)
        case "floods":
            for line in range(20_000):
                _say(f"[0:12:{line % 60:02d}.000000000] [1234]  WARN V4L2 v4l2_videodevice.cpp:2007 frame dropped")


def _run(options: dict[str, str], board: Board) -> None:
    width, height = int(options.get("width", "0")) or 640, int(options.get("height", "0")) or 480
    rate = Fraction(options.get("framerate", "30")).limit_denominator(1001)
    codec = options.get("codec", "h264").lower()
    if codec not in ("h264", "yuv420", "mjpeg", "libav"):
        raise _Failed(f"unrecognised codec {codec}")
    if options.get("metadata-format", "json") not in ("json", "txt"):
        raise _Failed(f"unrecognised metadata format {options['metadata-format']}")
    where = options.get("output", "")
    libav = codec == "libav" or (codec == "h264" and board.platform != "vc4")
    elementary = not libav or (options.get("libav-format", "h264") == "h264" and where.endswith("264"))
    output = _Output(options, board, elementary)
    if not _there(board):
        raise _Failed("no cameras available")
    if int(options.get("camera", "0")):
        raise _Failed("selected camera is not available")
    held = Path(board.lock).open("w") if board.lock else None  # noqa: SIM115 - kept
    if held is not None:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _say("[0:12:34.567890123] [1234] ERROR V4L2 v4l2_device.cpp:390 'imx708_wide': Device or resource busy")
            raise _Failed("failed to acquire camera /base/soc/i2c0mux/i2c@1/imx708@1a") from None
    _say(f"Mode selection for {width}:{height}:12:P({rate})")
    _say(f"[0:12:34.567890123] [1234]  INFO Camera camera.cpp:1202 configuring streams: (0) {width}x{height}-YUV420")
    if libav:
        if not elementary and options.get("save-pts"):
            raise _Failed("libav: Incompatible options selected.")
        if where == "-" and "libav-format" not in options:
            raise _Failed("libav: cannot allocate output context, try setting with --libav-format")
    encoder = None if codec == "yuv420" else _Encoder(options, width, height, rate, board)
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGINT, stop)
    for number, stamp_ns in enumerate(_stamps(rate, board)):
        board = output.board = _ordered(board, number)
        _strike(board, number)
        done_ns = stamp_ns + int(1_000_000_000 / rate) + int(LATE_S * 1e9)
        time.sleep(max(done_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME), 0) / 1e9)
        if not _there(board):
            time.sleep(3600)  # frames stop; nothing else is said
        frame = av.VideoFrame(width, height, "yuv420p")
        draw_number(frame, number)
        frame.pts, frame.time_base = (stamp_ns // 1000), Fraction(1, 1_000_000)
        output.has(stamp_ns)
        for data in [_raw(frame)] if encoder is None else encoder.encode(frame):
            output.write(data)
        if stopped:
            break
    for data in encoder.flush() if encoder is not None else []:
        output.write(data)


def main() -> None:
    """As main of rpicam_vid.cpp: never returns."""
    board = Board(**json.loads(os.environ.get("FAKE_RPICAM", "{}")))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        options = parse(sys.argv[1:])
        if "list-cameras" in options:
            _list(board)
        elif "version" in options:
            print("rpicam-apps build: v1.9.1 (a fake)")
        else:
            _run(options, board)
    except _Failed as failed:
        _say(f"ERROR: *** {failed} ***")
        os._exit(FAILED)
    except BrokenPipeError:  # thrown in the encoder's thread, where nobody catches it
        _say("terminate called after throwing an instance of 'std::runtime_error'")
        _say("  what():  failed to write output bytes")
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.abort()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
