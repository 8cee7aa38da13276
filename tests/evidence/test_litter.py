"""A card that a desk has had in its hands: what desktops leave on it stops no camera and spoils no evidence."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from bwvd.evidence.export.catalogue import catalogue
from bwvd.evidence.export.mp4 import export_mp4
from bwvd.evidence.format import records
from bwvd.evidence.format.layout import is_litter
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.startup.admission import StorageRefused, open_storage, strays
from bwvd.evidence.startup.inspection import BEGIN_S
from bwvd.evidence.startup.look import LOOK_AFTER_S
from bwvd.evidence.verify.gather import gather
from bwvd.evidence.verify.paths import verify_paths
from bwvd.evidence.verify.recording import verify_recording
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.flash.storage import VirtualVolume
from tests.evidence.release.test_release import finished, receipt_for, releasing, run
from tests.evidence.verify.test_storage import a_storage, rec
from tests.support.evidence_keys import fixed_signer
from tests.support.rig import Rig, configuration
from tests.support.storage_recording import recording_id

FILES = (".DS_Store", "._manifest.jsonl", "desktop.ini", "Thumbs.db", ".directory", "FSCK0000.REC")
FOLDERS = (
    ".Trash-1000/info",
    ".Trashes/501",
    "System Volume Information/EFS",
    "$RECYCLE.BIN/S-1-5-21",
    ".fseventsd/0",
    ".Spotlight-V100/Store-V2",
    "FOUND.000/inner",
    "LOST.DIR/inner",
    "lost+found/inner",
)

SIGNERS = AllowedSigners.parse(fixed_signer().allowed_signers("BWV-0001").encode(), "given")


def litter(folder: Path) -> None:
    """All of it, each with something in it."""
    for name in FILES:
        (folder / name).write_bytes(b"a desktop's own")
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_bytes(b"a desktop's own")


def paths(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("name", [*FILES, *(one.split("/")[0] for one in FOLDERS), "found.123/", ".trash-0"])
def test_what_is_litter(name: str) -> None:
    assert is_litter(name)
    assert is_litter(name.upper())


@pytest.mark.parametrize(
    "name", ["recordings/", "journal.jsonl", "000001.m4s", "manifest.jsonl", "DCIM/", "notes.txt", ".lock", "init.mp4"]
)
def test_what_is_none(name: str) -> None:
    assert not is_litter(name)


def test_a_fresh_card_from_a_desk_is_let_in(tmp_path: Path) -> None:
    """Invariant 5: a card that was formatted and looked at on a computer records."""
    litter(tmp_path)
    before = paths(tmp_path)
    with open_storage(tmp_path, device="BWV-0001"):
        assert paths(tmp_path) - before == {".lock", "recordings"}
    assert paths(tmp_path) >= before, "nothing of it is touched"


def test_what_lies_beside_evidence_is_let_be(tmp_path: Path) -> None:
    """Invariant 5: whatever it is. Without any evidence it would be somebody's own folder."""
    storage = a_storage(tmp_path / "storage", recordings=1)
    (storage / "holiday.jpg").write_bytes(b"a picture")
    (storage / "DCIM").mkdir()
    (storage / "DCIM/0001.jpg").write_bytes(b"another")
    (storage / "recordings/notes.txt").write_bytes(b"a note")
    with open_storage(storage, device="BWV-0001") as volume:
        found = strays(volume, volume.names("recordings"))
    assert found == ["DCIM/", "holiday.jpg", "recordings/notes.txt"]
    other = tmp_path / "pictures"
    other.mkdir()
    litter(other)
    (other / "holiday.jpg").write_bytes(b"a picture")
    with pytest.raises(StorageRefused, match=r"holds holiday\.jpg"):
        open_storage(other, device="BWV-0001")


@pytest.mark.parametrize("name", ["journal.jsonl", ".lock", "recordings"])
def test_something_else_in_the_place_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    storage = a_storage(tmp_path / "storage", recordings=0)
    place = storage / name
    if place.is_dir():
        place.rmdir()
        place.write_bytes(b"")
    else:
        place.unlink(missing_ok=True)
        place.mkdir()
    with pytest.raises(StorageRefused, match=f"holds {name}"):
        open_storage(storage, device="BWV-0001")


def test_desks_tools_are_not_disturbed(tmp_path: Path) -> None:
    """Invariant 7: nothing of a recording is touched by it. It is noted, and the verdict stays."""
    storage = a_storage(tmp_path / "storage", recordings=2)
    for folder in (storage, storage / "recordings", storage / "recordings" / rec(1)):
        litter(folder)
    reports = verify_paths([storage], SIGNERS)
    assert [(report.id, report.verdict) for report in reports] == [
        ("storage", "authentic"),
        (rec(1), "authentic"),
        (rec(2), "authentic"),
    ]
    noted = {note.where for note in reports[1].notes}
    assert noted == {*FILES, *(name.split("/")[0] for name in FOLDERS)}
    assert f"recordings/{FILES[0]}" in {note.where for note in reports[0].notes}
    assert [entry.id for entry in catalogue(storage)] == [rec(1), rec(2)]
    assert [place.path.name for place in gather(storage)] == [rec(1), rec(2)]
    exported = export_mp4(storage / "recordings" / rec(1), tmp_path / "out.mp4", signers=SIGNERS)
    assert exported.report.verdict == "authentic"


def test_other_strangers_are_found_as_before(tmp_path: Path) -> None:
    """Invariant 7: a name that no desktop makes is an insertion, and so is a link by any name."""
    storage = a_storage(tmp_path / "storage", recordings=2)
    (storage / "recordings" / rec(1) / "DS_Store").write_bytes(b"")
    (storage / "recordings" / rec(2) / ".DS_Store").symlink_to("/etc/passwd")
    (storage / "recordings/notes.txt").write_bytes(b"")
    verdicts = [report.verdict for report in verify_paths([storage], SIGNERS)]
    assert verdicts == ["altered", "altered", "altered"]


def test_a_recording_in_somebodys_trash_is_found(tmp_path: Path) -> None:
    """Moved there by a file manager: the storage misses it, and it verifies where it lies."""
    storage = a_storage(tmp_path / "storage", recordings=2)
    (storage / ".Trash-1000/files").mkdir(parents=True)
    (storage / "recordings" / rec(2)).rename(storage / ".Trash-1000/files" / rec(2))
    reports = verify_paths([storage], SIGNERS)
    assert {report.id: report.verdict for report in reports} == {
        "storage": "altered",
        rec(1): "authentic",
        rec(2): "authentic",
    }


@pytest.mark.parametrize("serial", [1, 2])
def test_a_release_takes_it_along(serial: int) -> None:
    """Invariant 8: the receipt is for the recording; a desktop's files don't keep its folder, nor their own folders."""
    tree = dict(finished())
    folder = f"recordings/{recording_id(serial)}"
    for where in ("", "recordings/", f"{folder}/"):
        tree |= {f"{where}.DS_Store": b"x", f"{where}.fseventsd": None, f"{where}.fseventsd/0001": b"y"}
    volume = VirtualVolume.from_state(tree)
    run(releasing(volume, receipt_for(tree, serial)))
    assert set(volume.tree()) == {path for path in tree if not path.startswith(folder)}


async def test_a_camera_records_on_such_a_card(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """Invariant 5: no fault; what lay there is in the status and in the journal. Nothing of it is signed for, also
    where a recording was cut off with it: what comes and goes must not be what an end is about."""
    volume = VirtualVolume()
    config = configuration(loop={"seconds": 3}, recording={"post_roll_s": 0}, storage={"reserve_bytes": 1 << 16})

    async def shift(volume: VirtualVolume) -> tuple[Rig, object, dict[str, bytes | None]]:
        """A recording; what the status notes, and the card as it lies in the middle of it."""
        rig = Rig(config=config, volume=volume)
        rig.camera = VirtualCamera(rig.clock, rate=10, gop_frames=10)
        async with rig.running() as daemon:
            await trio.sleep(LOOK_AFTER_S + BEGIN_S + 30)
            assert daemon.hub.faults == {}
            noted = daemon.storage_status()["strays"]
            assert (await rig.press()).ok
            await trio.sleep(4)
            lies = dict(volume.tree())
            await rig.stop()
            await rig.closed()
        return rig, noted, lies

    first, noted, tree = await shift(volume)
    assert noted == []
    (recording,) = first.recordings()
    for where in ("", "recordings/", f"recordings/{recording}/"):
        tree |= {f"{where}.DS_Store": b"x", f"{where}.Trash-1000": None, f"{where}.Trash-1000/a": b"y"}
    volume = VirtualVolume.from_state(tree)
    second, noted, _ = await shift(volume)
    assert noted == [".DS_Store", ".Trash-1000/", "recordings/.DS_Store", "recordings/.Trash-1000"]
    card = volume.tree()
    entries = [line for line in (card["journal.jsonl"] or b"").splitlines() if b'"strays"' in line]
    assert len(entries) == 1
    assert b'"count":4' in entries[0]
    (end,) = [one for one in second.manifest(recording) if isinstance(one, records.Recovered)]
    assert end.found == []
    for path, content in card.items():
        place = tmp_path / path
        if content is None:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    vouching = AllowedSigners.parse(first.signer.allowed_signers("BWV-0001").encode(), "given")
    for _ in range(2):
        report = verify_recording(tmp_path / "recordings" / recording, vouching)
        assert report.verdict == "recovered", report.why
        (tmp_path / "recordings" / recording / ".DS_Store").unlink(missing_ok=True)
