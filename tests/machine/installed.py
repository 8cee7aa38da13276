"""bwvd as a person has it on the machine: installed by the commands of bwvd/docs/install.md, configured, and
asked by its own commands."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.machine.install_page import commands
from tests.machine.machine import Machine

COMMAND = "/opt/bwvd/venv/bin/bwvd"
STORAGE = "/var/lib/bwvd"
CARD = "/dev/vdb"
LOOP_S = 6.0
SEGMENT_S = 1.0
POST_ROLL_S = 2.0
READY_S = 180.0
SLOW = "encoder_slow"  # a fault, and the cause of a gap

# Small pictures: what an emulated processor encodes in real time.
CONFIGURATION = f"""\
[device]
id = "BWV-0001"

[video]
source = "v4l2:/dev/bwvd/camera"
size = "320x180"
rate = 10
bitrate = 400_000

[audio]
source = "alsa:plughw:Mic,1"

[loop]
seconds = {LOOP_S:g}

[recording]
segment_s = {SEGMENT_S:g}
post_roll_s = {POST_ROLL_S:g}
stop_confirm_s = 20
reminder_s = 0

[[gpio]]
chip = "bwv-buttons"
line = 17
debounce_ms = 150    # on an emulated processor a bounce takes its time

[[gpio]]
chip = "bwv-buttons"
line = 5
mode = "switch"

[[input]]
device = "/dev/bwvd/button"

[[serial]]
port = "/dev/ttyS1"

[[led]]
chip = "bwv-buttons"
line = 27
colour = "red"
"""


class Installed:
    """The product on its machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    # --- putting it there --------------------------------------------------------------------------------------------

    def install(self, wheel: Path) -> list[str]:
        """By the install page's part "Install", up to its reboot; returns what was typed, and what came out."""
        self.machine.put(wheel, to="/root")
        told = []
        for line in [*commands("Install"), *commands("Install", 1)]:
            if line.startswith("sudo apt install"):  # there is no network; what it installs is in the image
                wanted = line.split()[3:]
                line = "dpkg --status " + " ".join(wanted) + " > /dev/null"
            if line == "sudo reboot":
                self.machine.stop()
                self.machine.start()
                continue
            told.append(f"$ {line}\n{self.machine.sh(f'cd /root && {line}', limit_s=600)}")
        return told

    def mount_card(self) -> None:
        """By the install page's part "Evidence storage"."""
        for line in commands("Evidence storage"):
            self.machine.sh(line.replace("/dev/sda1", CARD))

    def make_keys(self) -> None:
        """By the install page's part "Keys"."""
        for line in commands("Keys"):
            self.machine.sh(line)

    def configure(self, text: str = CONFIGURATION) -> None:
        self.machine.sh("cat > /etc/bwvd/bwvd.toml", text=text)

    def first_start(self) -> str:
        """By the install page's part "Configuration"; returns what `bwvd check` said."""
        (line,) = [line for line in commands("Configuration") if "enable" in line]
        return self.machine.sh(line, limit_s=READY_S)

    def new_card(self, filesystem: str = "ext4") -> None:
        """An empty file system on the card in the place of the one that is there; the daemon is stopped."""
        make = {"ext4": "mkfs.ext4 -q -F -L evidence", "f2fs": "mkfs.f2fs -q -f -l evidence"}[filesystem]
        in_fstab = f"/^LABEL=evidence/s/ ext4 \\| f2fs / {filesystem} /"
        self.machine.sh(
            f"systemctl stop bwvd; umount {STORAGE}; sed -i '{in_fstab}' /etc/fstab && wipefs -q -a {CARD} &&"
            # udev may miss what comes right behind what it is still looking at: without this the label is not there
            f" {make} {CARD} && udevadm trigger --settle --action=change {CARD} &&"
            f" systemctl daemon-reload && mount {STORAGE} &&"
            f" chown bwvd:bwvd {STORAGE} && chmod 750 {STORAGE}"
        )

    # --- asking it ---------------------------------------------------------------------------------------------------

    def ask(self, **request: object) -> dict[str, Any]:
        """One request by the control socket, without the time that Python takes to start."""
        line = json.dumps(request)
        reply: dict[str, Any] = json.loads(
            self.machine.sh(f"echo {shlex.quote(line)} | socat -t 30 - UNIX-CONNECT:/run/bwvd/control.sock")
        )
        return reply

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.ask(cmd="status")["status"]
        return status

    def command(self, line: str, limit_s: float = 300) -> str:
        """One of its commands, as `bwvd` …"""
        return self.machine.sh(f"bwvd {line}", limit_s=limit_s)

    def until(self, true: Callable[[Mapping[str, Any]], bool], limit_s: float = 60) -> dict[str, Any]:
        """Until its status is so; returns it."""
        until_s = time.monotonic() + limit_s
        status: dict[str, Any] | None = None
        while time.monotonic() < until_s:
            done = self.machine.run('echo \'{"cmd":"status"}\' | socat -t 30 - UNIX-CONNECT:/run/bwvd/control.sock')
            if done.returncode == 0 and done.stdout:
                status = json.loads(done.stdout)["status"]
                if true(status):
                    return status
            time.sleep(0.3)
        log = self.machine.run("systemctl status bwvd; journalctl -u bwvd -o cat -n 30").stdout
        raise AssertionError(f"not within {limit_s:g} s; {status}; {log}")

    def standby(self, loop_s: float = LOOP_S, limit_s: float = READY_S) -> dict[str, Any]:
        """Until it is in standby, without faults, and the loop holds so much.

        That an emulated processor is now and then too slow for the camera is told, and no concern of these tests.
        """

        def ready(now: Mapping[str, Any]) -> bool:
            return now["state"] == "standby" and set(now["faults"]) <= {SLOW} and now["loop"]["seconds"] >= loop_s

        return self.until(ready, limit_s)

    def stop_recording(self) -> None:
        """Ask to stop, and wait until the recording is closed on the card."""
        recording = self.status()["recording"]
        assert self.ask(cmd="stop")["ok"]
        self.until(lambda status: status["state"] == "standby", 30 + POST_ROLL_S)
        self.machine.until(f"test -e {STORAGE}/recordings/{recording['id']}/SHA256SUMS.sig")

    def verify(self) -> list[dict[str, Any]]:
        """All of the storage: one report a recording. Fails when anything is not authentic or recovered."""
        done = self.machine.run("bwvd verify --json", limit_s=900)
        assert done.stdout, done.stderr
        document = json.loads(done.stdout)
        reports: list[dict[str, Any]] = document if isinstance(document, list) else [document]
        bad = [report for report in reports if report["verdict"] not in ("authentic", "recovered")]
        assert done.returncode == 0, bad
        assert not bad, bad
        return [report for report in reports if report.get("kind", "recording") == "recording"]

    def journal(self) -> list[dict[str, Any]]:
        document = json.loads(self.command("journal --json"))
        entries: list[dict[str, Any]] = document["entries"] if isinstance(document, dict) else document
        return entries

    def show(self, recording: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.command(f"show --json {recording}"))
        return document
