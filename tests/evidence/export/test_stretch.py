"""Stretches of a recording: moments as seconds and as UTC, and those that lie outside of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bwvd.evidence.export.stretch import OutsideRecording, Stretch, stretch
from bwvd.evidence.format.moment import Given, parse_moment
from tests.support.evidence_folder import make_recording, make_storage

FIRST = "2026-11-22T07:15:03.016Z"  # of its first frame; it is 4 s long


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def between(folder: Path, begin: str = "", end: str = "") -> Stretch:
    return stretch(
        folder,
        Given("--from", begin, parse_moment(begin)) if begin else None,
        Given("--to", end, parse_moment(end)) if end else None,
    )


@pytest.mark.parametrize(
    ("begin", "end", "from_s", "to_s"),
    [
        ("", "", None, None),
        ("1", "", 1, None),
        ("", "00:03", None, 3),
        ("0:01.5", "0:00:02.5", 1.5, 2.5),
        ("2026-11-22T07:15:04.016Z", "2026-11-22T08:15:05.516+01:00", 1, 2.5),
        (f"{FIRST} BWV-0001", "4", 0, 4),
        ("20261122T071505Z", "", 1.984, None),
    ],
)
def test_what_lies_between(storage: Path, begin: str, end: str, from_s: float | None, to_s: float | None) -> None:
    assert between(make_recording(storage), begin, end) == Stretch(from_s, to_s)


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        ("4", "", "--from 4 is behind the end of the recording, which is 00:04.000 long"),
        ("2026-11-22T07:16:00Z", "", "--from 2026-11-22T07:16:00Z is behind the end"),
        ("", "0", "--to 0 is not behind the beginning"),
        ("", "2026-11-22T07:15:03Z", "--to 2026-11-22T07:15:03Z is not behind the beginning"),
        ("3", "2", "--from 3 is not before --to 2"),
        ("2", "0:02", "--from 2 is not before --to 0:02"),
        (f"{FIRST} BWV-0002", "", "the recording is one of BWV-0001"),
        ("9999-12-31T23:59:59Z", "", "is behind the end"),
        ("", "0001-01-01T00:00:00Z", "is not behind the beginning"),
    ],
)
def test_what_lies_outside_is_refused_in_one_line(storage: Path, begin: str, end: str, said: str) -> None:
    with pytest.raises(OutsideRecording) as refused:
        between(make_recording(storage), begin, end)
    assert said in str(refused.value)
    assert str(refused.value).isprintable()


def test_what_overlaps_is_taken_and_said(storage: Path) -> None:
    part = between(make_recording(storage), "2026-11-22T07:00:00Z", "1:00")
    assert (part.from_s, part.to_s) == (0, 4)
    span = "which is 00:04.000 long (UTC 2026-11-22T07:15:03.016Z to 2026-11-22T07:15:07.016Z)"
    assert part.notes == [
        f"--from 2026-11-22T07:00:00Z is before the recording, {span}: taken from its beginning",
        f"--to 1:00 is behind the end of the recording, {span}: taken to its end",
    ]


def test_a_gap_is_a_part_of_the_recording(storage: Path) -> None:
    folder = make_recording(storage, gap_after=1)  # from second 2 to 3
    assert between(folder, "2026-11-22T07:15:05.516Z").from_s == 2.5
    assert between(folder, "2026-11-22T07:15:06.516Z").from_s == 3.5


def test_a_step_of_the_clock_moves_times_of_day_alone(storage: Path) -> None:
    """Invariant 9: a time of day is looked for in the segments that show it; seconds are those of the media."""
    folder = make_recording(storage, step_after=1)  # from second 2 on an hour ahead
    assert between(folder, "2026-11-22T07:15:04.016Z", "2026-11-22T08:15:06.016Z") == Stretch(1, 3)
    assert between(folder, "2026-11-22T07:45:00Z").from_s == 2  # nothing shows it: what comes behind the step


def test_a_clock_that_was_not_set_is_said(storage: Path) -> None:
    folder = make_recording(storage, quality="not_set")
    assert between(folder, "2026-11-22T07:15:04.016Z").notes == [
        "the camera's clock was not set: its times of day are not those of the day"
    ]
    assert between(folder, "1").notes == []
