"""Jobs: what the desk hands out, made one after the other in threads, each with how far it is, and a way to stop it.

What a job makes has its name when it is whole, in the folder that `--out` names; what is given up leaves nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import trio

from bwvd.desk.session import Session
from bwvd.desk.source import Found
from bwvd.desk.trail import Trail, TrailLost, about
from bwvd.desk.watched import WatchedFolder
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.verify.folder import Folder
from bwvd.store.errors import StoreError
from bwvd.text import clean

AT_ONCE = 2
MOST_WAITING = 100
MOST_QUEUED = 1000  # with those that were given up before their turn, which the log is told when it comes
ENDING_S = 5.0  # for the last entry of a job
MOST_KEPT = 500  # jobs that are over

Work = Callable[[Folder], list[Path]]
"""Makes the files. Blocking. Raises: EvidenceError, OSError."""


class GivenUp(EvidenceError):
    """Somebody has stopped the job."""


class TooMany(EvidenceError):
    """So many jobs wait already."""


class State(StrEnum):
    """How far a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Job:
    """One thing to hand out."""

    what: str  # "mp4" | "still" | "sheet" | "proof" | "receipt"
    found: Found
    session: Session
    work: Work
    asked: dict[str, str | float]  # from, to, at, reason: for the log
    passes: float  # how often every byte is read
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = State.WAITING
    read_bytes: int = 0
    total_bytes: int = 0
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""  # why it failed, in one line
    _stop: threading.Event = field(default_factory=threading.Event)
    _at_work: threading.Lock = field(default_factory=threading.Lock)  # held by the thread that makes it

    @property
    def over(self) -> bool:
        return self.state in (State.DONE, State.FAILED, State.CANCELLED)

    @property
    def percent(self) -> int:
        """How far it is; 100 only when it is done."""
        if self.state is State.DONE:
            return 100
        return min(99, round(100 * self.read_bytes / self.total_bytes)) if self.total_bytes else 0

    def cancel(self) -> None:
        """Stop at the next read."""
        self._stop.set()
        if self.state is State.WAITING:
            self.state = State.CANCELLED

    def told(self, size: int) -> None:
        """So many more bytes were read, in some thread. Raises: GivenUp."""
        self.read_bytes += size
        if self._stop.is_set():
            raise GivenUp("given up")

    def run(self, folder: Folder) -> None:
        """Make the files. Blocking. Raises: GivenUp; what the work raises."""
        with self._at_work:
            sizes = []
            for name, odd in folder.names().items():
                if not odd:
                    sizes.append(folder.size(name))
            self.total_bytes = round(sum(sizes) * self.passes)
            self.files = self.work(WatchedFolder(folder, self.told))

    def wait(self) -> None:
        """Wait until no thread is at work on it: one that was left behind still has to put away what it began.

        Blocking, for at most ENDING_S.
        """
        if self._at_work.acquire(timeout=ENDING_S):
            self._at_work.release()


class Jobs:
    """All there are, until the desk ends.

    **Synchronization:** trio's thread.
    """

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._jobs: dict[str, Job] = {}
        self._send, self._receive = trio.open_memory_channel[Job](MOST_QUEUED)

    async def add(self, job: Job) -> None:
        """Enter it into the log, and let it wait for its turn. Raises: TrailLost, TooMany."""
        waiting = sum(one.state is State.WAITING for one in self._jobs.values())
        queued = self._send.statistics().current_buffer_used
        if waiting >= MOST_WAITING or queued >= MOST_QUEUED - MOST_WAITING:
            raise TooMany(f"{queued} jobs wait already")
        detail = {**about(job.found), "job": job.id, "what": job.what, **job.asked}
        await self._trail.enter(job.session, "exporting", detail)
        self._jobs[job.id] = job
        over = [one for one in self._jobs.values() if one.over]
        for old in over[: max(0, len(over) - MOST_KEPT)]:
            del self._jobs[old.id]
        await self._send.send(job)

    def get(self, id_: str) -> Job | None:
        return self._jobs.get(id_)

    def all(self) -> list[Job]:
        """The newest first."""
        return list(reversed(self._jobs.values()))

    async def run(self) -> None:
        """Do what comes, until it is cancelled; then every job is given up, and nothing of it is left."""
        try:
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(self._work)
                try:
                    await trio.sleep_forever()
                finally:
                    for job in self._jobs.values():
                        job.cancel()
        finally:
            with trio.move_on_after(ENDING_S, shield=True):  # all at once, as the log puts what waits into one object
                async with trio.open_nursery() as nursery:
                    while self._receive.statistics().current_buffer_used:
                        nursery.start_soon(self._end, self._receive.receive_nowait(), State.CANCELLED)

    async def _work(self) -> None:
        async for job in self._receive.clone():
            state = State.CANCELLED
            try:
                if job.state is State.WAITING:
                    job.state = State.RUNNING
                    state = await self._made(job)
            except Exception:
                state = State.FAILED
                raise
            finally:  # also where the desk is ended
                with trio.move_on_after(ENDING_S, shield=True):
                    await trio.to_thread.run_sync(job.wait, abandon_on_cancel=True)
                with trio.move_on_after(ENDING_S, shield=True):
                    state = State.DONE if job.files else state
                    await self._end(job, state)
                job.state = state

    async def _made(self, job: Job) -> State:
        """Make what it is to make; what came of it."""
        try:
            await job.found.read(job.run)
        except GivenUp:
            return State.CANCELLED
        except (EvidenceError, StoreError) as error:
            job.problem = clean(str(error))
        except OSError as error:
            job.problem = clean(f"{error.filename or job.found.where}: {error.strerror}")
        else:
            return State.DONE
        return State.FAILED

    async def _end(self, job: Job, state: State) -> None:
        """Enter what came of it, with the digest of each file."""
        detail: dict[str, str | int | float | bool | None] = {**about(job.found), "job": job.id, "what": job.what}
        for number, path in enumerate(job.files, 1):
            mark = "" if number == 1 else f"_{number}"
            detail[f"file{mark}"] = str(path)
            detail[f"sha256{mark}"] = await trio.to_thread.run_sync(_sha256, path)
        if job.problem:
            detail["problem"] = job.problem
        try:
            event = "exported" if state is State.DONE else "export_failed"
            await self._trail.enter(job.session, event, {**detail, "state": state.value})
        except TrailLost as error:
            job.notes.append(clean(str(error)))


def _sha256(path: Path) -> str:
    """ "" if it is gone."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
