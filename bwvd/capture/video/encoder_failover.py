"""The failover of encoders: one is chosen at the first frame, and changed when it fails or when it is too slow.

A change is a new track inside the same stream: the recording goes on with another init segment. What had come out of
the old encoder is kept; the frames that it took and did not give back are lost, and named as such.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from fractions import Fraction

import av
import msgspec

from bwvd.capture.source import DeviceLost, Out, SourceRefused
from bwvd.capture.video.encoder import Encoder, EncoderFailed, EncoderUnfit
from bwvd.capture.video.encoder_choice import EncoderCall, EncoderChoice
from bwvd.capture.video.encoder_load import HURRY_NS, Pace
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.libav_encoder import FULL_RANGE, SOFTWARE, preset_of
from bwvd.capture.video.presentation import PLAIN, Presentation
from bwvd.clock import NS
from bwvd.config.schema import Video
from bwvd.media.presets import PRESET_ENCODERS
from bwvd.media.samples import Batch, Track
from bwvd.messages import FaultChanged, SourceUp

# No frame came out for so long, and so many are inside: more than any encoder without B-frames holds back.
SWALLOWED_NS = 2 * NS
SWALLOWED_FRAMES = 32

SAME_NS = 50_000  # a time that has been through a track's ticks


class FailoverEncoder:
    """Frames in, GOPs out, whatever encodes them.

    **Synchronization:** the device's thread.
    """

    def __init__(
        self, config: Video, source: str, rate: Fraction, losses: Losses, choice: EncoderChoice, call: EncoderCall
    ) -> None:
        """rate: nominal frames per second. losses: told of frames that were lost inside an encoder."""
        self._config = config
        self._source = source
        self._rate = rate
        self._step_ns = int(NS / rate)
        self._losses = losses
        self._choice = choice
        self._call = call
        self._name = ""
        self._encoder: Encoder | None = None
        self._told: Track | None = None
        self._given: deque[int] = deque()  # times of the frames that have not come out yet
        self._gave = False  # the encoder in service has given a frame
        self._faster: str | None = None  # the preset that the next group begins with
        self._hurry = False  # and that it begins at once
        self._fault: FaultChanged | None = None  # to be told
        self._shown: Presentation | None = None  # of the frames that are given: it doesn't change with the encoder
        self.pace = Pace(None)

    @property
    def full_range(self) -> bool:
        """True if frames are to be given in full range; known from `begin` on."""
        return self._shown is not None and self._shown.colours.full_range

    def stamps(self, fits: bool) -> None:
        """Say whether the next encoder's frames are large enough for a stamp: else their track must not say that they
        carry one."""
        self._config = msgspec.structs.replace(self._config, stamp=fits)

    def change(self, at_ns: int, out: Out) -> None:
        """End the encoder: the frames from `at_ns` on have another form, and make another track."""
        if self._encoder is not None:
            self._drain(self._encoder, at_ns, out)
            self.close()
        self._encoder = self._shown = None

    def begin(self, width: int, height: int, at_ns: int, shown: Presentation = PLAIN) -> bool:
        """Choose an encoder if there is none yet. shown: of the frames; the first encoder decides about their range.

        Returns: True if `encode` copies the frame, so that the caller may reuse its buffer.
        Raises: SourceRefused, DeviceLost.
        """
        if self._encoder is None:
            self._start(width, height, at_ns, shown)
        return self._encoder is not None and self._encoder.copies

    def encode(self, frame: av.VideoFrame, at_ns: int, out: Out) -> None:
        """Take a frame. Raises: SourceRefused, DeviceLost."""
        if (
            self._faster is not None
            and self._encoder is not None
            and (self._hurry or self._encoder.begins_group(at_ns))
        ):
            self._step(frame, at_ns, out)
        self.begin(frame.width, frame.height, at_ns)
        try:
            self._give(frame, at_ns, out)
        except EncoderFailed as failure:
            self._fall_back(failure, at_ns, out)
            self.begin(frame.width, frame.height, at_ns)
            try:
                self._give(frame, at_ns, out)
            except EncoderFailed as again:
                raise self._lost(again) from again
        if self._fault is not None:
            out(self._fault)
            self._fault = None

    def spent(self, spent_ns: int, late_ns: int) -> None:
        """Account for the time that the last frame took, and for its lateness when its turn came."""
        faster = self.pace.spent(spent_ns, late_ns)
        if faster is not None:
            self._faster, self._hurry = faster, late_ns > HURRY_NS

    def finish(self, out: Out) -> None:
        """Deliver what is inside the encoder, and the GOP in the making."""
        if self._encoder is not None:
            self._drain(self._encoder, None, out)

    def interrupt(self, out: Out) -> None:
        """Deliver what is inside the encoder; the next frame begins another, and is told to be up again."""
        if self._encoder is not None:
            self._drain(self._encoder, None, out)
            self.close()
            self._encoder = None
        self._told = None

    def salvage(self, out: Out) -> None:
        """Deliver what has come out of the encoder; it is not asked for more, because it might never answer."""
        if self._encoder is not None:
            self._deliver_last(self._encoder, self._encoder.salvage(), out)

    def close(self) -> None:
        """Wipe what was not delivered."""
        if self._encoder is not None:
            with self._call.of(self._name):
                self._encoder.close()

    # --- one encoder -------------------------------------------------------------------------------------------------

    def _start(self, width: int, height: int, at_ns: int, shown: Presentation) -> None:
        name = self._choice.choose(self._config, width, height, self._call)
        if self._shown is None:
            full_range = shown.colours.full_range and name in FULL_RANGE
            self._shown = replace(shown, colours=replace(shown.colours, full_range=full_range))
        try:
            self._make(name, width, height, at_ns)
        except SourceRefused as refused:
            if self._choice.may_fail(name, self._config):
                self._fail(name, str(refused), at_ns)
                self._make_software(width, height, at_ns)
            elif self._choice.failed:
                raise DeviceLost(f"{self._source}: {refused}") from refused
            else:
                raise

    def _make_software(self, width: int, height: int, at_ns: int) -> None:
        try:
            self._make(SOFTWARE, width, height, at_ns)
        except SourceRefused as refused:
            raise DeviceLost(f"{self._source}: {refused}") from refused

    def _make(self, name: str, width: int, height: int, at_ns: int) -> None:
        config, shown = self._config, self._shown or PLAIN
        with self._call.of(name):
            self._encoder = self._choice.make(name, config, width, height, self._rate, self._source, at_ns, shown)
        self._name, self._gave = name, False
        self.pace.anew(preset_of(name, config) if name in PRESET_ENCODERS else None)

    def _give(self, frame: av.VideoFrame, at_ns: int, out: Out) -> None:
        encoder = self._encoder
        if encoder is None:
            raise EncoderFailed("there is none")
        self._given.append(at_ns)
        try:
            with self._call.of(self._name):
                batches = encoder.encode(frame, at_ns)
        finally:
            self._account(encoder)
        self._deliver(encoder, batches, out)
        if len(self._given) >= SWALLOWED_FRAMES and at_ns - self._given[0] >= SWALLOWED_NS:
            raise EncoderFailed(f"nothing has come out for {SWALLOWED_NS / NS:g} s")

    def _account(self, encoder: Encoder) -> None:
        """Strike off what came out; what was overtaken will not come any more."""
        given = self._given
        for at_ns in encoder.came_out():
            while given and given[0] < at_ns - SAME_NS:
                missing_ns = given.popleft()
                self._losses.lost(missing_ns, missing_ns + self._step_ns, "encoder_dropped", 1)
            if given and given[0] <= at_ns + SAME_NS:
                given.popleft()
            if not self._gave:
                self._gave = True
                self._choice.served.add(self._name)

    def _deliver(self, encoder: Encoder, batches: list[Batch], out: Out) -> None:
        if encoder.track is None or not self._gave:
            return
        if encoder.track is not self._told:
            self._told = encoder.track
            out(SourceUp("camera", self._told))
        for batch in batches:
            self._losses.tell(out)
            out(batch)

    def _drain(self, encoder: Encoder, next_ns: int | None, out: Out) -> None:
        """Deliver what is inside the encoder, as its last. next_ns: the first frame of the next encoder, if any."""
        try:
            with self._call.of(self._name):
                batches = encoder.finish(next_ns)
        except EncoderFailed:
            batches = encoder.salvage()
        self._deliver_last(encoder, batches, out)

    def _deliver_last(self, encoder: Encoder, batches: list[Batch], out: Out) -> None:
        """Deliver the encoder's last GOPs, and name the frames that it did not give back."""
        self._account(encoder)
        self._name_lost()
        self._deliver(encoder, batches, out)

    # --- changes -----------------------------------------------------------------------------------------------------

    def _step(self, frame: av.VideoFrame, at_ns: int, out: Out) -> None:
        """End the encoder with the GOP that it has, and go on with a faster preset."""
        encoder, preset = self._encoder, self._faster
        if encoder is None or preset is None:
            return
        self._faster = None
        self._config = msgspec.structs.replace(self._config, preset=preset)
        self._drain(encoder, at_ns, out)
        self.close()
        self._encoder = None
        self.begin(frame.width, frame.height, at_ns)

    def _fall_back(self, failure: EncoderFailed, at_ns: int, out: Out) -> None:
        """Keep what came out of an encoder that failed, name what did not, and let libx264 take its place.

        Raises: DeviceLost where there is nothing to fall back to, SourceRefused for what never worked as configured.
        """
        encoder = self._encoder
        if encoder is None or self._name == SOFTWARE:
            raise self._lost(failure) from failure
        if isinstance(failure, EncoderUnfit) and self._config.encoder == self._name:
            raise SourceRefused(f"video.encoder: {self._name} is not fit: {failure}") from failure
        if not self._choice.may_fail(self._name, self._config):
            raise SourceRefused(f"video.encoder: {self._name} gives no picture: {failure}") from failure
        self._deliver(encoder, encoder.salvage(), out)
        # This frame is still in our hands.
        if self._given and self._given[-1] == at_ns:
            self._given.pop()
        self._name_lost()
        self.close()
        self._encoder = None
        self._fail(self._name, str(failure), at_ns)

    def _fail(self, name: str, reason: str, at_ns: int) -> None:
        self._choice.fail(name, reason)
        self._fault = FaultChanged("encoder", True, at_ns, fallen_back(name, reason))

    def _name_lost(self) -> None:
        if self._given:
            first_ns, last_ns, frames = self._given[0], self._given[-1], len(self._given)
            self._given.clear()
            self._losses.lost(first_ns, last_ns + self._step_ns, "encoder_failed", frames)

    def _lost(self, failure: EncoderFailed) -> DeviceLost:
        return DeviceLost(f"{self._source}: the encoder {self._name} failed: {failure}")


def fallen_back(name: str, reason: str) -> str:
    """The words of the fault for an encoder that has failed."""
    return f"{name} failed: {reason}; {SOFTWARE} has taken its place"
