"""Handing in a receipt: what a release is, of whatever it lets go of.

The order: what lies here is held against the receipt, and against what this device has signed of it; then the journal's
entry, durable; then what was released is removed. From the entry on a power cut does not bring it back: the next start
finishes what the journal says.

It may be hours long and a recording may be running, so the work is cut into short steps: between two of them the writer
has the storage.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from bwvd.clock import Clock
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.steps import Steps
from bwvd.evidence.flash.volume import Storage, Volume
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import Detail
from bwvd.evidence.release.receipt import Accepted, ArchiveReceipt, Receipt

Kind = TypeVar("Kind", Receipt, ArchiveReceipt)


class ReleaseRefused(EvidenceError):
    """What the receipt is for stays. One line that says why."""


class AlreadyReleased(ReleaseRefused):
    """It is gone, and the journal says that it was released."""


class HandingIn(ABC, Generic[Kind]):
    """One release, step by step.

    Args:
        accepted: the receipt, judged by `bwvd.evidence.release.receipt.accept_receipt` or `accept_archive_receipt`.
        device: the configured device id.

    **Synchronization:** inside jobs of the volume's `Storage`, which are the journal's as well.
    """

    EVENT = ""  # the journal's entry

    def __init__(
        self, volume: Volume, journal: Journal, accepted: Accepted[Kind], *, device: str, clock: Clock
    ) -> None:
        self._volume = volume
        self._journal = journal
        self._receipt: Kind = accepted.receipt
        self._accepted: Accepted[Kind] = accepted
        self._device = device
        self._clock = clock
        self._steps = self._run()
        self.entered = False  # the journal's entry is durable: from here on there is no way back

    def step(self) -> bool:
        """Do a little; False when all is done. Blocking.

        Raises: ReleaseRefused; OSError, after which the next start goes on if `entered`, and nothing has happened if
        not.
        """
        for _ in self._steps:
            return True
        return False

    def _run(self) -> Steps[None]:
        detail = yield from self._judge()
        received = self._receipt
        detail |= {
            "receipt_sha256": self._accepted.sha256,
            "received_utc": received.received_utc[:64],
            "by": received.by[:64],
            "key": self._accepted.fingerprint,
        }
        self._journal.append([Draft(self.EVENT, detail, self._clock.read())])
        self.entered = True
        yield
        yield from self._remove()

    @abstractmethod
    def _judge(self) -> Steps[Detail]:
        """Hold what lies here against the receipt; what the entry says of it. Raises: ReleaseRefused, OSError."""

    @abstractmethod
    def _remove(self) -> Steps[None]:
        """Take it away; what a power cut has kept of it the next start finds again. Raises: ReleaseRefused, OSError."""

    def _require_own(self) -> None:
        """Raises: ReleaseRefused for another device's receipt."""
        device = self._receipt.device
        if device != self._device:
            raise ReleaseRefused(f"the receipt is for device {device[:80]!r}, this is {self._device}")


async def run_release(storage: Storage, release: HandingIn[Receipt] | HandingIn[ArchiveReceipt]) -> None:
    """Do all steps of a release, each a job of its own.

    Raises: as `HandingIn.step`. **Cancellation:** between two steps; what has been entered in the journal is finished
    at the next start.
    """
    while await storage.run(lambda _: release.step()):
        pass
