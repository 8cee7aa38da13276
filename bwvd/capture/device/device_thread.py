"""One thread for one device: run, asked to stop, and given up when its driver is wedged."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

import trio

from bwvd.capture.source import DeviceLost, Stopped
from bwvd.clock import NS, Clock
from bwvd.messages import MediaEvent, SourceUp

STOP_S = 2.0  # what a thread gets to come back after it was asked; a read from a live device returns far sooner
SILENT_STOP_S = 0.5  # the same where the device has been silent: the thread is in a read that does not return
THREAD_NAME = "capture "  # and what it captures


class ThreadChannel:
    """The device thread's channel to trio: outbox, stop flag, heartbeat, and the lock that owns its buffers.

    **Synchronization:** the device's thread, but for `ask_to_stop`, `silent_since_ns` and `take_over`.
    """

    def __init__(self, clock: Clock, deliver: Callable[[list[MediaEvent]], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._running = threading.Lock()  # held until the thread shall stop: to wait for a lock costs half of an Event
        self._running.acquire()
        self.stopping = False
        self._waiting: list[MediaEvent] = []
        self._ours = threading.Lock()  # held by the thread, but for the time that it is away
        self.taken_over = False
        self.silent_since_ns = clock.monotonic_ns()  # one reference, replaced whole; read by trio's thread

    def ask_to_stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            self._running.release()

    def alive(self, at_ns: int | None = None) -> None:
        """Something came from the device, now or at `at_ns`."""
        self.silent_since_ns = self._clock.monotonic_ns() if at_ns is None else at_ns

    def away(self) -> None:
        """The thread goes into a driver, which may never let it go, and touches nothing of ours there."""
        self._ours.release()

    def back(self) -> None:
        """It is back from there. Raises: Stopped, where all that was its own has been taken over meanwhile."""
        self._ours.acquire()
        if self.taken_over:
            raise Stopped

    def begin(self) -> None:
        """The first thing that the thread says."""
        self._ours.acquire()

    def end(self) -> None:
        """The last thing that it says."""
        self._ours.release()

    def take_over(self) -> bool:
        """Take the thread's buffers while it is away; False if it is not. It never gets them back."""
        if not self._ours.acquire(blocking=False):
            return False
        self.taken_over = True
        self._ours.release()
        return True

    def take_waiting(self) -> list[MediaEvent]:
        """Take what was put and is not carried over yet."""
        events, self._waiting = self._waiting, []
        return events

    def put(self, event: MediaEvent) -> None:
        """Keep an event for the next hop."""
        self._waiting.append(event)

    def hop(self) -> None:
        """Carry what was put over to trio's thread, in order; returns when it is there. Nothing to carry: no hop."""
        if self._waiting:
            trio.from_thread.run_sync(self._deliver, self.take_waiting())

    def wait_until(self, due_ns: int) -> None:
        """Sleep until a moment on CLOCK_MONOTONIC. Raises: Stopped."""
        while not self.stopping and (left_ns := due_ns - self._clock.monotonic_ns()) > 0:
            # Waiting for the time of a sample is not silence of the device.
            self.silent_since_ns = due_ns
            if self._running.acquire(timeout=left_ns / NS):
                self._running.release()
        if self.stopping:
            raise Stopped


async def run_thread(
    name: str,
    work: Callable[[ThreadChannel], None],
    deliver: Callable[[list[MediaEvent]], None],
    *,
    clock: Clock,
    silence_s: float,
    opening_s: float = 0.0,
    stop_s: float = STOP_S,
    salvage: Callable[[bool], None] | None = None,
) -> None:
    """Run `work(channel)` in a thread of its own until it returns, raises, falls silent, or we are cancelled.

    name: for messages. deliver: called on trio's thread with what crossed. silence_s: how long it may
    deliver nothing; opening_s: the same until SourceUp has crossed, where that is longer.
    salvage: called when the thread was given up inside a driver, with whether the device was silent; puts what is to
    be kept of what it left behind into the channel, wipes the rest, and must not block.

    **Cancellation:** the thread is asked to stop and waited for, shielded, for up to `stop_s` (after a silence at most
    `SILENT_STOP_S`); what it delivers meanwhile still counts. Then it is given up (a wedged driver): nothing it does
    later arrives.
    Raises: DeviceLost on silence, and what `work` raises.
    """
    given_up = False
    allowed_s = max(opening_s, silence_s)

    def run() -> None:
        channel.begin()
        try:
            work(channel)
        finally:
            channel.end()

    def pass_on(events: list[MediaEvent]) -> None:
        nonlocal allowed_s
        if not given_up:
            if any(isinstance(event, SourceUp) for event in events):
                allowed_s = silence_s
            deliver(events)

    channel = ThreadChannel(clock, pass_on)
    finished = trio.Event()
    failure: BaseException | None = None
    shield = trio.CancelScope(shield=True)

    async def host() -> None:
        nonlocal failure
        try:
            with shield:
                await trio.to_thread.run_sync(
                    run,
                    abandon_on_cancel=True,
                    limiter=trio.CapacityLimiter(1),
                    thread_name=f"{THREAD_NAME}{name}",
                )
        except Exception as error:  # noqa: BLE001 - carried to the caller below, whatever it is
            _forget(error)
            failure = error
        finally:
            finished.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(host)
        silent = False
        try:
            silent = not await _finished_or_silent(finished, channel, clock, silence_s, lambda: allowed_s)
        finally:
            if not finished.is_set():
                channel.ask_to_stop()
                with trio.move_on_after(min(stop_s, SILENT_STOP_S) if silent else stop_s, shield=True):
                    await finished.wait()
                given_up = True
                shield.cancel()
                if not finished.is_set() and salvage is not None and channel.take_over():
                    salvage(silent)
                    deliver(channel.take_waiting())
    if isinstance(failure, Stopped):
        failure = None
    if silent:
        raise DeviceLost(f"{name} delivered nothing for {allowed_s:g} s") from failure
    if failure is not None:
        raise failure


def _forget(error: BaseException | None) -> None:
    """Let go of what the frames of an error hold. In a circle with it, what the device had, buffers, encoders and their
    threads, would stay until the collector looks, and a daemon that makes little rubbish waits long for that."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


async def _finished_or_silent(
    finished: trio.Event, channel: ThreadChannel, clock: Clock, silence_s: float, allowed_s: Callable[[], float]
) -> bool:
    """True when the thread has come to its end, False when its device has been silent for too long."""
    while not finished.is_set():
        left_s = (channel.silent_since_ns - clock.monotonic_ns()) / NS + allowed_s()
        if left_s <= 0:
            return False
        # A device that has come up meanwhile may be silent for `silence_s` only: it is never looked later than that.
        with trio.move_on_after(min(left_s, silence_s)):
            await finished.wait()
    return True
