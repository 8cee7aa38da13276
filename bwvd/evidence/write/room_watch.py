"""The watch over the room on the flash: looks now and then, sets the reserve aside again, tells levels and refusals."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple, Protocol

import trio

from bwvd.clock import Clock
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.flash.space_gauge import StorageGauge
from bwvd.evidence.flash.volume import Storage, Volume
from bwvd.messages import Event, LowStorage

GAUGE_PERIOD_S = 10.0  # between two looks at the free room; a minute of room is told long before it is gone


class Free(NamedTuple):
    """What is free on a flash."""

    bytes: int
    files: int | None  # None = not counted

    @classmethod
    def of(cls, volume: Volume) -> Free:
        """Blocking. Raises OSError."""
        return cls(volume.free_bytes(), volume.free_files())


class _Bus(Protocol):
    def publish(self, event: Event) -> None: ...

    def fault(self, name: str, detail: str) -> None: ...

    def clear(self, name: str) -> None: ...

    def report(self, name: str, active: bool, detail: str) -> None: ...


class RoomWatch:
    """**Synchronization:** trio's thread."""

    def __init__(self, storage: Storage, reserve: Reserve, gauge: StorageGauge, clock: Clock, bus: _Bus) -> None:
        self._storage = storage
        self._reserve = reserve
        self._gauge = gauge
        self._clock = clock
        self._bus = bus
        self._full = False

    def was_full(self) -> None:
        """A commit found no room: the fault stays until a look at the flash finds some."""
        self._full = True

    async def run(self) -> None:
        """Look every `GAUGE_PERIOD_S`, for ever."""
        while True:
            await trio.sleep(GAUGE_PERIOD_S)
            with suppress(OSError):  # a storage that does not answer is the writer's fault to raise
                self.level(await self._storage.run(self._look))

    def _look(self, volume: Volume) -> Free:
        """In the storage's job: what is free, with the reserve set aside if it can be."""
        if not self._reserve.held:
            self._reserve.restore(volume)
        return Free.of(volume)

    def level(self, free: Free) -> None:
        """Tell what a look has found."""
        level = self._gauge.update(free.bytes, free.files, reserved=self._reserve.held)
        if level is not None:
            self._bus.publish(LowStorage(level, self._clock.monotonic_ns()))
        if self._gauge.refusal:
            self._full = True
            self._bus.fault("storage", self._gauge.refusal)
        elif self._full:
            self._full = False
            self._bus.clear("storage")
        not_set = self._clock.read().quality == "not_set"
        self._bus.report("clock", not_set, "the clock was never set" if not_set else "")
