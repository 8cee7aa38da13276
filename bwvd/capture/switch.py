"""Sleep and wake: closes the devices and lets them be opened again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from bwvd.capture.source import MediaSource


class CaptureSwitch:
    """Whether the devices may be open, and what becomes of a group of pictures in the making when they are closed.

    **Synchronization:** trio's thread.
    """

    def __init__(self, on: bool = True) -> None:
        self._on = on
        self._flush = False
        self._changed = trio.Event()
        self._open: dict[MediaSource, trio.CancelScope] = {}

    @property
    def is_on(self) -> bool:
        return self._on

    def on(self) -> None:
        """Let the devices be opened: at once, whatever they were waiting for."""
        self._set(True)

    def off(self) -> None:
        """Close the devices. SourceDown with the reason "asleep" says, for each, that it is closed and wiped."""
        self._set(False)
        for scope in self._open.values():
            scope.cancel()

    def flush(self, flush: bool) -> None:
        """Whether what is in the making is delivered at the end (a recording runs) or wiped (standby)."""
        self._flush = flush
        for source in self._open:
            source.flush_on_cancel(flush)

    @property
    def flushes(self) -> bool:
        """Whether a recording runs, so that what is in the making is delivered at the end."""
        return self._flush

    async def wait_on(self) -> None:
        """Return when the devices may be open."""
        await self._wait(True)

    async def wait_off(self) -> None:
        """Return when the devices must be closed."""
        await self._wait(False)

    @contextmanager
    def attached(self, source: MediaSource) -> Iterator[trio.CancelScope]:
        """While in here, `off` cancels the scope and `flush` reaches the source."""
        source.flush_on_cancel(self._flush)
        with trio.CancelScope() as scope:
            if not self._on:
                scope.cancel()
            self._open[source] = scope
            try:
                yield scope
            finally:
                del self._open[source]

    def _set(self, on: bool) -> None:
        if on != self._on:
            self._on = on
            changed, self._changed = self._changed, trio.Event()
            changed.set()

    async def _wait(self, on: bool) -> None:
        await trio.lowlevel.checkpoint()
        while self._on != on:
            await self._changed.wait()
