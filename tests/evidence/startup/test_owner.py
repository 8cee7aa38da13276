"""Whose card it is: its journal, its list of keys, its recordings' ids and their first records, each by itself."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.startup import owner
from bwvd.evidence.startup.admission import StorageRefused, open_storage
from bwvd.evidence.startup.outcome import RecoveryResult, drafts_of
from bwvd.evidence.startup.recovery import recover
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.medium import Tree
from bwvd.testing.flash.storage import VirtualVolume
from tests.evidence.journal.test_journal import READING
from tests.support.desk import verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.rig import KEY, Rig
from tests.support.storage_recording import recording_id, virtual_clock, write_recording

OURS, OTHER = "BWV-0777", "BWV-0001"
RECORDING = f"20261122T071505Z-{OTHER}-000001"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def card_of_the_other(root: Path) -> Path:
    """As the other device leaves it, pulled out while it recorded."""
    storage = make_storage(root, device=OTHER)
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, fixed_signer(), device=OTHER, limit_bytes=1_000_000)
        journal.append([Draft("boot", {"boot": "boot-1"}, READING)])
        journal.close()
    make_recording(storage, close="", seconds=1, device=OTHER)
    return storage


def only_the_journal(storage: Path) -> None:
    (storage / "allowed_signers").unlink()
    shutil.rmtree(storage / "recordings")


def only_the_list(storage: Path) -> None:
    (storage / "journal.jsonl").unlink()
    shutil.rmtree(storage / "recordings")


def only_an_archive(storage: Path) -> None:
    only_the_journal(storage)
    (storage / "journal.jsonl").rename(storage / "journal-000007.jsonl")
    with PosixVolume(storage) as volume:
        Journal.open(volume, KEY, device=OURS, limit_bytes=1_000_000).close()


def only_an_id(storage: Path) -> None:
    (storage / "journal.jsonl").unlink()
    (storage / "allowed_signers").unlink()
    (storage / "recordings" / RECORDING / "manifest.jsonl").unlink()


def only_an_open_record(storage: Path) -> None:
    (storage / "journal.jsonl").unlink()
    (storage / "allowed_signers").unlink()
    folder = storage / "recordings" / RECORDING
    folder.rename(folder.with_name(RECORDING.replace(OTHER, OURS)))


def nothing_but_the_journal_gone(storage: Path) -> None:
    (storage / "journal.jsonl").unlink()


def the_journal_damaged(storage: Path) -> None:
    (storage / "journal.jsonl").write_bytes(b"\xff\0{torn")


LEFT: dict[Callable[[Path], None], str] = {
    only_the_journal: "its journal",
    only_an_archive: "its journal",
    only_the_list: "its allowed_signers",
    only_an_id: f"its recording {RECORDING}",
    only_an_open_record: f"the manifest of its recording {RECORDING.replace(OTHER, OURS)}",
    nothing_but_the_journal_gone: "its allowed_signers",
    the_journal_damaged: "its allowed_signers",
}


@pytest.mark.parametrize("leave", LEFT)
def test_another_devices_card_is_refused_by_whatever_names_it(tmp_path: Path, leave: Callable[[Path], None]) -> None:
    """Invariant 7: an end that a second device signed would make the first one's recording an altered one."""
    storage = card_of_the_other(tmp_path / "storage")
    leave(storage)
    before = snapshot(storage)
    with pytest.raises(StorageRefused) as raised:
        open_storage(storage, device=OURS)
    assert str(raised.value) == (
        f"storage.path: {storage} belongs to device {OTHER} ({LEFT[leave]} says so), not to {OURS}"
    )
    assert snapshot(storage) == before


@pytest.mark.parametrize(
    "leave", [nothing_but_the_journal_gone, the_journal_damaged, only_the_journal, only_the_list, only_an_id]
)
def test_the_devices_own_card_goes_on_without_some_of_it(tmp_path: Path, leave: Callable[[Path], None]) -> None:
    storage = card_of_the_other(tmp_path / "storage")
    leave(storage)
    open_storage(storage, device=OTHER).close()


@pytest.mark.parametrize(
    "text",
    [
        f"{OTHER} ssh-ed25519 AAAA\n",  # no key
        "nonsense\n",
        f"{OTHER},{OURS} {fixed_signer().public_key}\n",
        f"* {fixed_signer().public_key}\n",
        f"{OTHER} cert-authority {fixed_signer().public_key}\n",  # of a fleet
        fixed_signer().allowed_signers(OTHER) + KEY.allowed_signers(OURS),
        KEY.allowed_signers("bwvd"),
        "",
    ],
)
def test_a_list_that_names_nobody_else_alone_is_no_reason_to_stay_off(tmp_path: Path, text: str) -> None:
    (tmp_path / "allowed_signers").write_text(text)
    open_storage(tmp_path, device=OURS).close()


def test_what_is_odd_says_nothing(tmp_path: Path) -> None:
    """A link, a damaged line, a file that gives errors: recovery names them, the admission does not stumble."""
    recordings = tmp_path / "recordings"
    for number, kind in enumerate(("link", "text", "folder", "nothing"), start=1):
        folder = recordings / f"20261122T071505Z-{OURS}-{number:06d}"
        folder.mkdir(parents=True)
        if kind == "link":
            (folder / "manifest.jsonl").symlink_to("/dev/zero")
        elif kind == "text":
            (folder / "manifest.jsonl").write_bytes(b"\xff\0" * 100_000)
        elif kind == "folder":
            (folder / "manifest.jsonl").mkdir()
    (recordings / f"20261122T071505Z-{OTHER}-000001").write_text("a file")
    (recordings / "anything").mkdir()
    open_storage(tmp_path, device=OURS).close()


def test_a_card_of_thousands_of_recordings_is_looked_at_in_no_time() -> None:
    """The start is on a camera: a listing, and a few first lines of bounded length."""
    tree: dict[str, bytes | None] = {"recordings": None}
    for number in range(1, 3000):
        folder = f"recordings/20261122T071505Z-{OURS}-{number:06d}"
        tree |= {folder: None, f"{folder}/manifest.jsonl": b"x" * 1000}
    volume = VirtualVolume.from_state(tree, trace=True)
    volume.gate.log.clear()
    assert owner.other_owner(volume, OURS) is None
    kinds = [operation.kind for operation in volume.gate.log]
    assert kinds.count("read") == owner.NEWEST
    assert len(kinds) <= owner.NEWEST + 2  # and the two listings


def test_a_flash_that_can_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "allowed_signers")

    make_storage(tmp_path / "storage", device=OURS)
    monkeypatch.setattr(PosixVolume, "read", fail)
    with pytest.raises(StorageRefused, match="can't be read: Input/output error"):
        open_storage(tmp_path / "storage", device=OURS)


# --- under a manifest that is not ours -------------------------------------------------------------------------------


def recovered(volume: VirtualVolume) -> list[RecoveryResult]:
    return recover(volume, KEY, virtual_clock(), "boot-2", reserve=Reserve(0))


@pytest.mark.parametrize("close", [False, True])
def test_nothing_is_written_under_a_manifest_by_another_key(*, close: bool) -> None:
    """Invariant 7: a second device of the same id, as they are delivered, is known by its key alone."""
    volume = VirtualVolume.from_state({"recordings": None})
    write_recording(volume, 1, close=close, finish=False)
    before = volume.tree()
    (result,) = recovered(volume)
    assert volume.tree() == before
    assert (result.recording, result.segments) == (recording_id(1), 0)
    assert fixed_signer().public_key in result.error
    (draft,) = drafts_of([result], READING)
    assert (draft.event, draft.detail["error"]) == ("recovery", result.error)


def test_one_that_is_not_ours_does_not_keep_ours_from_their_end() -> None:
    volume = VirtualVolume.from_state({"recordings": None})
    write_recording(volume, 1, close=False)
    volume.make_dir(f"recordings/{recording_id(2)}")
    results = recovered(volume)
    assert [bool(result.error) for result in results] == [True, False]
    assert "SHA256SUMS.sig" in volume.names(f"recordings/{recording_id(2)}")


def test_nothing_is_written_under_a_manifest_of_another_device() -> None:
    """Invariant 7: the folder has this device's id, the manifest in it another's."""
    volume = VirtualVolume.from_state({"recordings": None})
    write_recording(volume, 1, close=False)
    ours = recording_id(1).replace(OTHER, OURS)
    tree = {path.replace(recording_id(1), ours): content for path, content in volume.tree().items()}
    volume = VirtualVolume.from_state(tree)
    (result,) = recover(volume, fixed_signer(), virtual_clock(), "boot-2", reserve=Reserve(0))
    assert volume.tree() == tree
    assert OTHER in result.error


async def test_a_start_leaves_the_folders_of_another_device(autojump_clock: object) -> None:
    """Invariant 7: also where the card was filled after it had been admitted."""
    tree: Tree = {"recordings": None, f"recordings/{RECORDING.replace(OTHER, OURS)}": None}
    rig = Rig(volume=VirtualVolume.from_state(tree))
    async with rig.running():
        pass
    assert rig.volume.names(f"recordings/{RECORDING.replace(OTHER, OURS)}") == []


def test_the_others_recording_stays_what_it_was(tmp_path: Path) -> None:
    """Invariant 7: with its own device it is recovered, and authentic as far as it goes."""
    storage = card_of_the_other(tmp_path / "storage")
    nothing_but_the_journal_gone(storage)
    with pytest.raises(StorageRefused):
        open_storage(storage, device=OURS)
    with PosixVolume(storage) as volume:
        recover(volume, KEY, VirtualClock(seconds=lambda: 100.0), "boot-2", reserve=Reserve(0))
    assert verify_storage(storage)[1].verdict == "not_closed"
    with open_storage(storage, device=OTHER) as volume:
        recover(volume, fixed_signer(), VirtualClock(seconds=lambda: 100.0), "boot-2", reserve=Reserve(0))
    assert verify_storage(storage)[1].verdict == "recovered"
