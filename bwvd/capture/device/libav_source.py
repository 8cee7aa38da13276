"""A camera, a microphone, or both in one, read with libav on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable

from bwvd.capture.address import Address, parse_address
from bwvd.capture.device.demux import Job, Reading
from bwvd.capture.device.device_thread import ThreadChannel, run_thread
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.capture.video.encoder_choice import EncoderCall, EncoderChoice
from bwvd.capture.video.encoder_failover import fallen_back
from bwvd.capture.video.libav_encoder import SOFTWARE
from bwvd.clock import NS, Clock
from bwvd.config.schema import AUDIO_SCHEMES, VIDEO_SCHEMES, Audio, Config
from bwvd.media.samples import Kind, Track
from bwvd.messages import FaultChanged, MediaEvent


class LibavSource:
    """A `MediaSource` for every address that libav can open.

    **Synchronization:** `run` once at a time; `flush_on_cancel` on trio's thread.
    """

    SILENCE_S = 3.0  # no packet for so long: the device is lost
    OPENING_S = 15.0  # an RTSP server may take its time to answer

    def __init__(
        self,
        address: Address,
        config: Config,
        clock: Clock,
        gate: AudioGate,
        *,
        kinds: tuple[Kind, ...],
        silence_s: float = SILENCE_S,
        choice: EncoderChoice | None = None,
    ) -> None:
        """kinds: of the tracks that are wanted. silence_s: no packet for so long means that the device is
        lost, nothing gained of one track that this one is down.

        choice: the encoders, and what is known about them from earlier openings.
        """
        self._flush = False  # read by the device's thread
        self._reading = False  # written by it
        self._opening: Reading | None = None  # the same
        self._job = Job(
            address,
            config,
            clock,
            gate,
            kinds,
            lambda: self._flush,
            choice or EncoderChoice(),
            EncoderCall(),
            round(silence_s * NS),
        )
        self._silence_s = silence_s

    def flush_on_cancel(self, flush: bool) -> None:
        self._flush = flush

    def hangs(self) -> bool:
        return self._reading

    def _blame(self, encoder: str, send: Callable[[MediaEvent], None]) -> None:
        """The thread was given up, and it is an encoder that it hangs in: the next opening uses another."""
        if encoder != SOFTWARE:
            reason = "it never came back"
            self._job.choice.fail(encoder, reason)
            at_ns = self._job.clock.monotonic_ns()
            send(FaultChanged("encoder", True, at_ns, fallen_back(encoder, reason)))

    def _read(self, channel: ThreadChannel) -> None:
        self._reading = True
        try:
            self._opening = Reading(self._job, channel)
            self._opening.run()
        finally:
            self._reading = False
            # With it go buffers, encoders and their threads: we may be held for long by what has asked for us.
            self._opening = None

    def _salvage(self, silent: bool) -> None:
        """The thread hangs in the driver: keep what it has made, as if the device had been unplugged."""
        opening = self._opening
        if opening is None:
            return
        if silent or self._flush:
            opening.salvage()
        else:
            opening.wipe()

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        def deliver(events: list[MediaEvent]) -> None:
            for event in events:
                send(event)

        try:
            await run_thread(
                self._job.address.text,
                self._read,
                deliver,
                clock=self._job.clock,
                silence_s=self._silence_s,
                opening_s=self.OPENING_S,
                salvage=self._salvage,
            )
        finally:
            if self._reading and (name := self._job.call.encoder):
                self._blame(name, send)
        raise SourceEnded(f"{self._job.address.text} has come to its end")


def open_camera(config: Config, clock: Clock, gate: AudioGate, choice: EncoderChoice | None = None) -> LibavSource:
    """The camera of the configuration, with its own audio where `audio.source` is "video".

    choice: one for all openings, so that an encoder that has failed is not used again.

    Raises: SourceRefused when `video.source` can't be understood.
    """
    kinds: tuple[Kind, ...] = ("video", "audio") if config.audio.source == "video" else ("video",)
    address = parse_address(config.video.source, "video.source", VIDEO_SCHEMES)
    return LibavSource(address, config, clock, gate, kinds=kinds, choice=choice)


def open_microphone(config: Config, clock: Clock, gate: AudioGate) -> LibavSource | None:
    """The microphone of the configuration; None where there is none, or where the camera's source delivers it.

    Raises: SourceRefused when `audio.source` can't be understood.
    """
    if config.audio.source in ("", "video"):
        return None
    address = parse_address(config.audio.source, "audio.source", AUDIO_SCHEMES)
    return LibavSource(address, config, clock, gate, kinds=("audio",))


def expected_track(config: Audio) -> Track:
    """The track of a sound card that has not been heard yet: the configuration alone says what it is encoded to.

    Takes a millisecond or two. Raises: SourceRefused when the encoder does not take what is configured.
    """
    from bwvd.capture.audio.transcode import AudioEncoder  # here: only a microphone needs it

    encoder = AudioEncoder(config, config.source)
    encoder.close()
    return encoder.track
