"""A program that writes numbered video to its stdout, for `exec:` sources, and does what programs do wrong.

python -m tests.support.program_camera h264 --rate 50 --gop 10 --plug FILE --fault hang@30
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.video.frame import PictureType
from av.video.stream import VideoStream

from bwvd.testing.picture import draw_number

WIDTH, HEIGHT = 64, 48
FRAME_BYTES = 20  # what is shorter is no frame, but the line before one
TS_PACKET_BYTES = 188
OFFSET_S = 1000  # where the program's own times begin: its clock is not ours


def command(form: str, *, rate: int = 50, gop: int = 10, plug: Path | None = None, fault: str = "", b: int = 0) -> str:
    """The value of `video.source`."""
    words = [sys.executable, "-m", "tests.support.program_camera", form, "--rate", str(rate), "--gop", str(gop)]
    words += ["--b-frames", str(b)]
    if plug is not None:
        words += ["--plug", f"'{plug}'"]
    if fault:
        words += ["--fault", fault]
    return "exec:" + " ".join(words)


def _encoder(rate: int, b_frames: int) -> av.VideoCodecContext:
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 90_000), Fraction(rate)
    context.gop_size, context.max_b_frames, context.thread_count = 1 << 20, b_frames, 1
    params = f"scenecut=0:open-gop=0:repeat-headers=1:bframes={b_frames}:b-adapt=0:rc-lookahead=0:qp=20"
    context.options = {"preset": "ultrafast", "forced-idr": "1", "x264-params": params}
    if not b_frames:
        context.options |= {"tune": "zerolatency"}
    return context


def _writer(form: str, rate: int, b_frames: int, out: _Torn) -> Callable[[av.VideoFrame], None]:
    if form == "yuv4mpegpipe":
        out.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{rate}:1 Ip A1:1 C420jpeg\n".encode())

        def write_raw(frame: av.VideoFrame) -> None:
            out.write(b"FRAME\n")
            for plane in frame.planes:
                rows = memoryview(plane)
                starts = range(0, plane.height * plane.line_size, plane.line_size)
                out.writelines(rows[start : start + plane.width] for start in starts)
            out.flush()

        return write_raw
    context = _encoder(rate, b_frames)
    if form == "h264":

        def write_coded(frame: av.VideoFrame) -> None:
            out.writelines(bytes(packet) for packet in context.encode(frame))
            out.flush()

        return write_coded
    container = av.open(out, "w", format=form, options={"flush_packets": "1"})
    stream: Any = container.add_stream("libx264", rate=rate, options=context.options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    stream.codec_context.gop_size, stream.codec_context.thread_count = 1 << 20, 1
    stream.codec_context.max_b_frames = b_frames
    stream.time_base = stream.codec_context.time_base = Fraction(1, 90_000)

    def write_muxed(frame: av.VideoFrame) -> None:
        for packet in stream.encode(frame):
            container.mux(packet)
        out.flush()

    return write_muxed


class _Torn:
    """A pipe of a program that is killed in the middle of what it writes next."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.torn = False
        self.half = False  # of the next frame only a part is written, and then the one behind it

    def write(self, data: bytes) -> int:
        if self.torn and len(data) > FRAME_BYTES:
            whole = len(data) // TS_PACKET_BYTES * TS_PACKET_BYTES
            # Of an MPEG-TS, at the end of one of its packets: to a reader, the frame only seems to be shorter.
            self._out.write(bytes(data)[: whole - TS_PACKET_BYTES if whole == len(data) else len(data) * 3 // 4])
            self._out.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.half and len(data) > FRAME_BYTES:
            self.half = False
            data = bytes(data)[: len(data) // 2]
        return self._out.write(data)

    def writelines(self, parts: Iterable[bytes | memoryview]) -> None:
        self.write(b"".join(parts))

    def flush(self) -> None:
        self._out.flush()

    def fileno(self) -> int:
        return self._out.fileno()


def _fault(name: str, out: _Torn) -> None:
    match name:
        case "torn":
            out.torn = True
        case "half":
            out.half = True
        case "exit":
            print("\x1b[31mERROR: the sensor has gone\x1b[0m", file=sys.stderr)
            os._exit(3)
        case "hang":
            time.sleep(3600)
        case "flood":
            for line in range(20_000):
                print(f"warning {line}: " + "x" * 60, file=sys.stderr)
        case "binary":
            sys.stderr.buffer.write(b"\xff\xfe\x00\x01" * 64 + b"\n")
            sys.stderr.flush()
        case "close":
            os.close(out.fileno())
            time.sleep(3600)
        case "child":  # one of its own, that would live on
            subprocess.Popen(["sleep", "3600"], stdout=subprocess.DEVNULL)
        case "deaf":  # does not end when it is asked to
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "garbage":
            out.write(os.urandom(4096))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("format")
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--gop", type=int, default=10)
    parser.add_argument("--b-frames", type=int, default=0)
    parser.add_argument("--plug", type=Path)
    parser.add_argument("--fault", default="")
    options = parser.parse_args()
    fault, _, fault_at = options.fault.partition("@")
    if options.plug is not None and not options.plug.exists():
        sys.exit("ERROR: no camera is attached")
    out = _Torn(open(1, "wb", closefd=False))  # noqa: SIM115 - a descriptor
    write = _writer(options.format, options.rate, options.b_frames, out)
    began_s = time.monotonic()
    number = 0
    while options.plug is None or options.plug.exists():
        if fault and number == int(fault_at):
            _fault(fault, out)
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        draw_number(frame, number)
        frame.pts, frame.time_base = OFFSET_S * 90_000 + number * 90_000 // options.rate, Fraction(1, 90_000)
        frame.pict_type = PictureType.NONE if number % options.gop else PictureType.I
        write(frame)
        number += 1
        if fault == "hurry":
            continue
        time.sleep(max(began_s + number / options.rate - time.monotonic(), 0))
    sys.exit("ERROR: the camera was pulled")


if __name__ == "__main__":
    main()
