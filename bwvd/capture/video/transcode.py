"""A camera whose frames are decoded, stamped and encoded by us."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import av
from av.video.stream import VideoStream

from bwvd.capture.source import NO_KEY_FRAME, NOTHING_DECODES, Out
from bwvd.capture.timestamps import FrameTimes, Moment, Placed, TimeBase, to_ns
from bwvd.capture.video.arranging import Arranger
from bwvd.capture.video.encoder_failover import FailoverEncoder
from bwvd.capture.video.form_damper import FORM_CHANGES, FormDamper
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.jpeg import JpegDecoder
from bwvd.capture.video.pixel_format import PixelConverter
from bwvd.capture.video.presentation import Form, FormReader
from bwvd.capture.video.stamp import Stamp
from bwvd.clock import NS, Clock
from bwvd.config.schema import STREAM_SCHEMES, Config
from bwvd.media.jpeg import has_end
from bwvd.messages import FaultChanged

QUIET_NS = 10 * NS  # no frame left out for so long: the encoder keeps up again


class _Fitting:
    """What makes frames of one form fit for the encoder."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._converter = PixelConverter(form.width, form.height)
        self._arranger = Arranger(form) if Arranger.is_needed(form) else None
        self.arranges = self._arranger is not None
        self.upright = form.upright
        size = self._converter.width, self._converter.height
        self.width, self.height = reversed(size) if form.is_turned_aside else size

    def fit(self, frame: av.VideoFrame, *, full_range: bool) -> av.VideoFrame:
        """The frame as the encoder wants it; the same object where nothing had to be done."""
        if self._arranger is None:
            return self._converter.fit(frame, full_range=full_range)
        reduced = self._arranger.reduce(frame)
        return self._arranger.arrange(self._converter.fit(reduced, full_range=full_range))

    def own(self, fitted: av.VideoFrame, original: av.VideoFrame) -> av.VideoFrame:
        """Return what `fit` made of `original`, on a frame that may be written on until the next call."""
        return self._converter.own(fitted, original)


@dataclass(slots=True, eq=False)
class EncodedVideo:
    """Packets of a camera in, GOPs of H.264 out.

    **Synchronization:** the device's thread.
    """

    _config: Config
    _clock: Clock
    _times: FrameTimes
    _losses: Losses
    _encoder: FailoverEncoder
    _not_before_ns: int = 0  # what was taken earlier is left out
    _jpeg: JpegDecoder | None = None  # for MJPEG, where the library is there
    _libav_decodes: bool = False  # its decoder has given a frame
    _jpegs_form: Form | None = None  # of all frames of `_jpeg`, until libav's decoder has said something again
    _stream: VideoStream | None = None  # of the packets, and of its codec:
    _is_jpeg: bool = False
    _intra_only: bool = False
    _forms: FormReader = field(default_factory=FormReader)
    _damper: FormDamper = field(default_factory=FormDamper)
    _fitting: _Fitting | None = None  # of the frames' form
    _stamp: Stamp | None = None
    _last_ns: int | None = None  # when the last frame was taken
    _left_out_ns: int | None = None  # when a frame was left out last, while that is a fault
    _bad: int = 0  # frames that came to no good since the last one
    _bad_cause: str = "corrupt"  # of the first of them
    _bad_step_ns: int = 0  # between two of them
    _ends: bool = False  # the camera's JPEGs have their end
    _undated: deque[int] = field(default_factory=deque)  # decode times of packets that have no other
    _beat: bool = False  # and how many they were is told by the time that they took
    _awaits_key: bool = False  # what the next frames refer to is missing
    gained: int = 0  # frames decoded
    lacks: str = NOTHING_DECODES  # to gain one

    def feed(self, packet: av.Packet[VideoStream], base: TimeBase, moment: Moment, out: Out) -> None:
        """Raises: DeviceLost, SourceRefused."""
        began_ns = self._clock.monotonic_ns()
        stream, pace = packet.stream, self._encoder.pace
        if stream is not self._stream:
            codec = stream.codec_context.codec
            self._stream, self._is_jpeg = stream, codec.canonical_name == "mjpeg"
            self._intra_only = codec.intra_only
            self._jpegs_form = None
        if pace.slow and self._is_left_out_whole(packet, began_ns):
            placed = self._place(to_ns(packet.pts, base), moment)
            if placed is not None:
                self.gained += 1  # it is we who are slow
                self._leave_out(placed.dts_ns, out)
            return
        if self._awaits_key:
            if not (packet.is_keyframe or self._intra_only):
                self.lacks = NO_KEY_FRAME
                self._bad += bool(packet.size)
                return
            self._awaits_key = False
        self.lacks = NOTHING_DECODES
        if not self._is_whole(packet):
            self._damaged(packet)
            return
        if packet.pts is None and packet.dts is not None and packet.size:
            self._undated.append(packet.dts)
        try:
            frames = self._decode(packet)
        except av.FFmpegError:
            self._damaged(packet)
            return
        for frame in frames:
            if frame.is_corrupt:
                self._damaged(packet)
                return  # what else came with it is shown after it
            placed = self._place(to_ns(self._time_of(frame, packet), base), moment)
            if placed is None:
                continue
            self.gained += 1
            late_ns = began_ns - placed.dts_ns
            if pace.slow and pace.leaves_out(late_ns):
                self._leave_out(placed.dts_ns, out)
                continue
            self._frame(frame, stream, placed.pts_ns, out)
            ended_ns = self._clock.monotonic_ns()
            self._encoder.spent(ended_ns - began_ns, late_ns)
            began_ns = ended_ns

    def _decode(self, packet: av.Packet[VideoStream]) -> list[av.VideoFrame]:
        """Raises: av.FFmpegError."""
        # The first frame is libav's in any case: its decoder takes a JPEG of less than 3/4 of the stream's height for a
        # field, and weaves two of them into a frame, unless it has seen one of the whole height (mjpegdec.c).
        frame = self._jpeg.decode(packet) if self._jpeg is not None and self._libav_decodes else None
        if frame is None:
            self._jpegs_form = None
            frames = packet.decode()
            self._libav_decodes = self._libav_decodes or bool(frames)
            return frames
        frame.pts = packet.pts
        return [frame]

    def _time_of(self, frame: av.VideoFrame, packet: av.Packet[VideoStream]) -> int | None:
        """When a frame was taken, in ticks. Frames that have no time come out in order, and so were their packets."""
        if frame.pts is not None:
            return frame.pts
        return self._undated.popleft() if self._undated else packet.pts

    def _place(self, stamp_ns: int | None, moment: Moment) -> Placed | None:
        """The time at which a frame was taken; None where that is before we asked for any."""
        placed = self._times.place(stamp_ns, None, *moment)
        dts_ns, pace = placed.dts_ns, self._encoder.pace
        if dts_ns < self._not_before_ns:
            return None
        if self._bad:
            self._name_damaged(dts_ns)
        self._losses.frame(placed, moment.mono_ns, slow=pace.slow)
        pace.taken(dts_ns)
        self._last_ns = dts_ns
        return placed

    def _is_whole(self, packet: av.Packet[VideoStream]) -> bool:
        """False for a packet that lost something on its way, as far as can be told without decoding it."""
        if packet.is_corrupt:
            return False
        if not self._is_jpeg or not packet.size:
            return True
        whole = has_end(memoryview(packet))
        self._ends = self._ends or whole
        return whole or not self._ends  # some cameras never send it

    def _damaged(self, packet: av.Packet[VideoStream]) -> None:
        """A frame can't be read whole, and none is put in its place. Nor do the frames count that refer to it: in what
        the decoder makes of them nothing says so."""
        if not self._bad:
            self._bad_step_ns = self._times.step_ns  # what the next frame's distance would change
            lost = packet.is_corrupt and self._config.video.source.startswith(STREAM_SCHEMES)
            self._bad_cause = "packets_lost" if lost else "corrupt"
        self._bad += 1
        context = packet.stream.codec_context
        self._beat = not context.codec.intra_only
        if self._beat:
            self._undated.clear()
            context.flush_buffers()  # it may still hold the frame, and give it out as a good one
            self._awaits_key = True

    def _name_damaged(self, next_ns: int | None) -> None:
        """A good frame, or the end, has come: name what came to no good before it.

        Before the first frame a decoder may miss what was sent before we asked.
        """
        bad, self._bad = self._bad, 0
        if not bad or self._last_ns is None:
            return
        step_ns = self._bad_step_ns
        from_ns = self._last_ns + step_ns
        to_ns = from_ns + bad * step_ns if next_ns is None else max(next_ns, from_ns)
        frames = max(bad, round((to_ns - from_ns) / step_ns)) if self._beat else bad
        self._losses.damaged(from_ns, to_ns, frames, self._bad_cause)

    def _frame(self, frame: av.VideoFrame, stream: VideoStream, at_ns: int, out: Out) -> None:
        is_jpegs = self._jpeg is not None and frame is self._jpeg.frame
        form = self._jpegs_form if is_jpegs else None
        if form is None:
            form = self._forms.read(frame, stream)
            if is_jpegs:
                self._jpegs_form = form
        if not self._damper.takes(form, at_ns, out):
            self._losses.lost(at_ns, at_ns + self._times.step_ns, FORM_CHANGES, 1)
            return
        if self._damper.has_calmed():
            self._encoder.interrupt(out)
        fitting = self._fitting
        if fitting is None or (fitting.form is not form and fitting.form != form):
            if fitting is not None:  # another size, aspect or colours: what follows is another track
                self._encoder.change(at_ns, out)
            fitting = self._fitting = _Fitting(form)
            self._stamp = self._new_stamp(fitting)
        self._encode(fitting, frame, is_jpegs, at_ns, out)
        if self._left_out_ns is not None and at_ns - self._left_out_ns > QUIET_NS:
            self._left_out_ns = None
            out(FaultChanged("encoder_slow", False, at_ns, ""))

    # --- what is left out --------------------------------------------------------------------------------------------

    def _is_left_out_whole(self, packet: av.Packet[VideoStream], now_ns: int) -> bool:
        """True if not even decoding is worth it: a frame of its own (MJPEG, raw) that would be too late anyway."""
        if self._last_ns is None or not packet.size:
            return False
        late_ns = now_ns - self._last_ns - self._times.step_ns
        return self._intra_only and self._encoder.pace.leaves_out(late_ns)

    def _leave_out(self, at_ns: int, out: Out) -> None:
        self._losses.lost(at_ns, at_ns + self._times.step_ns, "encoder_slow", 1)
        if self._left_out_ns is None:
            out(FaultChanged("encoder_slow", True, at_ns, "slower than the camera: pictures are left out"))
        self._left_out_ns = at_ns

    # --- what is encoded ---------------------------------------------------------------------------------------------

    def _new_stamp(self, fitting: _Fitting) -> Stamp | None:
        if not self._config.video.stamp:
            return None
        stamp = Stamp(self._clock, self._config.device.id, fitting.width, fitting.height)
        self._encoder.stamps(stamp.fits)
        return stamp

    def _encode(self, fitting: _Fitting, frame: av.VideoFrame, is_jpegs: bool, at_ns: int, out: Out) -> None:
        """Encode a decoded frame, with the stamp where one is wanted. The frame is as it was afterwards.

        is_jpegs: it is `JpegDecoder`'s, which are as an encoder of full range wants them.
        """
        stamp = self._stamp
        copies = self._encoder.begin(fitting.width, fitting.height, at_ns, fitting.upright)
        full_range = self._encoder.full_range
        as_it_is = is_jpegs and full_range and not fitting.arranges
        fitted = frame if as_it_is else fitting.fit(frame, full_range=full_range)
        if stamp is None:
            self._encoder.encode(fitted, at_ns, out)
            return
        # The decoder's own frame may be what its next frames are predicted from. To copy it would cost four times the
        # stamp: it is drawn on and put right before anybody else can look, where the encoder does not look later.
        lent = fitted is frame and copies
        if not lent:
            fitted = fitting.own(fitted, frame)
        stamp.draw(fitted, at_ns, lent=lent)
        try:
            self._encoder.encode(fitted, at_ns, out)
        finally:
            if lent:
                stamp.lift()

    def finish(self, out: Out, whole: bool) -> None:  # noqa: ARG002 - what was encoded has nothing still to come
        """Deliver the GOP in the making."""
        self._name_damaged(None)
        self._encoder.finish(out)
        self._losses.end(out)

    def interrupt(self, out: Out) -> None:
        """Deliver what there is: the video has stopped. With its next frame it is up again."""
        self._name_damaged(None)
        self._encoder.interrupt(out)
        self._awaits_key = True
        self._losses.end(out)

    def salvage(self, out: Out) -> None:
        """Deliver what has come out of the encoder, without asking it for more."""
        self._name_damaged(None)
        self._encoder.salvage(out)
        self._losses.end(out)

    def close(self) -> None:
        """Wipe what was not delivered."""
        self._encoder.close()
        if self._jpeg is not None:
            self._jpeg.close()
