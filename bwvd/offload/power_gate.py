"""The gate that lets the carrier work while the camera is on external power, or always.

It reads sysfs by itself, as the recorder does: that costs some tens of microseconds every 10 s, and needs no recorder
that runs and no request to its socket.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from bwvd.service.power import READ_EVERY_S
from bwvd.service.power_supply import PowerReading, SupplyLost

EXTERNAL = frozenset({"charging", "full", "external"})  # of PowerReading.supply; "unknown" is none of them


class PowerGate:
    """Open while there is external power.

    Args:
        read: reads the power or raises SupplyLost; None = the gate is always open.
        fault: called with "offload:power" when the configured supply is not there, and when that is over.
        changed: called when what it shows has become another.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[PowerReading]] | None,
        fault: Callable[[str, bool, str], None],
        changed: Callable[[], None],
    ) -> None:
        self._read = read
        self._fault = fault
        self._changed = changed
        self._open = trio.Event()
        self._scopes: set[trio.CancelScope] = set()
        self.supply = ""  # what was read last
        if read is None:
            self._open.set()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def wait_open(self) -> None:
        await self._open.wait()

    @asynccontextmanager
    async def while_open(self) -> AsyncIterator[None]:
        """Cancel the body as soon as the power has gone: the cable of the dock is the cable of the network."""
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                if not self.is_open:
                    scope.cancel()
                yield
            finally:
                self._scopes.discard(scope)

    async def run(self) -> None:
        """Read the power until cancelled; returns at once if the gate is always open."""
        if self._read is None:
            return
        while True:
            try:
                supply, trouble = (await self._read()).supply, ""
            except SupplyLost as lost:
                supply, trouble = "unknown", str(lost)
            self._fault("offload:power", bool(trouble), trouble)
            self._take(supply)
            await trio.sleep(READ_EVERY_S)

    def _take(self, supply: str) -> None:
        if supply == self.supply:
            return
        self.supply = supply
        if supply in EXTERNAL:
            self._open.set()
        elif self.is_open:
            self._open = trio.Event()
            for scope in self._scopes:
                scope.cancel()
        self._changed()
