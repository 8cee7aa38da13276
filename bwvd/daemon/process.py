"""The process around the daemon: logging, privacy of memory, exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import trio

from bwvd.capture.source import DeviceWedged, SourceRefused
from bwvd.config.schema import Config, ConfigError
from bwvd.controls.ports import ControlRefused
from bwvd.daemon.board import build
from bwvd.daemon.daemon import Daemon
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.startup.admission import StorageRefused
from bwvd.log import configure, get_logger
from bwvd.service.memory import collect_now_and_then, leave_out_of_collections, one_heap
from bwvd.service.notify import Notifier
from bwvd.service.privacy import protect

GOOD, FAILED, USAGE = 0, 1, 2
PATIENCE_S = 30.0

# What a person has to put right before a start can succeed: one line, exit 2, and nothing was begun.
CONFIGURATION_ERRORS = (ConfigError, SourceRefused, StorageRefused, EvidenceError, ControlRefused)

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
            if not isinstance(cause, CONFIGURATION_ERRORS):
                _log.critical("crashed", exc_info=cause)
                return FAILED
        for cause in causes:
            _log.critical("refused", reason=str(cause))
        return USAGE
    return GOOD


async def _ask_for_patience(notifier: Notifier, daemons: list[Daemon]) -> None:
    """While recovery takes long, no camera delivers yet, or the last commits are being made: it is slow, not dead."""
    while True:
        if not daemons or not daemons[0].camera_up.is_set() or daemons[0].ending:
            notifier.extend(PATIENCE_S)
        await trio.sleep(PATIENCE_S / 3)


def flatten(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, whatever their nesting; cancellations are no cause."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from flatten(one)
    elif not isinstance(error, trio.Cancelled):
        yield error
