"""Every receiver does what `Receiver` promises: the virtual one in both languages, gpsd's adapter, a line's adapter."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from bwvd.config.schema import Serial
from bwvd.controls.serial_port import SerialPort
from bwvd.daemon.position_source import on_line
from bwvd.position.gpsd import WATCH
from bwvd.position.receiver import GpsdReceiver
from bwvd.testing.clock import VirtualClock
from bwvd.testing.conformance.receiver import CHECKS, Subject
from bwvd.testing.receiver import Solution, VirtualReceiver, as_gpsd, as_nmea
from tests.support.controls_pty import Pty
from tests.support.gpsd_server import GpsdServer
from tests.support.stock import need

Check = Callable[[Subject], Awaitable[None]]


def soon(do: Callable[..., object]) -> Callable[..., Awaitable[None]]:
    """The same, to be awaited."""

    async def done(*given: Any) -> None:
        do(*given)
        await trio.lowlevel.checkpoint()

    return done


@asynccontextmanager
async def virtual(folder: Path, speaks: Any) -> AsyncIterator[Subject]:
    receiver = VirtualReceiver(VirtualClock(), speaks=speaks, every_s=0)
    yield Subject(
        receiver,
        soon(receiver.tell),
        soon(receiver.hang_up),
        soon(receiver.plug),
        as_gpsd if speaks == "gpsd" else as_nmea,
        soon(receiver.say),
    )


@asynccontextmanager
async def gpsd_socket(folder: Path) -> AsyncIterator[Subject]:
    async with trio.open_nursery() as nursery:
        server = GpsdServer(nursery)
        await server.plug()

        async def tell(solution: Solution) -> None:
            await server.say(as_gpsd(solution))

        receiver = GpsdReceiver(f"gpsd://127.0.0.1:{server.port}")
        yield Subject(receiver, tell, server.hang_up, server.plug, as_gpsd, server.say)
        assert set(server.asked) <= {WATCH}
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def pseudo_terminal(folder: Path) -> AsyncIterator[Subject]:
    pty = Pty(folder)
    pty.plug()
    try:
        receiver = on_line(f"serial:{pty.port}", SerialPort(Serial(port=pty.port, pty=True)))
        yield Subject(
            receiver,
            soon(lambda solution: pty.say(as_nmea(solution))),
            soon(pty.hang_up),
            soon(pty.plug),
            as_nmea,
            soon(pty.say),
        )
    finally:
        pty.close()


SUBJECTS = [partial(virtual, speaks="gpsd"), partial(virtual, speaks="nmea"), gpsd_socket, pseudo_terminal]
IDS = ["virtual gpsd", "virtual nmea", "gpsd_socket", "pseudo_terminal"]


@pytest.mark.parametrize("make", SUBJECTS, ids=IDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_receiver(check: Check, make: Any, tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with make(tmp_path) as subject:
        await check(subject)


# --- the real gpsd ---------------------------------------------------------------------------------------------------


def begin(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@asynccontextmanager
async def real_gpsd(folder: Path) -> AsyncIterator[Subject]:
    """Fed by a pseudo-terminal, without a look at any other device."""
    pty = Pty(folder)
    pty.plug()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    device = pty.device
    command = [need("gpsd"), "-N", "-n", "-b", "-s", "9600", "-f", "8N1", "-S", str(port), device]  # hunts for no speed
    running: list[subprocess.Popen[bytes]] = []

    async def plug() -> None:
        running.append(await trio.to_thread.run_sync(begin, command))
        with trio.fail_after(30):
            while True:
                with suppress(OSError):
                    return await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                await trio.sleep(0.05)

    async def hang_up() -> None:
        process = running.pop()
        process.send_signal(signal.SIGTERM)
        await trio.to_thread.run_sync(process.wait)

    async def tell(solution: Solution) -> None:
        pty.say(as_nmea(solution))
        await trio.lowlevel.checkpoint()

    await plug()
    try:
        yield Subject(GpsdReceiver(f"gpsd://127.0.0.1:{port}"), tell, hang_up, plug, as_nmea, quiet_s=2.5)
    finally:
        with trio.CancelScope(shield=True):
            while running:
                await hang_up()
        pty.close()


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_real_gpsd(check: Check, tmp_path: Path) -> None:
    need("gpsd")
    async with real_gpsd(tmp_path) as subject:
        await check(subject)
