"""A whole daemon on virtual devices, and what a person would do with it."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import av
import msgspec
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bwvd.capture.source import AudioGate, MediaSource
from bwvd.clock import Clock
from bwvd.config import schema as settings
from bwvd.daemon.daemon import Daemon, Parts, Peripheral
from bwvd.evidence.flash.volume import Storage, Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.journal.witness import Witness
from bwvd.evidence.keys.age import Sealer
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.media.samples import Track
from bwvd.messages import Answer, Command, Event, Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualStorage, VirtualVolume
from bwvd.testing.microphone import VirtualMicrophone
from bwvd.testing.picture import frame_number

KEY = KeySigner(Ed25519PrivateKey.from_private_bytes(b"bwvd's key for tests, 32 bytes.."))

WAIT_S = 900.0  # of virtual time: what is not so by then never will be, and the test is not to go on for ever

SILENCE = b"\0\0\0\7"  # a frame of coded silence of one channel


def configuration(**sections: dict[str, object]) -> settings.Config:
    """A configuration with some values changed: `configuration(loop={"seconds": 5})`."""
    return msgspec.convert(sections, settings.Config)


@dataclass
class Rig:
    """One daemon with its virtual world. `async with rig.running():` turns it on."""

    config: settings.Config = field(default_factory=settings.Config)
    clock: Clock = field(default_factory=VirtualClock)
    volume: Volume = field(default_factory=VirtualVolume)
    storage: Storage | None = None
    camera: VirtualCamera | None = None
    has_microphone: bool = False
    microphone: VirtualMicrophone | None = None
    signer: Signer = KEY
    sealer: Sealer | None = None
    boot: str = "boot-1"
    witness: Witness | None = None  # of the journal
    open_camera: Callable[[AudioGate], MediaSource] | None = None  # instead of `camera`
    expect_audio: Callable[[], Track] | None = None
    peripherals: list[Peripheral] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.camera is None:
            self.camera = VirtualCamera(self.clock)
        if self.storage is None:
            assert isinstance(self.volume, VirtualVolume)
            self.storage = VirtualStorage(self.volume)
        self.daemon: Daemon

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Daemon]:
        """The daemon, started; at the end it is shut down in order."""
        camera, storage = self.camera, self.storage
        assert camera is not None
        assert storage is not None
        parts = Parts(
            clock=self.clock,
            boot=self.boot,
            storage=storage,
            signer=self.signer,
            sealer=self.sealer,
            witness=self.witness,
            camera=self.open_camera or (lambda _: camera),
            microphone=self._microphone if self.has_microphone else None,
            expect_audio=self.expect_audio,
            peripherals=self.peripherals,
        )
        self.daemon = Daemon(self.config, parts)
        self.daemon.hub.sink(self.events.append)
        async with trio.open_nursery() as nursery:
            await nursery.start(self.daemon.run)
            try:
                yield self.daemon
            finally:
                self.daemon.shut_down("test")

    def _microphone(self, gate: AudioGate) -> VirtualMicrophone:
        if self.microphone is None:
            self.microphone = VirtualMicrophone(self.clock, gate)
        return self.microphone

    async def order(self, order: Order, *, confirmed: bool = False, text: str = "", source: str = "test") -> Answer:
        """Do what a control does, and wait for the answer."""
        answered = trio.Event()
        answers: list[Answer] = []

        def reply(answer: Answer) -> None:
            answers.append(answer)
            answered.set()

        self.daemon.post(Command(order, source, self.clock.monotonic_ns(), text, confirmed, reply))
        with trio.fail_after(WAIT_S):
            await answered.wait()
        return answers[0]

    async def press(self) -> Answer:
        return await self.order(Order.PRESS)

    async def stop(self) -> Answer:
        return await self.order(Order.STOP, confirmed=True)

    async def wait_for(self, true: Callable[[], bool], step_s: float = 0.05) -> None:
        """Move virtual time until something is so; fails where it is not after WAIT_S."""
        with trio.fail_after(WAIT_S):
            while not true():  # noqa: ASYNC110  whatever it is, it has no event; the time is virtual
                await trio.sleep(step_s)

    async def closed(self) -> None:
        """Wait until the recording in progress is closed on flash."""
        await self.wait_for(lambda: self.daemon.recorder.current is None and self.daemon.writer.idle)

    # --- what lies on the flash --------------------------------------------------------------------------------------

    def recordings(self) -> list[str]:
        return [name.rstrip("/") for name in self.volume.names("recordings")]

    def manifest(self, recording: str) -> list[records.Record]:
        """The records of a manifest; the chain must be whole."""
        return self._read(recording, strict=True)

    def signed(self, recording: str) -> list[records.Record]:
        """The records that are signed, whatever else stands in the file."""
        return self._read(recording, strict=False)

    def _read(self, recording: str, *, strict: bool) -> list[records.Record]:
        data = self.volume.read(f"recordings/{recording}/manifest.jsonl")
        reader = ChainReader(io.BytesIO(data), "manifest.jsonl")
        signed = [one.record for one in reader]
        assert not strict or reader.problems == []
        return [record for record in signed if isinstance(record, records.Record)]

    def media(self, recording: str, epoch: int = 1) -> io.BytesIO:
        """Init segment and media segments of one epoch, as a file."""
        data = bytearray()
        for record in self.signed(recording):
            if (isinstance(record, records.Open) and epoch == 1) or (
                isinstance(record, records.Init) and record.epoch == epoch
            ):
                data += base64.b64decode(record.init)
            if isinstance(record, records.Segment) and record.epoch == epoch:
                data += self.volume.read(f"recordings/{recording}/{record.file}")
        return io.BytesIO(bytes(data))

    def frames(self, recording: str, epoch: int = 1) -> list[tuple[int, float]]:
        """The number in every decoded frame, with its time in seconds."""
        with av.open(self.media(recording, epoch), "r") as container:
            return [(frame_number(frame), float(frame.time or 0)) for frame in container.decode(video=0)]

    def sound_times(self, recording: str) -> list[float]:
        """Where each packet of sound begins, in seconds; silence that was put in is none."""
        return [at_s for at_s, data in self.audio(recording) if data != SILENCE]

    def audio(self, recording: str, epoch: int = 1) -> list[tuple[float, bytes]]:
        """Every packet of the audio track, with its time in seconds."""
        with av.open(self.media(recording, epoch), "r") as container:
            stream = container.streams.audio[0]
            return [
                ((packet.pts or 0) / stream.rate, bytes(packet)) for packet in container.demux(stream) if packet.size
            ]

    def sound_span(self, recording: str) -> tuple[float, float]:
        """Seconds of the first packet of sound, and of the end of the last."""
        times = self.sound_times(recording)
        return times[0], times[-1] + 1024 / 48000
