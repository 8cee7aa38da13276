"""Captions are on the screen although nobody has asked for them, in the players that show any."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tests.players.players import mpv, vlc
from tests.players.scenarios import HEIGHT, PLAIN, WIDTH, Film, recorded
from tests.players.stage import stage

SHOWN = {"mpv": mpv, "VLC": vlc}
WITHOUT = {"mpv": "--sid=no", "VLC": "--no-spu"}
DEFAULT = {"mpv": "--mute=no", "VLC": "--no-sub-autodetect-file"}  # something that says nothing of what is shown
LINES = range(HEIGHT * 5 // 6 + 4, HEIGHT - 4)  # of the numbered frames alike from the first to the last


@pytest.fixture(scope="module")
def film() -> Iterator[Film]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield recorded(PLAIN, Path(folder) / "recording").mp4s[0]


def written(taken: Path) -> int:
    """In how many places two lines of what was seen differ, at the most: a frame has none, letters have hundreds."""
    most = 0
    with av.open(str(taken)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % 10:
                continue
            plane = frame.planes[0]
            data, line = bytes(plane), plane.line_size
            lines = [data[y * line : y * line + WIDTH] for y in LINES]
            most = max(most, sum(map(_differing, lines, lines[1:])))
    return most


def _differing(one: bytes, two: bytes) -> int:
    return sum(abs(a - b) > 64 for a, b in zip(one, two, strict=True))


@pytest.mark.players
@pytest.mark.parametrize("player", SHOWN)
def test_captions_are_seen_unasked(player: str, film: Film, tmp_path: Path) -> None:
    """By default; and what is taken for them is gone where the player is told to show none."""
    found = {}
    for name, option in (("default", DEFAULT[player]), ("without", WITHOUT[player])):
        folder = Path(tempfile.mkdtemp(dir=film.path.parent))
        with stage(folder) as screen, SHOWN[player](film.path, 2.0, option) as running:
            screen.watch(running, 3.0)
        found[name] = written(folder / "taken.mkv")
    assert found["without"] < 20
    assert found["default"] > 100
