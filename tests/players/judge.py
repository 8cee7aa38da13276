"""What is wrong with what a player has shown: nothing, or the measures that it misses."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.players.chromium import chromium
from tests.players.players import Player, ffplay, gstreamer, mpv, vlc
from tests.players.scenarios import HOUR, Film, Recording, Truth
from tests.players.stage import Seen, Stage, stage

PLAYERS: dict[str, Player] = {"ffplay": ffplay, "mpv": mpv, "VLC": vlc, "GStreamer": gstreamer, "Chromium": chromium}

LENGTH_S = 0.5  # by how much what is played may be longer or shorter
REPORTED_S = 1.0  # by how much what is said may: some players say whole seconds
FRAME_S = 0.12  # how far off the frame at an instant may be
AV_S = 0.040
SEEK_S = 0.25
SETTLES_S = 1.0  # a start is not judged by its first moments
START_S = 6.0  # until a browser shows something
TAIL_S = 6.0  # that are played of an hour
INSTANTS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of a film's length

MEASURES = NOTHING, LENGTH, FRAMES, AV, SEEK = "shows nothing", "length", "frames", "A/V", "seek"
Missed = frozenset[str]  # of MEASURES

TRIES = 3


def majority(judge: Callable[[], Missed]) -> Missed:
    """What is missed in two of three tries. Where two are alike, the third can't change anything, and is left out."""
    tries = [judge(), judge()]
    if tries[0] != tries[1]:
        tries.append(judge())
    return frozenset(one for one in MEASURES if 2 * sum(one in missed for missed in tries) > len(tries))


def judged(player: str, recording: Recording, form: str, root: Path, lead_s: float) -> Missed:
    """What a player misses of a recording in a form. root: for what the player needs meanwhile.

    lead_s: the A/V offset of a control in the same player and form, which is not the recording's.
    """

    def once() -> Missed:
        with stage(Path(tempfile.mkdtemp(dir=root))) as screen:
            if recording.case == HOUR:
                return _missed_of_an_hour(PLAYERS[player], recording.films(form)[0], screen, lead_s)
            return _missed(PLAYERS[player], recording.films(form), screen, lead_s)

    return majority(once)


def offset(player: str, film: Film, root: Path) -> float:
    """The A/V offset of a film in a player: the middle of three tries, in seconds; more is late audio."""

    def once() -> float:
        with stage(Path(tempfile.mkdtemp(dir=root))) as screen, PLAYERS[player](film.path, 0.0) as running:
            seen = screen.watch(running, film.truth.length_s + START_S)
        return statistics.median(offsets(seen, film.truth) or [0.0])

    return statistics.median(once() for _ in range(TRIES))


def _missed(player: Player, films: list[Film], screen: Stage, lead_s: float) -> Missed:
    found: set[str] = set()
    for film in films:
        with player(film.path, 0.0) as running:
            seen = screen.watch(running, film.truth.length_s + START_S)
        found |= set(playing(seen, film.truth, lead_s=lead_s))
        if film.press_s is not None and NOTHING not in found:
            found |= _sought(player, film, film.press_s, screen, SEEK)
    return _alone(found)


def _missed_of_an_hour(player: Player, film: Film, screen: Stage, lead_s: float) -> Missed:
    """Nobody plays all of it: its end, the press, five instants, and the length that the player tells."""
    assert film.press_s is not None
    start_s = film.truth.length_s - TAIL_S
    with player(film.path, start_s) as running:
        seen = screen.watch(running, TAIL_S + START_S)
    found = set(playing(seen, film.truth, start_s, lead_s=lead_s))
    found |= _sought(player, film, film.press_s, screen, SEEK)
    for part in INSTANTS:
        found |= _sought(player, film, part * film.truth.length_s, screen, FRAMES)
    return _alone(found)


def _sought(player: Player, film: Film, at_s: float, screen: Stage, measure: str) -> set[str]:
    """What is missed of a moment that is asked for, and of the length that is told meanwhile."""
    with player(film.path, at_s) as running:
        seen = screen.watch(running, running.sought_s)
    found = {measure} if seeking(seen, film.truth, at_s) else set()
    if seen.reported_s is None or abs(seen.reported_s - film.truth.length_s) > REPORTED_S:
        found.add(LENGTH)
    return found


def _alone(found: set[str]) -> Missed:
    """Where nothing is shown, nothing else is missed."""
    return frozenset({NOTHING} if NOTHING in found else found)


def playing(seen: Seen, truth: Truth, start_s: float = 0.0, *, lead_s: float = 0.0) -> list[str]:
    """What is missed of: the time that it takes, the frame at each of five instants, and audio with its frames."""
    shown = [(number, first, last) for number, first, last in seen.frames if number in truth.frames]
    if len(shown) < truth.rate:
        return [NOTHING]
    missed = []
    length_s = truth.length_s - start_s
    if abs(shown[-1][2] - shown[0][1] - length_s) > LENGTH_S:
        missed.append(LENGTH)
    zero_s = statistics.median(first - truth.frames[number] for number, first, _ in shown)  # the film's, on the clock
    for part in INSTANTS:
        at_s = start_s + part * length_s
        near = [n for n, first, last in shown if first - FRAME_S <= zero_s + at_s <= last + FRAME_S + 1 / truth.rate]
        if truth.frame_at(at_s) not in near:
            missed.append(FRAMES)
            break
    found = offsets(seen, truth, start_s)
    if truth.beeps and (not found or any(abs(statistics.median(some) - lead_s) > AV_S for some in (found, found[-3:]))):
        missed.append(AV)
    return missed


def offsets(seen: Seen, truth: Truth, start_s: float = 0.0) -> list[float]:
    """By how much each beep is heard later than its frame is seen; nothing where one is not heard at all."""
    first_seen = {number: first for number, first, _ in reversed(seen.frames)}
    found = []
    for beep in truth.beeps:
        if beep.at_s < start_s + SETTLES_S or beep.at_s > truth.length_s - 0.2:
            continue
        number = truth.frame_at(beep.at_s)
        if number not in first_seen:
            continue
        due_s = first_seen[number] + beep.at_s - truth.frames[number]
        heard = [one.at_s - due_s for one in seen.beeps if one.second == beep.second]
        if not heard:
            return []
        found.append(min(heard, key=abs))
    return found


def seeking(seen: Seen, truth: Truth, at_s: float) -> bool:
    """True if what is asked for is not what is seen. A moment is given to settle."""
    shown = [(number, first) for number, first, _ in seen.frames if number in truth.frames]
    settled = [number for number, first in shown if first > shown[0][1] + 0.1]
    return not settled or abs(truth.frames[settled[0]] - at_s - 0.1) > SEEK_S
