"""The desk itself: the sources, the identities and signers, and what is at work for whoever looks."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from bwvd.desk.access import Access
from bwvd.desk.background import Background
from bwvd.desk.facts import Listed, Memory, Row, merged
from bwvd.desk.jobs import Jobs
from bwvd.desk.query import PAGE_ROWS, Query
from bwvd.desk.session import Sessions
from bwvd.desk.source import Found, Key, NotThere
from bwvd.desk.trail import Trail
from bwvd.evidence.export.search import Wanted
from bwvd.evidence.format.utc import parse_utc
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner


@dataclass(slots=True, eq=False)
class Desk:
    """What the page's requests work with.

    Args:
        identities: to decrypt with; in memory alone.
        signers: whose signatures count; None = nobody's.
        out: the folder that what is handed out goes to.
        receipts: the key that signs receipts, and its owner's name; None = there are none to be had here.

    **Synchronization:** trio's thread.
    """

    sources: Sequence[Listed]
    access: Access
    trail: Trail
    identities: Sequence[Any] = ()
    signers: AllowedSigners | None = None
    out: Path = Path()
    receipts: tuple[KeySigner, str] | None = None
    sessions: Sessions = field(default_factory=Sessions)
    memory: Memory = field(default_factory=Memory)
    background: Background = field(init=False)
    jobs: Jobs = field(init=False)

    def __post_init__(self) -> None:
        self.background = Background(self.memory)
        self.jobs = Jobs(self.trail)

    async def find(self, device: str, recording: str) -> Found:
        """The recording of a page's address. Raises: NotThere; EvidenceError, StoreError of a source."""
        key = Key(device, recording)
        for source in self.sources:
            if (found := await source.find(key)) is not None:
                return found
        raise NotThere("there is no such recording here")

    async def overlapping(self, device: str, began: str, seconds: float) -> list[Row]:
        """Other cameras' recordings of which a part lies in a time, the newest first: a list's page of them at most.

        Args:
            device: whose they are not; a copy of a recording, and the one before it, show nothing from another side.
            began: UTC; nothing overlaps what is no time.

        Raises: EvidenceError, StoreError, OSError.
        """
        begin = parse_utc(began)
        if begin is None:
            return []
        try:
            end = begin + datetime.timedelta(seconds=max(seconds, 0.0) + 0.001)
        except OverflowError:
            return []
        query = Query(wanted=Wanted(begin, end))
        parts = [await source.rows(query, 0, PAGE_ROWS, self.memory) for source in self.sources]
        return [row for row in merged(parts, 0, PAGE_ROWS).rows if row.facts.device != device]

    async def run(self) -> None:
        """What goes on behind the pages, until it is cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.background.run)
            nursery.start_soon(self.jobs.run)

    async def aclose(self) -> None:
        for source in self.sources:
            await source.aclose()
