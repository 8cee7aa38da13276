"""A whole daemon whose encoder fails while it records: one recording, two epochs, every frame there or named."""

from __future__ import annotations

import base64
import io
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import pytest
import trio

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.video.encoder_choice import EncoderChoice
from bwvd.capture.video.libav_encoder import HARDWARE
from bwvd.clock import NS, SystemClock
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.flash.posix import PosixStorage
from bwvd.evidence.format import records
from bwvd.evidence.startup.admission import open_storage
from bwvd.messages import FaultChanged
from bwvd.testing.clip import numbered_clip
from bwvd.testing.encoder import EncoderFaults, faulty
from bwvd.testing.picture import frame_number
from tests.support.desk import verify_recording
from tests.support.rig import Rig, configuration

RATE = 30


def _frames(folder: Path) -> list[tuple[int, int, int]]:
    """Epoch, number and time (ns) of every frame, decoded with the init segment of its epoch."""
    inits: dict[int, bytes] = {}
    media: dict[int, bytearray] = {}
    for record in signed_records(folder):
        match record:
            case records.Open():
                inits[1] = base64.b64decode(record.init)
            case records.Init():
                inits[record.epoch] = base64.b64decode(record.init)
            case records.Segment():
                media.setdefault(record.epoch, bytearray()).extend((folder / record.file).read_bytes())
    found = []
    for epoch, data in media.items():
        with av.open(io.BytesIO(inits[epoch] + data), "r") as container:
            for frame in container.decode(video=0):
                assert frame.pts is not None
                assert frame.time_base is not None
                found.append((epoch, frame_number(frame), round(frame.pts * frame.time_base * NS)))
    return found


@pytest.mark.parametrize("when", ["in the loop", "in the recording"])
@pytest.mark.parametrize("how", ["raises", "swallows"])
async def test_the_recording_goes_on_when_the_encoder_fails(tmp_path: Path, when: str, how: str) -> None:
    """Invariant 4: verified by what anybody may run, and counted by the numbers in the pictures."""
    clip = tmp_path / "clip.avi"
    numbered_clip(clip, 600, rate=RATE, codec="mjpeg")
    (tmp_path / "evidence").mkdir()
    config = configuration(
        video={"source": f"file:{clip}", "keyframe_s": 0.4, "stamp": False, "size": "64x48"},
        loop={"seconds": 2},
        recording={"post_roll_s": 0, "segment_s": 0.4},
        storage={"path": str(tmp_path / "evidence"), "reserve_bytes": 1 << 20},
    )
    # At the end of the loop's first two seconds, or a second after the press.
    at = 70 if when == "in the loop" else 110
    faults = EncoderFaults(fails_at=at, holds=4) if how == "raises" else EncoderFaults(swallows_from=at, holds=4)
    roster = EncoderChoice(faulty({HARDWARE: faults}), lambda *_: True)
    clock, volume = SystemClock(), open_storage(config.storage.path, device=config.device.id)
    rig = Rig(config=config, clock=clock, volume=volume, storage=PosixStorage(volume))
    rig.open_camera = partial(open_camera, config, clock, choice=roster)
    with trio.fail_after(60):
        async with rig.running() as daemon:
            await rig.wait_for(lambda: daemon.status()["video"]["encoder"] == HARDWARE)
            await trio.sleep(2.6)
            await rig.press()
            await rig.wait_for(lambda: "encoder" in daemon.hub.faults)
            await trio.sleep(1.5)
            status = daemon.status()
            assert status["video"]["encoder"] == "libx264"
            assert status["faults"] == ["encoder"], "no frame of the camera's was lost on the way"
            assert status["fault_details"]["encoder"]["detail"].startswith(f"{HARDWARE} failed: ")
            await rig.stop()
            await rig.closed()
    volume.close()
    (folder,) = (tmp_path / "evidence" / "recordings").iterdir()
    report = verify_recording(folder)
    assert report.verdict == "authentic", report.findings
    manifest = list(signed_records(folder))
    (init,) = [record for record in manifest if isinstance(record, records.Init)]
    assert (init.epoch, init.reason, init.tracks[0].encoder) == (2, "encoder", "libx264")
    (opening,) = [record for record in manifest if isinstance(record, records.Open)]
    assert opening.tracks[0].encoder == HARDWARE
    (fault,) = [record for record in manifest if isinstance(record, records.Fault)]
    assert (fault.name, fault.active) == ("encoder", True)
    assert any(isinstance(event, FaultChanged) and event.name == "encoder" for event in rig.events), "for the journal"
    gaps = [record for record in manifest if isinstance(record, records.Gap)]
    assert {gap.cause for gap in gaps} == {"encoder_failed"}
    frames = _frames(folder)
    numbers = [number for _, number, _ in frames]
    assert numbers == sorted(set(numbers)), "none doubled, none out of order"
    named = sum(gap.frames for gap in gaps)
    assert numbers[-1] - numbers[0] + 1 == len(numbers) + named, "there, or counted in a gap"
    assert named >= 4
    (gap,) = gaps
    last = next(at_ns for (epoch, _, at_ns), after in pairwise(frames) if after[0] != epoch)
    first = next(at_ns for epoch, _, at_ns in frames if epoch == 2)
    assert last < gap.from_ns < gap.to_ns <= first + NS // RATE
    for epoch in (1, 2):
        assert any(found == epoch for found, _, _ in frames)
