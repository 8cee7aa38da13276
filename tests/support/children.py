"""Processes that a process under test has started, found by what their command lines name."""

from __future__ import annotations

import os
from pathlib import Path

import trio


def processes(of: Path) -> list[int]:
    """The processes whose command line names a file, zombies left out, and all that run in their groups."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(of).encode() in words and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


async def gone(of: Path) -> None:
    with trio.fail_after(10):
        while processes(of):  # noqa: ASYNC110  a process that is no child of ours tells nobody of its end
            await trio.sleep(0.02)
