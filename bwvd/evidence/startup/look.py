"""The look at recordings that a start leaves for later: those that an earlier start has found whole.

A start must not take longer with every recording that lies on the card. So the journal remembers, signed as all of it
is (entry `settled`), up to which serial number a start has looked at every recording. The next one brings to its end
what is newer; the rest is looked at behind it, in short steps with pauses, as thoroughly as by a start: what is found
is told, entered and written into the recording in the same way, only later. The entry decides nothing but the order. It
says nothing of a recording that was changed since, and an earlier journal has an earlier one, which leaves more to the
start. Where there is none (the first start with this version, a journal that is gone, a card that nobody remembers), or
where very much was recorded since, the start looks at the newest ones, which a power cut may have kept from their end.
Of a storage that is not as the device had left it, it looks at everything: what is recovered then says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import trio

from bwvd.evidence.flash.steps import Steps
from bwvd.evidence.flash.volume import Storage, Volume
from bwvd.evidence.format.layout import RECORDINGS
from bwvd.evidence.format.recording_id import counted, known, parts_of, serial_of
from bwvd.evidence.journal.journal import Journal
from bwvd.evidence.journal.totals import SETTLED, Detail
from bwvd.evidence.startup.outcome import RecoveryResult

LOOK_AFTER_S = 1.0  # a start has enough to do
PAUSE_S = 0.02  # between two steps: ten thousand recordings take some minutes
SHARE = 4  # the pause is so many times as long as the step was, so that a slow flash is not kept busy
AT_START = 32  # recordings that a start looks at itself: what a power cut has hit is among the newest
MOST_UNSETTLED = 64  # names in one entry; of more the start looks at all again


@dataclass(frozen=True, slots=True)
class Settled:
    """What starts have looked at."""

    to: int = 0  # the serial number up to which they have
    but: frozenset[str] = frozenset()  # recordings among these that could not be brought to their end


@dataclass(frozen=True, slots=True)
class SortedOut:
    """What lies in `recordings/`, by what a start has to do with it."""

    others: list[str]  # what is no recording of this device by its name
    left: list[str]  # this device's recordings that the look is for
    newer: list[str]  # as they lie there: all whose number is larger than what the journal knows and has settled


def sort_out(
    folders: Iterable[str],
    device: str,
    before: Settled,
    last_in_journal: int,
    released: Collection[str],
    *,
    all_at_start: bool = False,
) -> SortedOut:
    """Read the names in `recordings/`, each once: a start must not take longer with every recording.

    all_at_start: leave nothing to the look that an earlier start has not seen whole, however much that is.

    Numbers that are not newer change nothing in `settling`, `serials.next_serial` and `serials.unrecorded`.
    """
    others, left, newer = [], [], []
    unsettled: list[tuple[int, str]] = []
    floor = min(before.to, known(last_in_journal))
    for folder in folders:
        recording = folder.rstrip("/")
        parts = parts_of(recording)
        if parts is None:
            others.append(recording)
            continue
        of, serial = parts
        if serial > floor:
            newer.append(folder)
        if of != device:
            others.append(recording)
        elif recording not in before.but and recording not in released:
            if serial <= before.to:
                left.append(recording)
            else:
                unsettled.append((serial, recording))
    if not all_at_start and len(unsettled) > AT_START:
        left += [recording for _, recording in sorted(unsettled)[:-AT_START]]
    return SortedOut(others, left, newer)


def settled(journal: Journal) -> Settled:
    """What the journal remembers."""
    detail = journal.latest(SETTLED) or {}
    to, but = detail.get("to"), detail.get("but")
    if not isinstance(to, int) or not isinstance(but, str):
        return Settled()
    return Settled(to, frozenset(but.split()))


def settling(before: Settled, folders: Iterable[str], results: Sequence[RecoveryResult]) -> Detail | None:
    """What the journal has to remember after a start; None if it does already.

    folders: what lies in `recordings/`, all of which is settled now or was before.
    """
    serials = sorted(serial for name in folders if (serial := serial_of(name)) is not None and serial > before.to)
    to = before.to
    for serial in serials:
        to = counted(to, serial)
    but = frozenset(result.recording for result in results if result.error and " " not in result.recording)
    if len(but) > MOST_UNSETTLED or (to, but) == (before.to, before.but):
        return None
    return {"to": to, "but": " ".join(sorted(but))}


class Look:
    """Looks at recordings one after the other.

    Args:
        look: the steps for one recording.
        released: the recordings whose release is entered; asked in every step.
        tell: told of each outcome, on trio's thread.
    """

    def __init__(
        self,
        storage: Storage,
        recordings: Collection[str],
        look: Callable[[Volume, str], Steps[RecoveryResult | None]],
        released: Callable[[], Collection[str]],
        tell: Callable[[RecoveryResult], None],
    ) -> None:
        self._storage = storage
        self._left = list(recordings)
        self._look = look
        self._released = released
        self._tell = tell
        self._done = trio.Event()
        self._scope = trio.CancelScope()

    async def wait_done(self) -> None:
        """Return when all were looked at, or the look was stopped."""
        await self._done.wait()

    def stop(self) -> None:
        """No more steps; the next start's look begins anew. Returns at once."""
        self._scope.cancel()

    async def run(self) -> None:
        """Look at all of them.

        **Cancellation:** between two steps; what a step has done to a recording is told by the next start's look.
        """
        with self._scope:
            if self._left:
                await trio.sleep(LOOK_AFTER_S)
            for recording in self._left:
                await self._at(recording)
        self._done.set()

    async def _at(self, recording: str) -> None:
        steps: Steps[RecoveryResult | None] | None = None
        outcome: RecoveryResult | None = None

        def step(volume: Volume) -> bool:
            """In the storage's thread: whether there is more to do."""
            nonlocal steps, outcome
            if recording in self._released():
                return False
            steps = steps or self._look(volume, recording)
            try:
                next(steps)
            except StopIteration as end:
                outcome = end.value
                if outcome is not None and outcome.error and _is_gone(volume, recording):
                    outcome = None
                return False
            return True

        more = True
        while more:
            begun_s = trio.current_time()
            more = await self._storage.run(step)
            if outcome is not None:
                self._tell(outcome)
            await trio.sleep(max(PAUSE_S, SHARE * (trio.current_time() - begun_s)))


def _is_gone(volume: Volume, recording: str) -> bool:
    """Whether it was released since the start. The journal need not say so still: a later file does not."""
    try:
        return f"{recording}/" not in volume.names(RECORDINGS)
    except OSError:
        return False
