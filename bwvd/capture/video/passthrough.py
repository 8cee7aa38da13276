"""A camera that encodes by itself: its packets are kept as they come, and only their form is changed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.video.stream import VideoStream

from bwvd.capture.address import Address
from bwvd.capture.batch_builder import Assembler
from bwvd.capture.source import NO_CLOSED_GROUP, NO_KEY_FRAME, NOTHING_DECODES, Out, SourceRefused
from bwvd.capture.timestamps import FrameTimes, Moment, Placed, TimeBase, to_ns
from bwvd.capture.video.form_damper import FORM_CHANGES
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.parameter_sets import NewTrack, ParameterSets, Spans
from bwvd.clock import NS
from bwvd.config.schema import Config
from bwvd.media.init_segment import VIDEO_TIMESCALE
from bwvd.media.nal import AccessUnit, Content, NalForm, Readable, prefixed_room, write_prefixed
from bwvd.media.samples import Track, overwrite
from bwvd.messages import SourceUp

HOLE_NS = NS // 2  # between two frames: a stall, if the camera is not as slow as that anyway
GOPS_PER_LOOP = 5  # at least so many: the pre-event part is kept in whole groups, and may be one too long
WAITING_BYTES = 1 << 16  # of parameter sets that come in a packet of their own: more is nonsense
NOTHING = AccessUnit(Content.BROKEN)


class CopiedVideo:
    """H.264 or HEVC packets in, GOPs out. Begins at the first key frame.

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
        self._times = times
        self._losses = losses
        self._not_before_ns = not_before_ns
        self._assembler = Assembler()
        self._last_ns = 0  # of the last packet
        self._whole_ns = 0  # since then nothing is missing and no key frame has come
        self._skipping: list[int] | None = None  # from, to, frames: waiting for a key frame
        self._cause = "corrupt"  # of skipping
        self._calm_until_ns = 0  # until then the group in the making is not too long
        self._proven = False  # the camera has shown that its GOPs are short enough
        self._waiting = bytearray()  # parameter sets that came ahead of their frame, in the stream's form
        self._open = 0  # frames of the group at which an open one begins
        self.gained = 0  # frames kept
        self.lacks = NO_KEY_FRAME  # to gain one
        new_track = _tracks(self._form.codec, address, rate, config.video.times)
        self._parameters = ParameterSets(stream, self._form, address.text, new_track)

    def feed(self, packet: av.Packet[Any], base: TimeBase, moment: Moment, out: Out) -> None:
        """Raises: SourceRefused when key frames are too far apart; DeviceLost when it must be opened again."""
        pts, dts = packet.pts, packet.dts
        if dts is None and not packet.size:
            return  # the end of the container
        # Units with their lengths before them are looked at where they lie, and copied once, into the GOP. What is to
        # be searched or joined is a copy that is ours, and wiped below: the packet may be the driver's buffer.
        lies: memoryview = memoryview(packet)
        own = self._waiting + lies if self._waiting or not self._form.length_bytes else None
        data = lies if own is None else own
        # Only of a camera that may be refused, or from which nothing can begin, it matters if its groups are open.
        asked = not self._proven or self._skipping is not None or not self._assembler.size
        spans: Spans = None
        try:
            try:
                if not self._form.length_bytes:
                    spans = self._form.units(data)
                unit = self._form.look(data, self._reordered, asked, spans)
            except ValueError:
                unit = NOTHING
            is_corrupt = packet.is_corrupt
            content = Content.BROKEN if is_corrupt else unit.content
            if content is Content.NO_PICTURE:
                self._wait_with(data if unit.has_sets and len(data) <= WAITING_BYTES else b"")
                return
            if self._waiting:
                self._wait_with(b"")
            if pts is None and self._reordered and self._address.played:
                raise SourceRefused(
                    f'video.encoder: "copy" needs times where frames are shown in another order than they come, and '
                    f'{self._address.text} has none: set it to "auto", or put the frames into a container'
                )
            pts_ns = to_ns(pts, base)
            placed = self._times.place(pts_ns, pts_ns if dts == pts else to_ns(dts, base), *moment, reorder=True)
            if placed.dts_ns >= self._not_before_ns:
                self._losses.frame(placed, moment.mono_ns)
                if content is Content.BROKEN:
                    self._parameters.broken(data, spans, unit)
                    self.lacks = NOTHING_DECODES
                    self._damaged(placed, "packets_lost" if is_corrupt and self._address.streamed else "corrupt")
                else:
                    self._keep(data, spans, unit, placed, out)
        finally:
            if own is not None:
                overwrite(memoryview(own))

    def _wait_with(self, sets: Readable) -> None:
        """Keep parameter sets for the frame that follows, in the place of those before, which are overwritten."""
        if self._waiting:
            overwrite(memoryview(self._waiting))
        self._waiting = bytearray(sets)

    def finish(self, out: Out, whole: bool) -> None:
        """Deliver the GOP in the making; whole: nothing of it is still to come."""
        self._tell_skipped()
        self._losses.end(out)
        if self._reordered and not whole:
            self._assembler.cut_incomplete()
        if not self._assembler.empty and self._parameters.track is not None:
            out(self._assembler.take(self._parameters.track))

    def interrupt(self, out: Out) -> None:
        """Deliver what there is: the video has stopped. With its next key frame it is up again."""
        self.finish(out, whole=False)
        self._parameters.is_news = True

    def salvage(self, out: Out) -> None:
        """As `finish`, in the place of a thread that never came back from a read."""
        self.finish(out, whole=False)

    def close(self) -> None:
        """Wipe what was not delivered."""
        self._assembler.wipe()
        self._wait_with(b"")

    def _damaged(self, placed: Placed, cause: str = "corrupt") -> None:
        """A frame is no good, and may have been a key frame."""
        self._whole_ns = placed.dts_ns + self._times.step_ns
        self._skip(placed, cause)

    def _skip(self, placed: Placed, cause: str = "corrupt") -> None:
        """Keep nothing until the next key frame: what follows refers to what is missing."""
        if self._skipping is None:
            self._skipping = [placed.dts_ns, placed.dts_ns, 0]
            self._cause = cause
        self._skipping[1] = placed.dts_ns + self._times.step_ns
        self._skipping[2] += 1

    def _tell_skipped(self, next_ns: int = 0) -> None:
        """A key frame, or the end, has come: so much was left out before it."""
        if self._skipping is not None:
            from_ns, to_ns, frames = self._skipping
            self._losses.lost(from_ns, max(to_ns, next_ns), self._cause, frames)
            self._skipping = None

    def _keep(self, data: Readable, spans: Spans, unit: AccessUnit, placed: Placed, out: Out) -> None:
        """Put a frame into the GOP in the making, or begin one with it, or leave it out."""
        pts_ns, dts_ns, _ = placed
        key, step_ns = unit.key, self._times.step_ns
        self._open += unit.open
        last_ns, self._last_ns = self._last_ns, dts_ns
        if dts_ns - last_ns > HOLE_NS and dts_ns - last_ns > 4 * step_ns:
            self._whole_ns = dts_ns
        if key or unit.has_sets or self._skipping is not None or not self._assembler.size:
            if not self._may_begin(data, spans, unit, placed, out):
                return
        elif (dts_ns > self._calm_until_ns or self._assembler.size > self._most_bytes) and self._too_long(
            dts_ns, False
        ):
            self._end_group(dts_ns, out)
            self._skip(placed, "no_key_frame")
            return
        self.gained += 1
        if spans is None:
            self._assembler.add(data, pts_ns, dts_ns, step_ns, key)
        else:
            room = prefixed_room(len(data))
            self._assembler.write(
                lambda target: write_prefixed(data, spans, target), room, pts_ns, dts_ns, step_ns, key
            )

    def _may_begin(self, data: Readable, spans: Spans, unit: AccessUnit, placed: Placed, out: Out) -> bool:
        """True if a frame is kept that may be where a GOP begins, or where one can't go on: a key frame, one with
        parameter sets, one behind a loss.
        """
        key, dts_ns = unit.key, placed.dts_ns
        if key:
            self._end_group(dts_ns, out)
        if (unit.has_sets or key) and not self._parameters.fit(data, spans, unit, dts_ns, out):
            self.lacks = NOTHING_DECODES
            self._damaged(placed, FORM_CHANGES if self._parameters.is_restless else "corrupt")
            return False
        if key:
            self._tell_skipped(dts_ns)
            self._whole_ns = dts_ns
        elif self._skipping is not None or self._assembler.empty:
            self.lacks = NO_CLOSED_GROUP if self._open else NO_KEY_FRAME
            if self._open:
                self._refuse_long(dts_ns, False)
            if self._skipping is not None:
                self._skip(placed)
            return False  # nothing can begin here
        track = self._parameters.track
        if track is None:
            self.lacks = "no parameter sets"
            return False  # a key frame without parameter sets, and none before: nobody could decode it
        if self._parameters.is_news:
            self._parameters.is_news = False
            out(SourceUp("camera", track))
        if key:
            self._calm_until_ns = dts_ns + self._limit_ns
            self._open = 0
        return key or not self._cut_long(placed, out)

    def _cut_long(self, placed: Placed, out: Out) -> bool:
        """End the GOP in the making, and leave the frame out, where it has become too long without a key frame."""
        if not self._too_long(placed.dts_ns, False):
            return False
        self._end_group(placed.dts_ns, out)
        self._skip(placed, "no_key_frame")
        return True

    def _end_group(self, next_ns: int, out: Out) -> None:
        if self._assembler.empty or self._parameters.track is None:
            return
        if not self._too_long(next_ns, True) and self._whole_ns == self._assembler.start_ns:
            self._proven = True
        self._losses.tell(out)
        out(self._assembler.take(self._parameters.track, next_ns))

    def _too_long(self, now_ns: int, key: bool) -> bool:
        """True if the GOP in the making has to end without a key frame.

        A camera that is set to long groups is refused, because the loop is kept in whole ones. One that has shown that
        it is not may come to it in service: it goes slower in the dark, or a key frame is lost. Then a group may be as
        long as the loop.
        """
        if self._assembler.empty:
            return False
        self._refuse_long(now_ns, key)
        length_ns = now_ns - self._assembler.start_ns
        if self._assembler.size > self._most_bytes and not self._proven:
            raise SourceRefused(
                f"video.source: {self._address.text}: one group of pictures of {length_ns / NS:.1f} s is larger than "
                f"loop.max_bytes = {self._most_bytes}"
            )
        return length_ns > GOPS_PER_LOOP * self._limit_ns or self._assembler.size > self._most_bytes

    def _refuse_long(self, now_ns: int, key: bool) -> None:
        """Raise SourceRefused where the camera has gone on for too long without a key frame, and none was lost.

        What came before a hole does not count: the group is long because of that, and a key frame may be missing.
        """
        length_ns = now_ns - self._whole_ns
        # As many frames as fit into the limit are one too many by the width of a frame: 60 at 59.94 a second.
        if self._proven or length_ns <= self._limit_ns + self._times.step_ns:
            return
        whole = key and self._whole_ns == self._assembler.start_ns
        found = f"lie {length_ns / NS:.1f} s apart" if whole else f"lie more than {length_ns / NS:.1f} s apart"
        self._assembler.wipe()  # delivered, it would make the mistake look like a camera that has changed
        if self._open:
            raise SourceRefused(
                f"video.source: {self._address.text}: its groups of pictures are open, frames of each refer to the "
                f"one before: those at which a recording could begin {found}. Set the camera to closed groups (IDR "
                "frames), or video.encoder to encode anew"
            )
        raise SourceRefused(
            f"video.source: {self._address.text}: its key frames {found}, and with loop.seconds = "
            f"{self._loop_s:g} the limit is {self._limit_ns / NS:g} s: set the camera to a shorter GOP, or "
            "video.encoder to encode anew"
        )


def _tracks(codec: str, address: Address, rate: Fraction, times: str) -> NewTrack:
    """Makes the tracks of a stream. Bound to nothing of ours: a camera's buffers wait for no collector when it goes."""

    def new_track(init: bytes, width: int, height: int) -> Track:
        return Track(
            kind="video",
            codec=codec,
            timescale=VIDEO_TIMESCALE,
            init=init,
            source=address.text,
            encoder="copy",
            width=width,
            height=height,
            rate=float(rate),
            times=times,
        )

    return new_track
