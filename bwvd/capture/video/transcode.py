"""A camera whose pictures are decoded, stamped and encoded by us."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
from av.video.stream import VideoStream

from bwvd.capture.timestamps import FrameTimes, Moment, Placed, to_ns
from bwvd.capture.video.encoder_failover import Serving
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.pixel_format import Picture
from bwvd.capture.video.stamp import Stamp
from bwvd.clock import NS, Clock
from bwvd.config.schema import Config
from bwvd.messages import FaultChanged, MediaEvent

Out = Callable[[MediaEvent], None]

QUIET_NS = 10 * NS  # no picture left out for so long: the encoder keeps up again


class EncodedVideo:
    """Packets of a camera in, groups of pictures of H.264 out.

    **Synchronization:** the device's thread.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        times: FrameTimes,
        losses: Losses,
        serving: Serving,
        not_before_ns: int = 0,
    ) -> None:
        """serving: encodes the pictures. not_before_ns: what was taken earlier is left out."""
        self._config = config
        self._clock = clock
        self._times = times
        self._losses = losses
        self._not_before_ns = not_before_ns
        self._picture: Picture | None = None
        self._serving = serving
        self._stamp: Stamp | None = None
        self._last_ns: int | None = None  # when the last picture was taken
        self._left_out_ns: int | None = None  # when a picture was left out last, while that is a fault
        self._bad = 0  # packets that could not be decoded since the last frame
        self.frames = 0

    def feed(self, packet: av.Packet[VideoStream], base: Fraction, moment: Moment, out: Out) -> None:
        """Raises: DeviceLost, SourceRefused."""
        began_ns = self._clock.monotonic_ns()
        if self._is_left_out_whole(packet, began_ns):
            placed = self._place(to_ns(packet.pts, base), moment)
            if placed is not None:
                self._leave_out(placed.dts_ns, out)
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            # Before the first frame a decoder may miss what came before; later it is told where the next frame lies.
            self._bad += self._picture is not None
            return
        for frame in frames:
            placed = self._place(to_ns(frame.pts if frame.pts is not None else packet.pts, base), moment)
            if placed is None:
                continue
            late_ns = began_ns - placed.dts_ns
            if self._serving.pace.leaves_out(late_ns):
                self._leave_out(placed.dts_ns, out)
                continue
            self._frame(frame, placed.pts_ns, out)
            ended_ns = self._clock.monotonic_ns()
            self._serving.spent(ended_ns - began_ns, late_ns)
            began_ns = ended_ns

    def _place(self, stamp_ns: int | None, moment: Moment) -> Placed | None:
        """When a picture was taken; None where that is before we asked for any."""
        placed = self._times.place(stamp_ns, None, *moment)
        if placed.dts_ns < self._not_before_ns:
            return None
        if self._bad:
            self._losses.damaged(placed.dts_ns - self._bad * self._times.step_ns, placed.dts_ns, self._bad)
            self._bad = 0
        self._losses.frame(placed, moment.mono_ns, slow=self._serving.pace.slow)
        self._serving.pace.taken(placed.dts_ns)
        self._last_ns = placed.dts_ns
        return placed

    def _frame(self, frame: av.VideoFrame, at_ns: int, out: Out) -> None:
        if self._picture is None:
            self._picture = Picture(frame.width, frame.height)
            if self._config.video.stamp:
                self._stamp = Stamp(self._clock, self._config.device.id, self._picture.width, self._picture.height)
                if not self._stamp.fits:
                    self._serving.leave_unstamped()
        self._encode(self._picture, frame, at_ns, out)
        self.frames += 1
        if self._left_out_ns is not None and at_ns - self._left_out_ns > QUIET_NS:
            self._left_out_ns = None
            out(FaultChanged("encoder_slow", False, at_ns, ""))

    # --- what is left out --------------------------------------------------------------------------------------------

    def _is_left_out_whole(self, packet: av.Packet[VideoStream], now_ns: int) -> bool:
        """Whether not even decoding is worth it: a picture of its own (MJPEG, raw) that would be too late anyway."""
        if self._last_ns is None or not packet.size:
            return False
        late_ns = now_ns - self._last_ns - self._times.step_ns
        return self._serving.pace.leaves_out(late_ns) and packet.stream.codec_context.codec.intra_only

    def _leave_out(self, at_ns: int, out: Out) -> None:
        self._losses.lost(at_ns, at_ns + self._times.step_ns, "encoder_slow", 1)
        if self._left_out_ns is None:
            out(FaultChanged("encoder_slow", True, at_ns, "slower than the camera: pictures are left out"))
        self._left_out_ns = at_ns

    # --- what is encoded ---------------------------------------------------------------------------------------------

    def _encode(self, fitting: Picture, frame: av.VideoFrame, at_ns: int, out: Out) -> None:
        """Encode a decoded frame, with the stamp where one is wanted. The frame is as it was afterwards."""
        picture = fitting.fit(frame)
        stamp, copies = self._stamp, self._serving.begin(fitting.width, fitting.height, at_ns)
        if stamp is None:
            self._serving.encode(picture, at_ns, out)
            return
        # The decoder's own frame may be what its next frames are predicted from. To copy it would cost four times the
        # stamp: it is drawn on and put right before anybody else can look, where the encoder does not look later.
        lent = picture is frame and copies
        if not lent:
            picture = fitting.own(picture, frame)
        stamp.draw(picture, at_ns, lent=lent)
        try:
            self._serving.encode(picture, at_ns, out)
        finally:
            if lent:
                stamp.lift()

    def finish(self, out: Out, whole: bool) -> None:  # noqa: ARG002 - what was encoded has nothing still to come
        """Deliver the group of pictures in the making."""
        self._serving.finish(out)
        self._losses.tell(out)

    def salvage(self, out: Out) -> None:
        """Deliver what has come out of the encoder, without asking it for more."""
        self._serving.salvage(out)
        self._losses.tell(out)

    def close(self) -> None:
        """Wipe what was not delivered."""
        self._serving.close()
