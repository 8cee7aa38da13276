"""A real daemon that runs out of something: descriptors, memory, threads. A press is still obeyed and still kept."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.process import Process
from tests.support.process_scenario import BITRATE, LOOP_S, RATE, Scene, scenario
from tests.support.real_volume import memory_group

FEW = 4  # descriptors beyond those in use
CLIENTS = 40
EATEN_S = 6.0
ROOM = 4 << 20  # bytes of memory beyond those in use: less than what is written


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@contextmanager
def _crowd(bwvd: Process) -> Iterator[None]:
    """Clients that connect, say something and stay, as many as get in; those who wait outside stay too."""
    clients = []
    try:
        for _ in range(CLIENTS):
            client = socket.socket(socket.AF_UNIX)
            clients.append(client)
            client.settimeout(1)
            with suppress(OSError):
                client.connect(bwvd.socket)
                client.sendall(json.dumps({"cmd": "status"}).encode() + b"\n")
        yield
    finally:
        for client in clients:
            client.close()


@scenario
def test_no_descriptors_left(scene: Scene) -> None:
    """Invariants 4, 5 and 10: clients have taken every descriptor; the camera goes on, a press by another way begins a
    recording, and when they are gone all of it is written."""
    with scene.daemon() as bwvd:
        pid = bwvd.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        limit = _descriptors(pid) + FEW
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
        with _crowd(bwvd):
            until_s = time.monotonic() + 5
            while _descriptors(pid) < limit and time.monotonic() < until_s:
                time.sleep(0.02)
            assert _descriptors(pid) >= limit
            pressed_ns = time.monotonic_ns()
            os.kill(pid, signal.SIGUSR1)
            time.sleep(EATEN_S)
        status = bwvd.wait_until(lambda status: status["recording"] is not None and status["recording"]["segments"] > 0)
        recording = status["recording"]["id"]
        bwvd.wait_until(lambda status: not status["faults"])
        scene.stop()
    reports = scene.verified()
    found = [scene.recorded(report.id) for report in reports]
    kept = [one for one in found if one.frames]
    for one in kept:
        assert one.holes(RATE, 1 << 16) == []
    scene.follow(found) if len(kept) == len(found) else None
    assert kept[0].frames[0].at_ns <= pressed_ns - LOOP_S * 1e9 * 0.9
    assert sum(len(one.frames) for one in kept) > (EATEN_S + LOOP_S - 1) * RATE
    assert recording


@scenario
def test_no_threads_left_in_the_pool(scene: Scene) -> None:
    """Invariants 5 and 10: all worker threads that libraries share are blocked; flash and camera have their own."""
    scene.levers.threads = 0
    with scene.daemon() as bwvd:
        scene.levers.threads = 1
        until_s = time.monotonic() + 10
        while scene.levers.threads_taken < 40:
            assert time.monotonic() < until_s, scene.levers.threads_taken
            time.sleep(0.02)
        recording = scene.press()
        bwvd.wait_until(lambda status: status["recording"]["committed_s"] > LOOP_S + 1)
        scene.stop()
        assert bwvd.ask(cmd="sleep")["ok"]
        bwvd.wait_until(lambda status: status["state"] == "asleep")
        assert bwvd.ask(cmd="wake")["ok"]
        bwvd.wait_for_loop(LOOP_S)  # the camera was opened anew
        second = scene.press()
        scene.stop()
        assert scene.levers.threads_taken == 40
        scene.levers.threads = 0
    scene.whole(recording)
    scene.whole(second)
    scene.verified()


@scenario
def test_little_memory_and_much_to_cache(scene: Scene) -> None:
    """Invariant 4: where memory is short the kernel takes the cache of what was written, and nothing is lost."""
    with scene.daemon() as bwvd, memory_group(bwvd.process.pid) as group:
        group.limit(group.usage + ROOM)
        recording = scene.press()
        while bwvd.status()["recording"]["seconds"] < LOOP_S + 8:
            time.sleep(0.2)
        scene.stop()
        assert group.times_full > 0
        group.unlimited()
    found = scene.whole(recording)
    assert len(found.frames) * BITRATE / RATE / 8 > ROOM
    scene.verified()


@scenario
def test_killed_for_its_memory(scene: Scene) -> None:
    """Invariants 6 and 7: a stall fills the backlog until the kernel ends the process; what was acknowledged stays."""
    with scene.daemon() as bwvd:
        with memory_group(bwvd.process.pid) as group:
            recording = scene.press()
            bwvd.wait_until(lambda status: status["recording"]["committed_s"] > LOOP_S)
            committed_s = bwvd.status()["recording"]["committed_s"]
            group.limit(group.usage + (1 << 20))
            scene.levers.hold_until_s = time.monotonic() + 60
            assert bwvd.process.wait(40) == -signal.SIGKILL
        scene.levers.hold_until_s = 0
    with scene.daemon():
        later = scene.press()
        scene.stop()
    reports = {report.id: report for report in scene.verified()}
    assert reports[recording].verdict == "recovered"
    assert reports[recording].duration_s >= committed_s - 0.001
    scene.whole(recording)
    assert reports[later].verdict == "authentic"


@scenario
def test_no_address_space_left(scene: Scene) -> None:
    """Invariants 6, 7 and 12: allocations fail. It goes on or it ends, soon, and the next start finds everything that
    was acknowledged."""
    with scene.daemon() as bwvd:
        recording = scene.press()
        bwvd.wait_until(lambda status: status["recording"]["committed_s"] > LOOP_S)
        committed_s = bwvd.status()["recording"]["committed_s"]
        size = int(Path(f"/proc/{bwvd.process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(bwvd.process.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
        scene.levers.hold_until_s = time.monotonic() + 5  # so that the backlog wants more
        with suppress(Exception):
            bwvd.process.wait(10)
    if bwvd.process.returncode not in (0, 1, -signal.SIGKILL):
        pytest.fail(f"ended with {bwvd.process.returncode}: {bwvd.log()[-2000:]}")
    with scene.daemon():
        later = scene.press()
        scene.stop()
    reports = {report.id: report for report in scene.verified()}
    assert reports[recording].duration_s >= committed_s - 0.001
    assert all(hole.named for hole in scene.recorded(recording).holes(RATE, 1 << 16))
    assert reports[later].verdict == "authentic"
