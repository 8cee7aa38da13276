"""The board's real adapters, as the configuration names them: parts for a daemon."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from bwvd.capture.device.libav_source import expected_track, open_camera, open_microphone
from bwvd.capture.source import AudioGate, MediaSource, SourceRefused
from bwvd.capture.video.encoder_choice import EncoderChoice
from bwvd.clock import Clock, SystemClock
from bwvd.config.load import digest
from bwvd.config.schema import Config
from bwvd.daemon.daemon import Parts, Peripheral
from bwvd.daemon.peripherals import all_peripherals
from bwvd.evidence.flash.posix import PosixStorage
from bwvd.evidence.journal.witness import FileWitness, Witness
from bwvd.evidence.keys.age import load_recipients
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.startup.admission import HeldVolume, open_storage


@asynccontextmanager
async def build(config: Config, config_path: Path, extra: Sequence[Peripheral] = ()) -> AsyncIterator[Parts]:
    """The parts that `config` names; the storage is locked, from the first job on, until the block ends.

    Nothing is opened here: devices and controls are opened, and reopened, by their actors, and the storage in its own
    thread, because to prove that it can be written may take a card seconds: controls listen before that. Its first job
    raises StorageRefused.

    Raises: what a person has to put right, each in one line: KeyUnusable, RecipientsUnusable, SourceRefused,
    ControlRefused.
    """
    clock = SystemClock()
    config_sha256 = digest(await trio.Path(config_path).read_text(encoding="utf-8"))
    signer = KeySigner.load(config.keys.signing)
    sealer = load_recipients(config.keys.recipients)
    has_microphone = config.audio.source not in ("", "video")
    opened: list[HeldVolume] = []
    choice = EncoderChoice()

    def opening() -> HeldVolume:
        opened.append(open_storage(config.storage.path, device=config.device.id))
        return opened[0]

    try:
        yield Parts(
            clock=clock,
            boot=boot_id(),
            storage=PosixStorage(opening),
            signer=signer,
            witness=witness_of(config),
            sealer=sealer,
            camera=partial(open_camera, config, clock, choice=choice),
            microphone=partial(_microphone, config, clock) if has_microphone else None,
            expect_audio=partial(expected_track, config.audio) if config.audio.source.startswith("alsa:") else None,
            config_sha256=config_sha256,
            transport=lambda: choice.transport,
            peripherals=[*all_peripherals(config, config_path), *extra],
        )
    finally:
        for volume in opened:
            volume.close()


def _microphone(config: Config, clock: Clock, gate: AudioGate) -> MediaSource:
    source = open_microphone(config, clock, gate)
    if source is None:
        raise SourceRefused(f"audio.source: {config.audio.source!r} is no microphone of its own")
    return source


def witness_of(config: Config) -> Witness | None:
    """The journal's witness: in `storage.witness`, or in the service manager's folder for it, if there is one."""
    folder = config.storage.witness
    if folder == "auto":
        given = os.environ.get("STATE_DIRECTORY", "").split(":")
        folder = next((path for path in given if path.endswith("witness")), "")
    return FileWitness(folder) if folder else None


def boot_id() -> str:
    """The kernel's id of this boot; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
