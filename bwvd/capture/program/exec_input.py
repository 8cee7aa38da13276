"""Any program that writes video to its stdout (`video.source = "exec:COMMAND"`).

The command is a list of arguments: no shell sees it. What has times of its own (MPEG-TS, NUT) is read by libav and
keeps them; raw H.264 and raw frames have none, and get those at which they come (`ArrivalBeat`).
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from bwvd.capture.address import Address
from bwvd.capture.input import Input, Packets
from bwvd.capture.libav_errors import why
from bwvd.capture.program.annexb import AccessUnit, AccessUnitSplitter, NotAnnexB
from bwvd.capture.program.arrival_beat import ArrivalBeat
from bwvd.capture.program.child import PIPE_BYTES, Child
from bwvd.capture.program.coded_stream import NANOSECONDS, packet_of, stream_of
from bwvd.capture.program.live import COUNTED, STAMPED, LiveWatch
from bwvd.capture.program.whole_frames import WholeFrames
from bwvd.capture.source import DeviceLost, SourceRefused, Stopped
from bwvd.capture.timestamps import TimeBase, to_ns
from bwvd.clock import NS
from bwvd.config.schema import Config

_LOOKED_AT = {  # by libav, before the first packet: a stream may have more tracks than those seen so far
    "mpegts": {"analyzeduration": "1000000"},
    "nut": {"analyzeduration": "1000000"},
    "yuv4mpegpipe": {"probesize": "32", "analyzeduration": "0"},
}
_WAITED = 60  # raw frames, at most, that are left out because they were there already when it was opened
_LIVE_NS = 2_000_000  # a read that had to wait for so long
_BEFORE_KEY = 1_000  # access units, at most, before the first one with parameter sets


def open_program(address: Address, config: Config, stopping: Callable[[], bool]) -> Input:
    """Start the program and read until its first frame.

    stopping: asked while nothing comes. Raises: DeviceLost, SourceRefused; Stopped, when `stopping` says so.
    """
    child = Child(shlex.split(address.target), address.text, address.key, stopping)
    try:
        if config.video.format == "h264":
            return _open_h264(child, address.key, config)
        return _open_container(child, address.key, config.video.format, config)
    except BaseException:
        child.end()
        raise


def _open_h264(child: Child, key: str, config: Config) -> Input:
    units = _Units(child)
    first = next((unit for _, unit in zip(range(_BEFORE_KEY), units, strict=False) if unit.key), None)
    if first is None:
        raise DeviceLost(f"{child.shown} gives no H.264: {_BEFORE_KEY} frames without parameter sets")
    container = stream_of(first.data, child.shown)
    rate = Fraction(config.video.rate).limit_denominator(1001)
    watch = LiveWatch(child.shown, key, COUNTED)
    judge = WholeFrames() if config.video.encoder == "copy" else None  # else our own decoder notices
    packets = _stamped_units(container.streams.video[0], chain([first], units), rate, child.shown, watch, judge)
    return Input(container, packets, child, NANOSECONDS, rate)


class _Units:
    """The access units that a program writes."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._splitter = AccessUnitSplitter()
        self._ready: list[AccessUnit] = []

    def __iter__(self) -> _Units:
        return self

    def __next__(self) -> AccessUnit:
        while not self._ready:
            data = self._child.read(PIPE_BYTES)
            if not data:  # nothing says that the last one is whole: it is left out
                raise DeviceLost(self._child.why_ended())
            try:
                self._ready = self._splitter.feed(data, time.monotonic_ns())
            except NotAnnexB as error:
                raise DeviceLost(f"{self._child.shown} gives no H.264: {error}") from error
        return self._ready.pop(0)


def _stamped_units(
    stream: VideoStream,
    units: Iterator[AccessUnit],
    rate: Fraction,
    shown: str,
    watch: LiveWatch,
    judge: WholeFrames | None,
) -> Packets:
    beat = ArrivalBeat(int(NS / rate))
    for unit in units:
        watch.given(int(NS / rate), unit.at_ns)
        if unit.bidirectional:
            raise SourceRefused(
                f'video.format: {shown} gives B-frames, and "h264" does not say when they are shown: let it give none, '
                'or write "nut" or "mpegts"'
            )
        packet = packet_of(stream, unit.data, beat.place(unit.at_ns), key=unit.key)
        if judge is not None and not judge.is_whole(unit.data):
            packet.is_corrupt = True
        yield packet


class _Pipe:
    """A program's stdout as the file that libav reads. It must not raise there: libav would read on, and print."""

    def __init__(self, child: Child) -> None:
        self.failure: DeviceLost | Stopped | None = None
        self._child = child

    def read(self, limit: int) -> bytes:
        if self.failure is not None:
            return b""
        try:
            data = self._child.read(limit)
            if not data:
                self.failure = DeviceLost(self._child.why_ended())
        except (DeviceLost, Stopped) as error:
            self.failure = error
            return b""
        return data


def _open_container(child: Child, key: str, form: str, config: Config) -> Input:
    pipe = _Pipe(child)
    try:
        container = av.open(pipe, "r", format=form, options=_LOOKED_AT[form], buffer_size=1 << 16)
    except (av.FFmpegError, ValueError) as error:
        if pipe.failure is not None:
            raise pipe.failure from error
        raise DeviceLost(f"{child.shown} gives no {form}: {why(error)}") from error
    if form != "yuv4mpegpipe":
        return Input(container, _own_times(container, pipe, LiveWatch(child.shown, key, STAMPED)), child)
    stream = container.streams.video[0]
    rate = stream.average_rate or Fraction(config.video.rate).limit_denominator(1001)
    watch = LiveWatch(child.shown, key, COUNTED)
    return Input(container, _stamped_frames(container, pipe, rate, watch), child, NANOSECONDS, rate)


def _own_times(container: InputContainer, pipe: _Pipe, watch: LiveWatch) -> Packets:
    """The packets, but for the last one of each track: libav gives it out though a part may be missing."""
    last: dict[int, Packet[Any]] = {}
    for packet in container.demux():
        if pipe.failure is None:
            if isinstance(packet.stream, VideoStream) and (base := packet.time_base) is not None:
                stamp_ns = to_ns(packet.dts if packet.dts is not None else packet.pts, TimeBase.of(base))
                if stamp_ns is not None:
                    watch.stamped(stamp_ns, time.monotonic_ns())
            yield packet
            continue
        before = last.get(packet.stream_index)
        if packet.size:
            last[packet.stream_index] = packet
        if before is not None and packet.size:
            yield before
    if pipe.failure is not None:
        raise pipe.failure


def _stamped_frames(container: InputContainer, pipe: _Pipe, rate: Fraction, watch: LiveWatch) -> Packets:
    beat = ArrivalBeat(int(NS / rate))
    asked_ns, waited = time.monotonic_ns(), 0
    for packet in container.demux():
        now_ns = time.monotonic_ns()
        if packet.size:
            watch.given(int(NS / rate), now_ns)
        # What has waited while it was opened came at a time that nobody saw.
        if packet.size and waited < _WAITED and now_ns - asked_ns < _LIVE_NS:
            waited += 1
        elif packet.size:
            waited = _WAITED
            packet.pts = packet.dts = beat.place(now_ns)
            yield packet
        asked_ns = time.monotonic_ns()
    if pipe.failure is not None:
        raise pipe.failure
