"""Tracks that change while groups wait for a stalled flash, and errors that are not the storage's."""

from __future__ import annotations

import base64
import errno
import io
from collections.abc import Callable, Sequence

import av
import pytest
import trio

from bwvd.capture.source import AudioGate
from bwvd.clock import NS
from bwvd.evidence.flash.steps import Steps
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.write.finalize import finish_steps
from bwvd.evidence.write.recording_folder import Device, RecordingFolder, continuation
from bwvd.media.fragment import Epoch
from bwvd.media.samples import Gop
from bwvd.messages import Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualStorage, VirtualVolume
from bwvd.testing.microphone import VirtualMicrophone
from tests.support.evidence_folder import media
from tests.support.gops import audio_batch
from tests.support.rig import KEY, Rig, configuration
from tests.support.storage_recording import opening, recording_id, virtual_clock

RATE = 8


class _Microphones(Rig):
    """A microphone that is away at first, and may be exchanged for another one."""

    rate = 48_000

    def _microphone(self, gate: AudioGate) -> VirtualMicrophone:
        if self.microphone is None:
            self.microphone = VirtualMicrophone(self.clock, gate, rate=self.rate)
            if self.microphone_away:
                self.microphone.unplug()
        return self.microphone

    microphone_away = False


def _rig(volume: VirtualVolume, *, has_microphone: bool = True) -> _Microphones:
    clock = VirtualClock()
    config = configuration(loop={"seconds": 5}, recording={"post_roll_s": 0}, storage={"reserve_bytes": 1 << 20})
    camera = VirtualCamera(clock, rate=RATE, gop_frames=RATE)
    return _Microphones(config, clock, volume, camera=camera, has_microphone=has_microphone)


def _segments(rig: Rig, recording: str) -> list[records.Segment]:
    return [record for record in rig.manifest(recording) if isinstance(record, records.Segment)]


def _frames(rig: Rig) -> list[int]:
    """The numbers of all frames, of every epoch of every recording."""
    return [
        number
        for recording in rig.recordings()
        for epoch in sorted({segment.epoch for segment in _segments(rig, recording)})
        for number, _ in rig.frames(recording, epoch)
    ]


def _wrong_audio(rig: Rig) -> list[str]:
    """Segments whose audio has another rate than their track says."""
    wrong = []
    for recording in rig.recordings():
        inits: dict[int, records.Open | records.Init] = {}
        for record in rig.manifest(recording):
            if isinstance(record, records.Open | records.Init):
                inits[record.epoch if isinstance(record, records.Init) else 1] = record
            elif isinstance(record, records.Segment) and record.audio_frames:
                init = inits[record.epoch]
                data = base64.b64decode(init.init) + rig.volume.read(f"recordings/{recording}/{record.file}")
                with av.open(io.BytesIO(data)) as container:
                    assert isinstance(container, av.container.InputContainer)
                    spans = sorted(packet.duration or 0 for packet in container.demux(audio=0) if packet.size)
                if spans[len(spans) // 2] != 1024:
                    wrong.append(record.file)
    return wrong


async def test_audio_that_comes_while_the_first_group_waits(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: the frames before it have no audio: they are a segment, and the audio begins an epoch."""
    volume = VirtualVolume()
    rig = _rig(volume)
    rig.microphone_away = True
    async with rig.running():
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(3)
        volume.stall(6, kind="sync")
        await rig.stop()
        await rig.wait_for(lambda: rig.daemon.recorder.current is None)
        await rig.press()
        await trio.sleep(0.5)
        assert rig.microphone is not None
        rig.microphone.plug()
        await trio.sleep(20)
        await rig.stop()
        await rig.closed()
    second = rig.manifest(rig.recordings()[1])
    assert [record.reason for record in second if isinstance(record, records.Init)] == ["microphone"]
    assert any(segment.audio_frames for segment in _segments(rig, rig.recordings()[1]))
    assert not any(isinstance(record, records.Gap) for record in second if getattr(record, "track", "") != "audio")
    numbers = [number for number, _ in rig.frames(rig.recordings()[1], 2)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_another_microphone_in_a_recording_that_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: a recording that goes on begins with the tracks that were in force, not with those of the press."""
    volume = VirtualVolume()
    rig = _rig(volume)
    async with rig.running():
        await trio.sleep(7)
        await rig.press()
        await trio.sleep(3)
        assert rig.microphone is not None
        rig.microphone.unplug()
        rig.microphone, rig.rate = None, 16_000
        await trio.sleep(8)
        await rig.order(Order.MUTE)
        await trio.sleep(2)
        volume.stall(6, kind="sync")
        await trio.sleep(2.5)
        await rig.order(Order.UNMUTE)
        volume.fail(errno.EIO, kind="sync", path="m4s")
        await trio.sleep(30)
        await rig.stop()
        await rig.closed()
    assert len(rig.recordings()) == 2
    assert _wrong_audio(rig) == []
    numbers = _frames(rig)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_recording_that_goes_on_begins_with_the_tracks_in_force() -> None:
    """Audio came after the press: what waits was held against that track, and is muxed with it in the next one too."""
    clip, device = media(), Device("BWV-0001", "boot-1", 1.0, KEY, None)
    volume = VirtualVolume()
    volume.make_dir("recordings")
    folder = RecordingFolder(volume, device, opening(1), virtual_clock())
    silent = clip.gop(0, sound=False)
    folder.create(silent, None)
    folder.commit([silent], [])
    assert folder.opening.audio is None
    folder.commit([clip.gop(1, sound=True)], [])
    assert continuation(folder.opening, 2, recording_id(2)).audio is clip.audio
    folder.let_go()


def test_no_sample_goes_into_a_track_of_another_kind() -> None:
    """What is signed must be what was filmed, whoever put the group together."""
    epoch = Epoch(media().video, None)
    with pytest.raises(RuntimeError, match="other tracks"):
        epoch.fragment(Gop(None, audio_batch(0, NS)), 1, 0)
    epoch.close()


class _Defect(Exception):
    """An error that no protocol names."""


@pytest.mark.parametrize("times", [1, 2, 1000])
async def test_an_error_that_is_not_the_storages(
    times: int, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariants 4 and 12: what waits is written and signed before the daemon ends; a gap names what met it twice."""
    volume = VirtualVolume()
    rig = _rig(volume, has_microphone=False)
    fragment, failing = Epoch.fragment, [0]

    def fragment_or_fail(self: Epoch, gop: Gop, number: int, origin_ns: int, silent: Sequence[int]) -> bytes:
        if failing[0]:
            failing[0] -= 1
            raise _Defect
        return fragment(self, gop, number, origin_ns, silent)

    async def record() -> None:
        async with rig.running() as daemon:
            await trio.sleep(7)
            await rig.press()
            await trio.sleep(3)
            volume.stall(6, kind="sync")
            await trio.sleep(5)
            failing[0] = times
            await daemon.wait_closed()

    monkeypatch.setattr(Epoch, "fragment", fragment_or_fail)
    monkeypatch.setattr("bwvd.evidence.write.group.GROUP_BYTES", 1)  # each waits in a group of its own
    with pytest.raises(ExceptionGroup) as caught:
        await record()
    assert caught.value.split(_Defect)[1] is None
    manifests = [rig.manifest(recording) for recording in rig.recordings()]
    assert all(isinstance(one[-1], records.Close | records.Recovered) for one in manifests)
    opened = [record for one in manifests for record in one if isinstance(record, records.Open)]
    assert [one.continues for one in opened[1:]] == rig.recordings()[:-1]
    gaps = [record for one in manifests for record in one if isinstance(record, records.Gap)]
    numbers = _frames(rig)
    missing = set(range(numbers[0], numbers[-1] + 1)) - set(numbers)
    assert numbers == sorted(set(numbers))
    assert {gap.cause for gap in gaps} <= {"crash"}
    if times < 1000:
        assert sum(gap.frames for gap in gaps) == len(missing) == RATE * (times - 1)
        assert numbers[-1] - numbers[0] >= 14 * RATE
    else:
        assert not missing, "everything behind the last commit is gone"
        assert len(numbers) + sum(gap.frames for gap in gaps) >= 14 * RATE


async def test_a_defect_behind_a_commit_writes_no_frame_twice(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 4: what an error has come behind is on the flash; the recording goes on from there and is closed."""
    volume = VirtualVolume()
    rig = _rig(volume, has_microphone=False)
    run, failing = VirtualStorage.run, [False]

    async def run_and_fail(self: VirtualStorage, job: Callable[[Volume], object]) -> object:
        done = await run(self, job)
        if failing[0] and job.__name__ == "_commit_job":
            failing[0] = False
            raise _Defect
        return done

    async def record() -> None:
        async with rig.running() as daemon:
            await trio.sleep(7)
            await rig.press()
            await trio.sleep(3)
            failing[0] = True
            await daemon.wait_closed()

    monkeypatch.setattr(VirtualStorage, "run", run_and_fail)
    with pytest.raises(ExceptionGroup) as caught:
        await record()
    assert caught.value.split(_Defect)[1] is None
    (recording,) = rig.recordings()
    assert isinstance(rig.manifest(recording)[-1], records.Close)
    assert not any(isinstance(record, records.Gap) for record in rig.manifest(recording))
    numbers = _frames(rig)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


@pytest.mark.parametrize("method", ["close", "finish"])
async def test_a_defect_at_the_end_of_a_recording(
    method: str, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 12: the recording is brought to its end all the same, and the one behind it is written."""
    rig = _rig(VirtualVolume(), has_microphone=False)
    close, finish, failing = RecordingFolder.close, finish_steps, [1]

    def fail() -> None:
        if failing:
            failing.pop()
            raise _Defect

    def close_or_fail(self: RecordingFolder, reason: str) -> None:
        fail()
        close(self, reason)

    def finish_or_fail(volume: Volume, folder: str, signer: Signer) -> Steps[None]:
        fail()
        return finish(volume, folder, signer)

    async def record() -> None:
        async with rig.running() as daemon:
            await trio.sleep(7)
            await rig.press()
            await trio.sleep(3)
            await rig.stop()
            await daemon.wait_closed()

    if method == "close":
        monkeypatch.setattr(RecordingFolder, "close", close_or_fail)
    else:
        monkeypatch.setattr("bwvd.evidence.write.finishing.finish_steps", finish_or_fail)
    with pytest.raises(ExceptionGroup) as caught:
        await record()
    assert caught.value.split(_Defect)[1] is None
    (recording,) = rig.recordings()
    assert isinstance(rig.manifest(recording)[-1], records.Close | records.Recovered)
    assert "SHA256SUMS.sig" in rig.volume.names(f"recordings/{recording}")
