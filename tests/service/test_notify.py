"""The service manager's socket, for real."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from bwvd.service.notify import Notifier, NotifyError


class Manager:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self) -> list[list[str]]:
        """Every datagram so far, as its lines."""
        got = []
        while True:
            try:
                got.append(self.socket.recv(65536).decode().split("\n"))
            except BlockingIOError:
                return got


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    there = Manager(str(tmp_path / "notify") if request.param == "path" else f"@bwvd-test-{uuid4()}")
    yield there
    there.socket.close()


@pytest.fixture
def notifier(manager: Manager) -> Iterator[Notifier]:
    made = Notifier.from_environment({"NOTIFY_SOCKET": manager.address})
    yield made
    made.close()


def test_the_life_of_a_service(manager: Manager, notifier: Notifier) -> None:
    assert notifier.status("recovering 2 recordings")
    assert notifier.ready("standby")
    assert notifier.watchdog()
    assert notifier.extend(30)
    assert notifier.stopping()
    assert manager.heard() == [
        ["STATUS=recovering 2 recordings"],
        ["READY=1", "STATUS=standby"],
        ["WATCHDOG=1"],
        ["EXTEND_TIMEOUT_USEC=30000000"],
        ["STOPPING=1", "STATUS=closing"],
    ]


def test_a_text_can_not_smuggle_in_a_state(manager: Manager, notifier: Notifier) -> None:
    notifier.status("fine\nSTOPPING=1\r\x0bMAINPID=1")
    assert manager.heard() == [["STATUS=fine STOPPING=1 MAINPID=1"]]


def test_a_full_socket_never_stalls_and_what_was_owed_comes_later(manager: Manager, notifier: Notifier) -> None:
    begun = time.monotonic()
    fed = 0
    while notifier.watchdog():
        fed += 1
    assert not notifier.status("first")
    assert not notifier.ready("second")
    assert not notifier.watchdog()
    assert time.monotonic() - begun < 1
    assert manager.heard() == [["WATCHDOG=1"]] * fed
    assert notifier.watchdog()
    assert manager.heard() == [["STATUS=second", "READY=1", "WATCHDOG=1"]]


def test_a_manager_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    notifier = Notifier(address)
    assert not notifier.ready()
    manager = Manager(address)
    assert notifier.watchdog()
    assert manager.heard() == [["READY=1", "WATCHDOG=1"]]
    manager.socket.close()
    notifier.close()


def test_without_a_manager_nothing_is_sent_and_nothing_fails() -> None:
    notifier = Notifier.from_environment({})
    assert not notifier.ready()
    assert not notifier.watchdog()
    assert notifier.watchdog_ns is None
    notifier.close()


@pytest.mark.parametrize("address", ["relative", "@", "/", "vsock:2:1234", "/" + 200 * "x"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(NotifyError, match=r"^NOTIFY_SOCKET: "):
        Notifier.from_environment({"NOTIFY_SOCKET": address})


def test_the_watchdog_is_fed_at_half_its_time_and_only_by_whom_it_is_meant_for() -> None:
    def asked(**environment: str) -> int | None:
        return Notifier.from_environment(environment, pid=77).watchdog_ns

    assert asked() is None
    assert asked(WATCHDOG_USEC="30000000") == 15_000_000_000
    assert asked(WATCHDOG_USEC="30000000", WATCHDOG_PID="77") == 15_000_000_000
    assert asked(WATCHDOG_USEC="30000000", WATCHDOG_PID="78") is None


@pytest.mark.parametrize("text", ["0", "-5", "soon", "1.5", "²"])
def test_a_watchdog_time_that_is_none_is_named(text: str) -> None:
    with pytest.raises(NotifyError, match=r"^WATCHDOG_USEC: "):
        Notifier.from_environment({"WATCHDOG_USEC": text})
