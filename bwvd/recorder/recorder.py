"""The recorder: media and commands in, GOPs to the loop and to the writer.

Three tasks share one state on trio's thread and touch it only in plain functions, so that nothing can come between:
media in, commands in, and time. The camera side never waits here: everything that goes on is `send_nowait`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import assert_never

import trio

from bwvd.clock import NS, Clock
from bwvd.media.samples import Batch, Gop, Track
from bwvd.messages import (
    Annotation,
    Answer,
    Assigned,
    AudioSwitched,
    Command,
    Event,
    FaultChanged,
    LastKnown,
    Marked,
    MediaEvent,
    MediaGap,
    Muted,
    Note,
    Pressed,
    Reminder,
    SourceDown,
    SourceUp,
    Stage,
    State,
    StateChanged,
    StopAsked,
    StopNotConfirmed,
)
from bwvd.recorder.backlog import Backlog
from bwvd.recorder.completion import Completion
from bwvd.recorder.gop_builder import GopBuilder
from bwvd.recorder.in_progress import RecordingInProgress, backlog_fault
from bwvd.recorder.last_known import Known
from bwvd.recorder.loop import Loop
from bwvd.recorder.ports import Devices, Numbering
from bwvd.recorder.recent_gaps import RecentGaps
from bwvd.recorder.sleep_barrier import SleepBarrier
from bwvd.recorder.state_machine import Effect, Machine, Times
from bwvd.service.pulse import Pulse

LATE_S = 10.0  # a deadline that is missed by more means that the recorder is stuck


class Recorder:
    """The actor.

    Args:
        times: spans of the state machine.
        loop: the rolling loop, empty.
        backlog: where the writer listens. Closed by `run` on every way out.
        publish: takes every event; never blocks.
        refuse: why no new recording can begin now, "" if it can.
        pre_event_audio: whether audio may enter the loop in standby.
    """

    def __init__(
        self,
        *,
        times: Times,
        loop: Loop,
        backlog: Backlog,
        devices: Devices,
        numbering: Numbering,
        clock: Clock,
        publish: Callable[[Event], None],
        refuse: Callable[[], str],
        pre_event_audio: bool,
        state: State = State.STANDBY,
    ) -> None:
        self.machine = Machine(times, state)
        self.loop = loop
        self.current: RecordingInProgress | None = None
        self.officer = ""
        self.end_reason = "shutdown"  # what a recording that still runs when the daemon ends in order is closed for
        self.pulse = Pulse("recorder")
        self.video: Track | None = None  # of the camera, while it delivers
        self.audio: Track | None = None  # of the microphone, while it delivers
        self._known_audio: Track | None = None  # the last of these
        self.known = Known()
        self.frames = self.frames_lost = 0
        self._backlog = backlog
        self._devices = devices
        self._numbering = numbering
        self._clock = clock
        self._publish = publish
        self._refuse = refuse
        self._pre_event_audio = pre_event_audio
        self._builder = GopBuilder()
        self._completion = Completion(self.machine, self._builder, loop.seconds_ns)
        self._recent = RecentGaps(loop.seconds_ns)
        self._barrier = SleepBarrier()
        self._stirred = trio.Event()
        self._waits_until_ns: float = inf  # for the time

    # --- the actor ---------------------------------------------------------------------------------------------------

    async def run(
        self,
        media: trio.MemoryReceiveChannel[MediaEvent],
        commands: trio.MemoryReceiveChannel[Command],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Work until `media` is closed, which is how the daemon ends in order.

        On every way out, cancellation and errors included, a recording in progress is closed with what there is, the
        loop is wiped and the backlog closed: nothing of that waits.
        """
        reason = "crash"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take_commands, commands)
                nursery.start_soon(self._watch_time)
                self._regulate_audio()
                task_status.started()
                async with media:
                    async for event in media:
                        self._on_media(event)
                        if self.machine.finishing or self._next_due_ns() < self._waits_until_ns:
                            self._stirred.set()  # not by a GOP that only takes the place of another
                reason, self._completion.all_is_in = self.end_reason, True
                nursery.cancel_scope.cancel()
        finally:
            self._end(reason)

    async def _take_commands(self, commands: trio.MemoryReceiveChannel[Command]) -> None:
        async with commands:
            try:
                async for command in commands:
                    self.handle(command)
            finally:
                # Cancelled while one was on its way: it is heard, if not obeyed.
                with suppress(trio.WouldBlock, trio.EndOfChannel):
                    while True:
                        self._publish(commands.receive_nowait().refuse("ending", self._clock.monotonic_ns()))

    async def _watch_time(self) -> None:
        while True:
            self._on_time()
            self._waits_until_ns = self._next_due_ns()
            seconds = max(0, self._waits_until_ns - self._clock.monotonic_ns()) / NS
            self.pulse.busy(seconds + LATE_S)
            with trio.move_on_after(seconds):
                await self._stirred.wait()
            self._stirred = trio.Event()

    def _next_due_ns(self) -> float:
        """When something is to be done that time alone brings; inf where nothing is."""
        given_up_ns = self._completion.given_up_ns() if self.machine.finishing else None
        away_ns = self.current.away_due_ns() if self.current and not self._builder.has_camera else None
        machine_ns, builder_ns = self.machine.deadline_ns(), self._builder.deadline_ns()
        times = (machine_ns, self.loop.next_eviction_ns(), builder_ns, given_up_ns, away_ns)
        return min([ns for ns in times if ns is not None], default=inf)

    # --- media -------------------------------------------------------------------------------------------------------

    def _on_media(self, event: MediaEvent) -> None:
        now_ns = self._clock.monotonic_ns()
        if not self._barrier.passes(event, asleep=self.machine.state is State.ASLEEP):
            return
        match event:
            case Batch():
                if event.track.kind == "video":
                    self.frames += len(event.samples)
                    self._builder.video(event, now_ns)
                elif self.current or self._pre_event_audio:
                    self._builder.audio(event)
                else:
                    event.wipe()  # it was on its way when the recording ended: the next one must not begin with it
                self._take(self._builder.ready(now_ns), now_ns)
            case SourceUp():
                self._on_up(event, now_ns)
            case SourceDown():
                self._on_down(event, now_ns)
            case MediaGap():
                self._on_gap(event, now_ns)
            case FaultChanged():
                self._recent.fault(event)
                self._publish(event)
                self._note(event)
            case _:
                assert_never(event)

    def _on_up(self, event: SourceUp, now_ns: int) -> None:
        if event.track.kind == "video":
            self.video = event.track
            self._builder.has_camera = True
        else:
            came_back = self.audio is None
            self.audio = self._known_audio = event.track
            self._regulate_audio()
            if came_back and self.current and self.current.opened and self._wants_audio():
                self._note(AudioSwitched(True, now_ns, "microphone delivers"))
        if event.on_trial:
            self._recent.back(event.device, now_ns)
            return
        over, was_told = self._recent.up(event.device, now_ns)
        if was_told:
            self._note(over)
        self._publish(over)

    def _on_down(self, event: SourceDown, now_ns: int) -> None:
        if event.device == "camera":
            # What is complete goes first: the audio that comes from here on stands alone.
            self._take(self._builder.ready(now_ns), now_ns)
            self.video = None
            self._builder.has_camera = False
        else:
            if self.audio is not None and self.current and self._wants_audio():
                self.current.lack_audio(self._builder.late_audio(event.at_ns), event.reason)
                self._note(AudioSwitched(False, event.at_ns, event.reason))
            self.audio = None
            self._regulate_audio()
        fault = self._recent.down(event)
        if fault is None:
            return
        self._publish(fault)
        self._note(fault)
        if event.final and event.device == "camera":
            self._finish_now("source_ended", now_ns)

    def _on_gap(self, gap: MediaGap, now_ns: int) -> None:
        self.frames_lost += gap.frames
        self._recent.gap(gap, now_ns)
        if self.current and self.current.opened:
            self.current.name_gap(gap)

    def _take(self, gops: list[Gop], now_ns: int) -> None:
        """Take over GOPs, oldest first; a recording that is to end ends with the one that holds its last moment."""
        for gop in gops:
            self._keep(gop, now_ns)
            if self.machine.ends_with(gop.end_ns):
                self._finish(now_ns)

    def _keep(self, gop: Gop, now_ns: int) -> None:
        if gop.video is None and self.current is None and not self._pre_event_audio:
            gop.wipe()  # audio that stands alone is kept only in a recording, or with pre-event audio
            return
        gop.hold()
        self.loop.append(gop, now_ns)
        if self.current:
            self._hand_on(self.current, gop)
        gop.release()

    # --- the recording -----------------------------------------------------------------------------------------------

    def _begin(self, command: Command, now_ns: int) -> None:
        serial, recording = self._numbering.take(command.at_ns)
        self.current = RecordingInProgress(
            serial, recording, command, now_ns, self.known.located, self._backlog, self._recent.why_missing
        )
        for fault in self._recent.faults:
            self.current.note(fault)
        self._devices.keep_partial(True)
        self._regulate_audio(command.at_ns)
        for gop in self.loop.before(command.at_ns):
            self._hand_on(self.current, gop if self._pre_event_audio else gop.without_audio(command.at_ns))

    def _hand_on(self, current: RecordingInProgress, gop: Gop) -> None:
        if not gop.batches:
            return
        if not current.opened:
            if gop.video is None:
                return  # a recording starts at a key frame (invariant 3)
            current.open(
                gop.video,
                self._recent.gaps,
                pre_event=self.loop.pre_event(current.press.at_ns, gop.start_ns),
                audio=self._known_audio or self._devices.expected_audio(),
                audio_off="muted" if self.machine.muted else "" if self.audio else "no microphone",
                pre_event_audio=self._pre_event_audio,
                officer=self.officer,
            )
            self.known.tell(current.note, self._clock.monotonic_ns())
        self.frames_lost += (lost := current.hand_on(gop, last=self.machine.ends_with(gop.end_ns)))
        if gop.video:
            self._publish(backlog_fault(lost, self._clock.monotonic_ns()))

    def _note(self, note: Note) -> None:
        """Something for the manifest of the recording in progress, if there is one."""
        if self.current:
            self.current.note(note)

    def _finish(self, now_ns: int) -> None:
        """Close the recording in progress with what was handed on."""
        current, self.current = self.current, None
        before = self.machine.state
        reason = self.machine.finished()
        if current is None:
            return
        if current.opened:
            self.known.tell(current.note, now_ns)
            current.lack_audio(self._builder.late_audio(current.handed_ns), "late")
        if not current.close(reason, now_ns, self._completion.lacks_until_ns(reason, current, now_ns)):
            # No GOP ever came, and nothing was recorded under its number.
            self._numbering.give_back(current.serial)
            reason = "no_video"
        self._devices.keep_partial(False)
        self._regulate_audio()
        self._publish(backlog_fault(0, now_ns))
        self._publish(StateChanged(self.machine.state, before, now_ns, reason, current.recording))

    def end_recording(self, reason: str) -> None:
        """The device's own end: a full flash, an empty battery. No-op when nothing is recorded."""
        self._finish_now(reason, self._clock.monotonic_ns())
        self._stirred.set()

    def _finish_now(self, reason: str, now_ns: int) -> None:
        if self.machine.finish_now(reason, now_ns):
            self._flush(now_ns)
            self._finish(now_ns)

    def _flush(self, now_ns: int) -> None:
        """Take over what still waits to be whole, all of it: the recording ends after it."""
        for gop in self._builder.flush():
            self._keep(gop, now_ns)

    def _end(self, reason: str) -> None:
        """The last thing: no await, because it runs under cancellation too."""
        try:
            self._finish_now(reason, self._clock.monotonic_ns())
        finally:
            self._backlog.close()  # else the writer waits for ever, and the daemon with it
            self._builder.clear()
            self.loop.clear("started")

    # --- commands ----------------------------------------------------------------------------------------------------

    def handle(self, command: Command) -> None:
        """Carry out one command and answer it.

        **Synchronization:** trio's thread; never waits, so that a press is in force when this returns.
        """
        now_ns = self._clock.monotonic_ns()
        self.loop.evict(now_ns)
        before = self.machine.state
        decision = self.machine.order(
            command.order, command.at_ns, now_ns, confirmed=command.confirmed, refuse=self._refuse()
        )
        for effect in decision.effects:
            self._carry_out(effect, command, now_ns)
        recording = self.current.recording if self.current else None
        self._publish(
            Pressed(command.order, command.source, command.at_ns, now_ns, decision.outcome, decision.refused, recording)
        )
        if self.machine.state is not before:
            self._publish(StateChanged(self.machine.state, before, now_ns, command.source, recording))
        command.answer(Answer(not decision.refused, decision.words, recording))
        self._stirred.set()

    def _carry_out(self, effect: Effect, command: Command, now_ns: int) -> None:
        match effect:
            case Effect.BEGIN:
                self._begin(command, now_ns)
            case Effect.MARK:
                self._note(Marked(command.at_ns, command.source, command.text))
            case Effect.SLEEP:
                self._barrier.sleep(now_ns, self.video is not None, self.audio is not None)
                self._devices.sleep()
                self._builder.clear()
                self.loop.clear("asleep")
                self._recent.forget_gaps()
            case Effect.WAKE:
                self._devices.wake()
            case Effect.MUTE | Effect.UNMUTE:
                self._switch_audio(effect is Effect.MUTE, command, now_ns)
            case Effect.ASSIGN:
                self.officer = command.text
                assigned = Assigned(command.text, now_ns, command.source)
                self._note(assigned)
                self._publish(assigned)
            case Effect.ASK:
                self._note(Stage("stop_asked", now_ns, command.source))
                self._publish(StopAsked(now_ns, self.machine.asked_until_ns))
            case Effect.POST_ROLL:
                self._note(Stage("post_roll", now_ns, command.source))
            case Effect.RESUME:
                self._note(Stage("resumed", now_ns, command.source))
            case _:
                self._on_expired(effect, now_ns)

    def _switch_audio(self, mute: bool, command: Command, now_ns: int) -> None:
        self._regulate_audio(now_ns)
        self._note(AudioSwitched(not mute, now_ns, "mute" if mute else "unmute"))
        self._publish(Muted(mute, now_ns, command.source))

    # --- time --------------------------------------------------------------------------------------------------------

    def _on_time(self) -> None:
        now_ns = self._clock.monotonic_ns()
        self.loop.evict(now_ns)
        self._take(self._builder.ready(now_ns), now_ns)
        for effect in self.machine.expire(now_ns):
            self._on_expired(effect, now_ns)
        if self.current and not self._builder.has_camera:
            self.current.name_absence(now_ns)
        if self.machine.finishing and self._completion.is_reached(self.current, now_ns):
            if not self._builder.has_camera:
                self._flush(now_ns)  # audio that would have come with the next second's
            self._finish(now_ns)

    def _on_expired(self, effect: Effect, now_ns: int) -> None:
        match effect:
            case Effect.LAPSE:
                self._note(Stage("stop_lapsed", now_ns))
                self._publish(StopNotConfirmed(now_ns))
            case Effect.REMIND:
                self._publish(Reminder(now_ns))
            case Effect.FINISH:
                pass  # closed by the GOP that holds the last moment, or by `_on_time`
            case _:
                raise AssertionError(f"{effect} does not come from time")

    # --- audio -------------------------------------------------------------------------------------------------------

    def _wants_audio(self) -> bool:
        return not self.machine.muted and (self._pre_event_audio or self.current is not None)

    def _regulate_audio(self, from_ns: int = 0) -> None:
        """Open or close the microphone's gate as state and policy say."""
        if self._wants_audio():
            self._devices.open_gate(from_ns)
        else:
            self._devices.close_gate()
            if self.current is None:
                self._builder.drop_audio()
        expected = self._wants_audio() and self.audio is not None
        self._builder.expect_audio(expected, from_ns or self._clock.monotonic_ns())

    # --- from other actors -------------------------------------------------------------------------------------------

    def annotate(self, note: Annotation) -> None:
        """Let the recording in progress say what else happened: a fault, a clock step, the battery's level, where."""
        if isinstance(note, LastKnown):
            self.known.take(note)
        self._note(note)
