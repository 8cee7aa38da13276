"""A real daemon that gets no processor for ten seconds: what it could not see is named, and nothing else is lost.

(Under systemd the watchdog ends such a process, and the next start recovers: tests/process/test_kill.py.)
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from bwvd.clock import NS
from tests.support.process import Process
from tests.support.process_scenario import GOP_FRAMES, GOP_S, LOOP_S, RATE, Scene, scenario

FREEZE_S = 10.0


def _freeze(bwvd: Process) -> tuple[int, int]:
    """SIGSTOP, and SIGCONT ten seconds later; returns both moments (CLOCK_MONOTONIC)."""
    from_ns = time.monotonic_ns()
    os.kill(bwvd.process.pid, signal.SIGSTOP)
    time.sleep(FREEZE_S)
    os.kill(bwvd.process.pid, signal.SIGCONT)
    return from_ns, time.monotonic_ns()


@scenario
def test_frozen_while_it_records(scene: Scene) -> None:
    """Invariants 4 and 5: the recording goes on, with one gap that says from when to when; a press is still obeyed."""
    with scene.daemon() as bwvd:
        recording = scene.press()
        bwvd.wait_until(lambda status: status["recording"]["seconds"] > LOOP_S + 1)
        from_ns, to_ns = _freeze(bwvd)
        before = bwvd.status()
        assert before["state"] == "recording"
        assert before["recording"]["id"] == recording
        assert bwvd.ask(cmd="press")["text"] == "marker"
        frames = before["video"]["frames"]
        bwvd.wait_until(lambda status: status["video"]["frames"] > frames + 2 * RATE and not status["faults"])
        scene.stop()
    found = scene.recorded(recording)
    (hole,) = found.holes(RATE, 1 << 16)
    assert hole.named is not None, str(hole)
    # What was in the making when it froze may be lost, and a camera that is opened anew takes a moment. A camera that
    # is played is read a fifth of a second at a time.
    assert from_ns - 2 * GOP_S * NS <= hole.before.at_ns <= from_ns + NS // 5
    assert to_ns - NS <= hole.after.at_ns <= to_ns + 3 * NS
    assert scene.verified()[0].verdict == "authentic"


@scenario
def test_frozen_in_standby(scene: Scene) -> None:
    """Invariants 2 and 3: of what has grown too old meanwhile nothing is given out but the one group of pictures that
    what follows is predicted from; the recording names the hole in it."""
    with scene.daemon() as bwvd:
        from_ns, to_ns = _freeze(bwvd)
        recording = scene.press()
        time.sleep(1.5)
        scene.stop()
        frames = bwvd.status()["video"]["frames"]
        bwvd.wait_until(lambda status: status["video"]["frames"] > frames + (LOOP_S + 2) * RATE)
        later = scene.press()
        scene.stop()
    found = scene.recorded(recording)
    before = found.opening.pre_event
    oldest_ns = found.opening.press.stamp.mono_ns - (LOOP_S + GOP_S) * NS
    if old := [frame for frame in found.frames if frame.at_ns < oldest_ns]:
        assert len(old) < GOP_FRAMES
        (hole,) = found.holes(RATE, 1 << 16)
        assert hole.before == old[-1]
        assert hole.named is not None
        assert hole.named.to_ns - hole.named.from_ns > (to_ns - from_ns) * 0.9
    else:
        assert before.got_s < LOOP_S
        assert before.reason
    assert scene.whole(later).opening.pre_event.got_s >= LOOP_S
    scene.verified()


@pytest.mark.complete
@scenario
def test_frozen_between_the_stop_and_its_end(scene: Scene) -> None:
    """Invariant 12: an end that fell due meanwhile is made when it wakes."""
    with scene.daemon() as bwvd:
        recording = scene.press()
        bwvd.wait_until(lambda status: status["recording"]["committed_s"] > 0)
        scene.levers.hold_until_s = time.monotonic() + FREEZE_S / 2
        assert bwvd.ask(cmd="stop")["ok"]
        _freeze(bwvd)
        scene.settled()
    scene.whole(recording)
    assert scene.verified()[0].end == "stop"
