"""What is run when: the exhaustive runs, those on a machine under QEMU, in players and
against real stores, only when asked for.

Chance has no place in the plain run: Hypothesis derives its examples from each test, and trio the order of its tasks
from the test's name, so that a run is like the one before it. `-m complete` tries other examples each time, and more of
them; what it finds is kept beside the test, with `@example`.

And what is said at the end: how many faults were tried, also where several processes share the tests (pytest-xdist).
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
import zlib
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

from bwvd.testing.process import without_dice

ASKED_FOR = ("complete", "machine", "players", "engines", "streams", "browser")  # markers

_HELD = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_HANDLERS = {number: signal.getsignal(number) for number in _HELD}
_MASK = signal.pthread_sigmask(signal.SIG_BLOCK, ())

PLAIN, COMPLETE, EMULATED = "plain", "complete", "emulated"  # of Hypothesis's settings

settings.register_profile(PLAIN, derandomize=True, database=None)
settings.register_profile(EMULATED, derandomize=True, database=None, deadline=None, max_examples=20)  # .ci/arm asks
settings.register_profile(COMPLETE, max_examples=2_000, database=None, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    machine = parser.getgroup("machine", "bwvd on a whole machine under QEMU (pytest -m machine)")
    machine.addoption("--cuts", type=int, default=32, metavar="N", help="how often the power is cut (default: 32)")
    machine.addoption("--seed", default="", metavar="TEXT", help="what chance begins with (default: another each time)")
    machine.addoption("--keep", action="store_true", help="keep the machine's disks and logs")


def _is_complete(config: pytest.Config) -> bool:
    """True if the exhaustive runs were asked for."""
    asked = str(config.getoption("markexpr"))
    return "complete" in asked and "not complete" not in asked


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported: `@settings` takes what it does not name from the profile of that moment."""
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile(COMPLETE if _is_complete(config) else PLAIN)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not _is_complete(item.config):
        without_dice(zlib.crc32(item.nodeid.encode()))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """`bwvd run`, where a test calls it inside this process, has taken the collector's work away for a process that
    goes on as a daemon. Without it every circle of the later tests stays: 14 GB at the end. And a command that holds
    signals for a daemon, where a test calls it here, has them blocked in all that later tests start: these could not be
    ended.
    """
    if threading.current_thread() is threading.main_thread():
        for number, handler in _HANDLERS.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, _MASK)
    gc.unfreeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what was not asked for
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _is_complete(config):
        for item in items:
            if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
                item.add_marker("complete")
    asked = str(config.getoption("markexpr"))
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        wanted = all(marker in asked or not item.get_closest_marker(marker) for marker in ASKED_FOR)
        (kept if wanted else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that shares the tests with others hands its count over."""
    campaign = sys.modules.get("tests.faults.campaign")
    if campaign is not None and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = [dict(campaign.TALLY.cases), dict(campaign.TALLY.places)]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The count of one of those processes."""
    if told := getattr(node, "workeroutput", {}).get("faults"):
        from tests.faults.campaign import TALLY

        cases, places = told
        TALLY.cases.update(cases)
        TALLY.places.update({name: count for name, count in places.items() if name not in TALLY.places})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many single faults were tried, a line for each family of kinds, and the sum."""
    campaign = sys.modules.get("tests.faults.campaign")
    if campaign is None or not campaign.TALLY.cases:
        return
    terminalreporter.section("faults")
    for line in campaign.TALLY.lines():
        terminalreporter.write_line(line)
