"""Witness of the journal in memory, and what may be wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from bwvd.evidence.journal.witness import Remembered, WitnessLost


class VirtualWitness:
    """As `bwvd.evidence.journal.witness.FileWitness`; `broken` makes it say why it can't, `hang` lets it not answer."""

    def __init__(self) -> None:
        self.storages: list[Remembered] = []
        self.broken = ""
        self.writes = 0
        self._answers = trio.Event()
        self._answers.set()

    def hang(self, hangs: bool) -> None:
        """Answer nothing, as a disk that never comes back from a read or a write; or answer again."""
        if hangs:
            self._answers = trio.Event()
        else:
            self._answers.set()

    async def read(self) -> list[Remembered]:
        await self._answers.wait()
        if self.broken:
            raise WitnessLost(self.broken)
        return list(self.storages)

    async def write(self, storages: Sequence[Remembered]) -> None:
        await self._answers.wait()
        if self.broken:
            raise WitnessLost(self.broken)
        self.storages = list(storages)
        self.writes += 1
