"""The writer: from the recorder's backlog to segments on flash, in order, several GOPs to a flush when many wait.

One job in the storage's thread muxes, hashes, seals, writes and signs a whole segment; nothing of that runs on trio's
thread. What the storage acknowledges is released, what it does not is kept and tried again:

- ENOSPC: room that was reserved for it is freed, the recording is closed and signed with a gap that names all that was
  handed on and did not reach the flash, and the fault raised (invariant 12).
- any other OSError: the state of the open files is unknown (a failed fsync is never retried as a success), so the
  recording is left as it is, and what was not acknowledged goes on in a new one that names it. Until the storage takes
  that, the backlog grows; when it is full the recorder drops whole GOPs and says so.
- an error that is the storage's in no way is a defect: the daemon is told to end in order, and what was not
  acknowledged goes on in a new recording as well. What meets one there again is given up, and a gap names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from bwvd.clock import NS, Clock
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.flash.volume import NO_ROOM, Storage, Volume
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.write.finishing import Finishing
from bwvd.evidence.write.group import Group
from bwvd.evidence.write.lost_media import Unwritten, take_rest
from bwvd.evidence.write.numbering import RecordingNumbers
from bwvd.evidence.write.ports import Backlog, Mender
from bwvd.evidence.write.progress import Progress
from bwvd.evidence.write.recording_folder import Device, RecordingFolder, continuation
from bwvd.evidence.write.repair import FullEnd, Mending, Unused
from bwvd.evidence.write.statistics import WriterStatistics
from bwvd.log import get_logger
from bwvd.media.samples import Gop
from bwvd.messages import CloseRecording, Event, FaultChanged, OpenRecording, Recorded, WriterMessage
from bwvd.service.backoff import Backoff
from bwvd.service.pulse import Pulse

LONGEST_WAIT = 1.25  # segments, for what makes none by itself: a GOP as long as a segment comes within that
BACKOFF = Backoff(first_s=0.2, factor=2.5, limit_s=5.0)  # after a storage error
ATTEMPTS_AT_THE_END = 3  # at shutdown a dead storage is given up after so many
MOST_DEFECTS = 3  # errors that are not the storage's: then all that waits is given up
STUCK_S = 120.0  # the backlog of two minutes is full by then: only a restart can help

_log = get_logger("writer")


class Writer:
    """The actor.

    Args:
        backlog: where the recorder leaves GOPs and notes; its end ends the writer.
        journal_head: where the journal stands, for the `open` record.
        on_error: told of each error that is no OSError; the daemon then ends in order.
        on_full: told when the flash is full; the recorder then hands on its last and closes the recording.
        measured: told of every commit's bytes and nanoseconds of media.

    **Synchronization:** `run` once, on trio's thread.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        device: Device,
        backlog: Backlog,
        naming: RecordingNumbers,
        room: Reserve,
        clock: Clock,
        publish: Callable[[Event], None],
        journal_head: Callable[[], JournalHead | None],
        on_error: Callable[[Exception], None],
        on_full: Callable[[], None],
        measured: Callable[[int, int], None],
        mender: Mender,
    ) -> None:
        self.statistics = WriterStatistics()
        self.pulse = Pulse("writer")
        self._storage = storage
        self._device = device
        self._backlog = backlog
        self._naming = naming
        self._room = room
        self._clock = clock
        self._publish = publish
        self._on_error = on_error
        self._on_full = on_full
        self._measured = measured
        self._mending = Mending(storage, mender, clock, self._new_folder, naming, journal_head, self._closed, publish)
        self._progress = Progress(publish)
        self._finishing = Finishing(storage, device.signer, room, self._mending, self._tell_defect)
        self._folder: RecordingFolder | None = None
        self._opening: OpenRecording | None = None  # asked for, not yet on flash
        self._continues = ""
        self._group = Group()
        self._segment_ns = round(device.segment_s * NS)
        self._failing = False
        self._defects = 0  # errors that are not the storage's
        self._idle = True

    @property
    def idle(self) -> bool:
        """Nothing is being written, and nothing waits to be: what was handed over is on flash or was given up."""
        working = self._folder is not None or self._finishing.pending
        return self._idle and not working and not self._backlog.receive.statistics().current_buffer_used

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until the backlog is closed and drained, then close what is open.

        **Cancellation:** between jobs only; a job that has begun is finished first.
        """
        task_status.started()
        receive = self._backlog.receive
        with receive:
            while True:
                message: WriterMessage | None = None
                try:
                    message = await self._next()
                except trio.EndOfChannel:
                    break
                if message is None:
                    await self._commit_if_due()
                    await self._mend()
                    await self._finishing.step()
                    continue
                self._idle = False
                while True:
                    await self._take(message)
                    try:
                        message = receive.receive_nowait()
                    except (trio.WouldBlock, trio.EndOfChannel):
                        break
                await self._commit_if_due()
                self._idle = True
        await self._close("shutdown")
        await self._finishing.all()
        await self._mend(at_once=True)

    # --- from the queue ----------------------------------------------------------------------------------------------

    async def _next(self) -> WriterMessage | None:
        """The next message; None when there is something else to do first. Raises trio.EndOfChannel."""
        if self._finishing.pending:
            try:
                return self._backlog.receive.receive_nowait()
            except trio.WouldBlock:
                return None
        with trio.move_on_after(self._wait_s()):
            return await self._backlog.receive.receive()
        return None

    async def _take(self, message: WriterMessage) -> None:
        match message:
            case OpenRecording():
                await self._close("crash")  # the recorder closes before it opens; if not, nothing must be mixed
                self._opening = message
                self._continues = ""
                self.statistics.began = message.recording
            case Gop():
                await self._add(message)
            case CloseRecording():
                await self._close(message.reason, message.at_ns)
            case _:
                self._group.note(message, self._clock.monotonic_ns())

    async def _add(self, gop: Gop) -> None:
        opening = self._folder.opening if self._folder else self._opening
        if opening is None:
            # It belongs to nothing that can be written.
            self.statistics.lost_frames += gop.frames
            self._backlog.done(gop)
            return
        if self._group.gops and not self._group.takes(gop, opening.video, opening.audio):
            self._group.next = gop  # in the group's care: where the commit gives up, that goes with it
            await self._commit()
        else:
            self._group.add(gop, self._clock.monotonic_ns())
        if self._group.is_full(first=self._folder is None):
            await self._commit()

    async def _commit_if_due(self) -> None:
        """The queue is empty: commit what makes a whole segment, and what has waited for long enough to become one."""
        group = self._group
        whole = False
        if group.gops:
            mean_ns = group.span_ns // len(group.gops)
            whole = self._folder is None or group.span_ns + mean_ns // 2 >= self._segment_ns
        if whole or self._waits_ns() <= 0:
            await self._commit()

    def _waits_ns(self) -> float:
        """For how long the group may still wait for more; for ever if there is nothing to commit."""
        group = self._group
        if group.since_ns is None or not (group.gops or self._folder):
            return math.inf
        return group.since_ns + self._segment_ns * LONGEST_WAIT - self._clock.monotonic_ns()

    def _wait_s(self) -> float:
        """For how long nothing has to be done unless a message comes."""
        return min(max(0, self._waits_ns() / NS), self._mending.wait_s())

    # --- to the storage ----------------------------------------------------------------------------------------------

    async def _commit(self, *, ended_ns: int | None = None) -> None:
        """Make the group durable, however many attempts that takes; then let its GOPs go.

        Notes alone open no recording but at its end: media time begins with the first GOP. Of one whose frames found
        no room they are all that there is.

        ended_ns: when the recording was ended, if nothing more of it is to come.
        """
        attempt, defect = 0, False
        last = ended_ns is not None
        while self._group.gops or (self._group.notes and (self._folder or (last and self._opening))):
            begun_ns = self._clock.monotonic_ns()
            try:
                with self.pulse.working(STUCK_S):
                    await self._storage.run(self._commit_job)
            except OSError as error:
                if error.errno in NO_ROOM:
                    await self._end_full(error, ended_ns=ended_ns)
                    return
                attempt += 1
                await self._break_off(error, attempt)
                ending = self._backlog.receive.statistics().open_send_channels == 0  # whatever still waits
                if ending and attempt >= ATTEMPTS_AT_THE_END:
                    self._give_up("storage_error", ended_ns)
                    return
                continue
            except Exception as error:  # noqa: BLE001  the daemon keeps it until everything is closed, then raises it
                if self._group.committed is None:
                    if self._give_up_after(error, ended_ns, again=defect):
                        return
                    defect = True
                    continue
                self._on_error(error)  # it came behind the commit: written again, the frames would be doubled
            self._committed(begun_ns)
            if not self._group.gops:
                await self._mend()
            return

    def _commit_job(self, volume: Volume) -> None:
        """In the storage's thread: open the recording if it is not, then one segment, or the notes alone."""
        group = self._group
        if self._folder is None:
            opening = self._opening
            if opening is None:
                return
            folder = self._new_folder(volume, opening)
            try:
                self._mending.make(volume, folder, group.gops[0] if group.gops else None, self._continues)
            except Exception:
                broken = folder.interrupted()
                if folder.created:
                    self._mending.add(broken)
                    self._use_up(opening)
                raise
            self._folder = folder
        folder, notes = self._folder, group.notes
        group.committed = folder.commit(group.gops, notes) if group.gops else folder.write_notes(notes)

    def _use_up(self, opening: OpenRecording) -> None:
        """A folder of this number exists, half-made; the recording goes on under the next one."""
        serial, recording = self._naming.take(opening.press_ns)
        self._continues = opening.recording
        self._opening = continuation(opening, serial, recording)

    def _new_folder(self, volume: Volume, opening: OpenRecording) -> RecordingFolder:
        return RecordingFolder(volume, self._device, opening, self._clock)

    def _committed(self, begun_ns: int) -> None:
        folder, committed = self._folder, self._group.committed
        if folder is None or committed is None:
            return
        statistics = self.statistics
        now_ns = self._clock.monotonic_ns()
        if self._opening is not None:
            opening, self._opening = self._opening, None
            if not self._continues:
                statistics.press_to_commit_ms.append((now_ns - opening.handled_ns) / 1e6)
            self._publish(Recorded(opening.recording, opening.serial, now_ns, closed=False))
            self._continues = ""
        if self._failing:
            self._failing = False
            self._publish(FaultChanged("storage", active=False, at_ns=now_ns))
        self._progress.committed(folder, now_ns)
        self._let_go_of_group(self._group.rest(now_ns))
        statistics.recording = folder.recording
        statistics.segments = folder.segments
        statistics.committed_s = folder.duration_ns / NS
        if committed.bytes:
            statistics.commit(committed.bytes, committed.frames, now_ns - begun_ns)
            self._measured(committed.bytes, committed.media_ns)

    async def _close(self, reason: str, ended_ns: int = 0) -> None:
        """Commit what waits, write the end, and the conveniences."""
        if self._opening is not None and self._folder is None and not (self._group.gops or self._group.notes):
            # Opened and closed, and nothing to say between: the number is a recording all the same.
            self._mending.add(Unused(self._opening, reason, self._continues))
            self._opening = None
        await self._commit(ended_ns=ended_ns)
        if self._group.notes:  # behind the last frames
            await self._commit(ended_ns=ended_ns)
        folder = self._folder
        if folder is None:
            self._group = Group()
            return
        try:
            await self._storage.run(lambda _: folder.close(reason))
        except Exception as error:  # noqa: BLE001  a defect is told
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                await self._end_full(error, reason, ended_ns=ended_ns)
                return
            # The segments are safe; recovery writes the end, now or at the next start.
            self.statistics.errors += 1
            if not self._tell_defect(error):
                self._fault(str(error))
            self._folder = None
            self._mending.add(folder.interrupted())
            self._leave()
            await self._mend()
            return
        self._conclude(folder, reason)

    def _conclude(self, folder: RecordingFolder, reason: str) -> None:
        """The `close` record is on flash: publish that; the conveniences are made when there is time."""
        self._folder = None
        self._closed(folder, reason)
        self._leave()
        self._finishing.add(folder.recording)

    def _closed(self, folder: RecordingFolder, reason: str) -> None:
        serial, now_ns = folder.opening.serial, self._clock.monotonic_ns()
        self._publish(Recorded(folder.recording, serial, now_ns, True, reason, folder.segments, folder.manifest_sha512))

    def _leave(self) -> None:
        """No recording is in progress, but for one that goes on."""
        self.statistics.count_for(self._opening.recording if self._opening else "")

    # --- when the storage says no ------------------------------------------------------------------------------------

    async def _end_full(self, error: OSError, reason: str = "storage_full", *, ended_ns: int | None = None) -> None:
        """Close on the room that was reserved, and tell the recorder to stop."""
        self.statistics.errors += 1
        folder = self._folder
        self._fault(f"full: {error.strerror}")
        self._on_full()
        unwritten = self._give_up(reason, ended_ns)
        # Whether there is room again is for the gauge to say, which clears the fault.
        self._failing = False
        if folder is not None:
            await self._end_on_reserve(folder, reason, unwritten)
        await self._mend()

    async def _end_on_reserve(self, folder: RecordingFolder, reason: str, unwritten: Unwritten) -> None:
        end = FullEnd(folder, reason, unwritten, self._room)
        try:
            # One job: between making room and taking it nobody else may.
            await self._storage.run(end.close)
        except Exception as error:  # noqa: BLE001  a defect is told
            _log.error("recording_not_closed", recording=folder.recording, error=str(error))
            self._tell_defect(error)
            self._folder = None
            self._mending.add(end, later=True)
            self._leave()
        else:
            self._conclude(folder, reason)

    def _give_up(self, reason: str, ended_ns: int | None) -> Unwritten:
        """Let go of all that waits of the recording; one that has no folder yet will tell of it in an empty one.

        ended_ns: when the recording was ended, if it was: what waits in the backlog is then the next one's.
        """
        unwritten = Unwritten(self._group)
        self._let_go_of_group()
        if ended_ns is None:
            take_rest(self._backlog, unwritten)
        else:
            unwritten.until(ended_ns)
        self.statistics.lost_frames += unwritten.frames
        _log.error("media_given_up", frames=unwritten.frames, reason=reason)
        if self._opening is not None and self._folder is None:
            self._mending.add(Unused(self._opening, reason, self._continues, unwritten.ending(reason), self._room))
        self._opening = None
        return unwritten

    def _give_up_group(self, reason: str) -> None:
        """Let go of what is to be committed next; what waits behind it goes on, behind a gap that names it."""
        group = self._group
        self.statistics.lost_frames += (frames := sum(gop.frames for gop in group.gops))
        _log.error("media_given_up", frames=frames, reason=reason)
        self._let_go_of_group(group.after_loss(reason, self._clock.monotonic_ns()))

    def _let_go_of_group(self, rest: Group | None = None) -> None:
        group, self._group = self._group, rest or Group()
        for gop in [*group.gops, *([group.next] if group.next else [])]:
            self._backlog.done(gop)

    async def _break_off(self, error: OSError, attempt: int) -> None:
        """Leave the open recording as it lies and prepare the one that continues it, after a pause."""
        self.statistics.errors += 1
        self._fault(str(error))
        self._go_on_in_another()
        await trio.sleep(BACKOFF.delay_s(attempt))

    def _give_up_after(self, error: Exception, ended_ns: int | None, *, again: bool) -> bool:
        """The same for a defect, which `again` has met the group; returns whether that is given up."""
        self.statistics.errors += 1
        self._defects += 1
        self._on_error(error)
        self._go_on_in_another()
        if self._defects >= MOST_DEFECTS:
            self._give_up("crash", ended_ns)
        elif again:
            self._give_up_group("crash")
        return again or self._defects >= MOST_DEFECTS

    def _go_on_in_another(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            self._mending.add(folder.interrupted())
            serial, recording = self._naming.take(self._clock.monotonic_ns())
            self._opening, self._continues = continuation(folder.opening, serial, recording), folder.recording
            self.statistics.count_for(recording)  # of the other all stays acknowledged; of this one nothing is yet

    def _tell_defect(self, error: Exception) -> bool:
        """Tell the daemon of an error that is not the storage's; returns whether it is one."""
        defect = not isinstance(error, OSError)
        if defect:
            self._on_error(error)
        return defect

    async def _mend(self, *, at_once: bool = False) -> None:
        """Bring what was broken off to its end; where that works the storage takes again."""
        try:
            takes_again = await self._mending.mend(at_once=at_once)
        except Exception as error:  # noqa: BLE001  the next start mends it
            self._on_error(error)
            return
        if takes_again and self._failing:
            self._failing = False
            self._publish(FaultChanged("storage", active=False, at_ns=self._clock.monotonic_ns()))

    def _fault(self, detail: str) -> None:
        if not self._failing:
            _log.error("storage_error", error=detail)
        self._failing = True
        self._publish(FaultChanged("storage", active=True, at_ns=self._clock.monotonic_ns(), detail=detail))
