"""A screen and a loudspeaker of its own for a player: Xvfb and a null sink, and what a person would see and hear there.

One ffmpeg takes both at once, with the machine's clock; from that the numbers of the frames and the beeps are read.
The same for each player, so that nothing depends on what a player says of itself. Whoever is root runs all of it before
everything else on the machine, and there is one stage at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from bwvd.testing.picture import frame_number
from tests.players.beeps import Beep, beeps
from tests.players.players import Running
from tests.players.scenarios import HALF, HEARD_RATE, HEIGHT, WIDTH
from tests.support.stock import need

GRABS = 97  # frames a second that are taken of the screen: no multiple of a film's, to fall anywhere in its frames
NOBODY = 65534  # VLC refuses to run as root
NICE = -15  # of the stage and the player: what else the machine does makes no player late


@dataclass(frozen=True)
class Seen:
    """What came out of a player. Seconds, of one clock.

    frames: number and when it was first and last seen, in the order in which they came. beeps: when heard.
    reported_s: how long the film is, as the player itself says; None where it has said nothing.
    """

    frames: list[tuple[int, float, float]]
    beeps: list[Beep]
    said: str
    reported_s: float | None = None


class Stage:
    """**Synchronization:** one player at a time."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def watch(self, player: Running, seconds: float) -> Seen:
        """Run a player for at most so long, and look at what it shows."""
        taken = self.folder / "taken.mkv"
        taken.unlink(missing_ok=True)
        grab = [need("ffmpeg"), "-v", "error", "-nostdin", "-y", "-copyts"]
        grab += ["-thread_queue_size", "512", "-f", "x11grab", "-draw_mouse", "0", "-framerate", str(GRABS)]
        grab += ["-video_size", f"{WIDTH}x{HEIGHT}", "-i", self.environment["DISPLAY"]]
        grab += ["-thread_queue_size", "512", "-f", "pulse", "-fragment_size", "320", "-channels", "1"]
        grab += ["-sample_rate", str(HEARD_RATE), "-i", "null.monitor"]
        grab += ["-map", "0:v", "-map", "1:a", "-c:v", "rawvideo", "-pix_fmt", "gray", "-fps_mode", "passthrough"]
        grab += ["-c:a", "pcm_s16le", str(taken)]
        with (self.folder / "grab").open("wb") as log, _running(grab, self.environment, said=log) as grabbing:
            _until(lambda: taken.exists() and taken.stat().st_size > WIDTH * HEIGHT, 10.0)
            with (self.folder / "said").open("w+b") as said:
                running = _running(player.command, self.environment, user=NOBODY, said=said)
                with running as playing, contextlib.suppress(TimeoutError):
                    try:
                        _until(lambda: playing.poll() is not None or player.ended(), seconds)
                    finally:
                        answer = player.ask(Path(self.environment["HOME"])) if playing.poll() is None else ""
                said.seek(0)
                words = said.read().decode("utf-8", "replace") + answer
            grabbing.send_signal(signal.SIGINT)
            grabbing.wait(10)
        words = player.said() or words
        return Seen(_frames(taken), _sound(taken), words, player.reported(words))


@contextlib.contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Put one up: a screen as large as the film, so that a player that fills it scales nothing. Waits for any other."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    reading, writing = os.pipe()
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    home = folder / "home"
    home.mkdir(exist_ok=True)
    home.chmod(0o777)
    socket = folder / "sound"
    environment |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "XDG_CONFIG_HOME": str(home)}
    environment |= {"XDG_CACHE_HOME": str(home), "PULSE_SERVER": f"unix:{socket}"}
    environment |= {"LIBGL_ALWAYS_SOFTWARE": "1", "SDL_AUDIODRIVER": "pulse"}
    screen = [need("Xvfb"), "-displayfd", str(writing), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp"]
    screen += ["-ac", "-noreset"]
    speaker = [need("pulseaudio"), "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--realtime=no"]
    speaker += ["--high-priority=yes", "--disable-shm=yes"]
    speaker += ["-L", f"module-native-protocol-unix auth-anonymous=1 socket={socket}"]
    speaker += ["-L", "module-null-sink sink_name=null rate=48000 channels=2 norewinds=1"]
    log = (folder / "servers").open("wb")
    with log, _alone(), _running(screen, environment, pass_fds=[writing], said=log):
        os.close(writing)
        environment["DISPLAY"] = f":{_line(reading, 10.0)}"
        os.close(reading)
        with _running(speaker, environment):
            _until(socket.exists, 10.0)
            # A null sink takes up to two seconds at a time as long as nobody asks for less: somebody does, in silence.
            silence = [need("pacat"), "--raw", "--latency-msec=20", "--device=null", "/dev/zero"]
            with _running(silence, environment):
                yield Stage(folder, environment)


@contextlib.contextmanager
def _running(
    command: Sequence[str],
    environment: dict[str, str],
    *,
    user: int | None = None,
    said: object = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended with all that it has started."""
    user = user if os.geteuid() == 0 else None
    with _first():
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said,  # type: ignore[call-overload]  # a file or a constant
            start_new_session=True, user=user, group=user, extra_groups=None if user is None else [], pass_fds=pass_fds,
        )  # fmt: skip
    try:
        yield process
    finally:
        for word in (signal.SIGTERM, signal.SIGKILL):  # the second for what a player has left behind as well
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, word)
                process.wait(3)
        process.wait()


@contextlib.contextmanager
def _first() -> Iterator[None]:
    """What this thread starts meanwhile comes before others; only root may ask for that."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process has a stage."""
    with (Path(tempfile.gettempdir()) / f"bwvd-stage-{os.geteuid()}").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _until(true: Callable[[], bool], seconds: float) -> None:
    """Ask again and again: there is no other way to learn it of all of them. Raises: TimeoutError."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("what the player needs has not come up")
        time.sleep(0.02)


def _line(reading: int, seconds: float) -> str:
    """To the end of the line: Xvfb writes that by itself, and dies where nobody reads it."""
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while not said.endswith(b"\n"):
            if not selector.select(seconds) or not (more := os.read(reading, 64)):
                raise TimeoutError("Xvfb has not said which display it is")
            said += more
    return said.decode().strip()


def _frames(taken: Path) -> list[tuple[int, float, float]]:
    found: list[tuple[int, float, float]] = []
    with av.open(str(taken)) as container:
        for frame in container.decode(video=0):
            number = _number(frame)
            if number is None:
                continue
            at_s = float(frame.time or 0)
            if found and found[-1][0] == number:
                found[-1] = (number, found[-1][1], at_s)
            else:
                found.append((number, at_s, at_s))
    return found


def _number(frame: av.VideoFrame) -> int | None:
    """What is seen on the whole screen, or in its corner or middle where a player does not scale a smaller film."""
    width, height = HALF
    middle = ((WIDTH - width) // 2, (HEIGHT - height) // 2)
    for left, top, part in ((0, 0, (WIDTH, HEIGHT)), (0, 0, HALF), (*middle, HALF)):
        with contextlib.suppress(ValueError):
            return frame_number(_part(frame, left, top, *part))
    return None


def _part(frame: av.VideoFrame, left: int, top: int, width: int, height: int) -> av.VideoFrame:
    """A part of a grey frame."""
    if (width, height) == (frame.width, frame.height):
        return frame
    found = av.VideoFrame(width, height, "gray")
    (to,), (plane,) = found.planes, frame.planes
    lines = bytearray(to.buffer_size)
    data = bytes(plane)
    for y in range(height):
        start = (top + y) * plane.line_size + left
        lines[y * to.line_size : y * to.line_size + width] = data[start : start + width]
    to.update(bytes(lines))
    return found


def _sound(taken: Path) -> list[Beep]:
    """With the time of each packet: what the sink gives is its own clock's, from the first one on."""
    heard = array("h")
    first_s = None
    with av.open(str(taken)) as container:
        for frame in container.decode(audio=0):
            if first_s is None:
                first_s = float(frame.time or 0)
            heard.frombytes(bytes(frame.planes[0])[: frame.samples * 2])
    return [Beep(at_s + (first_s or 0), second) for at_s, second in beeps(heard, HEARD_RATE)]
