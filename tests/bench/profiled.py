"""`bwvd run` under a profiler: each thread's CPU time by function. `python -m tests.bench.profiled FILE run …`.

A SIGRTMIN forgets what was so far. The profile is written when the daemon ends.

A sampler would miss what is awake for 0.2 ms thirty times a second, so every call and return is looked at. That costs
more than most functions do: read the shares, not the times. What a C function does counts for whoever called it.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from bwvd.cli.main import main


class Tally:
    """CPU seconds by thread and function, without what the functions that it called took."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[CodeType, float]] = {}
        self._state = threading.local()

    def install(self) -> None:
        """From now on, in this thread and in all that begin later."""
        threading.setprofile(self._event)
        sys.setprofile(self._event)

    def _event(self, frame: FrameType, event: str, _: Any) -> None:
        state = self._state
        now = time.thread_time()
        table = getattr(state, "table", None)
        if table is None:
            table = state.table = self._tables.setdefault(threading.current_thread().name, {})
            state.last = now
        # What has passed since the last event belongs to whoever was running: at a call the caller, else this one.
        running = frame.f_back if event == "call" else frame
        if running is not None:
            code = running.f_code
            table[code] = table.get(code, 0.0) + now - state.last
        state.last = time.thread_time()

    def reset(self) -> None:
        """Forget what was so far: start-up is another matter."""
        for table in self._tables.values():
            table.clear()

    def document(self) -> dict[str, list[tuple[str, float]]]:
        """The dearest functions of each thread."""
        return {
            thread: sorted(((_named(code), spent) for code, spent in table.items()), key=lambda one: -one[1])[:40]
            for thread, table in list(self._tables.items())
        }


def _named(code: CodeType) -> str:
    path = Path(code.co_filename)
    return f"{path.parent.name}/{path.name}:{code.co_firstlineno} {code.co_qualname}"


def run() -> None:
    out = Path(sys.argv.pop(1))
    tally = Tally()
    signal.signal(signal.SIGRTMIN, lambda *_: tally.reset())
    tally.install()
    try:
        main()
    finally:
        sys.setprofile(None)
        out.write_text(json.dumps(tally.document()), encoding="utf-8")


if __name__ == "__main__":
    run()
