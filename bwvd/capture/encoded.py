"""A camera whose pictures are decoded, stamped and encoded by us."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
from av.video.stream import VideoStream

from bwvd.capture.encode import VideoEncoder, choose_encoder
from bwvd.capture.losses import Losses
from bwvd.capture.moment import Moment, to_ns
from bwvd.capture.picture import Picture
from bwvd.capture.stamp import Stamp
from bwvd.capture.timeline import FrameTimes
from bwvd.clock import Clock
from bwvd.config import Config
from bwvd.messages import Batch, MediaEvent, SourceUp, Track

Out = Callable[[MediaEvent], None]


class EncodedVideo:
    """Packets of a camera in, groups of pictures of H.264 out.

    **Synchronization:** the device's thread.
    """

    def __init__(
        self,
        config: Config,
        source: str,
        rate: Fraction,
        clock: Clock,
        times: FrameTimes,
        losses: Losses,
        not_before_ns: int = 0,
    ) -> None:
        """rate: nominal frames per second. clock: for the stamp. not_before_ns: what was taken earlier is left out."""
        self._config = config
        self._clock = clock
        self._source = source
        self._rate = rate
        self._times = times
        self._losses = losses
        self._not_before_ns = not_before_ns
        self._picture: Picture | None = None
        self._encoder: VideoEncoder | None = None
        self._stamp: Stamp | None = None
        self._told: Track | None = None
        self._bad = 0  # packets that could not be decoded since the last frame
        self.frames = 0

    def feed(self, packet: av.Packet[VideoStream], base: Fraction, moment: Moment, out: Out) -> None:
        """Raises: DeviceLost, SourceRefused."""
        try:
            frames = packet.decode()
        except av.FFmpegError:
            # Before the first frame a decoder may miss what came before; later it is told where the next frame lies.
            self._bad += self._encoder is not None
            return
        for frame in frames:
            self._frame(frame, to_ns(frame.pts if frame.pts is not None else packet.pts, base), moment, out)

    def _frame(self, frame: av.VideoFrame, stamp_ns: int | None, moment: Moment, out: Out) -> None:
        placed = self._times.place(stamp_ns, None, *moment)
        if placed.dts_ns < self._not_before_ns:
            return
        if self._bad:
            self._losses.damaged(placed.dts_ns - self._bad * self._times.step_ns, placed.dts_ns, self._bad)
            self._bad = 0
        self._losses.frame(placed, moment.mono_ns)
        if self._encoder is None or self._picture is None:
            self._picture = Picture(frame.width, frame.height)
            width, height = self._picture.width, self._picture.height
            if self._config.video.stamp:
                self._stamp = Stamp(self._clock, self._config.device.id, width, height)
            name = choose_encoder(self._config.video, width, height)
            self._encoder = VideoEncoder(
                name, self._config.video, width, height, self._rate, self._source, placed.pts_ns
            )
        batch = self._encode(self._encoder, self._picture, frame, placed.pts_ns)
        self.frames += 1
        if self._told is None and self._encoder.track is not None:
            self._told = self._encoder.track
            out(SourceUp("camera", self._told))
        if batch is not None:
            self._losses.tell(out)
            out(batch)

    def _encode(self, encoder: VideoEncoder, fitting: Picture, frame: av.VideoFrame, at_ns: int) -> Batch | None:
        """Encode a decoded frame, with the stamp where one is wanted. The frame is as it was afterwards."""
        picture = fitting.fit(frame)
        stamp = self._stamp
        if stamp is None:
            return encoder.encode(picture, at_ns)
        # The decoder's own frame may be what its next frames are predicted from. To copy it would cost four times the
        # stamp: it is drawn on and put right before anybody else can look, where the encoder does not look later.
        lent = picture is frame and encoder.copies
        if not lent:
            picture = fitting.own(picture, frame)
        stamp.draw(picture, at_ns, lent=lent)
        try:
            return encoder.encode(picture, at_ns)
        finally:
            if lent:
                stamp.lift()

    def finish(self, out: Out, whole: bool) -> None:  # noqa: ARG002 - what was encoded has nothing still to come
        """Deliver the group of pictures in the making."""
        self._losses.tell(out)
        if self._encoder is not None and self._told is not None:
            for batch in self._encoder.finish():
                out(batch)

    def close(self) -> None:
        """Wipe what was not delivered."""
        if self._encoder is not None:
            self._encoder.close()
