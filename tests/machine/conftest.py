"""The machine of a test run: the image built once, the product installed once, everything after that on top of it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.machine.host import HostTooSlow, first_boot
from tests.machine.image import built, cache, why_not
from tests.machine.installed import Installed
from tests.machine.machine import Machine
from tests.machine.results import Results
from tests.support.source_tree import ROOT

# The card comes last: one that was pulled and put back sits in another place, where no frozen machine expects it.
ORDER = (
    "install",
    "short",
    "controls",
    "devices",
    "clock",
    "watchdog",
    "adapters",
    "ribbon",
    "carried",
    "standby",
    "cuts",
    "card",
    "package",
)
RESULTS = pytest.StashKey[Results]()


@pytest.hookimpl(tryfirst=True)  # before the run leaves out what was not asked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs the machine; install comes first."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.machine)
    place = {f"test_{name}": number for number, name in enumerate(ORDER)}
    items.sort(key=lambda item: place.get(item.path.stem, -1) if item.path.is_relative_to(here) else -1)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = Results()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash.get(RESULTS, None)
    if results and results.rows:
        terminalreporter.section("on the machine")
        for line in results.table():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def results(pytestconfig: pytest.Config) -> Results:
    return pytestconfig.stash[RESULTS]


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> str:
    """What chance begins with: the same seed cuts at the same moments."""
    return str(pytestconfig.getoption("--seed") or random.SystemRandom().randrange(1_000_000))


def _leave_out(reason: str) -> NoReturn:
    """Nothing of bwvd can be judged here. What $BWVD_MACHINE_LEFT_OUT names gets the reason."""
    if os.environ.get("BWVD_MACHINE") == "must":
        pytest.fail(reason)
    if told := os.environ.get("BWVD_MACHINE_LEFT_OUT"):
        Path(told).write_text(reason + "\n", encoding="utf-8")
    pytest.skip(reason)


def _renew(machine: Machine) -> None:
    machine.install_system()
    machine.card.replace(512)


@pytest.fixture(scope="session")
def untouched(pytestconfig: pytest.Config) -> Iterator[Machine]:
    """The machine as it comes from the image, and off."""
    if reason := why_not():
        _leave_out(reason)
    image = built()
    folder = cache() / f"run-{os.getpid()}"
    machine = Machine(image, folder)
    try:
        _renew(machine)
        yield machine
    finally:
        machine.close()
        if not pytestconfig.getoption("--keep"):
            shutil.rmtree(folder)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from this tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    (found,) = folder.glob("bwvd-*.whl")
    return found


@pytest.fixture(scope="session")
def installed(untouched: Machine, wheel: Path, results: Results) -> Installed:
    """The product on the machine, as bwvd/docs/install.md installs it: running, in standby."""
    machine = untouched
    try:
        took_s = first_boot(machine, lambda: _renew(machine))
    except HostTooSlow as slow:
        _leave_out(str(slow))
    results.add("the untouched image", machine.boots, f"up, a million additions in {took_s:.1f} s")
    subject = Installed(machine)
    subject.install(wheel)
    subject.mount_card()
    subject.make_keys()
    subject.configure()
    subject.first_start()
    subject.standby()
    machine.sh("sync")
    return subject


@pytest.fixture
def standby(installed: Installed) -> Installed:
    """In standby, with nothing left over from the test before: the machine on, the daemon running, no faults."""
    machine = installed.machine
    if not machine.on:
        machine.start()
    machine.sh("bed up && systemctl reset-failed && systemctl start bwvd", limit_s=120)
    installed.until(lambda now: bool(now["state"]))
    if installed.status()["state"] == "recording":  # a test that failed has left it so
        installed.stop_recording()
    installed.standby()
    return installed
