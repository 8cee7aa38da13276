"""Witness of the journal in memory, and what may be wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from bwvd.evidence.journal.witness import Remembered, WitnessLost


class VirtualWitness:
    """As `bwvd.evidence.journal.witness.FileWitness`; `broken` makes it say why it can't."""

    def __init__(self) -> None:
        self.storages: list[Remembered] = []
        self.broken = ""
        self.writes = 0

    async def read(self) -> list[Remembered]:
        await trio.lowlevel.checkpoint()
        if self.broken:
            raise WitnessLost(self.broken)
        return list(self.storages)

    async def write(self, storages: Sequence[Remembered]) -> None:
        await trio.lowlevel.checkpoint()
        if self.broken:
            raise WitnessLost(self.broken)
        self.storages = list(storages)
        self.writes += 1
