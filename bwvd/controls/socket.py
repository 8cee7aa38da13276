"""The control socket: whoever may open its file may ask, one JSON object a line, and gets one JSON line back.

    → {"cmd":"record"}                 ← {"ok":true,"text":"recording","recording":"20261122T071503Z-BWV-0001-000042"}
    → {"cmd":"status"}                 ← {"ok":true,"status":{…}}
    → {"cmd":"watch"}                  ← the same, at every change and once a second, until the client hangs up
    → {"cmd":"stop"}                   ← {"ok":false,"error":"not recording","recording":null}

A client gets nowhere by being slow, silent, endless or many: every wait and every buffer has a bound, and the recorder
never waits for a client.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import trio

from bwvd.clock import Clock
from bwvd.controls.pending_answer import PendingAnswer
from bwvd.controls.ports import Report, Send
from bwvd.controls.socket_file import listening_socket
from bwvd.controls.socket_protocol import (
    MAX_REQUEST_BYTES,
    ORDERS,
    BadRequest,
    answer_reply,
    encode_reply,
    error_reply,
    parse_order,
    parse_request,
    shown,
)
from bwvd.messages import Command, FaultChanged, Order

MAX_CLIENTS = 32  # a person, a few scripts and a dock; more are told so and sent away
READ_BYTES = 16_384
IDLE_S = 60.0  # a client that asks nothing for so long is dropped, unless it watches
WRITE_PATIENCE_S = 5.0  # a client that reads nothing for so long is dropped
WATCH_PERIOD_S = 1.0
WATCH_PAUSE_S = 0.1  # changes that follow one another this quickly make one line

# Errors of accept(2) that pass: the system is out of something.
ACCEPT_CAPACITY_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
ACCEPT_RETRY_S = 0.1

Handler = Callable[[dict[str, Any], str], Awaitable[dict[str, Any]]]
"""Carries out a request that is not an order: the request and its source, to a reply with "ok"."""


class Bell:
    """Wakes all who wait whenever it is rung. **Synchronization:** trio's thread."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        self._rung.set()
        self._rung = trio.Event()

    async def wait(self) -> None:
        await self._rung.wait()


async def run_socket(
    path: str,
    send: Send,
    clock: Clock,
    report: Report,
    status: Callable[[], dict[str, Any]],
    handlers: Mapping[str, Handler],
    changed: Bell,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the control socket until cancelled.

    Args:
        send: takes the orders; wrap it with `allowing` for a socket that may not ask for everything. Their source is
            "socket:uid=UID,pid=PID", by the kernel's word.
        report: takes the fault "control:socket" while no connection can be accepted.
        status: what `status --json` shows; quick.
        handlers: what else can be asked, by name. They run in their client's task, one at a time for each client.
        changed: rung at every event, for those who watch.

    `task_status.started()` is called when the file is there and clients can connect.
    **Cancellation:** drops the clients and removes the file; orders that were sent stay sent.
    Raises SocketInUse or ControlRefused, one line that names the path.
    """
    with listening_socket(path) as sock:
        server = _Server(send, clock, report, status, handlers, changed)
        task_status.started()
        await server.accept(trio.socket.from_stdlib_socket(sock))


@dataclass(slots=True, eq=False)
class _Server:
    _send: Send
    _clock: Clock
    _report: Report
    _status: Callable[[], dict[str, Any]]
    _handlers: Mapping[str, Handler]
    _changed: Bell
    _clients: int = 0

    async def accept(self, listener: trio.socket.SocketType) -> NoReturn:
        failing = False
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    client, _ = await listener.accept()
                except ConnectionAbortedError:
                    continue
                except OSError as error:
                    if error.errno not in ACCEPT_CAPACITY_ERRNOS:
                        raise
                    if not failing:
                        failing = True
                        self._report_accept(active=True, detail=error.strerror or "")
                    await trio.sleep(ACCEPT_RETRY_S)
                    continue
                if failing:
                    failing = False
                    self._report_accept(active=False)
                nursery.start_soon(self._serve, trio.SocketStream(client))

    def _report_accept(self, *, active: bool, detail: str = "") -> None:
        self._report(FaultChanged("control:socket", active, self._clock.monotonic_ns(), detail))

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One client, from its first byte to its last. Its errors are its own."""
        self._clients += 1
        try:
            if self._clients > MAX_CLIENTS:
                await _write(stream, error_reply(f"busy: {MAX_CLIENTS} clients are connected"))
            else:
                await self._answer_all(stream)
        except* _Gone:
            pass
        finally:
            self._clients -= 1
            await trio.aclose_forcefully(stream)

    async def _answer_all(self, stream: trio.SocketStream) -> None:
        source = _peer(stream)
        lines = _Lines(stream)
        while True:
            with trio.move_on_after(IDLE_S) as idle:
                line = await lines.next()
            if idle.cancelled_caught:
                await _write(stream, error_reply("idle"))
                return
            if line is None:
                return
            if len(line) > MAX_REQUEST_BYTES:
                await _write(stream, error_reply(f"a request is one line of up to {MAX_REQUEST_BYTES} bytes"))
                return
            try:
                name, request = parse_request(line)
                if name == "watch":
                    await self._watch(stream)
                    return
                reply = await self._answer(name, request, source)
            except BadRequest as error:
                reply = error_reply(str(error))
            await _write(stream, reply)

    async def _answer(self, name: str, request: dict[str, Any], source: str) -> dict[str, Any]:
        if name in ORDERS:
            order, text = parse_order(name, request)
            pending = PendingAnswer()
            now_ns = self._clock.monotonic_ns()
            self._send(Command(order, source, now_ns, text, confirmed=order is Order.STOP, reply=pending.give))
            return answer_reply(await pending.wait())
        if name == "status":
            return self._status_reply()
        handler = self._handlers.get(name)
        if handler is None:
            raise BadRequest(f"there is no command {shown(name)}")
        return await handler(request, source)

    def _status_reply(self) -> dict[str, Any]:
        return {"ok": True, "status": self._status()}

    async def _watch(self, stream: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show, stream)
            await _read(stream)  # a client that watches says nothing more: this is its end
            nursery.cancel_scope.cancel()

    async def _show(self, stream: trio.SocketStream) -> None:
        while True:
            await _write(stream, self._status_reply())
            await trio.sleep(WATCH_PAUSE_S)
            with trio.move_on_after(WATCH_PERIOD_S - WATCH_PAUSE_S):
                await self._changed.wait()


class _Gone(Exception):
    """The client hung up, or does not read."""


class _Lines:
    """Cuts a stream into lines, of MAX_REQUEST_BYTES and one more at most."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def next(self) -> bytes | None:
        """The next line without its end, or a longer beginning of one; None at the end."""
        while (end := self._buffer.find(b"\n")) < 0 and len(self._buffer) <= MAX_REQUEST_BYTES:
            data = await _read(self._stream)
            if not data:
                return None
            self._buffer += data
        line = bytes(self._buffer[:end] if end >= 0 else self._buffer)
        del self._buffer[: len(line) + 1]
        return line


async def _write(stream: trio.SocketStream, reply: dict[str, Any]) -> None:
    line = encode_reply(reply)
    try:
        with trio.fail_after(WRITE_PATIENCE_S):
            await stream.send_all(line)
    except (trio.BrokenResourceError, trio.TooSlowError) as error:
        raise _Gone from error


async def _read(stream: trio.SocketStream) -> bytes | bytearray:
    """Some bytes, none at the end. Raises _Gone."""
    try:
        return await stream.receive_some(READ_BYTES)
    except trio.BrokenResourceError as error:
        raise _Gone from error


def _peer(stream: trio.SocketStream) -> str:
    pid, uid, _gid = struct.unpack("iII", stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return f"socket:uid={uid},pid={pid}"
