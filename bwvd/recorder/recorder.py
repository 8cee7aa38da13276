"""The recorder: what comes from the devices and from people, to the loop and to the writer.

Three tasks share one state on trio's thread and touch it only in plain functions, so that nothing can come between:
media in, commands in, and time. The camera side never waits here: everything that goes on is `send_nowait`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import assert_never

import trio

from bwvd.clock import NS, Clock
from bwvd.media.samples import Batch, Gop, Track
from bwvd.messages import (
    Answer,
    Assigned,
    ClockStepped,
    Command,
    Event,
    FaultChanged,
    Marked,
    MediaEvent,
    MediaGap,
    Muted,
    Note,
    PowerRead,
    Pressed,
    Reminder,
    SoundSwitched,
    SourceDown,
    SourceUp,
    Stage,
    State,
    StateChanged,
    StopAsked,
    StopNotConfirmed,
)
from bwvd.recorder.backlog import Inbox
from bwvd.recorder.completion import Ending
from bwvd.recorder.gop_builder import Assembler
from bwvd.recorder.in_progress import Circumstances, Progress, backlog_fault
from bwvd.recorder.loop import Loop
from bwvd.recorder.ports import Devices, Naming
from bwvd.recorder.recent_gaps import Lately
from bwvd.recorder.sleep_barrier import SleepBarrier
from bwvd.recorder.state_machine import Effect, Machine, Times
from bwvd.service.pulse import Pulse

LATE_S = 10.0  # a deadline that is missed by more means that the recorder is stuck


class Recorder:
    """The actor.

    Args:
        times: spans of the state machine.
        loop: the rolling loop, empty.
        inbox: where the writer listens. Closed by `run` on every way out.
        publish: takes every event; never blocks.
        refuse: why no new recording can begin now, "" if it can.
        pre_event_audio: whether sound may enter the loop in standby.
    """

    def __init__(
        self,
        *,
        times: Times,
        loop: Loop,
        inbox: Inbox,
        devices: Devices,
        naming: Naming,
        clock: Clock,
        publish: Callable[[Event], None],
        refuse: Callable[[], str],
        pre_event_audio: bool,
        state: State = State.STANDBY,
    ) -> None:
        self.machine = Machine(times, state)
        self.loop = loop
        self.current: Progress | None = None
        self.officer = ""
        self.end_reason = "shutdown"  # what a recording that still runs when the daemon ends in order is closed for
        self.pulse = Pulse("recorder")
        self.video: Track | None = None  # of the camera, while it delivers
        self.audio: Track | None = None  # of the microphone, while it delivers
        self._power: PowerRead | None = None  # the last reading
        self.frames = self.frames_lost = 0
        self._inbox = inbox
        self._devices = devices
        self._naming = naming
        self._clock = clock
        self._publish = publish
        self._refuse = refuse
        self._pre_event_audio = pre_event_audio
        self._assembler = Assembler()
        self._ending = Ending(self.machine, self._assembler, loop.seconds_ns)
        self._lately = Lately(loop.seconds_ns)
        self._barrier = SleepBarrier()
        self._stirred = trio.Event()

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
        loop is wiped and the inbox closed: nothing of that waits.
        """
        reason = "crash"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take_commands, commands)
                nursery.start_soon(self._watch_time)
                self._regulate_sound()
                task_status.started()
                async with media:
                    async for event in media:
                        self._on_media(event)
                        self._stir()
                reason, self._ending.all_is_in = self.end_reason, True
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
            given_up_ns = self._ending.given_up_ns() if self.machine.finishing else None
            times = (
                self.machine.deadline_ns(), self.loop.next_eviction_ns(), self._assembler.deadline_ns(), given_up_ns
            )  # fmt: skip
            deadline_ns = min((ns for ns in times if ns is not None), default=None)
            seconds = float("inf") if deadline_ns is None else max(0, deadline_ns - self._clock.monotonic_ns()) / NS
            if deadline_ns is None:
                self.pulse.idle()
            else:
                self.pulse.busy(seconds + LATE_S)
            with trio.move_on_after(seconds):
                await self._stirred.wait()
            self._stirred = trio.Event()

    def _stir(self) -> None:
        self._stirred.set()

    # --- media -------------------------------------------------------------------------------------------------------

    def _on_media(self, event: MediaEvent) -> None:
        now_ns = self._clock.monotonic_ns()
        if not self._barrier.passes(event, asleep=self.machine.state is State.ASLEEP):
            return
        match event:
            case Batch():
                if event.track.kind == "video":
                    self.frames += len(event.samples)
                    self._assembler.video(event, now_ns)
                elif self.current or self._pre_event_audio:
                    self._assembler.audio(event)
                else:
                    event.wipe()  # it was on its way when the recording ended: the next one must not begin with it
                self._take(self._assembler.ready(now_ns), now_ns)
            case SourceUp():
                self._on_up(event, now_ns)
            case SourceDown():
                self._on_down(event, now_ns)
            case MediaGap():
                self._on_gap(event, now_ns)
            case FaultChanged():
                self._lately.fault(event)
                self._publish(event)
                self._note(event)
            case _:
                assert_never(event)

    def _on_up(self, event: SourceUp, now_ns: int) -> None:
        if event.track.kind == "video":
            self.video = event.track
            self._assembler.has_camera = True
        else:
            came_back = self.audio is None
            self.audio = event.track
            self._regulate_sound()
            if came_back and self.current and self.current.opened and self._wants_sound():
                self._note(SoundSwitched(True, now_ns, "microphone delivers"))
        if event.on_trial:
            self._lately.back(event.device, now_ns)
            return
        over, was_told = self._lately.up(event.device, now_ns)
        if was_told:
            self._note(over)
        self._publish(over)

    def _on_down(self, event: SourceDown, now_ns: int) -> None:
        if event.device == "camera":
            # What is complete goes first: the sound that comes from here on stands alone.
            self._take(self._assembler.ready(now_ns), now_ns)
            self.video = None
            self._assembler.has_camera = False
        else:
            if self.audio is not None and self.current and self._wants_sound():
                self.current.lack_sound(self._assembler.late_sound(event.at_ns), event.reason)
                self._note(SoundSwitched(False, event.at_ns, event.reason))
            self.audio = None
            self._regulate_sound()
        fault = self._lately.down(event)
        if fault is None:
            return
        self._publish(fault)
        self._note(fault)
        if event.final and event.device == "camera":
            self._finish_now("source_ended", now_ns)

    def _on_gap(self, gap: MediaGap, now_ns: int) -> None:
        self.frames_lost += gap.frames
        self._lately.gap(gap, now_ns)
        if self.current and self.current.opened:
            self.current.name_gap(gap)

    def _take(self, gops: list[Gop], now_ns: int) -> None:
        for gop in gops:
            if self._worth_keeping(gop):
                gop.hold()
                self.loop.append(gop, now_ns)
                if self.current:
                    self._hand_on(self.current, gop)
                gop.release()
            else:
                gop.hold().release()
            if self.machine.finishing and gop.end_ns >= self.machine.ends_ns:
                self._finish(now_ns)

    def _worth_keeping(self, gop: Gop) -> bool:
        """Sound that stands alone is kept only while it may: in a recording, or with pre-event audio."""
        return gop.video is not None or self.current is not None or self._pre_event_audio

    # --- the recording -----------------------------------------------------------------------------------------------

    def _begin(self, command: Command, now_ns: int) -> None:
        serial, recording = self._naming.take(command.at_ns)
        self.current = Progress(serial, recording, command, now_ns, self._inbox, self._lately.why_missing)
        for fault in self._lately.faults:
            self.current.note(fault)
        self._devices.keep_partial(True)
        self._regulate_sound(command.at_ns)
        for gop in self.loop.before(command.at_ns).gops:
            self._hand_on(self.current, gop if self._pre_event_audio else gop.without_audio())

    def _hand_on(self, current: Progress, gop: Gop) -> None:
        if not gop.batches:
            return
        if not current.opened:
            if gop.video is None:
                return  # a recording starts at a key frame (invariant 3)
            before = self.loop.before(current.press.at_ns)
            circumstances = Circumstances(
                asked_ns=before.asked_ns,
                short_because=before.reason or self.loop.short_because,
                audio=self.audio,
                muted=self.machine.muted,
                pre_event_audio=self._pre_event_audio,
                officer=self.officer,
            )
            current.open(gop.video, circumstances, self._lately.gaps)
            self._note_power(current)
        self.frames_lost += (lost := current.hand_on(gop))
        if gop.video:
            self._publish(backlog_fault(lost, self._clock.monotonic_ns()))

    def _note_power(self, current: Progress) -> None:
        """The battery's level, at a recording's beginning and end."""
        if self._power is not None:
            current.note(replace(self._power, at_ns=self._clock.monotonic_ns()))

    def _note(self, note: Note) -> None:
        """Something for the manifest of the recording in progress, if there is one."""
        if self.current:
            self.current.note(note)

    def _finish(self, now_ns: int) -> None:
        """Close the recording in progress with what was handed on."""
        current, self.current = self.current, None
        reason = self.machine.finishing or "stop"
        before = self.machine.state
        self.machine.finished()
        if current is None:
            return
        if current.opened:
            self._note_power(current)
            current.lack_sound(self._assembler.late_sound(current.handed_ns), "late")
        if not current.close(reason, now_ns, self._ending.lacks_until_ns(reason, current, now_ns)):
            # No GOP ever came, and nothing was recorded under its number.
            self._naming.give_back(current.serial)
            reason = "no_video"
        self._devices.keep_partial(False)
        self._regulate_sound()
        self._publish(backlog_fault(0, now_ns))
        self._publish(StateChanged(self.machine.state, before, now_ns, reason, current.recording))

    def end_recording(self, reason: str) -> None:
        """The device's own end: a full flash, an empty battery. No-op when nothing is recorded."""
        self._finish_now(reason, self._clock.monotonic_ns())
        self._stir()

    def _finish_now(self, reason: str, now_ns: int) -> None:
        if self.machine.finish_now(reason, now_ns):
            self._flush(now_ns)
            self._finish(now_ns)

    def _flush(self, now_ns: int) -> None:
        """Take over what still waits to be whole."""
        gops = self._assembler.flush()
        finishing, self.machine.finishing = self.machine.finishing, ""
        self._take(gops, now_ns)
        self.machine.finishing = finishing

    def _end(self, reason: str) -> None:
        """The last thing: no await, because it runs under cancellation too."""
        self._finish_now(reason, self._clock.monotonic_ns())
        self._assembler.clear()
        self.loop.clear("started")
        self._inbox.close()

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
        self._stir()

    def _carry_out(self, effect: Effect, command: Command, now_ns: int) -> None:
        match effect:
            case Effect.BEGIN:
                self._begin(command, now_ns)
            case Effect.MARK:
                self._note(Marked(command.at_ns, command.source, command.text))
            case Effect.SLEEP:
                self._barrier.sleep(now_ns, self.video is not None, self.audio is not None)
                self._devices.sleep()
                self._assembler.clear()
                self.loop.clear("asleep")
                self._lately.forget_gaps()
            case Effect.WAKE:
                self._devices.wake()
            case Effect.MUTE | Effect.UNMUTE:
                self._switch_sound(effect is Effect.MUTE, command, now_ns)
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

    def _switch_sound(self, mute: bool, command: Command, now_ns: int) -> None:
        self._regulate_sound(now_ns)
        self._note(SoundSwitched(not mute, now_ns, "mute" if mute else "unmute"))
        self._publish(Muted(mute, now_ns, command.source))

    # --- time --------------------------------------------------------------------------------------------------------

    def _on_time(self) -> None:
        now_ns = self._clock.monotonic_ns()
        self.loop.evict(now_ns)
        self._take(self._assembler.ready(now_ns), now_ns)
        for effect in self.machine.expire(now_ns):
            self._on_expired(effect, now_ns)
        if self.machine.finishing and self._ending.is_reached(self.current, now_ns):
            if not self._assembler.has_camera:
                self._flush(now_ns)  # sound that would have come with the next second's
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

    # --- sound -------------------------------------------------------------------------------------------------------

    def _wants_sound(self) -> bool:
        return not self.machine.muted and (self._pre_event_audio or self.current is not None)

    def _regulate_sound(self, from_ns: int = 0) -> None:
        """Open or close the microphone's gate as state and policy say."""
        if self._wants_sound():
            self._devices.open_gate(from_ns)
        else:
            self._devices.close_gate()
            if self.current is None:
                self._assembler.drop_sound()
        expected = self._wants_sound() and self.audio is not None
        self._assembler.expect_sound(expected, from_ns or self._clock.monotonic_ns())

    # --- from other actors -------------------------------------------------------------------------------------------

    def annotate(self, note: FaultChanged | ClockStepped | PowerRead) -> None:
        """Let the recording in progress say what else happened: a fault, a clock step, the battery's level."""
        if isinstance(note, PowerRead):
            self._power = note
        self._note(note)
