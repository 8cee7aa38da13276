"""What tests take a recording's frames for: nothing that is missing, doubled or out of order may slip through."""

from __future__ import annotations

from typing import Any

import pytest

from bwvd.clock import NS
from tests.support.recorded import Frame, Gap, Recorded

STEP_NS = NS // 10
CYCLE = 100


def shown(numbers: list[int], beats: list[int] | None = None, gaps: list[Gap] | None = None) -> Recorded:
    """A recording of ten frames a second with these numbers, taken at these beats."""
    at = beats if beats is not None else list(range(len(numbers)))
    opening: Any = None  # nobody asks for it here
    frames = [Frame(beat * STEP_NS, number) for beat, number in zip(at, numbers, strict=True)]
    return Recorded("one", opening, [], frames, gaps or [])


def gap(from_beat: int, to_beat: int, track: str = "video") -> Gap:
    return Gap(track, from_beat * STEP_NS, to_beat * STEP_NS, "stalled", 0)


def test_what_goes_on_has_no_hole() -> None:
    assert shown([97, 98, 99, 0, 1]).holes(10, CYCLE) == []


@pytest.mark.parametrize(
    ("numbers", "beats", "missing"),
    [
        ([1, 2, 5, 6], [0, 1, 4, 5], 2),  # lost
        ([1, 2, 5, 6], None, 0),  # lost, and the times closed up
        ([1, 2, 3, 4], [0, 1, 9, 10], 7),  # nothing taken for a while
        ([1, 2, 2, 3], None, 0),  # doubled
        ([1, 3, 2, 4], None, 0),  # out of order
    ],
)
def test_what_does_not_go_on_is_a_hole(numbers: list[int], beats: list[int] | None, missing: int) -> None:
    holes = shown(numbers, beats).holes(10, CYCLE)
    assert holes
    assert holes[0].missing == missing
    assert holes[0].named is None


def test_a_gap_record_names_a_hole_only_if_it_tells_of_all_of_it() -> None:
    beats = [0, 1, 20, 21]

    def named(*gaps: Gap) -> bool:
        (hole,) = shown([1, 2, 3, 4], beats, list(gaps)).holes(10, CYCLE)
        return hole.named is not None

    assert named(gap(2, 20))
    assert named(gap(10, 20), gap(2, 10)), "two together"
    assert not named(gap(2, 10))
    assert not named(gap(10, 20))
    assert not named(gap(2, 8), gap(14, 20)), "what lies between them is not told"
    assert not named(gap(2, 20, "audio"))
    assert not named(gap(30, 50))


def test_a_hole_is_not_named_by_another_one_s_record() -> None:
    holes = shown([1, 2, 3, 4], [0, 1, 20, 40], [gap(2, 20)]).holes(10, CYCLE)
    assert [hole.named is not None for hole in holes] == [True, False]
