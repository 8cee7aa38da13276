"""What keeps the system's clock, as far as that can be found out: chrony by its own word, others by what they leave.

The kernel says whether somebody keeps the clock, and not who. chrony tells on its command port, where the sandbox lets
us ask; systemd-timesyncd touches a file each time that it has set the clock. Whatever else runs is named, and no more
is made of it: the answer is then "unknown".
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from bwvd.clock import Clock
from bwvd.messages import TimeSource
from bwvd.service.pulse import Pulse
from bwvd.text import one_line

READ_EVERY_S = 60.0
ANSWER_S = 1.0

CHRONY_PORT = 323
_VERSION, _REQUEST, _REPLY, _TRACKING, _TRACKED = 6, 1, 2, 33, 5  # of chrony's command protocol, since 3.0
_HEAD = struct.Struct(">BBBBHHII")  # of a request: version, type, -, -, command, attempt, sequence, -
_REPLY_BYTES = 104  # a request is as long as its answer, so that nobody gets more than he sends
_ANSWER = struct.Struct(
    ">BBxxHHH6xI8xI16sHxxHH"
)  # … command, reply, status, sequence, ref id, address, family, stratum, leap
_UNSYNCHRONISED = 3  # the leap status
_LOCAL = 0x7F7F0101  # the ref id of the machine's own clock

# Units of programs that set a clock, as distributions call them.
_UNITS = {
    "chrony": ("chrony", "chronyd"),
    "ntpd": ("ntpsec", "ntp", "ntpd"),
    "openntpd": ("openntpd",),
    "phc2sys": ("phc2sys",),
    "systemd-timesyncd": ("systemd-timesyncd",),
}


@dataclass(frozen=True, slots=True)
class Tracking:
    """What chrony says that it follows."""

    reference: str  # "refclock PPS" (the name in its configuration) | "network" | "local": its own clock
    stratum: int
    synchronised: bool


def request(sequence: int) -> bytes:
    """Asks chrony what it follows."""
    head = _HEAD.pack(_VERSION, _REQUEST, 0, 0, _TRACKING, 0, sequence, 0)
    return head.ljust(_REPLY_BYTES, b"\0")


def tracking(answer: bytes, sequence: int) -> Tracking | None:
    """chrony's answer; None for what is none to this request."""
    if len(answer) < _ANSWER.size:
        return None
    version, kind, command, reply, status, echoed, reference, _, family, stratum, leap = _ANSWER.unpack_from(answer)
    if (version, kind, command, reply, status) != (_VERSION, _REPLY, _TRACKING, _TRACKED, 0) or echoed != sequence:
        return None
    if reference == _LOCAL:
        name = "local"
    elif family in (1, 2):  # IPv4, IPv6: of the server that it follows
        name = "network"
    else:
        letters = reference.to_bytes(4, "big").rstrip(b"\0").decode("ascii", "replace")
        name = f"refclock {one_line(letters)}" if letters else ""
    return Tracking(name, stratum, leap != _UNSYNCHRONISED and name not in ("", "local"))


async def ask_chrony(port: int = CHRONY_PORT) -> Tracking | None:
    """What chrony follows; None where it does not answer: it does not run, or a sandbox lets no packet through."""
    number = int.from_bytes(os.urandom(4), "big")  # so that no answer but to this request counts
    with suppress(OSError), trio.move_on_after(ANSWER_S), trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        await line.connect(("127.0.0.1", port))
        await line.send(request(number))
        return tracking(await line.recv(1024), number)
    return None


def running(root: Path = Path("/")) -> tuple[str, ...]:
    """The time services whose units run, by their control groups, which a sandbox shows too. Blocking, but quick."""
    slice_ = root / "sys/fs/cgroup/system.slice"
    return tuple(name for name, units in _UNITS.items() if any((slice_ / f"{unit}.service").is_dir() for unit in units))


def timesyncd_has_set(root: Path = Path("/")) -> bool:
    """Whether systemd-timesyncd has set the clock since the machine started."""
    return (root / "run/systemd/timesync/synchronized").exists()


def judged(quality: str, chrony: Tracking | None, services: tuple[str, ...], *, timesyncd: bool) -> TimeSource:
    """What follows, and nothing more. Pure.

    Args:
        quality: of the clock, by the kernel.
        chrony: what it answered.
        services: that run.
        timesyncd: it has set the clock.
    """
    if quality != "synchronised":
        return TimeSource(0, "none", services=services)
    if chrony is not None and chrony.synchronised:
        return TimeSource(0, "chrony", chrony.reference, chrony.stratum, services)
    if timesyncd and services == ("systemd-timesyncd",):
        return TimeSource(0, "systemd-timesyncd", "network", None, services)
    return TimeSource(0, "unknown", services=services)


async def read_time_source(clock: Clock, root: Path = Path("/")) -> TimeSource:
    """The source as of now, but for the moment."""
    chrony = await ask_chrony()
    services = running(root)
    return judged(clock.read().quality, chrony, services, timesyncd=timesyncd_has_set(root))


async def run_time_source(
    clock: Clock,
    changed: Callable[[TimeSource], None],
    *,
    read: Callable[[Clock], Awaitable[TimeSource]] = read_time_source,
    pulse: Pulse | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Tell what keeps the clock, at once and whenever that is something else, until cancelled.

    Args:
        changed: told of it with the moment; must not block.
    """
    pulse = pulse or Pulse("time_source")
    task_status.started()
    last: TimeSource | None = None
    while True:
        with pulse.working(READ_EVERY_S):
            found = await read(clock)
        if found != last:
            last = found
            changed(TimeSource(clock.monotonic_ns(), found.by, found.reference, found.stratum, found.services))
        await trio.sleep(READ_EVERY_S)
