"""The drawing of a track: to scale, north up, whatever the numbers are, and nothing between what was lost."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bwvd.clock import NS
from bwvd.evidence.export.track import Placed, Track, coordinates
from bwvd.evidence.export.track_drawing import POINTS_MOST, Drawing, draw, scale, svg
from bwvd.evidence.format import records
from bwvd.evidence.keys.age import AgeSealer
from tests.evidence.export.test_contact_sheet import Seen
from tests.evidence.export.test_track import walked
from tests.support.desk import export_sheet
from tests.support.evidence_folder import make_recording, make_storage

WORDS = {"start": "Start", "press": "Press", "end": "End", "north": "N", "title": 'where "it" was'}
DEGREE_M = 111_194.93
FOR_EVER = 1 << 60


class Walked(Track):
    """A place a second; None = it was lost. The press is in the second second."""

    def __init__(self, *places: tuple[float, float] | None) -> None:
        super().__init__()
        self._taken = [
            Placed(second * NS, None if place is None else fix(second, *place)) for second, place in enumerate(places)
        ]

    @property
    def press_ns(self) -> int:
        return 3 * NS // 2


def fix(second: int, latitude: float, longitude: float) -> records.Fix:
    stamp = records.Stamp(mono_ns=second * NS, utc="", quality="free", uncertainty_us=None)
    return records.Fix(
        stamp=stamp,
        utc="",
        latitude=latitude,
        longitude=longitude,
        altitude_m=None,
        error_m=5.0,
        mode=2,
        satellites=None,
    )


def drawn(*places: tuple[float, float] | None) -> Drawing:
    found = draw(Walked(*places), 0, FOR_EVER)
    assert found is not None
    return found


def test_it_is_to_scale_and_north_is_up() -> None:
    """A hundred metres north, then two hundred east, on the latitude of Amsterdam."""
    east = 200 / DEGREE_M / math.cos(math.radians(52.33))
    found = drawn((52.33, 4.9), (52.33 + 100 / DEGREE_M, 4.9), (52.33 + 100 / DEGREE_M, 4.9 + east))
    (run,) = found.runs
    start, corner, end = run
    assert abs(start.x - corner.x) <= 0.2
    assert start.y > corner.y
    assert abs(corner.y - end.y) <= 0.2
    assert (start.y - corner.y) * found.metres == pytest.approx(100, rel=0.02)
    assert (end.x - corner.x) * found.metres == pytest.approx(200, rel=0.02)


def test_nothing_is_drawn_where_it_was_lost() -> None:
    here = [(52.33 + step * 1e-4, 4.9) for step in range(6)]
    found = drawn(here[0], here[1], None, None, here[4], here[5])
    assert [[point.at_ns // NS for point in run] for run in found.runs] == [[0, 1], [4, 5]]
    assert found.losses == [2 * NS]
    text = svg(found, WORDS)
    assert text.count("<polyline") == 2
    ends = [points.split()[-1] for points in re.findall(r'points="([^"]+)"', text)]
    assert len(set(ends)) == 2


def test_the_marks_are_where_the_recording_began_was_pressed_and_ended() -> None:
    found = drawn(*[(52.33 + step * 1e-3, 4.9) for step in range(5)])
    assert [(mark.name, mark.point.at_ns / NS) for mark in found.marks] == [("start", 0), ("press", 1.5), ("end", 4)]
    assert found.marks[1].point[:2] == found.runs[0][1][:2]  # the newest fix before the press


def test_a_press_of_which_no_place_is_known_has_no_mark() -> None:
    found = drawn((52.33, 4.9), None, (52.34, 4.9))
    assert [mark.name for mark in found.marks] == ["start", "end"]
    found_late = draw(Walked(*[(52.33 + step * 1e-3, 4.9) for step in range(9)]), 4 * NS, 6 * NS)
    assert found_late is not None
    assert [mark.name for mark in found_late.marks] == ["start", "end"]
    assert [point.at_ns for run in found_late.runs for point in run] == [4 * NS, 5 * NS]


def test_without_a_position_there_is_no_drawing() -> None:
    assert draw(Track(), 0, FOR_EVER) is None
    assert draw(Walked(None, None), 0, FOR_EVER) is None
    assert draw(Walked((1.0, 1.0)), -10, 0) is None


@pytest.mark.parametrize(
    ("one", "other", "metres"),
    [
        ((10.0, 179.9995), (10.0, -179.9995), 109.5),
        ((89.9995, 0.0), (89.9995, 180.0), 111.2),
        ((-90.0, 0.0), (-89.999, 77.0), 111.2),
        ((0.0, -0.0005), (0.0, 0.0005), 111.2),
    ],
    ids=["antimeridian", "north pole", "south pole", "Greenwich"],
)
def test_no_place_on_earth_is_special(one: tuple[float, float], other: tuple[float, float], metres: float) -> None:
    found = drawn(one, other)
    ((a, b),) = found.runs
    assert math.dist(a[:2], b[:2]) * found.metres == pytest.approx(metres, rel=0.01)


_ODD = st.sampled_from([-90.0, 90.0, 0.0, -0.0, 1e-300, 52.33])
_NORTH, _EAST = st.floats(-90, 90) | _ODD, st.floats(-180, 180) | _ODD | st.sampled_from([-180.0, 180.0])


@given(st.lists(st.none() | st.tuples(_NORTH, _EAST), max_size=12))
def test_any_places(places: list[tuple[float, float] | None]) -> None:
    """Invariant 7: a recording may be anybody's."""
    found = draw(Walked(*places), 0, FOR_EVER)
    if found is None:
        assert not any(places)
        return
    for point in [point for run in found.runs for point in run]:
        assert 0 <= point.x <= found.width
        assert 0 <= point.y <= found.height
    ElementTree.fromstring(svg(found, WORDS))  # noqa: S314  it is ours
    assert "nan" not in svg(found, WORDS)


def test_one_place_is_a_point_with_three_names() -> None:
    found = drawn(*[(52.33, 4.9)] * 5)
    text = svg(found, WORDS)
    assert "<polyline" not in text
    assert ">Start, Press, End<" in text
    assert scale(found.metres)[0] == 5


def test_twelve_hours_are_thinned_and_look_the_same() -> None:
    places = [(52 + math.sin(step / 900) * 0.1, 4.9 + step / 43_200) for step in range(43_200)]
    found = drawn(*places)
    assert found.fixes == 43_200
    (run,) = found.runs
    assert len(run) <= POINTS_MOST
    assert max(math.dist(a[:2], b[:2]) for a, b in itertools.pairwise(run)) < 3
    assert (run[0].at_ns, run[-1].at_ns) == (0, 43_199 * NS)


def test_losses_without_number_have_a_bound() -> None:
    places = [None if step % 2 else (52 + step / 1e4, 4.9) for step in range(30_000)]
    found = drawn(*places)
    assert sum(map(len, found.runs)) <= POINTS_MOST + 1


@given(st.floats(1e-3, 1e5))
def test_the_bar_has_a_round_length_and_room(metres: float) -> None:
    length, pixels = scale(metres)
    assert int(str(length)[0]) in (1, 2, 5)
    assert str(length)[1:].strip("0") == ""
    assert pixels == pytest.approx(length / metres)
    assert pixels <= max(640 / 4, 1 / metres)


def test_the_same_track_gives_the_same_bytes_and_words_are_text() -> None:
    places = [(52.33 + step * 1e-4, 4.9 + step * step * 1e-5) for step in range(9)]
    assert svg(drawn(*places), WORDS) == svg(drawn(*places), WORDS)
    root = ElementTree.fromstring(svg(drawn(*places), {**WORDS, "start": "<b>&"}))  # noqa: S314  it is ours
    assert root.get("aria-label") == 'where "it" was'
    assert any(text.text == "<b>&" for text in root.iter("{http://www.w3.org/2000/svg}text"))


@pytest.mark.parametrize("error_m", [None, float("nan"), float("inf"), 1e308, -5.0])
def test_an_estimate_that_is_none_is_left_out(error_m: float | None) -> None:
    odd = structs.replace(fix(0, 52.33, 4.8933), error_m=error_m)
    assert coordinates(odd) == "52.330000, 4.893300"


# --- on a contact sheet ----------------------------------------------------------------------------------------------


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def test_a_sheet_has_the_drawing_and_the_three_places_in_figures(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, located=walked())
    sheet = export_sheet(folder, tmp_path / "out.html")
    page = Path(sheet.path).read_bytes()
    seen = Seen(page)
    assert seen.tags.count("svg") == 1
    assert seen.tags.count("polyline") == 1
    for name, place in (("Start", "52.330000"), ("Press", "52.331000"), ("End", "52.332000")):
        assert any(row.split()[:1] == [name] and f"{place}, -4.893300 ±5 m" in row for row in seen.rows), name
    assert "3 positions, lost 1 time: nothing is drawn between." in seen.text
    again = export_sheet(folder, tmp_path / "again.html")
    assert Path(again.path).read_bytes() == page
    assert not any(name in ("style", "onclick", "href") for _, name, _ in seen.attributes)


def test_a_sheet_without_a_position_says_nothing_of_it(storage: Path, tmp_path: Path) -> None:
    seen = Seen(export_sheet(make_recording(storage), tmp_path / "out.html").path)
    assert "svg" not in seen.tags
    assert "Where it was" not in seen.text


def test_a_sheet_of_a_stretch_draws_that_stretch(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, located=walked())
    seen = Seen(export_sheet(folder, tmp_path / "out.html", from_s=2.0, to_s=3.0).path)
    assert "2 positions." in seen.text  # the one that counts at its beginning, and the next
    assert not any(row.startswith(" Press") for row in seen.rows)


def test_sealed_positions_are_drawn_with_their_identity_and_counted_without(storage: Path, tmp_path: Path) -> None:
    identity, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    folder = make_recording(storage, located=walked(), sealer=AgeSealer([str(identity.to_public())]))
    seen = Seen(export_sheet(folder, tmp_path / "out.html", [identity]).path)
    assert "polyline" in seen.tags
    seen = Seen(export_sheet(folder, tmp_path / "other.html", [stranger]).path)
    assert "svg" not in seen.tags
    assert "Where it was 4 sealed positions, opened by none of the identities." in seen.text
