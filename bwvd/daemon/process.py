"""The process around the daemon: logging, privacy of memory, exit codes."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import trio

from bwvd.capture.device.device_thread import THREAD_NAME
from bwvd.capture.source import DeviceWedged, SourceRefused
from bwvd.config.schema import Config, ConfigError
from bwvd.controls.ports import ControlRefused
from bwvd.controls.socket_file import SocketInUse
from bwvd.daemon.board import build
from bwvd.daemon.daemon import Daemon
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.startup.admission import StorageInUse, StorageRefused
from bwvd.log import close as close_log
from bwvd.log import configure, get_logger
from bwvd.service.memory import collect_now_and_then, leave_out_of_collections, one_heap
from bwvd.service.notify import Notifier
from bwvd.service.privacy import protect

GOOD, FAILED, USAGE = 0, 1, 2
PATIENCE_S = 30.0

# What keeps a start from succeeding: one line, and nothing was begun.
REFUSALS = (ConfigError, SourceRefused, StorageRefused, EvidenceError, ControlRefused)

# Of the system's errors those that a person has to put right in the configuration: a path that is not there or is
# something else, rights that are not given. Any other passes, or may: a card that fails or is read-only until it is
# mounted again, a system that is out of memory. An exit 2 is never tried again (RestartPreventExitStatus).
LASTING_ERRNOS = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EFBIG,
    }
)

_log = get_logger("main")


def run_forever(config: Config, config_path: Path) -> int:
    """`bwvd run`: returns the exit code when the daemon has ended in order."""
    leave_out_of_collections()
    configure()
    one_heap()
    for measure in protect():
        if not measure.in_force:
            _log.warning("privacy", measure=measure.name, detail=measure.detail)
    return run_daemon(config, config_path)


def leave(code: int) -> NoReturn:
    """End the process with `code`. The daemon has ended: what it had open is closed.

    A thread that was given up inside a driver or a library may come back from there at any moment, and must not find an
    interpreter that is half torn down. Where there is one, nothing is: the log is handed over, and the kernel takes the
    process as a whole.
    """
    if any(thread.name.startswith(THREAD_NAME) for thread in threading.enumerate()):
        close_log()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # whoever read it has gone
                stream.flush()
        os._exit(code)
    sys.exit(code)


def run_daemon(config: Config, config_path: Path) -> int:
    """Build the daemon that the configuration describes, run it, and say in one line what ended it if anything did."""

    async def work() -> None:
        notifier = Notifier.from_environment()
        async with trio.open_nursery() as nursery:
            daemons: list[Daemon] = []
            nursery.start_soon(_ask_for_patience, notifier, daemons)
            nursery.start_soon(collect_now_and_then)
            async with build(config, config_path) as parts:
                daemons.append(Daemon(config, parts))
                await daemons[0].run()
            nursery.cancel_scope.cancel()
        notifier.close()

    try:
        trio.run(work)
    except BaseException as error:  # noqa: BLE001  sorted below; nothing is swallowed
        causes = list(flatten(error))
        for cause in causes:
            if isinstance(cause, DeviceWedged):
                _log.critical("device_wedged", reason=str(cause))
                return FAILED
            if not isinstance(cause, REFUSALS):
                _log.critical("crashed", exc_info=cause)
                return FAILED
        for cause in causes:
            _log.critical("refused", reason=str(cause))
        # One thing in the configuration that nobody mends by waiting is enough: the rest is not worth trying again.
        return FAILED if all(passes(cause) for cause in causes) else USAGE
    return GOOD


async def _ask_for_patience(notifier: Notifier, daemons: list[Daemon]) -> None:
    """While recovery takes long, no camera delivers yet, or the last commits are being made: it is slow, not dead."""
    while True:
        starting = not daemons or not daemons[0].camera_up.is_set()
        ending = bool(daemons) and daemons[0].ending
        stuck = bool(daemons) and any(one.vital for one in daemons[0].ledger.stuck())
        if (starting or ending) and not stuck:  # a flash that never answers is not waited for without an end
            notifier.extend(PATIENCE_S)
        with trio.move_on_after(PATIENCE_S / 3):
            if daemons and not ending:
                await daemons[0].wait_ending()
            else:
                await trio.sleep_forever()


def passes(refusal: BaseException) -> bool:
    """Whether a refusal may be over at the next try: the last process still ends, the flash or the system fails.

    A source that is refused says that it can't work as configured, whatever the library's error was.
    """
    if isinstance(refusal, StorageInUse | SocketInUse):
        return True
    if isinstance(refusal, SourceRefused):
        return False
    cause = refusal.__cause__
    return isinstance(cause, OSError) and cause.errno not in LASTING_ERRNOS


def flatten(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, whatever their nesting; cancellations are no cause."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from flatten(one)
    elif not isinstance(error, trio.Cancelled):
        yield error
