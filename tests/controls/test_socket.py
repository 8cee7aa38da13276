"""The control socket over real sockets: orders, answers, and clients that are many, slow, silent, endless or rude."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import time
import unicodedata
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import SystemClock
from bwvd.controls import socket as control_socket
from bwvd.controls.client import Unreachable, request, watch
from bwvd.controls.ports import ControlRefused
from bwvd.controls.socket import MAX_CLIENTS, Bell, run_socket
from bwvd.controls.socket_file import SocketInUse, listening_socket
from bwvd.controls.socket_protocol import MAX_REQUEST_BYTES, BadRequest, parse_order, parse_request
from bwvd.messages import Answer, Command, FaultChanged, Order
from bwvd.testing.clock import VirtualClock

MockClock = trio.testing.MockClock


@dataclass
class Daemon:
    """What is behind the socket."""

    path: str
    answers: bool = True
    commands: list[Command] = field(default_factory=list)
    faults: list[FaultChanged] = field(default_factory=list)
    changed: Bell = field(default_factory=Bell)
    state: dict[str, Any] = field(default_factory=lambda: {"state": "standby", "faults": []})

    def send(self, command: Command) -> None:
        self.commands.append(command)
        if self.answers:
            ok = command.order is not Order.SLEEP
            command.answer(Answer(ok, "done" if ok else "recording", "X-1" if ok else None))

    async def release(self, request: dict[str, Any], source: str) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"ok": True, "released": request.get("ids"), "by": source}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await run_socket(
            self.path,
            self.send,
            VirtualClock(),
            self.faults.append,
            lambda: self.state,
            {"release": self.release},
            self.changed,
            task_status=task_status,
        )


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name: a socket's path has 108 bytes."""
    return tmp_path_factory.mktemp("s")


@asynccontextmanager
async def serving(folder: Path, **more: Any) -> AsyncIterator[Daemon]:
    daemon = Daemon(str(folder / "sock"), **more)
    async with trio.open_nursery() as nursery:
        await nursery.start(daemon.run)
        yield daemon
        nursery.cancel_scope.cancel()


class Client:
    """A client that knows no manners."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = bytearray()

    async def ask(self, payload: object) -> dict[str, Any]:
        await self.stream.send_all(json.dumps(payload).encode() + b"\n")
        return await self.reply()

    async def reply(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            data = await self.stream.receive_some(65536)
            if not data:
                raise EOFError
            self._buffer += data
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = bytearray(rest)
        reply: dict[str, Any] = json.loads(line)
        return reply

    async def end(self) -> bool:
        """Whether the daemon hangs up."""
        with suppress(trio.BrokenResourceError):
            while await self.stream.receive_some(65536):
                pass
        return True


@asynccontextmanager
async def connected(daemon: Daemon) -> AsyncIterator[Client]:
    stream = await trio.open_unix_socket(daemon.path)
    async with stream:
        yield Client(stream)


# --- asking -----------------------------------------------------------------------------------------------------------


async def test_orders_carry_the_peers_credentials_and_bring_the_answer(folder: Path) -> None:
    async with serving(folder) as daemon, connected(daemon) as client:
        assert await client.ask({"cmd": "record"}) == {"ok": True, "text": "done", "recording": "X-1"}
        assert await client.ask({"cmd": "mark", "label": " Tür "}) == {"ok": True, "text": "done", "recording": "X-1"}
        assert await client.ask({"cmd": "stop"}) == {"ok": True, "text": "done", "recording": "X-1"}
        assert await client.ask({"cmd": "sleep"}) == {"ok": False, "error": "recording", "recording": None}
        assert await client.ask({"cmd": "assign", "officer": "4711"}) == {
            "ok": True,
            "text": "done",
            "recording": "X-1",
        }
    assert {command.source for command in daemon.commands} == {f"socket:uid={os.getuid()},pid={os.getpid()}"}
    assert [(command.order, command.text, command.confirmed) for command in daemon.commands] == [
        (Order.RECORD, "", False),
        (Order.MARK, "Tür", False),
        (Order.STOP, "", True),
        (Order.SLEEP, "", False),
        (Order.ASSIGN, "4711", False),
    ]


async def test_status_and_what_else_can_be_asked(folder: Path) -> None:
    async with serving(folder) as daemon, connected(daemon) as client:
        assert await client.ask({"cmd": "status"}) == {"ok": True, "status": daemon.state}
        reply = await client.ask({"cmd": "release", "ids": ["X-1"]})
        assert reply == {"ok": True, "released": ["X-1"], "by": f"socket:uid={os.getuid()},pid={os.getpid()}"}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"hello", "a request is one JSON object a line"),
        (b"", "a request is one JSON object a line"),
        (b"\xff\xfe\x00", "a request is one JSON object a line"),
        (b"[" * 60_000, "a request is one JSON object a line"),
        (b'["record"]', "a request is one JSON object a line"),
        (b"{}", 'a request has a "cmd"'),
        (b'{"cmd": 7}', 'a request has a "cmd"'),
        (b'{"cmd": "explode"}', 'there is no command "explode"'),
        (b'{"cmd": "' + b"x" * 100 + b'"}', f"there is no command {json.dumps('x' * 40 + '…')}"),
        (b'{"cmd": "record", "label": "x"}', 'record takes no "label"'),
        (b'{"cmd": "mark", "label": 7}', '"label" is a text of up to 1000 characters'),
        (b'{"cmd": "mark", "label": "' + b"x" * 1001 + b'"}', '"label" is a text of up to 1000 characters'),
        (b'{"cmd": "mark", "label": "\\ud800"}', "a request is one JSON object a line"),
        (b'{"cmd": "release", "recording": "x", "receipt": "\\ud800"}', "a request is one JSON object a line"),
        (b'{"cmd": "release", "\\udc00": "x"}', "a request is one JSON object a line"),
        (
            b'{"cmd": "assign", "officer": "' + b"x" * 1001 + b'"}',
            '"officer" is a text of up to 1000 characters',
        ),
        (b'{"cmd": "assign", "officer": "a\\u200db"}', '"officer" is one line of printable characters'),
    ],
)
async def test_bad_requests_get_one_line_and_the_next_one_is_heard(folder: Path, line: bytes, error: str) -> None:
    async with serving(folder) as daemon, connected(daemon) as client:
        await client.stream.send_all(line + b"\n")
        assert await client.reply() == {"ok": False, "error": error}
        assert (await client.ask({"cmd": "status"}))["ok"] is True
    assert daemon.commands == []


ANY_TEXT = st.text(st.characters(), max_size=8) | st.sampled_from(["\ud800", "a\udfffb", "\udc00\ud800"])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_a_bad_one(line: bytes) -> None:
    with suppress(BadRequest):
        name, request = parse_request(line)
        assert request["cmd"] == name


@given(st.dictionaries(ANY_TEXT, ANY_TEXT | st.lists(ANY_TEXT)))
def test_every_text_of_a_request_can_be_written_down(payload: dict[str, Any]) -> None:
    """What comes in may be entered in the journal, be a file's name, go into a log: half of a surrogate pair can't."""
    with suppress(BadRequest):
        _, request = parse_request(json.dumps({**payload, "cmd": "log_access"}).encode())
        assert request == {**payload, "cmd": "log_access"}
        json.dumps(request, ensure_ascii=False).encode()


@given(
    st.dictionaries(st.sampled_from(["cmd", "label", "officer", "x"]), st.one_of(st.text(), st.none(), st.integers()))
)
def test_any_mark_is_one_line_or_a_bad_request(request: dict[str, Any]) -> None:
    with suppress(BadRequest):
        _, text = parse_order("mark", request)
        assert len(text.splitlines()) <= 1
        assert not any(unicodedata.category(letter) == "Cc" for letter in text)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Tür", "Tür"),
        ("می‌خواهم", "می‌خواهم"),  # Persian with its zero-width non-joiner
        ("👩‍🚒 5\u00a0m", "👩‍🚒 5\u00a0m"),  # a joiner, a space that is no space
        ("שלום\u200f!", "שלום\u200f!"),
        ("two\nlines\ttab\u2028", "two lines tab"),
        ("\x1b[2Jgone", "[2Jgone"),
    ],
)
def test_a_label_is_any_text(said: str, kept: str) -> None:
    assert parse_order("mark", {"cmd": "mark", "label": said}) == (Order.MARK, kept)


async def test_a_recorder_that_does_not_answer_is_said(folder: Path, autojump_clock: MockClock) -> None:
    async with serving(folder, answers=False) as daemon, connected(daemon) as client:
        assert await client.ask({"cmd": "record"}) == {"ok": False, "error": "no answer", "recording": None}
        assert trio.current_time() == pytest.approx(10)
        daemon.commands[0].answer(Answer(ok=True, text="too late"))


async def test_requests_in_one_packet_are_answered_in_order(folder: Path) -> None:
    async with serving(folder) as daemon, connected(daemon) as client:
        await client.stream.send_all(b'{"cmd":"record"}\n{"cmd":"status"}\n{"cmd":"stop"}\n')
        await client.stream.send_eof()
        assert [list(await client.reply()) for _ in range(3)] == [
            ["ok", "text", "recording"],
            ["ok", "status"],
            ["ok", "text", "recording"],
        ]
        assert await client.end()


# --- watching ---------------------------------------------------------------------------------------------------------


async def test_watching_shows_every_change_and_a_sign_of_life(folder: Path, autojump_clock: MockClock) -> None:
    async with serving(folder) as daemon, connected(daemon) as client:
        assert (await client.ask({"cmd": "watch"}))["status"]["state"] == "standby"
        await client.reply()
        assert trio.current_time() == pytest.approx(1)
        await trio.sleep(0.5)
        daemon.state = {"state": "recording"}
        daemon.changed.ring()
        assert (await client.reply())["status"]["state"] == "recording"
        assert trio.current_time() == pytest.approx(1.5)
        await trio.sleep(300)
        assert (await client.reply())["ok"]  # no idle time for those who watch


async def test_a_flood_of_changes_is_no_flood_of_lines(folder: Path, autojump_clock: MockClock) -> None:
    async with serving(folder) as daemon, connected(daemon) as client:
        await client.ask({"cmd": "watch"})
        lines = 0
        with trio.move_on_after(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_ring_on, daemon.changed)
                while True:
                    await client.reply()
                    lines += 1
        assert lines <= 20


async def _ring_on(bell: Bell) -> None:
    while True:
        bell.ring()
        await trio.sleep(0.001)


async def test_a_watcher_that_hangs_up_is_gone(folder: Path) -> None:
    async with serving(folder) as daemon:
        for _ in range(2 * MAX_CLIENTS):
            async with connected(daemon) as client:
                await client.ask({"cmd": "watch"})
        with trio.fail_after(5):
            while True:
                async with connected(daemon) as client:
                    if (await client.ask({"cmd": "status"}))["ok"]:
                        break


# --- bad company ------------------------------------------------------------------------------------------------------


async def test_two_hundred_clients_at_once(folder: Path) -> None:
    """No more than the bound are served at a time; the others hear so at once, and nothing falls over."""
    replies: list[dict[str, Any]] = []
    served = trio.Event()

    async with serving(folder) as daemon:

        async def ask() -> None:
            async with connected(daemon) as client:
                try:
                    replies.append(await client.ask({"cmd": "status"}))
                except trio.BrokenResourceError:
                    replies.append(await client.reply())
                await served.wait()

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for _ in range(200):
                    nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked(0.05)
                served.set()
        assert len(replies) == 200
        errors = {reply.get("error") for reply in replies if not reply["ok"]}
        assert errors == {f"busy: {MAX_CLIENTS} clients are connected"}
        assert sum(reply["ok"] for reply in replies) == MAX_CLIENTS
        async with connected(daemon) as client:
            assert (await client.ask({"cmd": "record"}))["ok"]


async def test_a_client_that_never_reads_is_dropped(folder: Path, autojump_clock: MockClock) -> None:
    async with serving(folder) as daemon, connected(daemon) as deaf, connected(daemon) as other:
        daemon.state = {"state": "x" * 100_000}
        await deaf.stream.send_all(b'{"cmd":"status"}\n' * 100)
        await trio.testing.wait_all_tasks_blocked()
        assert (await other.ask({"cmd": "record"}))["ok"]  # nobody else is held up
        await trio.sleep(control_socket.WRITE_PATIENCE_S + 1)
        with trio.fail_after(1), pytest.raises(trio.BrokenResourceError):
            await deaf.stream.send_all(b'{"cmd":"status"}\n' * 100_000)


async def test_a_watcher_that_never_reads_is_dropped(folder: Path, autojump_clock: MockClock) -> None:
    async with serving(folder) as daemon, connected(daemon) as deaf:
        daemon.state = {"state": "x" * 100_000}
        await deaf.stream.send_all(b'{"cmd":"watch"}\n')
        await trio.sleep(60)
        with trio.fail_after(1), pytest.raises(trio.BrokenResourceError):
            await deaf.stream.send_all(b"x" * 1_000_000)


async def test_ten_megabytes_without_an_end(folder: Path) -> None:
    async with serving(folder) as daemon, connected(daemon) as client:
        with suppress(trio.BrokenResourceError):
            await client.stream.send_all(b"x" * 10_000_000)
        reply = await client.reply()
        assert reply == {"ok": False, "error": f"a request is one line of up to {MAX_REQUEST_BYTES} bytes"}
        assert await client.end()
        async with connected(daemon) as other:
            assert (await other.ask({"cmd": "status"}))["ok"]


async def test_a_silent_client_is_dropped(folder: Path, autojump_clock: MockClock) -> None:
    async with serving(folder) as daemon, connected(daemon) as client:
        await client.stream.send_all(b'{"cmd":')
        assert await client.reply() == {"ok": False, "error": "idle"}
        assert await client.end()
        assert trio.current_time() == pytest.approx(control_socket.IDLE_S)


async def test_a_client_that_hangs_up_before_its_answer(folder: Path, autojump_clock: MockClock) -> None:
    async with serving(folder, answers=False) as daemon:
        for _ in range(5):
            async with connected(daemon) as client:
                await client.stream.send_all(b'{"cmd":"record"}\n')
                await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(30)
        assert len(daemon.commands) == 5
        daemon.answers = True
        async with connected(daemon) as client:
            assert (await client.ask({"cmd": "record"}))["ok"]


async def test_no_descriptors_left_is_a_fault_that_passes(
    folder: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 5
    with trio.socket.socket(trio.socket.AF_UNIX) as sock:
        kind = type(sock)
    accept = kind.accept

    async def scarce(self: Any) -> Any:
        nonlocal failures
        client = await accept(self)
        if failures:
            failures -= 1
            client[0].close()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return client

    async with serving(folder) as daemon:
        monkeypatch.setattr(kind, "accept", scarce)
        for _ in range(7):
            with suppress(EOFError, trio.BrokenResourceError):
                async with connected(daemon) as client:
                    await client.ask({"cmd": "status"})
        async with connected(daemon) as client:
            assert (await client.ask({"cmd": "status"}))["ok"]
        assert [(fault.name, fault.active) for fault in daemon.faults] == [
            ("control:socket", True),
            ("control:socket", False),
        ]


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_owner_and_group_may_ask_whatever_the_umask(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        async with serving(folder) as daemon:
            assert stat.S_IMODE(os.stat(daemon.path).st_mode) == 0o660  # noqa: PTH116 - quick, and a test
    finally:
        os.umask(before)
    assert os.listdir(folder) == []  # noqa: PTH208 - quick, and a test


def test_a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not(folder: Path) -> None:
    path = str(folder / "sock")
    with listening_socket(path) as dead:
        os.link(path, path + ".kept")
        dead.close()
    Path(path + ".kept").rename(path)
    with listening_socket(path):
        with (
            pytest.raises(SocketInUse, match=rf"^socket.path: {path}: another daemon is running$"),
            listening_socket(path),
        ):
            pass
        assert Path(path).is_socket()
    assert not Path(path).exists()


def test_another_daemons_socket_is_not_removed_at_the_end(folder: Path) -> None:
    path = str(folder / "sock")
    with listening_socket(path):
        Path(path).unlink()
        Path(path).write_text("somebody else's")
    assert Path(path).read_text() == "somebody else's"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("nowhere/sock", "No such file or directory"),
        ("file", "is there and is no socket of ours"),
        ("folder", "is there and is no socket of ours"),
        ("x" * 120, "AF_UNIX path too long"),
    ],
)
def test_a_path_that_can_not_be_used(folder: Path, path: str, text: str) -> None:
    (folder / "file").write_text("evidence")
    (folder / "folder").mkdir()
    with pytest.raises(ControlRefused) as raised, listening_socket(str(folder / path)):
        pass
    assert str(raised.value).startswith("socket.path: ")
    assert str(raised.value).endswith(text)
    assert (folder / "file").read_text() == "evidence"


# --- the client -------------------------------------------------------------------------------------------------------


async def test_the_command_lines_client(folder: Path) -> None:
    async with serving(folder) as daemon:
        ask = trio.to_thread.run_sync
        assert (await ask(request, daemon.path, {"cmd": "record"}))["recording"] == "X-1"
        assert (await ask(request, daemon.path, {"cmd": "explode"}))["ok"] is False

        def two() -> list[dict[str, Any]]:
            replies = watch(daemon.path)
            return [next(replies), next(replies)]

        assert [reply["ok"] for reply in await ask(two)] == [True, True]
        huge = await ask(request, daemon.path, {"cmd": "release", "ids": "x" * 1_000_000})
        assert huge["error"].startswith("a request is one line")


def test_nobody_there_is_one_line_that_names_the_path(folder: Path) -> None:
    path = str(folder / "sock")
    with pytest.raises(Unreachable) as raised:
        request(path, {"cmd": "status"})
    assert str(raised.value) == f"{path}: no such socket; is the daemon running?"
    Path(path).write_text("")
    with pytest.raises(Unreachable, match=rf"^{path}: nobody answers; is the daemon running\?$"):
        request(path, {"cmd": "status"})
    with pytest.raises(Unreachable, match=r"AF_UNIX path too long$"):
        request("/" + "x" * 200, {"cmd": "status"})


def test_a_daemon_that_accepts_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bwvd.controls.socket_file.WAITING_CLIENTS", 1)
    path = str(folder / "sock")
    with listening_socket(path), ExitStack() as waiting:
        full = False
        while not full:
            client = waiting.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            full = client.connect_ex(path) == errno.EAGAIN
        with pytest.raises(Unreachable, match=rf"^{path}: too many are asking$"):
            request(path, {"cmd": "status"}, 0.1)


async def test_what_answers_is_silent_or_somebody_else(folder: Path) -> None:
    path = str(folder / "sock")
    with listening_socket(path) as sock:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=rf"^{path}: no answer within 0.2 s$"):
            request(path, {"cmd": "status"}, 0.2)
        assert time.monotonic() - began < 2
        stranger = trio.socket.from_stdlib_socket(sock)

        async def say(text: bytes) -> None:
            for _ in range(2):  # the first one is the client that gave up
                client, _ = await stranger.accept()
                with client, suppress(OSError):
                    await client.send(text)

        for text, why in ((b"220 mail.example\r\n", "is not bwvd"), (b"{}\n", "is not bwvd"), (b"", "hung up")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(say, text)
                with pytest.raises(Unreachable, match=f"{why}$"):
                    await trio.to_thread.run_sync(request, path, {"cmd": "status"})
                nursery.cancel_scope.cancel()


def test_the_client_is_light() -> None:
    """A command line answers at once on a small board: neither trio nor msgspec is imported for it."""
    import subprocess
    import sys

    code = "import sys, bwvd.controls.client; sys.exit(bool({'trio', 'msgspec', 'av', 'gpiod'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_system_time_is_the_time_of_orders(folder: Path) -> None:
    path = str(folder / "sock")
    commands: list[Command] = []

    def send(command: Command) -> None:
        commands.append(command)
        command.answer(Answer(ok=True, text=""))

    async with trio.open_nursery() as nursery:
        await nursery.start(run_socket, path, send, SystemClock(), lambda _: None, dict, {}, Bell())
        before_ns = time.monotonic_ns()
        await trio.to_thread.run_sync(request, path, {"cmd": "record"})
        assert before_ns <= commands[0].at_ns <= time.monotonic_ns()
        nursery.cancel_scope.cancel()


async def test_a_client_s_text_of_other_bytes_arrives(folder: Path) -> None:
    """A label typed on a terminal of another encoding: what is no text is "?", and the marker is set."""
    async with serving(folder) as daemon:
        label = os.fsdecode(b"T\xfcr")
        reply = await trio.to_thread.run_sync(lambda: request(daemon.path, {"cmd": "mark", "label": label}))
    assert reply["ok"]
    assert [command.text for command in daemon.commands] == ["T?r"]
