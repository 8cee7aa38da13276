"""A card that was changed outside of the camera, with its journal cut to match: told by the device and by verify.

Invariant 13, and what must not be told: a power cut, a new card, a card that comes back, a new key.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.witness import FileWitness, Remembered, WitnessLost, remembering
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.testing.clock import VirtualClock
from bwvd.testing.conformance import witness as conformance
from bwvd.testing.witness import VirtualWitness
from tests.support.desk import verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

CLOCK = VirtualClock(seconds=lambda: 9.0)
LIMIT = 65_536


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", ["file", "virtual"])
async def test_every_witness_remembers(check: Callable[..., object], kind: str, tmp_path: Path) -> None:
    virtual = VirtualWitness()
    await check(lambda: FileWitness(tmp_path) if kind == "file" else virtual)  # type: ignore[misc]  # a check is async


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b"[" * 70_000])
async def test_a_witness_that_holds_nonsense_is_lost(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "journals.json").write_bytes(content)
    with pytest.raises(WitnessLost, match=r"journals\.json"):
        await FileWitness(tmp_path).read()


async def test_a_folder_that_is_not_there_is_lost(tmp_path: Path) -> None:
    for act in (FileWitness(tmp_path / "none").read(), FileWitness(tmp_path / "none").write([])):
        with pytest.raises(WitnessLost, match="none"):
            await act


class Device:
    """A device with its witness; `start` is a start with a card in it, as far as the journal is concerned."""

    def __init__(self) -> None:
        self.storages: list[Remembered] = []

    def start(self, card: Path, *serials: int, signer: KeySigner | None = None, entries: int = 1) -> Remembered | None:
        """What is gone; the recordings `serials` are opened and closed then."""
        with PosixVolume(card) as volume:
            journal = Journal.open(volume, signer or fixed_signer(), device="BWV-0001", limit_bytes=LIMIT)
            gone = journal.continues(self.storages)
            journal.append([Draft("boot", {"text": "x" * 500}, CLOCK.read())] * entries)
            for serial in serials:
                detail: dict[str, str | int | float | bool | None] = {"recording": f"R{serial}", "serial": serial}
                journal.append([Draft("opened", detail, CLOCK.read()), Draft("closed", detail, CLOCK.read())])
            latest = journal.remembered()
            assert latest is not None
            self.storages = remembering(self.storages, latest)
            journal.close()
        return gone


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "card")


def test_it_goes_on_where_it_was(card: Path) -> None:
    device = Device()
    for number in range(1, 6):
        assert device.start(card, number, entries=50) is None  # through rotations too
    assert sorted(card.glob("journal-*.jsonl"))
    assert device.storages[-1].last_serial == 5
    assert device.storages[-1].last_closed == "R5"


def test_what_came_behind_the_last_word_of_the_witness_is_no_harm(card: Path) -> None:
    """The power may go between the journal's commit and the witness's."""
    device = Device()
    device.start(card, 1)
    before = device.storages
    device.start(card, 2)
    device.storages = before
    assert device.start(card) is None


@pytest.mark.parametrize("rotations", [0, 60])
def test_a_card_that_was_put_back_is_told(card: Path, tmp_path: Path, rotations: int) -> None:
    """Invariant 13: every signature of it holds."""
    device = Device()
    device.start(card, 1)
    shutil.copytree(card, tmp_path / "copy")
    device.start(card, 2, entries=1 + rotations)
    device.start(card, 3, entries=1 + rotations)
    gone = device.start(tmp_path / "copy")
    assert gone is not None
    assert gone.last_serial == 3
    assert gone.last_closed == "R3"


def test_a_journal_that_was_cut_at_a_signature_is_told(card: Path) -> None:
    """Invariant 13."""
    device = Device()
    device.start(card, 1, 2)
    lines = (card / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (card / "journal.jsonl").write_bytes(b"".join(lines[:-2]))
    assert device.start(card) is not None


def test_a_journal_that_was_taken_away_is_told(card: Path) -> None:
    """Invariant 13: a storage without a journal that holds recordings of this device is none that is new."""
    device = Device()
    device.start(card, 1)
    make_recording(card)
    (card / "journal.jsonl").unlink()
    assert device.start(card) is not None


def test_it_is_told_also_where_the_start_that_began_anew_was_cut(card: Path) -> None:
    """Invariant 13: the new journal is durable before its first entry is."""
    device = Device()
    device.start(card, 1)
    make_recording(card)
    (card / "journal.jsonl").unlink()
    with PosixVolume(card) as volume:
        Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=LIMIT).close()
    assert device.start(card) is not None


def test_an_archive_that_was_taken_away_is_told(card: Path) -> None:
    """Invariant 13: the witness spoke of the file that is the archive by now."""
    device = Device()
    device.start(card, 1)
    before = device.storages
    for _ in range(3):
        device.start(card, entries=60)
    device.storages = before
    (card / "journal-000001.jsonl").unlink()
    assert device.start(card) is not None


def test_a_new_card_and_one_that_comes_back_are_not(card: Path, tmp_path: Path) -> None:
    device = Device()
    device.start(card, 1)
    other = make_storage(tmp_path / "other")
    assert device.start(other, 1) is None
    assert device.start(card, 2) is None
    assert device.start(other, 2) is None
    assert len({one.storage for one in device.storages}) == 2


def test_a_card_of_a_twin_is_not(card: Path) -> None:
    """The same id and key in another camera, which has gone on with the card; then it comes back."""
    device, twin = Device(), Device()
    device.start(card, 1)
    make_recording(card)
    twin.storages = [msgspec.structs.replace(one, storage="another") for one in device.storages]
    assert twin.start(card, 2) is None
    assert device.start(card, 3) is None


def test_a_new_key_is_not(card: Path, tmp_path: Path) -> None:
    device = Device()
    device.start(card, 1)
    make_recording(card)
    assert device.start(card, signer=fixed_signer(7)) is None


def test_a_new_key_is_not_on_any_of_the_cards(card: Path, tmp_path: Path) -> None:
    """The second card is set aside under the new key when the witness remembers the first one under it already."""
    device, other = Device(), make_storage(tmp_path / "other")
    for one in (card, other):
        device.start(one, 1)
        make_recording(one)
    assert device.start(card, signer=fixed_signer(7)) is None
    assert device.start(other, signer=fixed_signer(7)) is None


def test_a_card_that_was_put_back_to_an_earlier_key_is_told(card: Path, tmp_path: Path) -> None:
    """Invariant 13: what lies on it is whole, and signed by a key that the desk still vouches for."""
    device = Device()
    device.start(card, 1)
    shutil.copytree(card, tmp_path / "earlier")
    device.start(card, 2)
    shutil.copytree(card, tmp_path / "as it was")
    assert device.start(card, 3, signer=fixed_signer(7)) is None
    remembered = device.storages
    for copy in ("earlier", "as it was"):
        device.storages = remembered
        gone = device.start(tmp_path / copy, signer=fixed_signer(7))
        assert gone is not None, copy
        assert gone.last_serial == 3


def test_a_card_that_was_put_back_before_the_key_was_changed_is_told(card: Path, tmp_path: Path) -> None:
    """Invariant 13: the first start under the new key is with it."""
    device = Device()
    device.start(card, 1)
    shutil.copytree(card, tmp_path / "earlier")
    device.start(card, 2)
    assert device.start(tmp_path / "earlier", signer=fixed_signer(7)) is not None


def test_a_new_key_is_not_where_archives_have_gone(card: Path) -> None:
    """The numbers of a journal's files need not begin with 1."""
    device = Device()
    for serial in (1, 2, 3):
        device.start(card, serial, entries=70)
    for archive in sorted(card.glob("journal-*.jsonl")):
        archive.unlink()
    assert device.start(card, signer=fixed_signer(7)) is None


def test_an_earlier_file_that_is_in_force_again_is_told(card: Path, tmp_path: Path) -> None:
    """Invariant 13: also where the file that the witness knows lies beside it, under an archive's name."""
    device = Device()
    device.start(card, 1)
    shutil.copy(card / "journal.jsonl", tmp_path / "first")
    for serial in (2, 3):
        device.start(card, serial, entries=70)
    number = device.storages[-1].number
    assert number > 1
    (card / "journal.jsonl").rename(card / f"journal-{number:06d}.jsonl")
    shutil.copy(tmp_path / "first", card / "journal.jsonl")
    assert device.start(card) is not None


def test_verify_says_what_the_device_found(card: Path) -> None:
    """Invariant 13."""
    with PosixVolume(card) as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=LIMIT)
        journal.append([Draft("storage_rolled_back", {"last_serial": 3}, CLOCK.read())])
        journal.close()
    report = verify_storage(card)[0]
    assert report.verdict == "altered"
    assert "not as it had left it" in report.findings[0].what


class Reading(PosixVolume):
    """Counts the bytes that are read."""

    total = 0

    def read(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        data = super().read(path, offset, size)
        self.total += len(data)
        return data


def test_a_start_reads_the_journal_once(card: Path) -> None:
    """Counted: what is judged, what the next line is signed over, and what the witness remembers, in one reading."""
    device = Device()
    device.start(card, 1, entries=40)
    volume = Reading(card)
    with volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=LIMIT)
        assert journal.continues(device.storages) is None
        journal.close()
        assert volume.size("journal.jsonl") <= volume.total < 1.1 * volume.size("journal.jsonl")
