"""The machine under QEMU: on, off, cut, and everything that is said to it.

It has no network but a port of ours on 127.0.0.1 for ssh, and runs by KVM where that works, else emulated: 15 times
slower, so that tests judge order, counts and survival, never latency.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.machine.card import Card
from tests.machine.child import Child, wait_for
from tests.machine.host import NoAnswer

BOOT_S = 300.0
GUEST = "10.0.2.15"
KERNEL = (
    "root=/dev/vda rw console=ttyS0,115200 quiet loglevel=4 mitigations=off nokaslr tsc=reliable no_timer_check "
    "random.trust_cpu=on net.ifnames=1 panic=5 systemd.show_status=0"
)


class GuestFailed(Exception):
    """A command in the machine ended with another status than 0."""


class Machine:
    """One machine with a root disk of its own, made from the image, and one card.

    Args:
        image: the folder that image.sh has filled.
        folder: for the disks and logs of this machine.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._image = image
        self._sockets = Path(tempfile.mkdtemp(prefix="bwvd-"))  # short
        self.card = Card(folder, self._sockets)
        self.root_disk = folder / "root.qcow2"
        self._frozen = folder / "frozen.memory"
        self._frozen_disk = folder / "none"
        self._layers = 0
        self._thawed = False
        self._qemu: Child | None = None
        self._port = 0
        self.boots = 0

    # --- power -------------------------------------------------------------------------------------------------------

    def install_system(self) -> None:
        """The root disk as it comes from the image; the machine is off."""
        assert self._qemu is None
        self.root_disk.unlink(missing_ok=True)
        self._layer(self.root_disk, self._image / "root.img", "raw")

    def freeze(self) -> None:
        """Keep memory and root disk as they are now, for `thaw`, and go off; the card is not mounted.

        What a thaw saves is the boot. The card, and all that reads it again after a cut, is as after a boot.
        """
        assert self._qemu is not None
        assert not self._thawed, "what was thawed is not frozen again: its disk is thrown away"
        self.sh("sync; blockdev --flushbufs /dev/vdb")  # nothing of the card stays in memory
        self._drop_ssh()
        self.qmp("stop")
        self.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 34})
        self.qmp("migrate", uri=f"exec:cat > {shlex.quote(str(self._frozen))}")
        until_s = time.monotonic() + 300
        while (found := self.qmp("query-migrate"))["status"] != "completed":
            assert found["status"] != "failed", found
            assert time.monotonic() < until_s, found
            time.sleep(0.2)
        self._qemu.kill()
        self.card.power_off(keep_written=True)
        self._off()
        self._layers += 1
        self._frozen_disk = self.root_disk.rename(self.folder / f"frozen-{self._layers}.qcow2")
        self._layer(self.root_disk, self._frozen_disk, "qcow2")  # what is booted the ordinary way goes on from there

    def thaw(self) -> None:
        """Power on in the state that `freeze` has kept, but for the card, whose content is what it is."""
        assert self._qemu is None
        thawed = self.folder / "thawed.qcow2"
        thawed.unlink(missing_ok=True)
        self._layer(thawed, self._frozen_disk, "qcow2")
        self.card.power_on()
        self._thawed = True
        incoming = ["-incoming", f"exec:cat {shlex.quote(str(self._frozen))}"]
        self._qemu = Child([*self._command("", thawed), *incoming], self.folder / "qemu.log")
        wait_for(self._sockets / "qmp", self._qemu)
        until_s = time.monotonic() + 300
        while self.qmp("query-status")["status"] == "inmigrate":
            assert time.monotonic() < until_s
            time.sleep(0.2)
        self.qmp("cont")
        self._wait_ssh(until_s)
        self.sh(f"date -s @{time.time():.3f}")

    def start(self, *, wait: bool = True, epoch: str = "") -> float:
        """Power on; returns how long it took until it was up, and ssh answered, in seconds.

        Args:
            epoch: the time of day of its clock chip, as 1970-01-01T00:00:00; "" = now.
        """
        assert self._qemu is None, "it is on"
        self.card.power_on()
        begun_s = time.monotonic()
        self._qemu = Child(self._command(epoch, self.root_disk), self.folder / "qemu.log")
        self.boots += 1
        if wait:
            self.wait_up()
        return time.monotonic() - begun_s

    def wait_up(self, limit_s: float = BOOT_S) -> None:
        """Until everything that starts at boot has started, or failed."""
        until_s = time.monotonic() + limit_s
        self._wait_ssh(until_s)
        self.run("systemctl is-system-running --wait", limit_s=max(30.0, until_s - time.monotonic()))

    def cut(self, *, keep_written: bool = False) -> None:
        """The power goes: what the machine had not flushed to the card is lost; or, `keep_written`, only what had not
        got there. A real card lies between the two."""
        assert self._qemu is not None
        self._qemu.send(signal.SIGSTOP)  # everything at one instant
        if not keep_written:
            self.card.power_off(keep_written=False)
        self._qemu.kill()
        if keep_written:
            self.card.power_off(keep_written=True)
        self._off()

    def stop(self, limit_s: float = 180) -> None:
        """Shut down in order."""
        assert self._qemu is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([*self._ssh(), "systemctl poweroff"], check=False, capture_output=True, timeout=60)
        ended = self._qemu.wait(limit_s)
        if not ended:
            self._qemu.kill()
        self.card.power_off(keep_written=True)
        self._off()
        assert ended, "it does not shut down"

    def close(self) -> None:
        """Off, whatever it does; nothing is left running."""
        if self._qemu is not None:
            self._qemu.kill()
            self.card.power_off(keep_written=False)
            self._off()
        for path in self._sockets.iterdir():
            path.unlink()
        self._sockets.rmdir()

    @property
    def disks(self) -> list[Path]:
        """Everything that the root disk was ever written to, layer by layer."""
        return [path for path in sorted(self.folder.glob("*.qcow2")) if path.stat().st_size]

    def forget_connection(self) -> None:
        """After a reset the machine knows nothing of the connection that we keep to it."""
        self._drop_ssh()

    @property
    def on(self) -> bool:
        return self._qemu is not None and self._qemu.alive

    def _off(self) -> None:
        self._qemu = None
        self._thawed = False
        self._drop_ssh()
        for name in ("qmp", "serial", "console"):
            (self._sockets / name).unlink(missing_ok=True)

    def wait_ssh(self, limit_s: float = BOOT_S) -> None:
        """Until commands are taken; the rest of the boot may still go on."""
        self._wait_ssh(time.monotonic() + limit_s)

    def _wait_ssh(self, until_s: float) -> None:
        probe = [*self._ssh("-o", "ConnectTimeout=5"), "true"]
        while subprocess.run(probe, check=False, capture_output=True).returncode != 0:
            assert self._qemu is not None
            assert self._qemu.alive, f"QEMU has ended: {self._qemu.log()}"
            if time.monotonic() >= until_s:
                raise NoAnswer(f"no answer: {self.console()}")
            time.sleep(0.5)

    def _layer(self, disk: Path, base: Path, kind: str) -> None:
        on = ["-b", str(base), "-F", kind]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *on, str(disk)], check=True)

    # --- talking to it -----------------------------------------------------------------------------------------------

    def run(self, command: str, *, limit_s: float = 120, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """A line of shell as root, `text` its input; 124 when it took too long."""
        how: dict[str, Any] = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL}
        line = [*self._ssh(), command]
        try:
            return subprocess.run(line, check=False, capture_output=True, text=True, timeout=limit_s, **how)
        except subprocess.TimeoutExpired as late:
            return subprocess.CompletedProcess(line, 124, _text(late.stdout), _text(late.stderr) + "took too long")

    def sh(self, command: str, *, limit_s: float = 120, text: str | None = None) -> str:
        """The same, and its output. Raises GuestFailed."""
        done = self.run(command, limit_s=limit_s, text=text)
        if done.returncode:
            raise GuestFailed(f"{command}: status {done.returncode}: {(done.stdout + done.stderr).strip()[-3000:]}")
        return done.stdout.strip()

    def until(self, command: str, limit_s: float = 60) -> str:
        """Until a line of shell succeeds; its output."""
        until_s = time.monotonic() + limit_s
        while (done := self.run(command, limit_s=limit_s)).returncode:
            assert time.monotonic() < until_s, f"{command}: still {(done.stdout + done.stderr).strip()[-2000:]}"
            time.sleep(0.5)
        return done.stdout.strip()

    def popen(self, command: str) -> subprocess.Popen[str]:
        """A line of shell that goes on, its output to be read."""
        return subprocess.Popen(
            [*self._ssh(), command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def put(self, *sources: Path, to: str) -> None:
        """Copy files and folders into the folder `to` there."""
        pack = ["tar", "-cf", "-", "--exclude=__pycache__"]
        for source in sources:
            pack += ["-C", str(source.resolve().parent), source.name]
        unpack = f"mkdir -p {shlex.quote(to)} && tar -C {shlex.quote(to)} --no-same-owner -xf -"
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
            subprocess.run([*self._ssh(), unpack], stdin=packing.stdout, check=True, capture_output=True)

    def get(self, source: str, to: Path) -> Path:
        """Copy a file or folder of the machine into the folder `to` here; returns it."""
        to.mkdir(parents=True, exist_ok=True)
        path = Path(source)
        pack = f"tar -C {shlex.quote(str(path.parent))} -cf - {shlex.quote(path.name)}"
        with subprocess.Popen([*self._ssh(), pack], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as packing:
            subprocess.run(["tar", "-C", str(to), "-xf", "-"], stdin=packing.stdout, check=True)
        assert packing.returncode == 0, f"{source}: not copied"
        return to / path.name

    def console(self, last: int = 3000) -> str:
        path = self.folder / "console.log"
        return path.read_text(encoding="utf-8", errors="replace")[-last:] if path.exists() else ""

    def qmp(self, command: str, **arguments: object) -> Any:
        """A command to QEMU itself."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(self._sockets / "qmp"))
            stream = sock.makefile("rw")
            stream.readline()
            answer: dict[str, Any] = {}
            for name, given in (("qmp_capabilities", {}), (command, arguments)):
                stream.write(json.dumps({"execute": name, "arguments": given}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "return" not in answer and "error" not in answer:  # an event
                    answer = json.loads(stream.readline())
                assert "return" in answer, f"{name}: {answer['error']}"
            return answer["return"]

    def serial(self) -> socket.socket:
        """The other end of its serial line ttyS1."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self._sockets / "serial"))
        return sock

    def pull_card(self) -> None:
        """Take the card out of its slot while the machine runs."""
        self.qmp("device_del", id="card")
        until_s = time.monotonic() + 30
        while any(entry["name"] == "card" for entry in self.qmp("qom-list", path="/machine/peripheral")):
            assert time.monotonic() < until_s, "the machine does not let the card go"
            time.sleep(0.1)

    def insert_card(self) -> None:
        self.qmp("device_add", driver="virtio-blk-pci", id="card", **CARD)

    def _ssh(self, *options: str) -> list[str]:
        given = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "BatchMode": "yes",
            "ConnectTimeout": "20",
            "ControlMaster": "auto",
            "ControlPath": f"{self._sockets}/ssh",
            "ControlPersist": "3600",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "20",
        }
        line = ["ssh", "-F", "none", "-i", str(self._image / "key"), "-p", str(self._port), *options]
        for name, value in given.items():
            line += ["-o", f"{name}={value}"]
        return [*line, "root@127.0.0.1"]

    def _drop_ssh(self) -> None:
        if (self._sockets / "ssh").exists():
            subprocess.run([*self._ssh("-O", "exit")], check=False, capture_output=True)
            (self._sockets / "ssh").unlink(missing_ok=True)

    # --- QEMU's own --------------------------------------------------------------------------------------------------

    def _command(self, epoch: str, root_disk: Path) -> list[str]:
        by_kvm = accelerator(self._image) == "kvm"
        self._port = _free_port()
        sockets = self._sockets
        console = f"socket,id=console,path={sockets}/console,server=on,wait=off,logfile={self.folder}/console.log"
        return [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-M", "pc", "-smp", "2"),
            *("-accel", "kvm" if by_kvm else "tcg,thread=multi,tb-size=512"),
            *("-cpu", "host,-arch-capabilities" if by_kvm else "Nehalem", "-m", "1536"),
            *("-kernel", str(self._image / "vmlinux"), "-initrd", str(self._image / "initrd.img"), "-append", KERNEL),
            *("-rtc", f"base={epoch or 'utc'}"),
            *("-qmp", f"unix:{sockets}/qmp,server=on,wait=off"),
            *("-chardev", console, "-serial", "chardev:console"),
            *("-chardev", f"socket,id=line,path={sockets}/serial,server=on,wait=off", "-serial", "chardev:line"),
            *("-drive", f"if=none,id=root,file={root_disk},format=qcow2,cache=unsafe"),
            *("-device", "virtio-blk-pci,drive=root"),
            *("-blockdev", f"driver=nbd,node-name=card,server.type=unix,server.path={self.card.socket}"),
            *("-device", "virtio-blk-pci,id=card," + ",".join(f"{name}={value}" for name, value in CARD.items())),
            *("-netdev", f"user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{self._port}-{GUEST}:22"),
            *("-device", "virtio-net-pci,netdev=n0,romfile=", "-device", "virtio-rng-pci"),
            *("-device", "i6300esb", "-action", "watchdog=reset"),
        ]


CARD = {"drive": "card", "serial": "card", "rerror": "report", "werror": "report", "write-cache": "on"}


def accelerator(image: Path) -> str:
    """kvm where the kernel gets to its first process under it, else tcg: not every /dev/kvm can do it."""
    known = image / "accelerator"
    if not known.exists():
        known.write_text(_probe(image))
    return known.read_text()


def _probe(image: Path, limit_s: float = 20) -> str:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    command = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host,-arch-capabilities", "-m", "512", "-nodefaults"]
    command += ["-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", str(image / "vmlinux")]
    command += ["-append", "console=ttyS0 panic=-1"]
    try:
        said = subprocess.run(
            command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit_s
        ).stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    return "kvm" if b"Unable to mount root" in said else "tcg"


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _text(data: bytes | str | None) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else data or ""
