"""Finishing of closed recordings behind the writer's back: playlist and checksums, a short step at a time.

After twelve hours that is more than a second of work. A press in that time must have its first commit at once, so the
writer makes a step only when it has nothing else to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.flash.steps import Steps
from bwvd.evidence.flash.volume import Storage, Volume
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.format.layout import RECORDINGS
from bwvd.evidence.write.finalize import finish_steps
from bwvd.evidence.write.interrupted import Interrupted
from bwvd.evidence.write.repair import Mending
from bwvd.log import get_logger

_log = get_logger("writer")


@dataclass(slots=True)
class _Closed:
    """A recording that has its end, and what is left to do about it."""

    recording: str
    steps: Steps[None] | None = None


@dataclass(slots=True, eq=False)
class Finishing:
    """Closed recordings whose conveniences are still to be made.

    **Synchronization:** trio's thread; one caller of `step` and `all` at a time.
    """

    _storage: Storage
    _signer: Signer
    _room: Reserve  # set aside again behind it: on a full flash the conveniences are made on it
    _mending: Mending  # takes what the storage does not
    _tell_defect: Callable[[Exception], object]  # told of every error; whether it is a defect is for it to say
    _waiting: deque[_Closed] = field(default_factory=deque)

    @property
    def pending(self) -> bool:
        """There is a step to make."""
        return bool(self._waiting)

    def add(self, recording: str) -> None:
        """A recording's last record is on the flash."""
        self._waiting.append(_Closed(recording))

    async def step(self) -> None:
        """Make one step, if there is one to make."""
        if not self._waiting:
            return
        first = self._waiting[0]
        try:
            ended = await self._storage.run(self._job(first))
        except Exception as error:  # noqa: BLE001  a defect is told
            # The recording is complete without them; they are made when the storage takes again, or at the next start.
            self._mending.add(Interrupted(first.recording, (), 0, closed=True), later=True)
            _log.warning("conveniences_not_written", recording=first.recording, error=str(error))
            self._tell_defect(error)
            ended = True
        if ended:
            self._waiting.popleft()

    async def all(self) -> None:
        """Make all steps."""
        while self._waiting:
            await self.step()

    def _job(self, closed: _Closed) -> Callable[[Volume], bool]:
        def job(volume: Volume) -> bool:
            """In the storage's thread: whether that was the last step."""
            if closed.steps is None:
                closed.steps = finish_steps(volume, f"{RECORDINGS}/{closed.recording}", self._signer)
            for _ in closed.steps:
                return False
            self._room.restore(volume)
            return True

        return job
