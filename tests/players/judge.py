"""What is wrong with what a player has shown: nothing, or the measures that it misses."""

from __future__ import annotations

import statistics
from pathlib import Path

from tests.players.chromium import chromium
from tests.players.players import Player, ffplay, gstreamer, mpv, vlc
from tests.players.scenarios import HOUR, Film, Recording, Truth
from tests.players.stage import Seen, Stage, stage

PLAYERS: dict[str, Player] = {"ffplay": ffplay, "mpv": mpv, "VLC": vlc, "GStreamer": gstreamer, "Chromium": chromium}

LENGTH_S = 0.5  # by how much what is played may be longer or shorter
FRAME_S = 0.12  # how far off the frame at an instant may be
AV_S = 0.040
LEAD_S = (
    0.020  # of audio, by the stage: a frame is seen half a grab late, and the null sink gives a block before its time
)
SEEK_S = 0.25
SETTLES_S = 1.0  # a start is not judged by its first moments
SOUGHT_S = 5.0  # that a player has to show the press
START_S = 12.0  # until a browser shows something
TAIL_S = 8.0  # that are played of an hour

NOTHING, LENGTH, FRAMES, AV, SEEK = "shows nothing", "length", "frames", "A/V", "seek"


def judged(player: str, recording: Recording, form: str, folder: Path) -> str:
    """A cell of the table: "yes", or "no:" and what is missed. folder: for what the player needs meanwhile."""
    with stage(folder) as screen:
        missed = _missed(PLAYERS[player], recording, form, screen, from_end=recording.case == HOUR)
    return f"no: {', '.join(missed)}" if missed else "yes"


def _missed(player: Player, recording: Recording, form: str, screen: Stage, *, from_end: bool) -> list[str]:
    found: set[str] = set()
    for film in recording.films(form):
        start_s = film.truth.length_s - TAIL_S if from_end else 0.0
        with player(film.path, start_s) as running:
            seen = screen.watch(running, film.truth.length_s - start_s + START_S)
        found |= set(playing(seen, film.truth, start_s))
        if film.press_s is not None and NOTHING not in found:
            with player(film.path, film.press_s) as running:
                seen = screen.watch(running, SOUGHT_S)
            found |= set(seeking(seen, film))
    return [measure for measure in (NOTHING, LENGTH, FRAMES, AV, SEEK) if measure in found]


def playing(seen: Seen, truth: Truth, start_s: float = 0.0) -> list[str]:
    """What is missed of: the time that it takes, the frame at each of five instants, and audio with its frames."""
    shown = [(number, first, last) for number, first, last in seen.frames if number in truth.frames]
    if len(shown) < truth.rate:
        return [NOTHING]
    missed = []
    length_s = truth.length_s - start_s
    if abs(shown[-1][2] - shown[0][1] - length_s) > LENGTH_S:
        missed.append(LENGTH)
    zero_s = statistics.median(first - truth.frames[number] for number, first, _ in shown)  # the film's, on the clock
    for part in (0.1, 0.3, 0.5, 0.7, 0.9):
        at_s = start_s + part * length_s
        near = [n for n, first, last in shown if first - FRAME_S <= zero_s + at_s <= last + FRAME_S + 1 / truth.rate]
        if truth.frame_at(at_s) not in near:
            missed.append(FRAMES)
            break
    if not _together(seen, truth, start_s):
        missed.append(AV)
    return missed


def _together(seen: Seen, truth: Truth, start_s: float) -> bool:
    """True if every beep is heard with its frame: in the middle of all, and of those in the last seconds."""
    first_seen = {number: first for number, first, _ in reversed(seen.frames)}
    offsets = []
    for beep in truth.beeps:
        if beep.at_s < start_s + SETTLES_S or beep.at_s > truth.length_s - 0.2:
            continue
        number = truth.frame_at(beep.at_s)
        if number not in first_seen:
            continue
        due_s = first_seen[number] + beep.at_s - truth.frames[number] - LEAD_S
        heard = [one.at_s - due_s for one in seen.beeps if one.second == beep.second]
        if not heard:
            return False
        offsets.append(min(heard, key=abs))
    return not truth.beeps or (
        bool(offsets) and all(abs(statistics.median(some)) <= AV_S for some in (offsets, offsets[-3:]))
    )


def seeking(seen: Seen, film: Film) -> list[str]:
    """Whether the press is what is seen where it is asked for. What a page shows before it seeks does not count."""
    assert film.press_s is not None
    shown = [(number, first) for number, first, _ in seen.frames if number in film.truth.frames]
    settled = [number for number, first in shown if first > shown[0][1] + 0.1]
    if not settled or abs(film.truth.frames[settled[0]] - film.press_s - 0.1) > SEEK_S:
        return [SEEK]
    return []
