"""A numbered clip that has the bit rate of a real camera: noise above the numbers, coded at a constant rate."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from bwvd.testing.picture import draw_number

WIDTH, HEIGHT = 256, 144


def heavy_clip(path: Path, frames: int, *, rate: int, gop_s: float, bitrate: int) -> None:
    """Write an H.264 MP4 of `bitrate` bits a second whose frames carry the numbers 0 … `frames - 1`."""
    chance = random.Random(1)
    noise = [chance.randbytes(WIDTH * HEIGHT // 2) for _ in range(16)]
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "x264-params": "scenecut=0:open-gop=0:nal-hrd=cbr"}
        video = container.add_stream("libx264", rate=rate, options=options)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = video.codec_context
        context.gop_size = round(rate * gop_s)
        context.max_b_frames = 0
        context.thread_count = 1
        context.bit_rate = bitrate
        context.options = {**context.options, "maxrate": str(bitrate), "bufsize": str(bitrate)}
        for index in range(frames):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            draw_number(frame, index)
            plane = frame.planes[0]
            luma = bytearray(plane)
            grain = noise[index % len(noise)]
            for y in range(HEIGHT // 2):
                luma[y * plane.line_size : y * plane.line_size + WIDTH] = grain[y * WIDTH : (y + 1) * WIDTH]
            plane.update(bytes(luma))
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
