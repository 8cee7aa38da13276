"""Signals that end a command which writes files: it removes what is not whole, and ends as the signal would have it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last when a terminal is closed


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Within, each of ENDING raises: KeyboardInterrupt, or SystemExit with 128 and its number. For the main thread.

    Only the first does, so that cleaning up is not broken off. A signal that is ignored (`nohup`) stays ignored.
    """
    before = {number: signal.getsignal(number) for number in ENDING}

    def end(number: int, _: FrameType | None) -> None:
        for one in ENDING:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
