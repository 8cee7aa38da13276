"""What keeps the clock: told where it can be known, and "unknown" where it can't."""

from __future__ import annotations

import os
import pwd
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from bwvd.cli.printing import clock_words
from bwvd.clock import Clock
from bwvd.evidence.export.narrative import clock_source_text, narrative
from bwvd.evidence.export.private_text import unopened
from bwvd.evidence.format import records
from bwvd.messages import Order, TimeSource
from bwvd.service.time_source import (
    READ_EVERY_S,
    Tracking,
    ask_chrony,
    judged,
    request,
    run_time_source,
    running,
    timesyncd_has_set,
    tracking,
)
from bwvd.testing.clock import VirtualClock
from tests.position.test_actor import manifest
from tests.support.rig import Rig, configuration
from tests.support.stock import need

GPS, NETWORK = Tracking("refclock GPS", 1, True), Tracking("network", 3, True)
LOCAL = Tracking("local", 10, False)
SYSTEMD = ("systemd-timesyncd",)


def answer(sequence: int, reference: bytes = b"GPS\0", *, family: int = 0, stratum: int = 1, leap: int = 0) -> bytes:
    """As chronyd 4.3 answers."""
    head = struct.pack(">BBBBHHHHHHIII", 6, 2, 0, 0, 33, 5, 0, 0, 0, 0, sequence, 0, 0)
    return head + reference + bytes(16) + struct.pack(">HHHH", family, 0, stratum, leap) + bytes(48)


@pytest.mark.parametrize(
    ("said", "follows"),
    [
        (answer(7), GPS),
        (answer(7, b"PPS\0"), Tracking("refclock PPS", 1, True)),
        (answer(7, b"\xc0\0\x02\x01", family=1, stratum=3), NETWORK),
        (answer(7, b"\x12\x34\x56\x78", family=2, stratum=3), NETWORK),
        (answer(7, b"\x7f\x7f\x01\x01", stratum=10), LOCAL),
        (answer(7, bytes(4), stratum=0, leap=3), Tracking("", 0, False)),
        (answer(7, leap=3), Tracking("refclock GPS", 1, False)),
        (answer(8), None),
        (answer(7)[:50], None),
        (b"\5" + answer(7)[1:], None),
        (b"", None),
    ],
)
def test_what_chrony_says(said: bytes, follows: Tracking | None) -> None:
    assert tracking(said, 7) == follows


@pytest.mark.parametrize(
    ("quality", "chrony", "services", "timesyncd", "source"),
    [
        ("synchronised", GPS, ("chrony",), False, TimeSource(0, "chrony", "refclock GPS", 1, ("chrony",))),
        ("synchronised", NETWORK, (), False, TimeSource(0, "chrony", "network", 3)),
        ("synchronised", None, ("chrony",), False, TimeSource(0, "unknown", services=("chrony",))),
        ("synchronised", LOCAL, ("chrony",), False, TimeSource(0, "unknown", services=("chrony",))),
        ("synchronised", None, ("ntpd",), True, TimeSource(0, "unknown", services=("ntpd",))),
        ("synchronised", None, SYSTEMD, True, TimeSource(0, "systemd-timesyncd", "network", None, SYSTEMD)),
        ("synchronised", None, SYSTEMD, False, TimeSource(0, "unknown", services=SYSTEMD)),
        (
            "synchronised", None, ("chrony", "systemd-timesyncd"), True,
            TimeSource(0, "unknown", services=("chrony", "systemd-timesyncd")),
        ),
        ("synchronised", None, (), True, TimeSource(0, "unknown")),
        ("free", GPS, ("chrony",), True, TimeSource(0, "none", services=("chrony",))),
        ("not_set", None, (), False, TimeSource(0, "none")),
    ],
)  # fmt: skip
def test_nothing_is_guessed(
    quality: str, chrony: Tracking | None, services: tuple[str, ...], timesyncd: bool, source: TimeSource
) -> None:
    """That a program runs does not say that it keeps the clock; only its own word, or what it leaves, does."""
    assert judged(quality, chrony, services, timesyncd=timesyncd) == source


def test_services_by_their_control_groups(tmp_path: Path) -> None:
    assert running(tmp_path) == ()
    for unit in ("chrony", "ssh", "systemd-timesyncd"):
        (tmp_path / f"sys/fs/cgroup/system.slice/{unit}.service").mkdir(parents=True)
    assert running(tmp_path) == ("chrony", "systemd-timesyncd")
    assert not timesyncd_has_set(tmp_path)
    (tmp_path / "run/systemd/timesync").mkdir(parents=True)
    (tmp_path / "run/systemd/timesync/synchronized").touch()
    assert timesyncd_has_set(tmp_path)


async def test_chrony_is_asked_on_its_port() -> None:
    """In as many bytes as it answers with: it takes no shorter request. Where nobody listens there is no answer."""
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chronyd:
        await chronyd.bind(("127.0.0.1", 0))
        port = chronyd.getsockname()[1]

        async def serve() -> None:
            asked, client = await chronyd.recvfrom(1024)
            sequence = int.from_bytes(asked[8:12], "big")
            assert asked == request(sequence)
            assert len(asked) == len(answer(0))
            await chronyd.sendto(answer(sequence), client)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            assert await ask_chrony(port) == GPS
    assert await ask_chrony(port) is None


async def test_it_is_told_at_once_and_when_it_changes(autojump_clock: MockClock) -> None:
    told: list[TimeSource] = []
    sources = [TimeSource(0, "none"), TimeSource(0, "none"), TimeSource(0, "chrony", "refclock PPS", 1, ("chrony",))]

    async def read(_: Clock) -> TimeSource:
        await trio.lowlevel.checkpoint()
        return sources.pop(0) if len(sources) > 1 else sources[0]

    with trio.move_on_after(READ_EVERY_S * 10):
        await run_time_source(VirtualClock(), told.append, read=read)
    assert [one.by for one in told] == ["none", "chrony"]
    assert told[1].at_ns - told[0].at_ns == 2 * READ_EVERY_S * 1_000_000_000


async def test_a_manifest_says_it_at_its_beginning_and_when_it_changes(autojump_clock: MockClock) -> None:
    rig = Rig(config=configuration(loop={"seconds": 5}))
    async with rig.running() as daemon:
        daemon.recorder.annotate(TimeSource(rig.clock.monotonic_ns(), "chrony", "refclock PPS", 1, ("chrony",)))
        await trio.sleep(10)
        assert daemon.status()["clock"]["by"] == "chrony"
        assert clock_words(daemon.status()["clock"]).endswith("by chrony from refclock PPS")
        await rig.order(Order.RECORD)
        await trio.sleep(5)
        daemon.recorder.annotate(TimeSource(rig.clock.monotonic_ns(), "unknown", services=("chrony",)))
        await trio.sleep(5)
        await rig.order(Order.STOP, confirmed=True)
        await trio.sleep(20)
    every = manifest(rig)
    found = [record for record in every if isinstance(record, records.ClockSource)]
    said = narrative((record for record in every if isinstance(record, records.ManifestRecord)), unopened).happenings
    assert [one.what.partition(",")[0] for one in said if one.kind == "clock"] == [
        "the clock is kept by chrony", "the clock is kept"
    ]  # fmt: skip
    assert [clock_source_text(one) for one in found[:2]] == [
        "the clock is kept by chrony, from refclock PPS (stratum 1)",
        "the clock is kept, and it is not known by what; chrony ran",
    ]
    assert found[0].at_ns <= found[1].at_ns - 4_000_000_000


# --- the real chronyd ------------------------------------------------------------------------------------------------


def _sample() -> bytes:
    """Of a refclock on a socket (chrony.conf, SOCK): when, how far off, that it is no pulse, and no leap second."""
    now_us = time.time_ns() // 1000
    return struct.pack("@qqdiiii", now_us // 1_000_000, now_us % 1_000_000, 0.0001, 0, 0, 0, 0x534F434B)


@pytest.mark.slow
async def test_the_real_chronyd_names_its_refclock(tmp_path: Path) -> None:
    """It sets no clock (-x) and serves nobody; what it follows is a receiver that this test plays."""
    chronyd = need("chronyd")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "conf").write_text(
        f"port 0\ncmdport {port}\nbindcmdaddress 127.0.0.1\nbindcmdaddress /\npidfile {tmp_path}/pid\n"
        f"refclock SOCK {tmp_path}/clock refid GPS poll 0\n"
    )
    user = pwd.getpwuid(os.getuid()).pw_name
    command = [chronyd, "-x", "-d", "-U", "-u", user, "-f", str(tmp_path / "conf")]
    found: Tracking | None = None
    async with trio.open_nursery() as nursery:
        process = await nursery.start(partial(trio.run_process, command, check=False, capture_stderr=True))
        with trio.move_on_after(60), trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            while found is None or not found.synchronised:
                with suppress(OSError):  # until it has made its socket
                    await receiver.sendto(_sample(), str(tmp_path / "clock"))
                found = await ask_chrony(port)
                await trio.sleep(0.2)  # a receiver speaks at its own pace
        process.terminate()
    assert found == GPS
