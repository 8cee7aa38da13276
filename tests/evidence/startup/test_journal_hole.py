"""The part of the journal that told of a recording's end is gone or altered: its end is cut off, and nobody remembers.

Invariants 7 and 13: whoever takes the file away that tells of an end must not get the rest signed as a power cut's.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.journal.files import following
from bwvd.evidence.journal.totals import ARCHIVE_RELEASED, Detail
from bwvd.evidence.startup.outcome import drafts_of, evidence_missing
from tests.evidence.startup.test_evidence_missing import CLOCK, cut_behind_two, enter, start
from tests.support.desk import verify_recording
from tests.support.evidence_folder import make_recording, make_storage

LATER = "20261122T081505Z-BWV-0001-000002"
CLOSED = b'"event":"closed"'


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def of(folder: Path) -> Detail:
    return {"recording": folder.name, "serial": 1}


def filled(storage: Path) -> None:
    """Entries until the file in force is an archive."""
    before = archives(storage)
    while archives(storage) == before:
        filler: Detail = {"text": "x" * 1000}
        enter(storage, *[("x", filler)] * 70)


def archives(storage: Path) -> list[Path]:
    return sorted(storage.glob("journal-*.jsonl"))


def that_says(storage: Path, what: bytes) -> Path:
    (path,) = [path for path in archives(storage) if what in path.read_bytes()]
    return path


def change_a_bit(path: Path, where: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(where)] ^= 1
    path.write_bytes(data)


def recorded(storage: Path, *, close: str = "stop", later: bool = True) -> Path:
    """A recording that one archive says was opened, and a later one closed, if it was.

    later: there was one more after it.
    """
    folder = make_recording(storage, close=close, finish=bool(close))
    enter(storage, ("opened", of(folder)))
    filled(storage)
    if close:
        enter(storage, ("x", {"text": "before the end"}), ("closed", {**of(folder), "reason": "stop", "segments": 4}))
    filled(storage)
    if later:
        other: Detail = {"recording": LATER, "serial": 2, "segments": 1}
        enter(storage, ("opened", other), ("recovered", other))
    filled(storage)
    return folder


def release(storage: Path, archive: Path) -> None:
    """A custodian has it: that is entered, and it goes."""
    with PosixVolume(storage) as volume:
        head = following(volume, archive.name)
    assert head is not None
    enter(storage, (ARCHIVE_RELEASED, {"file": head.file, "bytes": head.bytes, "sha512": head.sha512}))
    archive.unlink()


@pytest.mark.parametrize("how", ["deleted", "all deleted", "changed before it"])
def test_an_end_is_not_signed_anew_where_the_file_that_told_of_it_is_not_whole(storage: Path, how: str) -> None:
    folder = recorded(storage)
    if how == "changed before it":
        change_a_bit(that_says(storage, CLOSED), b"before the end")
    else:
        for path in archives(storage) if how == "all deleted" else [that_says(storage, CLOSED)]:
            path.unlink()
    cut_behind_two(folder)
    assert verify_recording(folder).verdict == "not_closed"

    (result,) = start(storage, "boot-1")

    assert result.end_removed is not None
    assert result.end_removed.event == "unknown"
    assert "the file of the journal that told of it is gone" in evidence_missing(result)
    assert "evidence_missing" in [draft.event for draft in drafts_of([result], CLOCK.read())]
    report = verify_recording(folder)
    assert report.verdict == "altered"
    assert "the file of the journal that told of it gone" in report.findings[0].what
    (again,) = start(storage, "boot-3")
    assert evidence_missing(again) == evidence_missing(result)


def test_what_an_older_file_says_of_an_end_counts_over_a_hole(storage: Path) -> None:
    folder = recorded(storage)
    archives(storage)[-1].unlink()
    cut_behind_two(folder)
    (result,) = start(storage, "boot-1")
    assert result.end_removed is not None
    assert (result.end_removed.event, result.end_removed.segments) == ("closed", 4)


def test_how_the_newest_recording_ended_stands_in_every_file(storage: Path) -> None:
    folder = recorded(storage, later=False)
    for path in archives(storage):
        path.unlink()
    cut_behind_two(folder)
    (result,) = start(storage, "boot-1")
    assert result.end_removed is not None
    assert (result.end_removed.event, result.end_removed.segments) == ("closed", 4)


@pytest.mark.parametrize("with_sums", [True, False])
def test_a_recording_that_has_its_end_is_not_accused_of_a_hole(storage: Path, with_sums: bool) -> None:
    """Its own signed lines say all that there is to say; the power may have gone before its sums."""
    folder = recorded(storage)
    if not with_sums:
        for path in folder.glob("SHA256SUMS*"):
            path.unlink()
    that_says(storage, CLOSED).unlink()
    assert [evidence_missing(result) for result in start(storage)] == ([] if with_sums else [""])
    assert verify_recording(folder).verdict == "authentic"


@pytest.mark.parametrize("beside", ["", "a file of no row", "what came before was taken over"])
def test_a_power_cut_is_told_of_nothing_where_no_file_is_wanting(storage: Path, beside: str) -> None:
    """Nor where somebody has copied another journal's file beside them, or a custodian has the older ones."""
    if beside == "what came before was taken over":
        filled(storage)
        (first,) = archives(storage)
        release(storage, first)
    folder = recorded(storage, close="")
    if beside == "a file of no row":
        (storage / "journal-000900.jsonl").write_bytes(archives(storage)[0].read_bytes()[:-9])
    (result,) = start(storage)
    assert (result.end_removed, evidence_missing(result)) == (None, "")
    assert verify_recording(folder).verdict == "recovered"


def test_of_the_time_that_a_custodian_has_nothing_is_wanting(storage: Path) -> None:
    """No recording of it can be here; one that is all the same is judged by itself, as before there was a journal."""
    folder = recorded(storage, close="")
    for path in archives(storage)[:2]:
        release(storage, path)
    (result,) = start(storage)
    assert (result.end_removed, evidence_missing(result)) == (None, "")
    assert verify_recording(folder).verdict == "recovered"
