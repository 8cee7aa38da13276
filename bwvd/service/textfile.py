"""The metrics as a file, where node-exporter's textfile collector reads them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

from bwvd.service.metrics import exposition
from bwvd.service.pulse import Pulse
from bwvd.service.status_document import Status

WRITE_EVERY_S = 15.0
# The collector's folder may lie on the card that stalls.
WRITE_WITHIN_S = 120.0


def write_textfile(path: Path, text: str) -> None:
    """Replace the file as a whole: a scrape sees the old one or the new one. Blocking; raises OSError.

    Not synced: after a power cut there is no daemon that these numbers would be about.
    """
    beside = path.with_name(f".{path.name}.new")  # does not end in .prom: the collector leaves it alone
    with suppress(FileNotFoundError):
        beside.unlink()  # of a daemon that was killed while it wrote; and never follow a link that was put there
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            os.fchmod(fd, 0o644)  # the collector is another user
            file.write(text)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


async def run_textfile(
    path: Path,
    snapshot: Callable[[], Status],
    fault: Callable[[str, bool, str], None],
    *,
    pulse: Pulse | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Write the status as metrics every 15 s until cancelled; then remove the file: what does not run has no numbers.

    Args:
        path: of the file, whose name must end in ".prom" for the collector.
        snapshot: called on trio's thread.
        fault: called with "metrics" when writing begins to fail, with why, and when it works again. Never blocks.
    """
    pulse = pulse or Pulse("metrics")
    told = ""
    task_status.started()
    try:
        while True:
            with pulse.working(WRITE_WITHIN_S):
                try:
                    text = exposition(snapshot())
                    await trio.to_thread.run_sync(write_textfile, path, text)
                    trouble = ""
                except OSError as error:
                    trouble = f"{path}: {error.strerror}"
            if trouble != told:
                told = trouble
                fault("metrics", bool(trouble), trouble)
            await trio.sleep(WRITE_EVERY_S)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_remove, path)


def _remove(path: Path) -> None:
    with suppress(OSError):  # never written, or its folder is gone
        path.unlink()
