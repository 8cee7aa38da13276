"""Segments that the journal knows of a recording without an end, cut off it with their lines: no power cut does that.

Invariants 7 and 13: the device names how many are gone and which span; the verdict is "altered", before the start too.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import pyrage
import pytest

from bwvd.clock import NS
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import Detail
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.startup.newest import ends_not_entered
from bwvd.evidence.startup.outcome import drafts_of, evidence_missing
from bwvd.evidence.verify.report import Report
from tests.evidence.startup.test_evidence_missing import CLOCK, LIMIT, enter, start
from tests.support.desk import verify_recording, verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer


class Place(NamedTuple):
    """Where a manifest stood behind a segment's record."""

    begin: int  # of that record
    end: int
    sha512: str
    duration_ns: int


def places(folder: Path) -> list[Place]:
    reader = ChainReader(io.BytesIO((folder / "manifest.jsonl").read_bytes()), "manifest.jsonl")
    return [
        Place(one.offset, one.end, one.sha512.hex(), one.record.pts_ns + one.record.duration_ns)
        for one in reader
        if isinstance(one.record, records.Segment)
    ]


def opened(folder: Path) -> tuple[str, Detail]:
    return "opened", {"recording": folder.name, "serial": int(folder.name[-6:])}


def progress(folder: Path, segments: int) -> tuple[str, Detail]:
    """What the journal says when so many are committed."""
    place = places(folder)[segments - 1]
    detail = {"segments": segments, "duration_ns": place.duration_ns, "manifest_bytes": place.end}
    return "progress", {**opened(folder)[1], **detail, "manifest_sha512": place.sha512}


def cut_behind(folder: Path, segments: int) -> None:
    """The lines behind so many segments go, with the files that they name."""
    cut = places(folder)[segments].begin
    for line in (folder / "manifest.jsonl").read_bytes()[cut:].splitlines():
        if b'"type":"segment"' in line:
            (folder / line.partition(b'"file":"')[2].partition(b'"')[0].decode()).unlink()
    with (folder / "manifest.jsonl").open("r+b") as file:
        file.truncate(cut)


def of_recording(storage: Path) -> Report:
    return verify_storage(storage)[1]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("archived", [False, True])
def test_segments_cut_off_the_end_with_their_lines_are_told(storage: Path, archived: bool, sealed: bool) -> None:
    """Invariants 7 and 13: also where the journal has been rotated since, and of sealed recordings."""
    sealer = AgeSealer([str(pyrage.x25519.Identity.generate().to_public())]) if sealed else None
    folder = make_recording(storage, close="", finish=False, sealer=sealer, label="", officer="")
    enter(storage, opened(folder), progress(folder, 1), progress(folder, 3))
    if archived:
        filler: tuple[str, Detail] = ("x", {"text": "x" * 1000})
        enter(storage, *[filler] * 70)
        enter(storage, ("x", {}))
        assert sorted(storage.glob("journal-*.jsonl"))
    whole = places(folder)
    cut_behind(folder, 1)
    assert verify_recording(folder).verdict == "not_closed", "by itself it shows nothing"
    assert of_recording(storage).verdict == "altered"

    (result,) = start(storage)

    assert result.missing == records.Missing(segments=2, from_ns=whole[0].duration_ns, to_ns=whole[2].duration_ns)
    assert result.end_removed == records.Removed(
        event="progress",
        segments=3,
        manifest_sha512=whole[2].sha512,
        manifest_bytes=whole[2].end,
        duration_ns=whole[2].duration_ns,
    )
    text = evidence_missing(result)
    assert f"2 acknowledged segments between {whole[0].duration_ns / NS:.1f} s" in text
    assert "it had 3 segments, and its manifest holds that no more" in text
    assert "evidence_missing" in [draft.event for draft in drafts_of([result], CLOCK.read())]
    report = verify_recording(folder)
    assert report.verdict == "altered", "and from here on it shows it by itself"
    assert "the journal says that it had 3 segments" in report.findings[0].what
    (again,) = start(storage, "boot-3")
    assert evidence_missing(again) == text


@pytest.mark.parametrize("known", [1, 3, 4])
def test_an_honest_cut_is_told_of_nothing(storage: Path, known: int) -> None:
    """Invariant 13: what is there goes on from what the journal knows, or is just that; a torn line may follow."""
    folder = make_recording(storage, close="", finish=False)
    enter(storage, opened(folder), progress(folder, known))
    with (folder / "manifest.jsonl").open("ab") as file:
        file.write(b'{"type":"segment","n":9')
    (folder / "000005.m4s").write_bytes(b"never acknowledged")
    assert of_recording(storage).verdict == "not_closed"
    (result,) = start(storage)
    assert (result.missing, result.end_removed, evidence_missing(result)) == (None, None, "")
    assert of_recording(storage).verdict == "recovered"
    assert start(storage, "boot-3") == []


def test_what_lies_behind_the_last_word_is_what_can_be_cut_off_unnoticed(storage: Path) -> None:
    """That is what the entries come every 30 s for."""
    folder = make_recording(storage, close="", finish=False)
    enter(storage, opened(folder), progress(folder, 2))
    cut_behind(folder, 2)
    (result,) = start(storage)
    assert evidence_missing(result) == ""


def test_a_manifest_that_does_not_go_on_from_there_is_told(storage: Path) -> None:
    """Invariant 13: as long as it was, and signed by the device: another recording's lines."""
    folder = make_recording(storage, close="", finish=False)
    enter(storage, opened(folder), progress(folder, 2))
    other = make_recording(make_storage(storage.parent / "other"), close="", finish=False, muted=(1, 2))
    (folder / "manifest.jsonl").write_bytes((other / "manifest.jsonl").read_bytes())
    assert of_recording(storage).verdict == "altered"
    (result,) = start(storage)
    assert result.end_removed is not None
    assert result.end_removed.event == "progress"
    assert verify_recording(folder).verdict == "altered"


def test_one_that_has_its_end_and_does_not_go_on_from_there_is_told(storage: Path) -> None:
    """Invariant 13: the device makes no sums over it."""
    folder = make_recording(storage, close="", finish=False)
    enter(storage, opened(folder), progress(folder, 2))
    other = make_recording(make_storage(storage.parent / "other"), finish=False, muted=(1, 2))
    (folder / "manifest.jsonl").write_bytes((other / "manifest.jsonl").read_bytes())
    (result,) = start(storage)
    assert (result.reason, result.changed) == ("told", True)
    assert of_recording(storage).verdict == "altered"


def test_a_word_that_stands_in_the_journal_twice_takes_nothing_back(storage: Path) -> None:
    """Invariant 13: after a failed append entries come again, the earlier ones first, and the power may go between."""
    folder = make_recording(storage, close="", finish=False)
    enter(storage, opened(folder), progress(folder, 1), progress(folder, 3), opened(folder), progress(folder, 1))
    cut_behind(folder, 1)
    assert of_recording(storage).verdict == "altered"
    (result,) = start(storage)
    assert result.missing is not None
    assert result.missing.segments == 2


def test_an_end_is_not_forgotten_for_a_progress_that_is_entered_again(storage: Path) -> None:
    """Invariant 13."""
    folder = make_recording(storage)
    closed: Detail = {**opened(folder)[1], "reason": "stop", "segments": 4}
    enter(storage, opened(folder), progress(folder, 2), ("closed", closed), progress(folder, 2))
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=LIMIT)
        said = journal.said(folder.name, 1)
        journal.close()
    assert said == records.Removed(event="closed", segments=4)


def test_an_end_that_the_power_kept_from_the_journal_is_entered_behind_a_progress(storage: Path) -> None:
    """Invariant 13: or nobody would miss it when it is taken away later."""
    folder = make_recording(storage)
    enter(storage, opened(folder), progress(folder, 3))
    assert start(storage) == []
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=LIMIT)
        ((event, detail),) = ends_not_entered(volume, "BWV-0001", [f"{folder.name}/"], [], journal.said)
        journal.append([Draft(event, detail, CLOCK.read())])
        journal.close()
    assert event == "closed"
    assert detail["manifest_sha512"] == hashlib.sha512((folder / "manifest.jsonl").read_bytes()).hexdigest()
    assert of_recording(storage).verdict == "authentic"


def test_a_recording_that_was_opened_and_is_empty_is_altered_before_a_start_too(storage: Path) -> None:
    """Invariant 7: its first record was durable before the journal spoke of it."""
    folder = make_recording(storage, close="", finish=False)
    enter(storage, opened(folder))
    for path in folder.iterdir():
        path.unlink()
    assert of_recording(storage).verdict == "altered"


def test_one_that_was_found_at_a_start_may_be_empty(storage: Path) -> None:
    folder = make_recording(storage, close="", finish=False)
    event, detail = opened(folder)
    enter(storage, (event, {**detail, "found": "at_start"}))
    for path in folder.iterdir():
        path.unlink()
    assert of_recording(storage).verdict == "not_closed"
