"""The device under soak: a real daemon with a numbered camera, and everything that can be done to it."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyrage

from bwvd.clock import NS
from bwvd.controls.client import Unreachable
from bwvd.evidence.keys.age import load_identities
from bwvd.testing.clip import numbered_clip
from tests.soak.desk import ALLOWED, Desk
from tests.soak.plan import Deed
from tests.support.process import Process, signers_of, write_configuration
from tests.support.process_levers import Levers

RATE = 15
CLIP_S = 20
CYCLE = RATE * CLIP_S
WIDTH, HEIGHT = 320, 180
POST_ROLL_S, SHORTER_POST_ROLL_S = 2.0, 1.5  # as configured, and after a reload
CROWD = 40  # clients; the daemon admits 32
REOPENS_S = 8.0  # a camera that is back is found within the longest pause between two attempts, and begins a GOP
ANSWERS_S = 30.0  # a socket that does not answer for so long is a daemon that hangs

CONFIGURATION = """\
[video]
source = "file:{clip}?loop=1"
size = "{width}x{height}"
rate = {rate}
encoder = "libx264"
bitrate = 500_000
[audio]
source = "lavfi:anoisesrc=amplitude=0.1:sample_rate=48000"
pre_event = true
[loop]
seconds = {loop_s}
[recording]
post_roll_s = {post_roll_s}
stop_confirm_s = 3
reminder_s = 30
[keys]
signing = "{folder}/keys/device_key"
recipients = ["{recipient}"]
release = ["{folder}/receivers"]
[metrics]
textfile = "{folder}/bwvd.prom"
[storage]
path = "{folder}/evidence"
reserve_bytes = 1048576
journal_bytes = 262144
"""


class Device:
    """Starts with `begin`; deeds are done with `do`, and what has lasted long enough ends with `attend`."""

    def __init__(self, folder: Path, loop_s: float) -> None:
        self.folder = folder
        self.loop_s = loop_s
        self.deeds: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.problems: list[str] = []
        self.process: Process
        self._clip = folder / "clip.avi"
        self._hidden = folder / "clip.away"
        numbered_clip(self._clip, CYCLE, rate=RATE, width=WIDTH, height=HEIGHT, codec="mjpeg")
        identity = pyrage.x25519.Identity.generate()
        (folder / "identity").write_text(f"{identity}\n")
        (folder / "receivers").write_text(ALLOWED)
        self._text = CONFIGURATION.format(
            clip=self._clip,
            width=WIDTH,
            height=HEIGHT,
            rate=RATE,
            loop_s=loop_s,
            post_roll_s=POST_ROLL_S,
            folder=folder,
            recipient=identity.to_public(),
        )
        write_configuration(folder, self._text)  # with the key whose list the desk is given
        self.levers = Levers(folder / "levers")
        self.levers.threads = -1  # nobody takes them: that would be a thread pool of another size
        self.desk = Desk(
            folder / "evidence" / "recordings",
            RATE,
            CYCLE,
            loop_s,
            SHORTER_POST_ROLL_S,
            signers_of(folder),
            load_identities([folder / "identity"]),
            self._was_away,
        )
        self._away: list[tuple[int, int]] = []  # CLOCK_MONOTONIC
        self._pending: list[tuple[float, str, Callable[[], object]]] = []
        self._numbers = itertools.count(1)

    def begin(self) -> None:
        self.process = Process(self.folder, self._text, ("tests.support.process_levers", str(self.folder / "levers")))
        self.process.wait_until(lambda status: status["video"]["frames"] > 0)

    def end(self) -> int:
        """SIGTERM; returns the exit code."""
        for _, _, undo in self._pending:
            undo()
        self._pending.clear()
        with self.process:
            pass
        return self.process.process.returncode

    @property
    def disturbed(self) -> bool:
        """Something is being done to it."""
        return bool(self._pending)

    def status(self) -> dict[str, Any] | None:
        """The daemon's, None if it does not answer because of what is being done to it."""
        try:
            return self._ask(cmd="status")["status"]  # type: ignore[no-any-return]  # JSON of the contract
        except (Unreachable, KeyError):
            return None

    def attend(self) -> None:
        """End whatever has lasted long enough."""
        now_s = time.monotonic()
        for due in sorted((one for one in self._pending if one[0] <= now_s), key=lambda one: one[0]):
            self._pending.remove(due)
            due[2]()

    def next_s(self) -> float:
        """When `attend` has something to do, CLOCK_MONOTONIC."""
        return min((at_s for at_s, _, _ in self._pending), default=float("inf"))

    def do(self, deed: Deed) -> None:
        """Do one thing, or begin it; what is going on already is not begun twice."""
        if any(name == deed.kind for _, name, _ in self._pending):
            return
        self.deeds[deed.kind] += 1
        match deed.kind:
            case "press" | "mark" | "stop" | "sleep" | "wake" | "mute" | "unmute":
                self._order(deed.kind)
            case "assign":
                self._order("assign", officer=f"officer-{next(self._numbers)}")
            case "signal_record":
                self._signal(signal.SIGUSR1)
            case "signal_mark":
                self._signal(signal.SIGUSR2)
            case "stall":
                self.levers.hold_until_s = time.monotonic() + deed.length_s
                self._later(deed, lambda: None)
            case "slow":
                self.levers.each_s = 0.3
                self._later(deed, lambda: setattr(self.levers, "each_s", 0.0))
            case "sync_error":
                self.levers.errors = 1
            case "camera_away":
                self._clip.rename(self._hidden)
                began_ns = time.monotonic_ns()
                self._later(deed, lambda: self._bring_back(began_ns))
            case "crowd":
                clients = [self._connect() for _ in range(CROWD)]
                self._later(deed, lambda: _hang_up(clients))
            case "noise":
                self._noise()
            case "reload":
                self._reload(self._text.replace(f"post_roll_s = {POST_ROLL_S}", f"post_roll_s = {SHORTER_POST_ROLL_S}"))
            case "bad_reload":
                self._reload("[recording]\nnonsense = 1\n")
                self._later(Deed(deed.at_s, deed.kind, 2), lambda: self._reload(self._text))
            case "clock_step":
                self.levers.utc_step_s = 0.0 if self.levers.utc_step_s else 3600.0
            case "freeze":
                self._signal(signal.SIGSTOP)
                self._later(deed, lambda: self._signal(signal.SIGCONT))

    # --- one by one --------------------------------------------------------------------------------------------------

    def _later(self, deed: Deed, undo: Callable[[], object]) -> None:
        self._pending.append((time.monotonic() + deed.length_s, deed.kind, undo))

    def _ask(self, **payload: object) -> dict[str, Any]:
        self._thaw()
        return self.process.ask(**payload)

    def _thaw(self) -> None:
        """Nobody can be asked who is frozen."""
        for one in [one for one in self._pending if one[1] == "freeze"]:
            self._pending.remove(one)
            time.sleep(max(0.0, one[0] - time.monotonic()))
            one[2]()

    def _order(self, name: str, **fields: str) -> None:
        try:
            answer = self._ask(cmd=name, **fields)
        except Unreachable as error:
            self._unreachable(name, error)
            return
        said = answer.get("text") or answer.get("error", "")
        self.outcomes[f"{name}: {said}"] += 1
        if name == "press" and not answer["ok"] and not said.startswith("busy"):
            self.problems.append(f"a press was refused: {said}")

    def _unreachable(self, name: str, error: Unreachable) -> None:
        self.outcomes[f"{name}: no answer"] += 1
        if not self.disturbed:
            self.problems.append(f"{name}: {error}")

    def _signal(self, number: int) -> None:
        if number != signal.SIGCONT:
            self._thaw()
        os.kill(self.process.process.pid, number)

    def _bring_back(self, began_ns: int) -> None:
        self._hidden.rename(self._clip)
        self._away.append((began_ns, time.monotonic_ns() + round(REOPENS_S * NS)))
        del self._away[:-500]

    def _was_away(self, from_ns: int, to_ns: int) -> bool:
        """Whether the camera was taken away, or not found again yet, during the whole span."""
        # A played camera notices at the end of its clip, so its absence begins late and ends with its reopening.
        return any(began_ns <= from_ns + NS and to_ns <= ended_ns for began_ns, ended_ns in self._away)

    def _connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(ANSWERS_S)
        client.connect(self.process.socket)
        return client

    def _noise(self) -> None:
        """Clients that speak nonsense, hang up in the middle, or watch and go."""
        for said in (b"\0\xff{", b'{"cmd":"watch"}\n', b'{"cmd":"nothing"}\n', b"[" * 70_000, b'{"cmd":'):
            self._thaw()
            with self._connect() as client, suppress(OSError):
                client.sendall(said)

    def _reload(self, text: str) -> None:
        self.process.config.write_text(f'{text}\n[socket]\npath = "{self.process.socket}"\n')
        self._signal(signal.SIGHUP)


def _hang_up(clients: list[socket.socket]) -> None:
    for client in clients:
        client.close()
