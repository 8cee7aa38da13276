"""Every line does what `CommandLine` promises: the virtual one, and the real adapter on a real terminal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio

from bwvd.config.schema import Serial
from bwvd.controls.serial_port import SerialPort
from bwvd.testing.conformance.line import CHECKS, Subject
from bwvd.testing.line import VirtualLine
from tests.support.controls_pty import Pty


def virtual(_folder: Path) -> Iterator[Subject]:
    line = VirtualLine()
    yield Subject(line, line.say, line.hear, line.stall, line.hang_up, line.plug)


def pseudo_terminal(folder: Path) -> Iterator[Subject]:
    pty = Pty(folder)
    pty.plug()
    yield Subject(
        SerialPort(Serial(port=pty.port, pty=True)), pty.say, pty.hear, lambda _stalled: None, pty.hang_up, pty.plug
    )
    pty.close()


@pytest.fixture(params=[virtual, pseudo_terminal], ids=lambda make: make.__name__)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    yield from request.param(tmp_path)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_line(
    check: Callable[[Subject], Awaitable[None]], subject: Subject, autojump_clock: trio.testing.MockClock
) -> None:
    await check(subject)
