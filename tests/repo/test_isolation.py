"""What a test leaves behind in its process does not reach the next one."""

from __future__ import annotations

import signal

import pytest

from bwvd.service.signals_held import HELD, hold_signals
from tests import conftest


def test_signals_that_a_test_holds_reach_what_later_ones_start(pytestconfig: pytest.Config) -> None:
    """Whichever process the next test runs in, and in whatever order."""
    before = {number: signal.getsignal(number) for number in HELD}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    hold_signals()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= HELD
    conftest.pytest_runtest_teardown()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert {number: signal.getsignal(number) for number in HELD} == before
    assert conftest in pytestconfig.pluginmanager.get_plugins()  # so that it is done behind every test
