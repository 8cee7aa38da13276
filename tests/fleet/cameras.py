"""Recordings of many cameras, made ahead: real manifests, signatures and sums over segments of random bytes."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bwvd.clock import NS
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format.layout import RECORDINGS
from bwvd.evidence.write.finalize import finish_recording
from bwvd.evidence.write.recording_folder import Device, RecordingFolder
from bwvd.media.samples import Batch, Gop, Sample
from bwvd.messages import OpenRecording, PreEvent
from bwvd.testing.clock import VirtualClock
from tests.support.custody_store import Camera, draft, recording_id
from tests.support.evidence_folder import PRESS_NS, START_NS, media
from tests.support.evidence_keys import fixed_signer

MEMORY = Path("/dev/shm")  # noqa: S108  syncs cost nothing there; folders of our own are made in it


@dataclass(frozen=True)
class Load:
    """What one camera brings."""

    recordings: int
    segments: int  # of each, a second long
    segment_bytes: int


def bring(device: str, load: Load, folder: Path) -> dict[str, Path]:
    """Make a camera's recordings and journal; returns the objects by name, in the order in which they are put."""
    place = tempfile.mkdtemp(prefix="bwvd-fleet-", dir=MEMORY if MEMORY.is_dir() else None)
    try:
        camera = fill_card(Path(place) / "card", load, device)
        found = {}
        objects = camera.objects()
        for name in sorted(objects, key=lambda name: "/journal/" not in name):  # as the carrier: the journal first
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(objects[name])
            found[name] = path
        return found
    finally:
        shutil.rmtree(place)


def fill_card(root: Path, load: Load, device: str = "BWV-0001") -> Camera:
    """A card with closed recordings, as a device leaves it."""
    camera = Camera(root, device=device)
    for serial in range(1, load.recordings + 1):
        _record(camera, serial, load)
        name = recording_id(serial, device)
        camera.enter(
            draft("opened", recording=name, serial=serial),
            draft("closed", recording=name, serial=serial, reason="stop", segments=load.segments),
        )
    return camera


def _record(camera: Camera, serial: int, load: Load) -> None:
    clip = media(1)
    recording = recording_id(serial, camera.device)
    opening = OpenRecording(
        recording=recording,
        serial=serial,
        press_source="gpio:record",
        press_ns=PRESS_NS,
        handled_ns=PRESS_NS + 3_000_000,
        pre_event=PreEvent(NS, PRESS_NS - START_NS, "started"),
        video=clip.video,
        audio=None,
        pre_event_audio=False,
        officer="4711",
    )
    with PosixVolume(camera.root) as volume:
        device = Device(camera.device, "boot-1", 1.0, fixed_signer(), None)
        folder = RecordingFolder(volume, device, opening, VirtualClock(seconds=lambda: 2.0))
        for index in range(load.segments):
            start_ns = START_NS + index * NS
            sample = Sample(0, load.segment_bytes, start_ns, start_ns, NS, key=True)
            gop = Gop(Batch(clip.video, (sample,), bytearray(os.urandom(load.segment_bytes))), None)
            if index == 0:
                folder.create(gop, camera.head)
            folder.commit([gop], [])
        folder.close("stop")
        finish_recording(volume, f"{RECORDINGS}/{recording}", camera.signer)
