"""The carrier's state: a small file in its own runtime folder, from which `bwvd status` shows what waits and is stored.

The recorder has no part in it: it may be down while recordings are carried, and must not grow for this. Imports little,
as `bwvd status` has to answer at once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from bwvd.evidence.flash.regular_file import read_regular

STATE_FILE = Path("/run/bwvd-offload/state.json")
STATE_BYTES = 65_536
STALE_S = 60.0  # it is written at least every 15 s: an older one is of a process that hangs or was killed
WRITE_EVERY_S = 15.0


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """The recording that is under way."""

    recording: str
    files: int
    sent_files: int
    bytes: int
    sent_bytes: int


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    recordings: int = 0
    bytes: int = 0


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """The time-stamps of authorities outside."""

    authorities: int
    waiting: int  # recordings on the flash that not every authority has stamped
    tokens: int  # on the flash
    last_utc: str = ""  # what the newest token says that came since the process began
    last_by: str = ""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A carrier at one moment."""

    store: str
    pid: int
    written_ns: int  # CLOCK_MONOTONIC
    # "carrying" | "carrying, slowly: something is recorded" |
    doing: str  # "idle" | "waiting for external power" | "waiting for the store" | "manual" | "no store"
    power: str = ""  # as the kernel shows it, where it is looked at
    sending: Sending | None = None
    waiting: Waiting = Waiting()  # closed on the flash, and not whole in the store
    stored: int = 0  # recordings on the flash that are whole in the store and have no receipt yet
    receipts: int = 0  # recordings on the flash that have one
    released: int = 0  # let go of since the process began
    unfit: int = 0  # recordings that a person has to look at
    sent_objects: int = 0  # since the process began
    sent_bytes: int = 0
    faults: dict[str, str] = {}  # by name: what is wrong
    witness: Witness | None = None  # None = no authority is asked


def state_file() -> Path:
    """Where the state lies: in the folder that the service manager has made for this process, or for the unit."""
    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder) / STATE_FILE.name if folder else STATE_FILE


def write_state(path: Path, state: State) -> None:
    """Replace the file as a whole. Blocking; raises OSError. Not synced: after a power cut there is nothing to tell."""
    beside = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        beside.unlink()
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, 0o644)  # who asks for the status is another user; there is nothing in it that is secret
        file.write(msgspec.json.encode(state))
    beside.replace(path)


def remove_state(path: Path) -> None:
    """A process that has ended has no state."""
    with suppress(OSError):
        path.unlink()


def read_state(path: Path, now_ns: int) -> dict[str, Any] | None:
    """The state as a document, with `age_s`; None if no carrier runs here, or what lies there is not its state."""
    try:
        state = msgspec.json.decode(read_regular(path, STATE_BYTES), type=State)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    document: dict[str, Any] = msgspec.to_builtins(state)
    document["age_s"] = round((now_ns - document.pop("written_ns")) / 1e9, 1)
    return document
