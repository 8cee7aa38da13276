"""The signals of a process that starts: held until somebody takes them, and harmless when nobody does any more.

What has no handler yet would end the process by its default: a SIGTERM while recovery runs, a SIGHUP or SIGUSR1 that
comes too early. And one that comes in the last moments must not turn an end in order into a death by signal.
"""

from __future__ import annotations

import signal

HELD = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})


def hold_signals() -> None:
    """Keep what comes from now on, until `let_signals_in`; to be called in the main thread, before others begin.

    Threads and their masks are made from the one that starts them; so no thread can be killed in the place of this one.
    """
    for number in HELD:
        signal.signal(number, _nothing)
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


def let_signals_in() -> None:
    """What was held comes now, to the handlers that are in place. Main thread."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


def _nothing(number: int, frame: object) -> None:
    pass
