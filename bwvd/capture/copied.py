"""A camera that encodes by itself: its packets are kept as they come, and only their form is changed."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from av.video.stream import VideoStream

from bwvd.capture.address import Address
from bwvd.capture.assemble import Assembler
from bwvd.capture.init import VIDEO_TIMESCALE, init_of_annexb, init_of_stream
from bwvd.capture.losses import Losses
from bwvd.capture.moment import Moment, to_ns
from bwvd.capture.nal import PREFIX_BYTES, START_CODE, NalForm, Span, prefixed_room, write_prefixed
from bwvd.capture.source import SourceRefused
from bwvd.capture.timeline import FrameTimes, Placed
from bwvd.config import Config
from bwvd.messages import NS, MediaEvent, SourceUp, Track

Out = Callable[[MediaEvent], None]

HOLE_NS = NS // 2  # between two frames: a stall, if the camera is not as slow as that anyway
GOPS_PER_LOOP = 5  # at least so many: the pre-event part is kept in whole groups, and may be one too long


class CopiedVideo:
    """H.264 or HEVC packets in, groups of pictures out. Begins at the first key frame.

    **Synchronization:** the device's thread.
    """

    def __init__(
        self,
        stream: VideoStream,
        config: Config,
        address: Address,
        rate: Fraction,
        times: FrameTimes,
        losses: Losses,
        not_before_ns: int = 0,
    ) -> None:
        """not_before_ns: what was taken earlier is left out.

        Raises: SourceRefused when the camera gives something else.
        """
        context = stream.codec_context
        codec = context.codec.canonical_name
        if codec not in ("h264", "hevc"):
            raise SourceRefused(
                f'video.encoder: "copy" takes h264 or hevc, and {address.text} gives {codec}: set it to "auto"'
            )
        self._form = NalForm.of("h264" if codec == "h264" else "hevc", context.extradata)
        self._reordered = bool(context.has_b_frames)
        self._loop_s = config.loop.seconds
        self._limit_ns = int(config.loop.seconds / GOPS_PER_LOOP * NS)
        self._most_bytes = config.loop.max_bytes
        self._address = address
        self._rate = rate
        self._times = times
        self._losses = losses
        self._not_before_ns = not_before_ns
        self._assembler = Assembler()
        self._track: Track | None = None
        self._told = False
        self._sets: tuple[bytes, ...] = ()
        self._last_ns = 0  # of the last packet
        self._hole = False  # something is missing in the group: its length says nothing about the camera
        self._skipping: list[int] | None = None  # from, to, frames: waiting for a key frame
        if context.extradata:
            init = init_of_stream(stream, VIDEO_TIMESCALE, "video.encoder")
            self._track = self._new_track(init, stream.width, stream.height)
            if not self._form.length_bytes:
                extradata = bytes(context.extradata)
                self._sets = self._form.parameter_sets(extradata, self._form.units(extradata))

    def feed(self, packet: av.Packet[Any], base: Fraction, moment: Moment, out: Out) -> None:
        """Raises: SourceRefused when key frames are too far apart."""
        if not packet.size and packet.dts is None:
            return  # the end of the container
        placed = self._times.place(to_ns(packet.pts, base), to_ns(packet.dts, base), *moment, reorder=True)
        if placed.dts_ns < self._not_before_ns:
            return
        self._losses.frame(placed, moment.mono_ns)
        # One copy that is ours: the packet may be the driver's buffer. It is wiped below.
        data = bytearray(packet)
        try:
            spans = self._form.units(data)
        except ValueError:
            spans = []
        if packet.is_corrupt or not spans:
            self._damaged(placed)
        else:
            self._keep(data, spans, placed, out)
        data[:] = bytes(len(data))

    def finish(self, out: Out, whole: bool) -> None:
        """Deliver the group of pictures in the making; whole: nothing of it is still to come."""
        self._losses.tell(out)
        if self._reordered and not whole:
            self._assembler.cut_incomplete()
        if not self._assembler.empty and self._track is not None:
            out(self._assembler.take(self._track))

    def close(self) -> None:
        """Wipe what was not delivered."""
        self._assembler.wipe()

    def _damaged(self, placed: Placed) -> None:
        """What follows refers to what is missing: nothing is kept until the next key frame."""
        if self._skipping is None:
            self._skipping = [placed.dts_ns, placed.dts_ns, 0]
        self._skipping[1] = placed.dts_ns + self._times.step_ns
        self._skipping[2] += 1
        self._hole = True

    def _keep(self, data: bytearray, spans: list[Span], placed: Placed, out: Out) -> None:
        key = self._form.begins_gop(data, spans, self._reordered)
        last_ns, self._last_ns = self._last_ns, placed.dts_ns
        if placed.dts_ns - last_ns > max(HOLE_NS, 4 * self._times.step_ns):
            self._hole = True
        if key:
            self._end_group(placed.dts_ns, out)
            self._check_parameters(data, spans)
            if self._skipping is not None:
                from_ns, to_ns, frames = self._skipping
                self._losses.damaged(from_ns, max(to_ns, placed.dts_ns), frames)
                self._skipping = None
            self._hole = False
        elif self._skipping is not None:
            self._skipping[1] = placed.dts_ns + self._times.step_ns
            self._skipping[2] += 1
            return
        elif self._assembler.empty:
            return  # before the first key frame
        if self._track is None:
            return  # a key frame without parameter sets, and none before: nobody could decode it
        if not self._told:
            self._told = True
            out(SourceUp("camera", self._track))
        self._check_length(placed.dts_ns, key)
        step_ns = self._times.step_ns
        if self._form.length_bytes:
            self._assembler.add(data, placed.pts_ns, placed.dts_ns, step_ns, key)
        else:
            room = prefixed_room(len(data))
            self._assembler.write(
                lambda target: write_prefixed(data, spans, target), room, placed.pts_ns, placed.dts_ns, step_ns, key
            )

    def _end_group(self, next_ns: int, out: Out) -> None:
        if self._assembler.empty or self._track is None:
            return
        self._check_length(next_ns, True)
        self._losses.tell(out)
        out(self._assembler.take(self._track, next_ns))

    def _check_length(self, now_ns: int, key: bool) -> None:
        if self._assembler.empty:
            return
        length_ns = now_ns - self._assembler.start_ns
        if length_ns > self._limit_ns and not self._hole:
            found = f"lie {length_ns / NS:.1f} s apart" if key else f"lie more than {length_ns / NS:.1f} s apart"
            raise SourceRefused(
                f"video.source: {self._address.text}: its key frames {found}, and with loop.seconds = "
                f"{self._loop_s:g} the limit is {self._limit_ns / NS:g} s: set the camera to a shorter GOP, or "
                "video.encoder to encode anew"
            )
        if self._assembler.size > self._most_bytes:
            raise SourceRefused(
                f"video.source: {self._address.text}: one group of pictures of {length_ns / NS:.1f} s is larger than "
                f"loop.max_bytes = {self._most_bytes}"
            )

    def _check_parameters(self, data: bytearray, spans: list[Span]) -> None:
        """A camera may change its size at any key frame: then another track begins."""
        sets = self._form.parameter_sets(data, spans)
        if not sets or sets == self._sets:
            return
        first, self._sets = not self._sets, sets
        if first and self._form.length_bytes and self._track is not None:
            return  # repeated in the stream beside those of the container
        if self._form.length_bytes not in (0, PREFIX_BYTES):
            # Units keep the length of their prefix, and the new init segment would say four.
            raise SourceRefused(f"video.source: {self._address.text} changed its parameters in a form we can't copy")
        unit = b"".join(b"\0" + START_CODE + data[a:b] for a, b in spans)
        init, width, height = init_of_annexb(self._form.codec, unit, "video.source")
        if self._track is not None and init == self._track.init:
            return
        self._track = self._new_track(init, width, height)
        self._told = False

    def _new_track(self, init: bytes, width: int, height: int) -> Track:
        return Track(
            kind="video",
            codec=self._form.codec,
            timescale=VIDEO_TIMESCALE,
            init=init,
            source=self._address.text,
            encoder="copy",
            width=width,
            height=height,
            rate=float(self._rate),
        )
