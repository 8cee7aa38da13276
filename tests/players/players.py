"""How each player is told to fill the screen and play a film, from its beginning or from a moment on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.stock import need


@dataclass(frozen=True)
class Running:
    """command: the player's. ended: True where it has told that the film is over. said: what it told of itself."""

    command: list[str]
    ended: Callable[[], bool] = lambda: False
    said: Callable[[], str] = lambda: ""


Player = Callable[[Path, float], contextlib.AbstractContextManager[Running]]  # the film, and seconds to begin at


@contextlib.contextmanager
def ffplay(film: Path, at_s: float) -> Iterator[Running]:
    command = [need("ffplay"), "-hide_banner", "-loglevel", "error", "-autoexit", "-fs", "-sn"]
    yield Running([*command, *(["-ss", f"{at_s:.3f}"] if at_s else []), str(film)])


@contextlib.contextmanager
def mpv(film: Path, at_s: float) -> Iterator[Running]:
    command = [need("mpv"), "--no-config", "--fs", "--vo=x11", "--ao=pulse", "--sid=no", "--osc=no", "--hr-seek=yes"]
    command += ["--msg-level=all=error", "--keepaspect=no", "--osd-level=0", "--no-input-default-bindings"]
    yield Running([*command, *([f"--start={at_s:.3f}"] if at_s else []), str(film)])


@contextlib.contextmanager
def vlc(film: Path, at_s: float) -> Iterator[Running]:
    command = [need("vlc"), "-I", "dummy", "--no-video-title-show", "--fullscreen", "--play-and-exit", "--no-spu"]
    command += ["--vout=xcb_x11", "--aout=pulse", "--no-osd", "--quiet"]
    yield Running([*command, *([f"--start-time={at_s:.3f}"] if at_s else []), str(film)])


@contextlib.contextmanager
def gstreamer(film: Path, at_s: float) -> Iterator[Running]:
    command = [need("gst-play-1.0"), "--no-interactive", "--quiet"]
    command += ["--videosink=ximagesink", "--audiosink=pulsesink"]
    yield Running([*command, *([f"--start-position={at_s:.3f}"] if at_s else []), str(film)])
