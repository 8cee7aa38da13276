"""An export verifies while it writes: one pass over the bytes, and no MP4 of what turned out to be altered."""

from __future__ import annotations

import errno
import io
import os
import shutil
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

import pyrage
import pytest

from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export import mp4
from bwvd.evidence.export.assembly import Assembly, Expected
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.verify.folder import DirectoryFolder
from bwvd.evidence.verify.recording import verify_recording
from bwvd.media.fragment import Epoch
from bwvd.media.fragment_reader import read_fragments, read_init
from bwvd.media.movie import Samples
from tests.evidence.export.test_mp4 import complaints, probe
from tests.support.desk import export_mp4
from tests.support.evidence_folder import START_NS, make_recording, make_storage, media


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file of a recording was opened."""
    counted: Counter[str] = Counter()
    whole = DirectoryFolder.open

    def open_(folder: DirectoryFolder, name: str) -> io.RawIOBase:
        counted[name] += 1
        return whole(folder, name)

    monkeypatch.setattr(DirectoryFolder, "open", open_)
    return counted


@pytest.mark.parametrize("sealed", [False, True])
def test_each_segment_is_read_once(storage: Path, tmp_path: Path, opened: Counter[str], sealed: bool) -> None:
    """Invariant 7: what goes into the MP4 is what was hashed, not what another look at the file would find."""
    identity = pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(identity.to_public())]) if sealed else None)
    export_mp4(folder, tmp_path / "out.mp4", [identity])
    segments = {name: times for name, times in opened.items() if ".m4s" in name}
    assert segments == {f"00000{n}.m4s{'.age' * sealed}": 1 for n in range(1, 5)}


@pytest.mark.parametrize("segment", [1, 4])
@pytest.mark.parametrize("cut", [{}, {"from_s": 1.0, "to_s": 2.0}])
def test_a_changed_byte_leaves_no_file(storage: Path, tmp_path: Path, segment: int, cut: dict[str, Any]) -> None:
    """Invariant 7: also where the change lies in a segment that the cut does not hold."""
    folder = make_recording(storage)
    path = folder / f"00000{segment}.m4s"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ExportRefused, match=rf"is altered: 00000{segment}\.m4s .* is not what was recorded"):
        export_mp4(folder, tmp_path / "out.mp4", **cut)
    assert list(tmp_path.iterdir()) == [storage]


def test_until_the_verdict_is_known_the_file_is_no_mp4(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 14: a run that is killed leaves nothing that a player opens, or that says "authentic"."""
    seen: list[bytes] = []
    whole = mp4.admit

    def admit(report: Any, *, force: bool) -> None:
        seen.extend(path.read_bytes() for path in tmp_path.glob("*.part"))
        whole(report, force=force)

    monkeypatch.setattr(mp4, "admit", admit)
    [file] = export_mp4(make_recording(storage), tmp_path / "out.mp4").files
    [half] = seen
    assert not any(word in half for word in (b"ftyp", b"moov", b"authentic"))
    assert b"authentic" in Path(file.path).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "storage"]


@pytest.mark.parametrize("options", [{"seconds": 3}, {"sound_from": 0}], ids=str)
def test_another_recording_that_takes_its_place_meanwhile_is_noticed(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Invariant 14: both are authentic, but the MP4 would be of one and its verdict of the other."""
    folder, other = make_recording(storage), make_recording(storage, 2, **options)

    def verify(path: Path, *arguments: Any, **options: Any) -> Any:
        shutil.rmtree(folder)
        other.rename(folder)
        return verify_recording(path, *arguments, **options)

    monkeypatch.setattr(mp4, "verify_recording", verify)
    with pytest.raises(ExportRefused, match="was changed while it was exported"):
        export_mp4(folder, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == [storage]


def test_a_full_disk_is_named_by_the_file_that_had_no_room(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(ExportRefused, match=r"/out\.mp4: No space left"):
        export_mp4(make_recording(storage), tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == [storage]


class Room(Expected):
    """So many bytes."""

    def __init__(self, room: int) -> None:
        super().__init__(0, 0, 0, 0.0, room)

    @property
    def room(self) -> int:
        return self.texts


@pytest.mark.parametrize(("room", "front"), [(8, False), (1 << 20, True), (1 << 32, True)])
def test_the_index_is_found_wherever_it_has_room(tmp_path: Path, room: int, front: bool) -> None:
    """Invariant 4: a manifest that counts too few frames costs the beginning before all is there, not a frame. Behind
    4 GiB the samples' places have 64 bits."""
    clip = media()
    epoch = Epoch(clip.video, clip.audio)
    segment = b"".join(epoch.fragment(clip.gop(n, sound=True), n + 1, START_NS) for n in range(4))
    epoch.close()
    path = tmp_path / "out.mp4"
    path.touch()
    with Assembly(path, Room(room)) as assembly:
        assembly.take(memoryview(segment), list(read_fragments(memoryview(segment), read_init(epoch.init))))
        done = assembly.finish(None, {}, {}, [])
    assert done.frames == 40
    assert complaints(path) == ""
    assert probe(path)["track"]["video"]["nb_read_frames"] == "40"
    with path.open("rb") as file:
        head = file.read(1 << 16)
    assert (b"moov" in head) == front
    path.unlink()


def test_samples_beyond_4_gib_have_their_place_in_64_bits() -> None:
    samples = Samples()
    samples.add(0, 1 << 32, array("I", [1]), array("I", [1]))
    assert any(b"co64" in part and (1 << 32).to_bytes(8, "big") in part for part in samples.table())
