"""What the daemon says of itself while things are done to it, ten times a second, up to the last moment."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.machine.machine import Machine

Status = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """One status."""

    at_s: float  # the machine's CLOCK_MONOTONIC
    heard_s: float  # ours
    status: Status | None  # None: it was not there


class Watch:
    """Listens to `bed-watch` in the machine until closed, or until the machine is cut.

    **Synchronization:** a thread of its own appends; everybody else reads.
    """

    def __init__(self, machine: Machine) -> None:
        self.heard: list[Said] = []
        self._changed = threading.Condition()
        self._process = machine.popen("exec /usr/local/sbin/bed-watch")
        self._ended = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._thread.join()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def last(self) -> Status | None:
        """The newest status; None while the daemon is not there."""
        return self.heard[-1].status if self.heard else None

    def until(self, true: Callable[[Status], bool], limit_s: float = 60, *, what: str = "") -> Said:
        """Until a status from now on is so; returns it."""
        return self._wait(lambda said: said.status is not None and true(said.status), limit_s, what)

    def until_gone(self, limit_s: float = 60) -> Said:
        """Until the daemon can't be asked."""
        return self._wait(lambda said: said.status is None, limit_s, "gone")

    def _wait(self, true: Callable[[Said], bool], limit_s: float, what: str) -> Said:
        until_s = time.monotonic() + limit_s
        with self._changed:
            seen = len(self.heard)
            while True:
                for said in self.heard[seen:]:
                    if true(said):
                        return said
                seen = len(self.heard)
                left_s = until_s - time.monotonic()
                assert left_s > 0, f"not within {limit_s:g} s: {what}; the last word was {self.last}"
                assert not self._ended, f"the machine is gone; the last word was {self.last}"
                self._changed.wait(left_s)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                told = json.loads(line)
            except ValueError:  # cut in the middle
                break
            with self._changed:
                self.heard.append(Said(told["at"], time.monotonic(), told["status"]))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
