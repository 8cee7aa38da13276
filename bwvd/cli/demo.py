"""`bwvd demo`: the whole thing on a synthetic camera and microphone, without configuration, devices or root.

It is the real daemon with a real storage; only the camera is drawn and the button is the space bar.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tempfile
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.live import Live

from bwvd.cli.demo_view import status_line
from bwvd.config.load import load
from bwvd.config.schema import Config
from bwvd.controls.pending_answer import PendingAnswer
from bwvd.daemon.board import build
from bwvd.daemon.daemon import Daemon, Peripheral
from bwvd.daemon.process import REFUSALS, flatten
from bwvd.daemon.status import snapshot
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.mp4 import export_mp4
from bwvd.evidence.format.layout import RECORDINGS
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import keygen
from bwvd.evidence.verify.recording import verify_recording
from bwvd.log import configure
from bwvd.messages import Answer, Command, Order, Recorded, State
from bwvd.text import counted

DEVICE = "DEMO-0001"
SYNTHETIC_CAMERA = "lavfi:testsrc2=size=1280x720:rate=30"
SYNTHETIC_MICROPHONE = "lavfi:sine=frequency=440:beep_factor=4:sample_rate=48000"
VIEW_PERIOD_S = 0.25
CAMERA_WAIT_S = 10.0
CLOSE_WAIT_S = 10.0
ANSWER_SHOWN_S = 5.0
MOST_RECORD_S = 3600
LOOP_LEAST, LOOP_MOST = 5, 3600  # seconds: five groups of pictures of the default length; the configuration's limit

KEYS = "space press · h ask to stop (space confirms) · m marker · s sleep/wake · q quit"  # fits 80 columns

# What the state does not show by itself.
ANSWERS = {"marker": "marker set", "resumed": "resumed"}

CONFIGURATION = """\
[device]
id = "{device}"
[video]
source = {camera}
[audio]
source = {microphone}
[loop]
seconds = {loop_s}
[recording]
post_roll_s = {post_roll_s}
[storage]
path = {evidence}
reserve_bytes = 1_048_576
[keys]
signing = {key}
[socket]
path = {socket}
"""


def run_demo(*, headless: bool, loop_s: float, record_s: float, source: str, folder: str, in_desk: bool = False) -> int:
    """Run it and return the exit code: 0 when everything that was recorded verified.

    in_desk: show what was recorded in a browser, until a signal ends that.

    Raises: Failure, where what the desk needs is not installed, before anything is recorded.
    """
    if in_desk:
        from bwvd.cli.desk import require_desk  # here, as below: a demo needs none of it

        require_desk()
    if not headless and not sys.stdin.isatty():
        click.echo("bwvd: demo needs a keyboard; without one: bwvd demo --headless --loop 5 --record 5", err=True)
        return 2
    if not 0 <= record_s <= MOST_RECORD_S:
        click.echo(f"bwvd: --record {record_s:g}: must be from 0 to {MOST_RECORD_S} seconds", err=True)
        return 2
    if not LOOP_LEAST <= loop_s <= LOOP_MOST:
        click.echo(f"bwvd: --loop {loop_s:g}: must be from {LOOP_LEAST} to {LOOP_MOST} seconds", err=True)
        return 2
    place = Path(folder) if folder else Path(tempfile.mkdtemp(prefix="bwvd-demo-"))
    try:
        config_path = _prepare(place, loop_s, source, post_roll_s=0.5 if headless else 3)
        config = load(config_path)
        play = _Script(record_s) if headless else _Keyboard(config_path)
        with (place / "bwvd.log").open("a", encoding="utf-8") as log:
            configure(stream=log)
            trio.run(_run, config, config_path, play)
    except BaseException as error:
        causes = list(flatten(error))
        if not all(isinstance(cause, (*REFUSALS, DemoFailed, OSError)) for cause in causes):
            raise
        for cause in causes:
            of_file = f"{cause.filename}: {cause.strerror}" if isinstance(cause, OSError) and cause.filename else cause
            click.echo(f"bwvd: {of_file}", err=True)
        return 2 if all(isinstance(cause, REFUSALS) for cause in causes) else 1
    code = _conclude(place, config)
    if in_desk and _recordings(Path(config.storage.path)):
        from bwvd.cli.desk import desk  # here: it needs an extra, and a demo does not

        desk.main(desk_arguments(place, config), prog_name="bwvd desk", standalone_mode=False)
    return code


class DemoFailed(Exception):
    """Something that the demo waits for did not come. One line."""


def _prepare(place: Path, loop_s: float, source: str, post_roll_s: float) -> Path:
    (place / "evidence").mkdir(parents=True, exist_ok=True)
    if not (place / "keys" / "device_key").exists():
        keygen(place / "keys", DEVICE)

    def quoted(text: object) -> str:
        return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'

    config_path = place / "bwvd.toml"
    config_path.write_text(
        CONFIGURATION.format(
            device=DEVICE,
            camera=quoted(source or SYNTHETIC_CAMERA),
            microphone=quoted("" if source else SYNTHETIC_MICROPHONE),
            loop_s=loop_s,
            post_roll_s=post_roll_s,
            evidence=quoted((place / "evidence").resolve()),
            key=quoted((place / "keys" / "device_key").resolve()),
            socket=quoted((place / "control.sock").resolve()),
        ),
        encoding="utf-8",
    )
    return config_path


async def _run(config: Config, config_path: Path, play: Peripheral) -> None:
    async with build(config, config_path, extra=[play]) as parts:
        await Daemon(config, parts).run()


# --- after it --------------------------------------------------------------------------------------------------------


def _conclude(place: Path, config: Config) -> int:
    """Say where the recordings are, check them, export them, and how to play them."""
    evidence = Path(config.storage.path)
    signers = AllowedSigners.load(place / "keys" / "allowed_signers")
    reports = [verify_recording(evidence / RECORDINGS / name, signers) for name in _recordings(evidence)]
    if not reports:
        click.echo(f"Nothing was recorded, and so nothing of what the camera saw was written. ({place})")
        return 0
    good = True
    playable: list[Path] = []
    for report in reports:
        folder = evidence / RECORDINGS / report.id
        click.echo(f"Recording   {folder}")
        click.echo(
            f"Verified    {report.verdict}: {counted(report.segments, 'segment')}, {counted(report.frames, 'frame')}, "
            f"{report.duration_s:.1f} s, {report.pre_event_s:.1f} s of it before the press"
        )
        for finding in report.findings:
            click.echo(f"            {finding.where}: {finding.what}")
        good = good and report.verdict == "authentic"
        output = place / f"{report.id}.mp4"
        try:
            export_mp4(folder, output, signers=signers)
        except EvidenceError as error:
            click.echo(f"bwvd: {error}", err=True)
            good = False
            continue
        click.echo(f"Exported    {output}")
        playable += [output, folder / "index.m3u8"]
    for number, path in enumerate(playable):
        click.echo(f"{'or as it is' if number % 2 else 'Play it    '} ffplay {path}")
    click.echo(f"In the desk {shlex.join(['bwvd', 'desk', *desk_arguments(place, config)])}")
    return 0 if good else 1


def desk_arguments(place: Path, config: Config) -> list[str]:
    """What `bwvd desk` is told, to show what the demo has recorded: as vouched for by the demo's own key."""
    return [config.storage.path, "--signers", str(place / "keys" / "allowed_signers")]


def _recordings(evidence: Path) -> list[str]:
    folder = evidence / RECORDINGS
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# --- who presses -----------------------------------------------------------------------------------------------------


def _camera(daemon: Daemon) -> str:
    track = daemon.recorder.video
    return f"{track.width}x{track.height} at {track.rate:g}/s from {track.source} by {track.encoder}" if track else "-"


class _Script:
    """Without a keyboard: the loop fills, a press, some seconds, a stop."""

    def __init__(self, record_s: float) -> None:
        self._record_s = record_s

    async def __call__(self, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with trio.move_on_after(CAMERA_WAIT_S) as waiting:
            await daemon.camera_up.wait()
            # It delivers; the recorder hears of it, and of what it is, when its turn comes.
            while daemon.recorder.video is None:  # noqa: ASYNC110  see above
                await trio.sleep(VIEW_PERIOD_S)
        if waiting.cancelled_caught:
            raise DemoFailed(f"the camera delivered nothing within {CAMERA_WAIT_S:g} s")
        click.echo(f"Camera      {_camera(daemon)}")
        loop_ns = daemon.recorder.loop.seconds_ns
        with trio.move_on_after(loop_ns / 1e9 + CAMERA_WAIT_S) as waiting:
            # The loop has no event for being full: it is looked at as a person would look at the bar.
            while daemon.recorder.loop.held_ns < loop_ns:  # noqa: ASYNC110  see above
                await trio.sleep(VIEW_PERIOD_S)
        if waiting.cancelled_caught:
            raise DemoFailed("the loop did not fill")
        click.echo(f"Loop        {daemon.recorder.loop.held_ns / 1e9:.1f} s in RAM, nothing written")
        answer = await _order(daemon, Order.PRESS)
        click.echo(f"Press       {answer.text}: {answer.recording}")
        await trio.sleep(self._record_s)
        events = daemon.hub.listen("demo")
        answer = await _order(daemon, Order.STOP, confirmed=True)
        click.echo(f"Stop        {answer.text}")
        with trio.move_on_after(CLOSE_WAIT_S):
            async for event in events:
                if isinstance(event, Recorded) and event.closed:
                    break
        daemon.shut_down("demo over")
        await trio.sleep_forever()


class Said:
    """The answer to the last key, for as long as it is shown."""

    def __init__(self) -> None:
        self._answer = ""  # where the state does not say it
        self._refused = ""
        self._until = 0.0

    def take(self, answer: Answer, now_s: float) -> None:
        self._answer = ANSWERS.get(answer.text, "") if answer.ok else ""
        self._refused = "" if answer.ok else answer.text
        self._until = now_s + ANSWER_SHOWN_S

    def now(self, now_s: float) -> tuple[str, str]:
        """The answer and the reason of a refusal, "" for what there is none of or that is over."""
        return ("", "") if now_s >= self._until else (self._answer, self._refused)


class _Keyboard:
    """The space bar is the button; a live view says what the daemon does."""

    def __init__(self, config_path: Path) -> None:
        self._config_path = config_path
        self._said = Said()

    async def __call__(self, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
        console = Console()
        console.print(KEYS, style="bold")
        console.print(f"From another terminal: bwvd status --watch -c {self._config_path}", style="dim")
        with _cbreak(), Live(console=console, auto_refresh=False, transient=False) as live:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keys, daemon)
                task_status.started()
                while True:
                    live.update(status_line(snapshot(daemon), *self._said.now(trio.current_time())), refresh=True)
                    await trio.sleep(VIEW_PERIOD_S)

    async def _keys(self, daemon: Daemon) -> None:
        while True:
            await trio.lowlevel.wait_readable(sys.stdin.fileno())
            typed = os.read(sys.stdin.fileno(), 64)
            if not typed:
                daemon.shut_down("keyboard closed")
                return
            for key in typed.decode("ascii", "replace"):
                await self._key(daemon, key)

    async def _key(self, daemon: Daemon, key: str) -> None:
        match key:
            case " ":
                await self._order(daemon, Order.PRESS)
            case "h":
                await self._order(daemon, Order.STOP)
            case "m":
                await self._order(daemon, Order.MARK, text="demo")
            case "s":
                asleep = daemon.recorder.machine.state is State.ASLEEP
                await self._order(daemon, Order.WAKE if asleep else Order.SLEEP)
            case "q" | "\x03" | "\x04":
                daemon.shut_down("quit")

    async def _order(self, daemon: Daemon, order: Order, *, text: str = "") -> None:
        answer = await _order(daemon, order, text=text)
        self._said.take(answer, trio.current_time())


async def _order(daemon: Daemon, order: Order, *, confirmed: bool = False, text: str = "") -> Answer:
    pending = PendingAnswer()
    daemon.post(Command(order, "demo:keyboard", daemon.clock.monotonic_ns(), text, confirmed, pending.give))
    return await pending.wait()


@contextlib.contextmanager
def _cbreak() -> Iterator[None]:
    """Keys one by one and unseen; the terminal as it was on every way out."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
