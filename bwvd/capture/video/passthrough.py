"""A camera that encodes by itself: its packets are kept as they come, and only their form is changed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.video.stream import VideoStream

from bwvd.capture.address import Address
from bwvd.capture.batch_builder import Assembler
from bwvd.capture.libav_errors import refusing
from bwvd.capture.source import NO_CLOSED_GROUP, NO_KEY_FRAME, NOTHING_DECODES, DeviceLost, Out, SourceRefused
from bwvd.capture.timestamps import FrameTimes, Moment, Placed, to_ns
from bwvd.capture.video.form_damper import FORM_CHANGES, FormDamper
from bwvd.capture.video.frame_loss import Losses
from bwvd.clock import NS
from bwvd.config.schema import Config
from bwvd.media.init_segment import VIDEO_TIMESCALE, InitUnusable, decodes, init_of_annexb, init_of_stream
from bwvd.media.nal import (
    PREFIX_BYTES,
    START_CODE,
    AccessUnit,
    Content,
    NalForm,
    prefixed_room,
    unit_type,
    write_prefixed,
)
from bwvd.media.samples import Track, overwrite
from bwvd.messages import SourceUp

HOLE_NS = NS // 2  # between two frames: a stall, if the camera is not as slow as that anyway
GOPS_PER_LOOP = 5  # at least so many: the pre-event part is kept in whole groups, and may be one too long
WAITING_BYTES = 1 << 16  # of parameter sets that come in a packet of their own: more is nonsense
NOTHING = AccessUnit([], Content.BROKEN)
DOUBTED_KEYS = 3  # key frames in a row whose new parameter sets are no good: what the decoder was told is wrong


class _Parameters(NamedTuple):
    """Parameter sets, and what an init segment of them says."""

    sets: tuple[bytes, ...]
    init: bytes
    width: int
    height: int


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
        self._rate = rate
        self._times_of = config.video.times
        self._times = times
        self._losses = losses
        self._not_before_ns = not_before_ns
        self._assembler = Assembler()
        self._track: Track | None = None
        self._unsure = 0  # key frames that may still show of which form the track is that came of the opening
        self._aspect: Fraction | None = None  # of a sample, where the container alone has said it
        self._told = False
        self._sets: tuple[bytes, ...] = ()
        self._last_ns = 0  # of the last packet
        self._whole_ns = 0  # since then nothing is missing and no key frame has come
        self._skipping: list[int] | None = None  # from, to, frames: waiting for a key frame
        self._cause = "corrupt"  # of skipping
        self._calm_until_ns = 0  # until then the group in the making is not too long
        self._proven = False  # the camera has shown that its GOPs are short enough
        self._waiting = bytearray()  # parameter sets that came ahead of their frame, in the stream's form
        self._doubted = 0  # key frames in a row
        self._doubtful: tuple[bytes, ...] = ()  # new parameter sets of which nothing was kept yet: they may hold
        self._damper = FormDamper()
        self._is_restless = False  # the last key frame is one too many of those that change the parameters
        self._refused: _Parameters | None = None  # it has changed to these, which are not kept: key frames may be bare
        self._open = 0  # frames of the group at which an open one begins
        self.gained = 0  # frames kept
        self.lacks = NO_KEY_FRAME  # to gain one
        if context.extradata:
            with refusing("video.encoder"):
                init = init_of_stream(stream, VIDEO_TIMESCALE)
            self._track = self._new_track(init, stream.width, stream.height)
            self._sets = self._form.sets_in(bytes(context.extradata))
            self._unsure = DOUBTED_KEYS if self._sets else 0
            told, said = context.sample_aspect_ratio, stream.sample_aspect_ratio
            self._aspect = said if said and said != told else None

    def feed(self, packet: av.Packet[Any], base: Fraction, moment: Moment, out: Out) -> None:
        """Raises: SourceRefused when key frames are too far apart; DeviceLost when it must be opened again."""
        if not packet.size and packet.dts is None:
            return  # the end of the container
        # One copy that is ours: the packet may be the driver's buffer. It is wiped below.
        data = self._waiting + memoryview(packet)
        # Only of a camera that may be refused, or from which nothing can begin, it matters if its groups are open.
        asked = not self._proven or self._skipping is not None or self._assembler.empty
        try:
            unit = self._form.look(data, self._reordered, asked)
        except ValueError:
            unit = NOTHING
        content = Content.BROKEN if packet.is_corrupt else unit.content
        if content is Content.NO_PICTURE:
            self._waiting = data if unit.has_sets and len(data) <= WAITING_BYTES else bytearray()
            return
        if self._waiting:
            self._waiting = bytearray()
        if self._address.played and self._reordered and packet.pts is None:
            raise SourceRefused(
                f'video.encoder: "copy" needs times where frames are shown in another order than they come, and '
                f'{self._address.text} has none: set it to "auto", or put the frames into a container'
            )
        pts, dts = packet.pts, packet.dts
        pts_ns = to_ns(pts, base)
        placed = self._times.place(pts_ns, pts_ns if dts == pts else to_ns(dts, base), *moment, reorder=True)
        if placed.dts_ns >= self._not_before_ns:
            self._losses.frame(placed, moment.mono_ns)
            if content is Content.BROKEN:
                self._suspect(self._sets_of(data, unit))
                self.lacks = NOTHING_DECODES
                self._damaged(placed, "packets_lost" if packet.is_corrupt and self._address.streamed else "corrupt")
            else:
                self._keep(data, unit, placed, out)
        overwrite(memoryview(data))

    def finish(self, out: Out, whole: bool) -> None:
        """Deliver the GOP in the making; whole: nothing of it is still to come."""
        self._tell_skipped()
        self._losses.end(out)
        if self._reordered and not whole:
            self._assembler.cut_incomplete()
        if not self._assembler.empty and self._track is not None:
            out(self._assembler.take(self._track))

    def interrupt(self, out: Out) -> None:
        """Deliver what there is: the video has stopped. With its next key frame it is up again."""
        self.finish(out, whole=False)
        self._told = False

    def salvage(self, out: Out) -> None:
        """As `finish`, in the place of a thread that never came back from a read."""
        self.finish(out, whole=False)

    def close(self) -> None:
        """Wipe what was not delivered."""
        self._assembler.wipe()

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

    def _keep(self, data: bytearray, unit: AccessUnit, placed: Placed, out: Out) -> None:
        key = unit.key
        self._open += unit.open
        last_ns, self._last_ns = self._last_ns, placed.dts_ns
        if placed.dts_ns - last_ns > max(HOLE_NS, 4 * self._times.step_ns):
            self._whole_ns = placed.dts_ns
        if key:
            self._end_group(placed.dts_ns, out)
        if (unit.has_sets or key) and not self._parameters_fit(data, unit, key, placed.dts_ns, out):
            self.lacks = NOTHING_DECODES
            self._damaged(placed, FORM_CHANGES if self._is_restless else "corrupt")
            return
        if key:
            self._tell_skipped(placed.dts_ns)
            self._whole_ns = placed.dts_ns
        elif self._skipping is not None or self._assembler.empty:
            self.lacks = NO_CLOSED_GROUP if self._open else NO_KEY_FRAME
            if self._open:
                self._refuse_long(placed.dts_ns, False)
            if self._skipping is not None:
                self._skip(placed)
            return  # nothing can begin here
        if self._track is None:
            self.lacks = "no parameter sets"
            return  # a key frame without parameter sets, and none before: nobody could decode it
        if not self._told:
            self._told = True
            out(SourceUp("camera", self._track))
        if key:
            self._calm_until_ns = placed.dts_ns + self._limit_ns
        elif (placed.dts_ns > self._calm_until_ns or self._assembler.size > self._most_bytes) and self._too_long(
            placed.dts_ns, False
        ):
            self._end_group(placed.dts_ns, out)
            self._skip(placed, "no_key_frame")
            return
        self.gained += 1
        self._open = 0 if key else self._open
        step_ns = self._times.step_ns
        if self._form.length_bytes:
            self._assembler.add(data, placed.pts_ns, placed.dts_ns, step_ns, key)
        else:
            room = prefixed_room(len(data))
            self._assembler.write(
                lambda target: write_prefixed(data, unit.spans, target),
                room,
                placed.pts_ns,
                placed.dts_ns,
                step_ns,
                key,
            )

    def _end_group(self, next_ns: int, out: Out) -> None:
        if self._assembler.empty or self._track is None:
            return
        if not self._too_long(next_ns, True) and self._whole_ns == self._assembler.start_ns:
            self._proven = True
        self._losses.tell(out)
        out(self._assembler.take(self._track, next_ns))

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

    def _parameters_fit(self, data: bytearray, whole: AccessUnit, key: bool, at_ns: int, out: Out) -> bool:
        """True if the parameter sets in an access unit are those that we know, or good new ones at a key frame.

        A camera may change its size at any key frame: then another track begins. What is damaged looks the same, so
        that new ones are believed only where a frame that they came with, or that follows them, can be decoded.
        """
        sets = self._sets_of(data, whole)
        self._is_restless = False
        holding = self._sets if self._refused is None else self._refused.sets
        known = set(sets) <= set(holding) or set(sets) <= set(self._sets)
        if key and known and self._doubtful:
            # Where both decode it, the camera has changed: damage does not make another form that is whole.
            unit = self._annexb(data, whole)
            if set(sets) <= set(self._doubtful) and decodes(self._form.codec, self._of_sets(self._doubtful) + unit):
                return self._take_parameters(self._doubtful, self._of_sets(self._doubtful) + unit, at_ns, out)
            if not sets and not decodes(self._form.codec, self._of_sets(holding) + unit):
                return self._doubt(self._doubtful)
        if key and known and self._unsure and self._refused is None and not self._settled(data, whole, sets):
            return False
        if key and known:
            self._doubted, self._doubtful = 0, ()
        if self._refused is not None and set(sets) <= set(self._refused.sets):
            # They hold until others come: a frame without any is not one of those that are kept.
            return key and self._take(self._refused, at_ns, out)
        if known:
            if key:
                self._refused = None
                if self._track is not None:
                    self._is_kept(self._track.init, at_ns, out)
            return True
        if not key:
            self._suspect(sets)
            return not self._sets
        unit = self._annexb(data, whole)
        if self._track is not None and not decodes(self._form.codec, unit):
            return self._doubt(sets)
        return self._take_parameters(sets, unit, at_ns, out)

    def _settled(self, data: bytearray, whole: AccessUnit, sets: tuple[bytes, ...]) -> bool:
        """True if the first key frame is of the parameter sets that the opening has found: the track is then of both.

        libav reads ahead when it opens a stream. It keeps the sets that it came to first, and the size and the
        samples' shape that it came to last; and the first sets may be of a later form than the first frames.
        """
        unit = self._annexb(data, whole)
        picture = b"".join(b"\0" + START_CODE + unit[a:b] for a, b in self._form.without_sets(unit))
        unit = self._of_sets(self._sets) + picture
        if not set(self._sets) <= set(sets) and not decodes(self._form.codec, unit):
            self._unsure -= 1  # not for ever: a decoder that takes less than libav's may take them
            return False
        self._unsure = 0
        try:
            init, width, height = init_of_annexb(self._form.codec, unit, self._say_aspect)
        except InitUnusable:
            return True
        was = self._track
        if was is None:
            return True
        if self._form.length_bytes == PREFIX_BYTES:
            other = (width, height) != (was.width, was.height)  # the rest is what the container says
        else:
            other = not self._form.length_bytes and init != was.init  # units that keep shorter lengths keep theirs
        if other:
            self._track = self._new_track(init, width, height)
        return True

    def _say_aspect(self, context: av.VideoCodecContext) -> None:
        if self._aspect is not None:
            context.sample_aspect_ratio = self._aspect

    def _sets_of(self, data: bytearray, whole: AccessUnit) -> tuple[bytes, ...]:
        return self._form.parameter_sets(data, whole.spans) if whole.has_sets else ()

    def _of_sets(self, sets: tuple[bytes, ...]) -> bytes:
        """In Annex B, to be put before a key frame that has none: those that others refer to first."""
        ordered = sorted(sets, key=lambda one: unit_type(self._form.codec, one[0]))
        return b"".join(b"\0" + START_CODE + one for one in ordered)

    @staticmethod
    def _annexb(data: bytearray, whole: AccessUnit) -> bytes:
        return b"".join(b"\0" + START_CODE + data[a:b] for a, b in whole.spans)

    def _suspect(self, sets: tuple[bytes, ...]) -> None:
        """Parameter sets came that nothing can be kept of yet: bare key frames may be of them."""
        if self._sets and not set(sets) <= set(self._sets):
            self._doubtful = sets

    def _doubt(self, sets: tuple[bytes, ...]) -> bool:
        """Leave out a key frame of such sets, or one that neither those decode nor what holds. Always False.

        Raises: DeviceLost where it is one too many.
        """
        self._suspect(sets)
        self._doubted += 1
        if self._doubted >= DOUBTED_KEYS:
            raise DeviceLost(f"{self._address.text} gives key frames that can't be decoded")
        return False

    def _is_kept(self, init: bytes, at_ns: int, out: Out) -> bool:
        """True if frames of that init segment are kept; not where the camera changes it again and again."""
        kept = self._damper.takes(init, at_ns, out)
        if self._damper.has_calmed():
            self._told = False
        return kept

    def _take_parameters(self, sets: tuple[bytes, ...], unit: bytes, at_ns: int, out: Out) -> bool:
        """Take new ones that decode, of a key frame in Annex B that they stand before. False where none can be kept."""
        if self._sets and self._form.length_bytes not in (0, PREFIX_BYTES):
            # Units keep the length of their prefix, and the new init segment would say four.
            raise DeviceLost(f"{self._address.text} has changed its parameters")
        if not self._sets and self._form.length_bytes and self._track is not None:
            self._doubted, self._sets = 0, sets
            return True  # repeated in the stream beside those of the container
        try:
            init, width, height = init_of_annexb(self._form.codec, unit)
        except InitUnusable:
            # What holds for the track stays as it is. Without one there is none that bare key frames could pass under.
            return self._track is not None and self._doubt(sets)
        self._doubted, self._doubtful, self._unsure = 0, (), 0
        return self._take(_Parameters(sets, init, width, height), at_ns, out)

    def _take(self, found: _Parameters, at_ns: int, out: Out) -> bool:
        """Keep what comes with these parameters, from a key frame on; False where that is one change too many."""
        self._is_restless = not self._is_kept(found.init, at_ns, out)
        self._refused = found if self._is_restless else None
        if self._is_restless:
            return False
        self._sets = found.sets
        if self._track is None or found.init != self._track.init:
            self._track = self._new_track(found.init, found.width, found.height)
            self._told = False
        return True

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
            times=self._times_of,
        )
