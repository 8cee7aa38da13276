"""What a player hears of an MP4: one audio track from 0 to the end, also of recordings that have holes in theirs."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import av
import pytest
import trio
import trio.testing

from bwvd.clock import NS
from bwvd.evidence.export.mp4 import ExportedFile
from bwvd.evidence.format import records
from bwvd.media.audio_line import AudioLine
from bwvd.messages import Order
from tests.evidence.export.test_mp4 import complaints, probe
from tests.support.desk import export_mp4
from tests.support.rig import SILENCE
from tests.whole.test_continuous_audio import (
    FRAME_S,
    SHIFTS,
    Microphones,
    copied,
    packets,
    plain,
    rig_with,
    two_mutes,
)

Shift = Callable[[Microphones], Awaitable[None]]


@pytest.fixture
def holes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device leaves holes where it has no audio, as earlier versions did."""
    monkeypatch.setattr(AudioLine, "silent", lambda *_: ())


async def _muted_when_the_camera_goes(rig: Microphones) -> None:
    await plain(rig)
    await rig.order(Order.MUTE)
    await trio.sleep(2)
    assert rig.camera is not None
    rig.camera.unplug()
    await trio.sleep(3)
    rig.camera.plug()
    await trio.sleep(4)
    await rig.order(Order.UNMUTE)
    await trio.sleep(4)


async def _late_and_unknown(rig: Microphones) -> None:
    """Nobody knows its form before: there is an epoch without an audio track."""
    assert rig.microphone is not None
    rig.microphone.unplug()
    await plain(rig)
    rig.microphone.plug()
    await trio.sleep(12)


ALL: list[Shift] = [*SHIFTS, _muted_when_the_camera_goes, _late_and_unknown]


async def _recorded(shift: Shift, pre_event: bool, to: Path) -> tuple[Microphones, str, Path]:
    rig = rig_with(audio={"pre_event": pre_event})
    rig.away = shift is _late_and_unknown
    async with rig.running():
        await shift(rig)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    return rig, recording, copied(rig, recording, to)


def _is_whole(file: ExportedFile) -> None:
    """Packet by packet, as stock ffprobe sees them."""
    path = Path(file.path)
    audio, video = packets(path, "a:0"), packets(path, "v:0")
    assert audio[0].at_s < FRAME_S
    assert max(b.at_s - a.at_s - a.length_s for a, b in itertools.pairwise(audio)) < 0.001
    assert max(packet.length_s for packet in audio) < 2 * FRAME_S
    assert all(later.at_s > earlier.at_s for earlier, later in itertools.pairwise(audio))
    end_s = max(packet.at_s + packet.length_s for packet in video)
    assert audio[-1].at_s + FRAME_S > end_s - FRAME_S  # its length ffprobe takes off a track that begins at once
    assert complaints(path) == ""
    assert len(audio) == file.audio_frames


def _heard(path: Path) -> tuple[list[tuple[float, bytes]], int]:
    """When each frame of audio is played that is no silence, and how many are."""
    with av.open(str(path)) as container:
        found = [(float((one.pts or 0) * one.time_base), bytes(one)) for one in container.demux(audio=0) if one.size]
    return [one for one in found if one[1] != SILENCE], sum(data == SILENCE for _, data in found)


def _is_as_recorded(rig: Microphones, recording: str, file: ExportedFile) -> int:
    """Nothing that was heard is lost or moved. Returns how many frames are silence that was put in."""
    segments = [one for one in rig.manifest(recording) if isinstance(one, records.Segment)]
    epochs = sorted({one.epoch for one in segments if one.audio_frames})
    first_s = segments[0].pts_ns / NS
    recorded = [(at_s, data) for epoch in epochs for at_s, data in rig.audio(recording, epoch) if data != SILENCE]
    inside = [(at_s - first_s, data) for at_s, data in recorded if file.from_s <= at_s - first_s < file.to_s]
    heard, silent = _heard(Path(file.path))
    moved = [(at_s + file.from_s, data) for at_s, data in heard]
    assert [data for _, data in moved] == [data for _, data in inside]
    assert [at_s for at_s, _ in moved] == pytest.approx([at_s for at_s, _ in inside], abs=0.001)
    assert silent == file.silent_frames
    tags = probe(file.path)["format"]["tags"]
    assert tags["bwvd_silent_frames"] == str(file.silent_frames)
    assert tags["bwvd_added_frames"] == str(file.added_frames)
    return silent


@pytest.mark.parametrize("pre_event", [False, True])
@pytest.mark.parametrize("shift", ALL, ids=lambda shift: shift.__name__.strip("_"))
async def test_an_export_has_one_track(
    shift: Shift, pre_event: bool, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 15: also where the recording's tracks have a hole together, or an audio track that begins late."""
    rig, recording, folder = await _recorded(shift, pre_event, tmp_path)
    [file] = export_mp4(folder, tmp_path / "out.mp4").files
    _is_whole(file)
    _is_as_recorded(rig, recording, file)
    counted = [one.silent_frames for one in rig.manifest(recording) if isinstance(one, records.Segment)]
    assert file.silent_frames - file.added_frames == sum(counted)


@pytest.mark.usefixtures("holes")
@pytest.mark.parametrize("pre_event", [False, True])
@pytest.mark.parametrize("shift", ALL, ids=lambda shift: shift.__name__.strip("_"))
async def test_a_recording_with_holes_exports_without(
    shift: Shift, pre_event: bool, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 15: recordings of earlier versions. All their silence is the export's, and counted as such."""
    rig, recording, folder = await _recorded(shift, pre_event, tmp_path)
    [file] = export_mp4(folder, tmp_path / "out.mp4").files
    _is_whole(file)
    assert _is_as_recorded(rig, recording, file) == file.added_frames


@pytest.mark.usefixtures("holes")
@pytest.mark.parametrize(
    ("from_s", "to_s", "heard"), [(0.0, 3.0, False), (3.0, 9.0, True), (7.5, None, True), (11.0, 12.0, False)]
)
async def test_a_cut_has_one_track(
    from_s: float, to_s: float | None, heard: bool, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 15: whatever is cut through. What holds no audio at all (the first seconds, a mute) has no track."""
    rig, recording, folder = await _recorded(two_mutes, False, tmp_path)
    [file] = export_mp4(folder, tmp_path / "out.mp4", from_s=from_s, to_s=to_s).files
    assert ("audio" in probe(file.path)["track"]) == heard
    if heard:
        _is_whole(file)
        _is_as_recorded(rig, recording, file)


@pytest.mark.usefixtures("holes")
async def test_both_files_of_a_change_of_size_have_one_track(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 15."""

    async def changed(rig: Microphones) -> None:
        await plain(rig)
        assert rig.camera is not None
        rig.camera.unplug()
        await trio.sleep(1)
        rig.camera.change(width=96, height=64)
        rig.camera.plug()
        await trio.sleep(8)
        await rig.order(Order.MUTE)
        await trio.sleep(3)

    _, _, folder = await _recorded(changed, False, tmp_path)
    files = export_mp4(folder, tmp_path / "out.mp4").files
    assert len(files) == 2
    for file in files:
        _is_whole(file)


def _titles(path: str) -> list[str]:
    with av.open(path) as container:
        return [chapter["metadata"]["title"] for chapter in container.chapters()]


async def test_what_was_put_in_is_named(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 15: where no record says that there is no audio, a chapter of the MP4 does."""
    _, _, folder = await _recorded(_late_and_unknown, False, tmp_path)
    [file] = export_mp4(folder, tmp_path / "out.mp4").files
    assert _titles(file.path)[0] == "Before the press; No audio for 14.0 s"


@pytest.mark.usefixtures("holes")
async def test_what_a_record_names_is_not_named_twice(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 15."""
    _, _, folder = await _recorded(two_mutes, False, tmp_path)
    [file] = export_mp4(folder, tmp_path / "out.mp4").files
    assert [title for title in _titles(file.path) if "o audio" in title] == []
    assert [title for title in _titles(file.path) if title == "Audio off: mute"] == ["Audio off: mute"] * 2
