"""A plain drawing of where a recording was: lines and points to scale, north up, without a map. Pure.

Each fix is drawn by its direction and its distance from the middle of all (an azimuthal equidistant projection):
neither the poles nor the antimeridian are special. Nothing is drawn between two fixes where the position was lost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from bwvd.evidence.export.track import Track
from bwvd.evidence.format import records

RADIUS_M = 6_371_008.8
WIDTH, LEAST_HEIGHT, MOST_HEIGHT = 640, 160, 420  # pixels of the whole drawing
EDGE = 44  # around the track, for marks and their names
SCALE_ROOM = 34  # below it
LEAST_M = 20.0  # across; a receiver that stands still draws its errors, and no journey
POINTS_MOST = 4000  # of a drawing: the rest is closer than a pixel to one of these, or thinned evenly
NEAR = 0.3  # pixels: what is as near to the last point is not drawn
SAME = 16.0  # pixels: marks as near as that share their name's place


MARKS = ("start", "press", "end")


class Point(NamedTuple):
    """A fix in the drawing: pixels from its upper left corner, and media time from which on it counts."""

    x: float
    y: float
    at_ns: int
    fix: records.Fix


class Mark(NamedTuple):
    """A point with a name: one of MARKS."""

    name: str
    point: Point


@dataclass(frozen=True, slots=True)
class Drawing:
    """A track to scale."""

    width: int
    height: int
    metres: float  # of a pixel
    runs: Sequence[Sequence[Point]]  # without a loss inside
    marks: Sequence[Mark]
    fixes: int  # of which the points are some
    losses: Sequence[int]  # media time, in nanoseconds: from then on it was not known


def draw(track: Track, from_ns: int, to_ns: int) -> Drawing | None:
    """The part of a track that lies in a stretch of media time; None where no position is known in it."""
    runs, losses = _runs(track, from_ns, to_ns)
    fixes = [fix for run in runs for _, fix in run]
    if not fixes:
        return None
    flat = _projected(fixes)
    west, east = min(x for x, _ in flat), max(x for x, _ in flat)
    south, north = min(y for _, y in flat), max(y for _, y in flat)
    inner_width, inner_height = WIDTH - 2 * EDGE, MOST_HEIGHT - 2 * EDGE - SCALE_ROOM
    metres = max((east - west) / inner_width, (north - south) / inner_height, LEAST_M / inner_width)
    height = round(min(MOST_HEIGHT, max(LEAST_HEIGHT, (north - south) / metres + 2 * EDGE + SCALE_ROOM)))
    middle_x, middle_y = (west + east) / 2, (south + north) / 2

    def placed(flat_x: float, flat_y: float, at_ns: int, fix: records.Fix) -> Point:
        x = WIDTH / 2 + (flat_x - middle_x) / metres
        y = (height - SCALE_ROOM) / 2 - (flat_y - middle_y) / metres
        return Point(round(x, 1), round(y, 1), at_ns, fix)

    flats = iter(flat)
    every = [[placed(*next(flats), at_ns, fix) for at_ns, fix in run] for run in runs]
    marks = [Mark("start", every[0][0])]
    if from_ns <= track.press_ns < to_ns and (at_press := track.at(track.press_ns)) is not None:
        before = [point for run in every for point in run if point.at_ns <= track.press_ns and point.fix == at_press]
        marks += [Mark("press", before[-1]._replace(at_ns=track.press_ns))] if before else []
    marks.append(Mark("end", every[-1][-1]))
    return Drawing(WIDTH, height, metres, _thinned(every), marks, len(fixes), losses)


def scale(metres: float) -> tuple[int, float]:
    """The length in metres of a bar that is at most a quarter of the drawing wide, a round number; and its pixels."""
    most = max(metres * WIDTH / 4, 1.0)
    ten = 10 ** math.floor(math.log10(most))
    length = next(step * ten for step in (5, 2, 1) if step * ten <= most)
    return length, length / metres


def svg(drawing: Drawing, words: Mapping[str, str]) -> str:
    """The drawing as an SVG element without a style: the page has one for its classes.

    words: `start`, `press`, `end`, `north`, and `title`, what the drawing is to who can't see it.
    """
    width, height = drawing.width, drawing.height
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    title = escape(words["title"])
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" class="track" {size} role="img" aria-label="{title}">']
    for run in drawing.runs:
        if len({point[:2] for point in run}) > 1:
            points = " ".join(f"{point.x:.1f},{point.y:.1f}" for point in run)
            lines.append(f'<polyline class="track-line" points="{points}"/>')
        ends = dict.fromkeys((run[0][:2], run[-1][:2]))
        lines += [f'<circle class="track-end" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in ends]
    lines += [_shape(mark) for mark in drawing.marks]
    lines += [_name(group, words, width) for group in _groups(drawing.marks)]
    length, pixels = scale(drawing.metres)
    right, base = 12 + pixels, height - 12
    said = f"{length // 1000} km" if length >= 1000 else f"{length} m"
    lines += [
        f'<path class="track-scale" d="M12 {base - 5}V{base}H{right:.1f}V{base - 5}"/>',
        f'<text class="track-text" x="{right + 6:.1f}" y="{base}">{said}</text>',
        f'<path class="track-north" d="M{width - 18} 12l5 14l-5 -3l-5 3z"/>',
        f'<text class="track-text" x="{width - 30}" y="26" text-anchor="end">{escape(words["north"])}</text>',
        "</svg>",
    ]
    return "".join(lines)


# --- parts of it -----------------------------------------------------------------------------------------------------


def _runs(track: Track, from_ns: int, to_ns: int) -> tuple[list[list[tuple[int, records.Fix]]], list[int]]:
    """Runs of fixes in a stretch, the one that counts at its beginning included; and when the position was lost."""
    runs: list[list[tuple[int, records.Fix]]] = [[]]
    losses: list[int] = []
    if (first := track.at(from_ns)) is not None:
        runs[-1].append((from_ns, first))
    for at_ns, fix in track.places:
        if not from_ns < at_ns < to_ns:
            continue
        if fix is not None:
            runs[-1].append((at_ns, fix))
        elif runs[-1]:
            losses.append(at_ns)
            runs.append([])
    return [run for run in runs if run], losses


def _projected(fixes: Sequence[records.Fix]) -> list[tuple[float, float]]:
    """Metres east and north of the middle of all."""
    vectors = [_vector(fix) for fix in fixes]
    total = [math.fsum(vector[axis] for vector in vectors) for axis in range(3)]
    length = math.sqrt(math.fsum(value * value for value in total))
    # Places all around the Earth have no middle.
    x, y, z = (value / length for value in total) if length > 1e-6 else vectors[0]
    latitude, longitude = math.asin(max(-1.0, min(1.0, z))), math.atan2(y, x)
    sine, cosine = math.sin(latitude), math.cos(latitude)
    found = []
    for fix in fixes:
        north, east = math.radians(fix.latitude), math.radians(fix.longitude) - longitude
        # Towards the east and the north in the plane that touches the Earth in the middle, and away from the middle.
        right = math.cos(north) * math.sin(east)
        # As sin(a - b) and its rest: the plain difference would lose what is closer than a metre.
        up = math.sin(north - latitude) + 2 * sine * math.cos(north) * math.sin(east / 2) ** 2
        out = sine * math.sin(north) + cosine * math.cos(north) * math.cos(east)
        across = math.hypot(right, up)
        distance = RADIUS_M * math.atan2(across, out)
        found.append((distance * right / across, distance * up / across) if across > 0 else (0.0, 0.0))
    return found


def _vector(fix: records.Fix) -> tuple[float, float, float]:
    north, east = math.radians(fix.latitude), math.radians(fix.longitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def _thinned(runs: Sequence[Sequence[Point]]) -> list[list[Point]]:
    """Without what nobody can see; the ends of each run stay, and of many runs each its beginning."""
    kept: list[list[Point]] = []
    for run in runs:
        found = [run[0]]
        for point in run[1:]:
            if math.dist(point[:2], found[-1][:2]) >= NEAR:
                found.append(point)
        if found[-1] is not run[-1]:
            found.append(run[-1])
        kept.append(found)
    if (total := sum(map(len, kept))) > POINTS_MOST:
        step = math.ceil(total / POINTS_MOST)
        kept = [[*run[:-1:step], run[-1]] for run in kept]
        kept = kept[:: math.ceil(len(kept) / POINTS_MOST)]
    return kept


def _shape(mark: Mark) -> str:
    """Told apart without colours too: a ring, a diamond, a square."""
    x, y = mark.point.x, mark.point.y
    match mark.name:
        case "start":
            return f'<circle class="track-start" cx="{x:.1f}" cy="{y:.1f}" r="7"/>'
        case "press":
            return f'<path class="track-press" d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z"/>'
        case _:
            return f'<rect class="track-stop" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'


def _groups(marks: Sequence[Mark]) -> list[list[Mark]]:
    groups: list[list[Mark]] = []
    for mark in marks:
        near = next((group for group in groups if math.dist(group[0].point[:2], mark.point[:2]) < SAME), None)
        if near is not None:
            near.append(mark)
        else:
            groups.append([mark])
    return groups


def _name(group: Sequence[Mark], words: Mapping[str, str], width: int) -> str:
    """Beside the mark, on the side where there is room."""
    x, y = group[0].point.x, group[0].point.y
    left = x > width / 2
    text = escape(", ".join(words[mark.name] for mark in group))
    place = f'x="{x - 12 if left else x + 12:.1f}" y="{y + 4:.1f}" text-anchor="{"end" if left else "start"}"'
    return f'<text class="track-name" {place}>{text}</text>'
