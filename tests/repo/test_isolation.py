"""What a test leaves behind in its process does not reach the next one."""

from __future__ import annotations

import signal

from bwvd.service.signals_held import hold_signals


def test_a_test_that_holds_signals() -> None:
    hold_signals()
    assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_the_one_after_it_can_end_what_it_starts() -> None:
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
