"""The actor that notices steps of the wall clock. Media time does not care (invariant 9); the annotations do."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Protocol

import trio

from bwvd.clock import Clock, Reading
from bwvd.messages import ClockStepped
from bwvd.service.clock_step import StepDetector, steadiest
from bwvd.service.pulse import Pulse

COMPARE_EVERY_S = 60.0  # beside an alarm, in case it missed one
COMPARE_EVERY_WITHOUT_ALARM_S = 5.0
READINGS = 3  # at a time, of which the least interrupted counts

# <sys/timerfd.h>
TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET = 1, 2


class StepAlarm(Protocol):
    """Wakes when somebody sets the wall clock."""

    async def wait(self) -> None:
        """Returns after each time the clock was set; several at once may be one. Cancellation loses none."""
        ...

    def close(self) -> None: ...


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("value", _Timespec)]


class TimerfdAlarm:
    """A timer that never fires, and that the kernel cancels when the clock is set (timerfd_create(2)).

    **Synchronization:** trio's thread.
    """

    def __init__(self) -> None:
        """Raises OSError where the kernel or a sandbox does not have it."""
        # Through libc, because Python has it only from 3.13 on.
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.timerfd_create(0, os.O_NONBLOCK | os.O_CLOEXEC)  # 0: CLOCK_REALTIME
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        never = 2 ** (8 * ctypes.sizeof(ctypes.c_long) - 1) - 1
        when = _Itimerspec(_Timespec(0, 0), _Timespec(never, 0))
        flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
        if libc.timerfd_settime(self._fd, flags, ctypes.byref(when), None) < 0:
            number = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(number, os.strerror(number))

    async def wait(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            try:
                os.read(self._fd, 8)
            except OSError as error:
                if error.errno == errno.ECANCELED:
                    return
                if error.errno != errno.EAGAIN:
                    raise

    def close(self) -> None:
        trio.lowlevel.notify_closing(self._fd)
        os.close(self._fd)


def open_alarm() -> StepAlarm | None:
    """The kernel's alarm, or None where there is none: then comparing has to do."""
    try:
        return TimerfdAlarm()
    except OSError:
        return None


async def run_clockwatch(
    clock: Clock,
    stepped: Callable[[ClockStepped], None],
    *,
    alarm: StepAlarm | None = None,
    pulse: Pulse | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Tell every step of the wall clock until cancelled.

    Args:
        stepped: called with each step; must not block.
        alarm: wakes at a step, see `open_alarm`; closed here. Without one the clocks are compared more often.
    """
    pulse = pulse or Pulse("clockwatch")
    try:
        detector = StepDetector(_read(clock))
        task_status.started()
        while True:
            announced = False
            with trio.move_on_after(COMPARE_EVERY_WITHOUT_ALARM_S if alarm is None else COMPARE_EVERY_S):
                if alarm is None:
                    await trio.sleep_forever()
                else:
                    await alarm.wait()
                    announced = True
            with pulse.working(5):
                reading = _read(clock)
                step_ns = detector.take(reading, announced=announced)
                if step_ns:
                    stepped(ClockStepped(reading.mono_ns, step_ns, reading.quality))
    finally:
        if alarm is not None:
            alarm.close()


def _read(clock: Clock) -> Reading:
    return steadiest(clock.read() for _ in range(READINGS))
