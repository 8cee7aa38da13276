"""A camera whose pictures are decoded, stamped and encoded by us."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
from av.video.stream import VideoStream

from bwvd.capture.encode import VideoEncoder, choose_encoder
from bwvd.capture.moment import Moment, to_ns
from bwvd.capture.picture import Picture
from bwvd.capture.timeline import FrameTimes
from bwvd.config import Config
from bwvd.messages import MediaEvent, MediaGap, SourceUp, Track

Out = Callable[[MediaEvent], None]


class EncodedVideo:
    """Packets of a camera in, groups of pictures of H.264 out.

    **Synchronization:** the device's thread.
    """

    def __init__(self, config: Config, source: str, rate: Fraction, times: FrameTimes) -> None:
        self._config = config
        self._source = source
        self._rate = rate
        self._times = times
        self._picture: Picture | None = None
        self._encoder: VideoEncoder | None = None
        self._told: Track | None = None
        self.frames = 0

    def feed(self, packet: av.Packet[VideoStream], moment: Moment, out: Out) -> None:
        """Raises: DeviceLost, SourceRefused."""
        try:
            frames = packet.decode()
        except av.FFmpegError:
            at_ns = self._times.place(None, None, *moment).pts_ns
            out(MediaGap("video", at_ns, at_ns + self._times.step_ns, "corrupt", 1))
            return
        for frame in frames:
            self._frame(frame, moment, out)

    def _frame(self, frame: av.VideoFrame, moment: Moment, out: Out) -> None:
        placed = self._times.place(to_ns(frame.pts, frame.time_base), None, *moment)
        if self._encoder is None or self._picture is None:
            self._picture = Picture(frame.width, frame.height)
            width, height = self._picture.width, self._picture.height
            name = choose_encoder(self._config.video, width, height)
            self._encoder = VideoEncoder(
                name, self._config.video, width, height, self._rate, self._source, placed.pts_ns
            )
        picture = self._picture.fit(frame)
        batch = self._encoder.encode(picture, placed.pts_ns)
        self.frames += 1
        if self._told is None and self._encoder.track is not None:
            self._told = self._encoder.track
            out(SourceUp("camera", self._told))
        if batch is not None:
            out(batch)

    def finish(self, out: Out) -> None:
        """Deliver the group of pictures in the making."""
        if self._encoder is not None and self._told is not None:
            for batch in self._encoder.finish():
                out(batch)

    def close(self) -> None:
        """Wipe what was not delivered."""
        if self._encoder is not None:
            self._encoder.close()
