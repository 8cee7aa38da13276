"""`bwvd run` as a process of its own, on a folder that outlives it: it can be killed and started again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bwvd.controls.client import Unreachable, request
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import keygen
from tests.support.source_tree import ROOT

DEVICE = "BWV-0001"


def write_configuration(folder: Path, text: str) -> Path:
    """Storage, key and configuration in `folder`, what is there left as it is; returns the configuration file.

    `text` may have a [storage], [keys] or [socket] of its own in the place of ours.
    """
    (folder / "evidence").mkdir(exist_ok=True)
    if not (folder / "keys").exists():
        keygen(folder / "keys", DEVICE)
    ours = {
        "storage": f'path = "{folder}/evidence"\nreserve_bytes = 1048576\n',
        "keys": f'signing = "{folder}/keys/device_key"\n',
        "socket": f'path = "{folder}/s.sock"\n',
    }
    # What `text` has above its first table belongs to no table, so ours come last.
    tables = "".join(f"[{name}]\n{keys}" for name, keys in ours.items() if f"[{name}]" not in text)
    config = folder / "bwvd.toml"
    config.write_text(f"{text}\n{tables}", encoding="utf-8")
    return config


def signers_of(folder: Path) -> AllowedSigners:
    """The list that a desk was given with the device that `write_configuration` has made."""
    return AllowedSigners.load(folder / "keys" / "allowed_signers")


class Process:
    """One run of the daemon on a configuration in `folder`; on a folder that has been used, the next run of it."""

    def __init__(
        self,
        folder: Path,
        text: str,
        module: Sequence[str] = ("bwvd",),
        *,
        python: Sequence[str] = (sys.executable,),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """module: what Python runs, and its arguments; `tests.support.process_levers FILE` is bwvd with levers.

        python: another one than ours, with what runs it; environment: another one than ours.
        """
        self.folder = folder
        self.config = write_configuration(folder, text)
        self.socket = str(folder / "s.sock")
        self.log_path = folder / "log"
        self._log = self.log_path.open("w+b")
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [*python, "-m", *module, "run", "-c", str(self.config)],
            stdout=self._log,
            stderr=self._log,
            cwd=ROOT,
            env=environment,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self._log.close()

    def log(self) -> str:
        """What it has logged so far."""
        return self.log_path.read_text(encoding="utf-8")

    def ask(self, **payload: object) -> dict[str, Any]:
        """One request by the control socket, and its reply."""
        return request(self.socket, payload)

    def status(self) -> dict[str, Any]:
        status = self.ask(cmd="status")["status"]
        assert isinstance(status, dict)
        return status

    def kill(self) -> float:
        """SIGKILL, and the time (CLOCK_MONOTONIC, seconds) at which it was sent; returns when the process is gone."""
        at_s = time.monotonic()
        self.process.kill()
        self.process.wait()
        return at_s

    def wait_until(self, true: Callable[[dict[str, Any]], bool], limit_s: float = 30) -> dict[str, Any]:
        """Ask for the status until it is so; returns that status. Fails, with the log, when the daemon has ended."""
        until_s = time.monotonic() + limit_s
        while time.monotonic() < until_s:
            assert self.process.poll() is None, self.log()
            try:
                status = self.status()
            except Unreachable:
                pass  # it has not begun to listen
            else:
                if true(status):
                    return status
            time.sleep(0.02)
        raise AssertionError(self.log())

    def wait_for_loop(self, seconds: float, limit_s: float = 60) -> float:
        """Until the loop holds so much; returns how long after the start of the process that was."""
        self.wait_until(lambda status: status["loop"]["seconds"] >= seconds, limit_s)
        return time.monotonic() - self.begun

    def proc(self, name: str) -> dict[str, int]:
        """Numbers of /proc/PID/io or status."""
        found = {}
        for line in Path(f"/proc/{self.process.pid}/{name}").read_text().splitlines():
            key, _, value = line.partition(":")
            if (word := value.split()[:1]) and word[0].isdigit():
                found[key] = int(word[0])
        return found
