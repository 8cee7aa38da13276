"""A stream and its packets, made of access units that were found without libav."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from bwvd.capture.libav_errors import why
from bwvd.capture.source import DeviceLost
from bwvd.clock import NS

NANOSECONDS = Fraction(1, NS)


def stream_of(unit: bytes, shown: str) -> InputContainer:
    """A container whose one stream knows what H.264 needs to be known: the size, and the parameter sets.

    unit: an access unit with its parameter sets. Raises: DeviceLost where it is none.
    """
    try:
        container = av.open(io.BytesIO(unit), "r", format="h264")
    except (av.FFmpegError, ValueError) as error:
        raise DeviceLost(f"{shown} gives no H.264: {why(error)}") from error
    if not container.streams.video or not container.streams.video[0].width:
        container.close()
        raise DeviceLost(f"{shown} gives no H.264 that can be decoded")
    return container


def packet_of(stream: VideoStream, data: bytes, at_ns: int | None, *, key: bool) -> Packet[Any]:
    """A packet whose times, where it has any, are CLOCK_MONOTONIC in ns."""
    packet: Packet[Any] = Packet(data)
    packet.stream = stream
    packet.pts = packet.dts = at_ns
    packet.is_keyframe = key
    return packet
