"""Protocols of what the writer asks of others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import trio

from bwvd.evidence.flash.volume import Volume
from bwvd.media.samples import Gop
from bwvd.messages import WriterMessage


class Backlog(Protocol):
    """The receiving side of the recorder's inbox."""

    receive: trio.MemoryReceiveChannel[WriterMessage]

    def done(self, gop: Gop) -> None: ...


class Mender(Protocol):
    """Brings recordings to their end that an I/O error interrupted."""

    def mend(self, volume: Volume, broken: Collection[str]) -> dict[str, str]:
        """Why some of them have no end still. Blocking; may raise OSError."""
        ...

    def mended(self) -> None:
        """Tell of it; on trio's thread."""
        ...
