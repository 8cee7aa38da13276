"""How each player is told to fill the screen and play a film, from its beginning or from a moment on."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.stock import need


@dataclass(frozen=True)
class Running:
    """A player that plays a film.

    command: the player's. ended: True where it has told that the film is over. said: what it told of itself. ask: what
    it answers while it runs; the argument is its home. reported: the film's length by what it has said, in seconds.
    sought_s: what it may take to begin at a moment.
    """

    command: list[str]
    ended: Callable[[], bool] = lambda: False
    said: Callable[[], str] = lambda: ""
    ask: Callable[[Path], str] = lambda _: ""
    reported: Callable[[str], float | None] = lambda _: None
    sought_s: float = 2.0


Player = Callable[[Path, float], contextlib.AbstractContextManager[Running]]  # the film, and seconds to begin at


def _clock(pattern: str) -> Callable[[str], float | None]:
    """What finds hours, minutes and seconds in words; the last that stand there."""

    def found(words: str) -> float | None:
        every = re.findall(pattern, words)
        return sum(float(part) * unit for part, unit in zip(every[-1], (3600, 60, 1), strict=True)) if every else None

    return found


def seconds_said(pattern: str) -> Callable[[str], float | None]:
    """What finds a number of seconds in words; the last that stands there."""

    def found(words: str) -> float | None:
        every = re.findall(pattern, words)
        return float(every[-1]) if every else None

    return found


@contextlib.contextmanager
def ffplay(film: Path, at_s: float) -> Iterator[Running]:
    command = [need("ffplay"), "-hide_banner", "-loglevel", "info", "-autoexit", "-fs", "-sn"]
    command += [*(["-ss", f"{at_s:.3f}"] if at_s else []), str(film)]
    yield Running(command, reported=_clock(r"Duration: (\d+):(\d+):([\d.]+)"))


@contextlib.contextmanager
def mpv(film: Path, at_s: float, *options: str) -> Iterator[Running]:
    command = [need("mpv"), "--no-config", "--fs", "--vo=x11", "--ao=pulse", "--osc=no", "--hr-seek=yes"]
    command += ["--msg-level=all=info", "--keepaspect=no", "--osd-level=0", "--no-input-default-bindings"]
    command += ["--term-playing-msg=length ${=duration}", "--term-status-msg=", *(options or ("--sid=no",))]
    command += [*([f"--start={at_s:.3f}"] if at_s else []), str(film)]
    yield Running(command, reported=seconds_said(r"length ([\d.]+)"))


@contextlib.contextmanager
def vlc(film: Path, at_s: float, *options: str) -> Iterator[Running]:
    command = ["sh", "-c", 'exec "$0" --rc-unix="$HOME/rc" "$@"', need("vlc")]
    command += ["-I", "dummy", "--extraintf=oldrc", "--rc-fake-tty", "--no-video-title-show", "--fullscreen"]
    command += ["--play-and-exit", "--vout=xcb_x11", "--aout=pulse", "--no-osd", "--quiet", *(options or ("--no-spu",))]
    command += [*([f"--start-time={at_s:.3f}"] if at_s else []), str(film)]
    yield Running(command, ask=_vlc_length, reported=seconds_said(r"length (\d+)"))


def _vlc_length(home: Path) -> str:
    """In whole seconds; nothing where it does not answer."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
        line.settimeout(1)
        line.connect(str(home / "rc"))
        line.sendall(b"get_length\n")
        said = b""
        while not (found := re.search(rb"(\d+)\r?\n", said)):
            if not (more := line.recv(4096)):
                return ""
            said += more
        return f"length {found[1].decode()}"
    return ""


@contextlib.contextmanager
def gstreamer(film: Path, at_s: float) -> Iterator[Running]:
    command = [need("gst-play-1.0"), "--no-interactive", "--videosink=ximagesink", "--audiosink=pulsesink"]
    command += [*([f"--start-position={at_s:.3f}"] if at_s else []), str(film)]
    yield Running(command, reported=_clock(r"/ (\d+):(\d+):([\d.]+)"))
