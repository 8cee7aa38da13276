"""The desk itself: the sources, the identities and signers, and what is at work for whoever looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bwvd.desk.session import Sessions
from bwvd.desk.source import Found, Key, NotThere, Source
from bwvd.evidence.keys.allowed_signers import AllowedSigners


@dataclass(slots=True, eq=False)
class Desk:
    """What the page's requests work with.

    Args:
        identities: to decrypt with; in memory alone.
        signers: whose signatures count; None = nobody's.

    **Synchronization:** trio's thread.
    """

    sources: Sequence[Source]
    identities: Sequence[Any] = ()
    signers: AllowedSigners | None = None
    sessions: Sessions = field(default_factory=Sessions)

    async def find(self, device: str, recording: str) -> Found:
        """The recording of a page's address. Raises: NotThere; EvidenceError, StoreError of a source."""
        key = Key(device, recording)
        for source in self.sources:
            if (found := await source.find(key)) is not None:
                return found
        raise NotThere("there is no such recording here")

    async def aclose(self) -> None:
        for source in self.sources:
            await source.aclose()
