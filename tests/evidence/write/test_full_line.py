"""A flash that fills up in the middle of a line: whatever piece of it arrived, the recording closes authentic."""

from __future__ import annotations

import errno
from pathlib import Path

import pyrage
import pytest

from bwvd.clock import NS, Clock
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format import records
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.write.finalize import finish_recording
from bwvd.evidence.write.group import Group
from bwvd.evidence.write.lost_media import Unwritten
from bwvd.evidence.write.recording_folder import Device, RecordingFolder
from bwvd.messages import Marked, OpenRecording, PreEvent
from bwvd.testing.clock import VirtualClock
from tests.support.desk import verify_recording
from tests.support.evidence_folder import Media, make_storage, media
from tests.support.evidence_keys import fixed_signer

RECORDING = "20261122T071505Z-BWV-0001-000001"


def _opening(clip: Media, press_ns: int) -> OpenRecording:
    return OpenRecording(
        recording=RECORDING,
        serial=1,
        press_source="test",
        press_ns=press_ns,
        handled_ns=press_ns,
        pre_event=PreEvent(NS, NS, ""),
        video=clip.video,
        audio=clip.audio,
        pre_event_audio=False,
        officer="",
    )


class _Full:
    """A manifest that takes so many bytes more and then finds no room."""

    def __init__(self, file: object, room: int) -> None:
        self._file = file
        self._room = room

    def write(self, data: bytes) -> None:
        self._file.write(data[: min(self._room, len(data) - 1)])  # type: ignore[attr-defined]  # a PosixFile
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("room", [0, 1, 100, 200, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1300, 1500, 1 << 20])
def test_any_piece_of_an_append(room: int, sealed: bool, tmp_path: Path) -> None:
    """Invariant 12: a marker's pair may be whole and the segment's line behind it torn, or both, or neither."""
    storage = make_storage(tmp_path)
    clip = media(2)
    first, second = clip.gop(0, sound=False), clip.gop(1, sound=False)
    clock: Clock = VirtualClock(seconds=lambda: 2.0)
    sealer = AgeSealer([str(pyrage.x25519.Identity.generate().to_public())]) if sealed else None
    with PosixVolume(storage) as volume:
        folder = RecordingFolder(
            volume, Device("BWV-0001", "boot", 1.0, fixed_signer(), sealer), _opening(clip, first.start_ns), clock
        )
        folder.create(first, None)
        folder.commit([first], [])
        folder._manifest = _Full(folder._manifest, room)  # type: ignore[assignment]  # stands in for it
        mark = Marked(second.start_ns, "button", "door")
        with pytest.raises(OSError, match="No space"):
            folder.commit([second], [mark])
        folder.close_full("storage_full", Unwritten(Group(gops=[second], notes=[mark])))
        finish_recording(volume, f"recordings/{RECORDING}", fixed_signer())
    report = verify_recording(storage / "recordings" / RECORDING)
    assert report.verdict == "authentic", report.findings
    assert (report.segments, report.gaps) in ((1, 1), (2, 0)), "a segment that is there is not named as missing"
    written = list(signed_records(storage / "recordings" / RECORDING))
    assert len([record for record in written if isinstance(record, records.Mark)]) == 1


@pytest.mark.parametrize("room", [0, 1, 300, 1 << 20])
def test_any_piece_of_the_end(room: int, tmp_path: Path) -> None:
    """Invariant 12: the `close` record may have arrived whole but for its newline; a recording has one end."""
    storage = make_storage(tmp_path)
    first = media(2).gop(0, sound=False)
    clock: Clock = VirtualClock(seconds=lambda: 2.0)
    with PosixVolume(storage) as volume:
        device = Device("BWV-0001", "boot", 1.0, fixed_signer(), None)
        folder = RecordingFolder(volume, device, _opening(media(2), first.start_ns), clock)
        folder.create(first, None)
        folder.commit([first], [])
        folder._manifest = _Full(folder._manifest, room)  # type: ignore[assignment]  # stands in for it
        with pytest.raises(OSError, match="No space"):
            folder.close("stop")
        folder.close_full("stop", Unwritten(Group()))
        finish_recording(volume, f"recordings/{RECORDING}", fixed_signer())
    report = verify_recording(storage / "recordings" / RECORDING)
    assert report.verdict == "authentic", report.findings
