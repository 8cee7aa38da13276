"""The file of the officer's id that is not the one which the journal names: found before a start and after it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.journal.journal import Journal
from bwvd.evidence.startup.officer import load_officer, save_officer
from bwvd.evidence.verify import officer
from bwvd.evidence.verify.folder import Folder
from bwvd.evidence.verify.report import Report
from bwvd.testing.clock import VirtualClock
from tests.support.desk import verify_storage
from tests.support.evidence_folder import make_storage
from tests.support.evidence_keys import fixed_signer

CLOCK = VirtualClock(seconds=lambda: 9.0)
FILE = ".wearer"


def with_journal(card: Path, act: Callable[[PosixVolume, Journal], object]) -> None:
    with PosixVolume(card) as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=65_536)
        act(volume, journal)
        journal.close()


def assign(card: Path, who: str) -> None:
    with_journal(card, lambda volume, journal: save_officer(volume, fixed_signer(), journal, who, CLOCK.read()))


def start(card: Path) -> None:
    def act(volume: PosixVolume, journal: Journal) -> None:
        journal.append(load_officer(volume, fixed_signer(), journal).drafts(CLOCK.read()))

    with_journal(card, act)


def verified(card: Path) -> Report:
    return verify_storage(card)[0]


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "card")


def test_the_file_that_was_kept_is_good(card: Path) -> None:
    for who in ("4711", "", "4712"):
        assign(card, who)
        assert verified(card).verdict == "authentic"
        start(card)
        assert verified(card).verdict == "authentic"
    (card / FILE).rename(card / f"{FILE}.new")  # the power went before it got its name
    assert verified(card).verdict == "authentic"


@pytest.mark.parametrize("how", ["yesterday's", "gone", "too large", "a folder"])
def test_one_that_was_exchanged_is_told_before_a_start_and_after_it(card: Path, how: str) -> None:
    """Invariants 7 and 13: one line before, one after."""
    assign(card, "4711")
    yesterday = (card / FILE).read_bytes()
    assign(card, "4712")
    if how == "yesterday's":
        (card / FILE).write_bytes(yesterday)
    elif how == "too large":
        os.truncate(card / FILE, 5000)
    else:
        (card / FILE).unlink()
    if how == "a folder":
        (card / FILE).mkdir()
    (finding,) = verified(card).findings
    assert (finding.where, finding.what) == (FILE, "is not the file that the journal names: exchanged, or gone")
    if how == "a folder":
        return  # such a card is not admitted
    start(card)
    (finding,) = verified(card).findings
    assert finding.where == FILE
    assert "the device found at its start of 2026-11-22" in finding.what
    assign(card, "4713")
    assert verified(card).verdict == "altered"


def test_a_daemon_that_keeps_another_officer_meanwhile_is_no_alarm(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal has been read when the officer comes off duty."""
    assign(card, "4711")
    looks = 0

    def assigned_before_each_look(folder: Folder) -> set[str]:
        nonlocal looks
        looks += 1
        if looks <= 2:
            assign(card, f"471{looks}")
        return digests(folder)

    digests = officer._digests
    monkeypatch.setattr(officer, "_digests", assigned_before_each_look)
    assert verified(card).verdict == "authentic"
    assert looks == 3
