"""HTTP/1.1 to one server, on trio: h11 for the protocol, and a few connections that are used again.

Not httpx, which is built on the same h11: an idle process with it takes 8 MB more, sending a gigabyte with it takes
more of a camera's processor (`python -m tests.bench.store` compares them), and it reads an answer only when all of the
body has been sent: a store that refuses a segment of 60 MB ("exists already") says so after its first bytes.

No redirect is followed (a signed request goes to the server that it is signed for, or nowhere), no proxy is used, and
nothing waits without an end.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field

import h11
import trio

from bwvd.store.errors import StoreMisbehaved, StoreRefused, StoreUnreachable
from bwvd.text import one_line

CONNECT_S = 10.0
SILENCE_S = 30.0  # without a byte that goes or comes
ANSWER_S = 120.0  # from the last byte of a request to the first of its answer: a store syncs and copies in between
MOST_HEADER_BYTES = 65_536
KEPT = 4  # idle connections: as many as are worth it at once
PIECE_BYTES = 262_144  # of an answer, read at once

Body = Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]


@dataclass(frozen=True, slots=True)
class Server:
    """Where a store listens."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    @property
    def authority(self) -> str:
        """As in the header `host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


@dataclass(slots=True)
class Answer:
    """The beginning of an answer; its body is read from `pieces`, to its end or not."""

    status: int
    headers: dict[str, str]  # names in small letters
    pieces: AsyncIterator[bytes]


class ConnectionStale(StoreUnreachable):
    """A connection that was kept is closed by the server: the request was not answered, and may not have come."""


@dataclass(eq=False, slots=True)
class _Connection:
    stream: trio.abc.Stream
    protocol: h11.Connection = field(
        default_factory=lambda: h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEADER_BYTES)
    )
    used: bool = False  # for a request that was answered
    closed: bool = False  # by the server
    answer_scope: trio.CancelScope = field(default_factory=trio.CancelScope)  # ends the waiting for it


class Client:
    """Requests to one server.

    **Cancellation:** at any checkpoint; the connection is closed then.
    **Synchronization:** trio's thread; any number of requests at once, each on a connection of its own.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._idle: list[_Connection] = []

    @asynccontextmanager
    async def request(
        self, method: str, target: str, headers: dict[str, str], body: Body | None = None
    ) -> AsyncIterator[Answer]:
        """Send a request and give its answer. With `body` its size must be in `content-length`.

        Raises: StoreUnreachable (ConnectionStale where another try at once makes sense), StoreRefused (a certificate
        that nobody vouches for), StoreMisbehaved, BodySizeWrong, and what `body` raises.
        """
        connection = self._idle.pop() if self._idle else await self._connect()
        keep = False
        try:
            request = h11.Request(method=method, target=target, headers=list(headers.items()))
            answer = await self._exchange(connection, request, body)
            async with aclosing(self._pieces(connection)) as pieces:
                found = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
                yield Answer(answer.status_code, found, pieces)
            keep = self._reusable(connection)
        finally:
            if keep and len(self._idle) < KEPT:
                self._idle.append(connection)
            else:
                await _drop(connection)

    async def aclose(self) -> None:
        """Close the idle connections."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await _drop(connection)
        await trio.lowlevel.checkpoint()

    async def _connect(self) -> _Connection:
        where = f"{self.server.host}:{self.server.port}"
        try:
            with trio.fail_after(CONNECT_S):
                stream = await self._secured(await trio.open_tcp_stream(self.server.host, self.server.port))
        except trio.TooSlowError:
            raise StoreUnreachable(f"{where}: no connection within {CONNECT_S:.0f} s") from None
        except (OSError, trio.BrokenResourceError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise StoreRefused(f"{where}: its certificate: {one_line(cause.verify_message)}") from None
            raise StoreUnreachable(f"{where}: {one_line(getattr(cause, 'strerror', None) or cause)}") from None
        return _Connection(stream)

    async def _secured(self, stream: trio.SocketStream) -> trio.abc.Stream:
        if self.server.tls is None:
            return stream
        secured = trio.SSLStream(stream, self.server.tls, server_hostname=self.server.host, https_compatible=True)
        try:
            await secured.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secured

    async def _exchange(self, connection: _Connection, request: h11.Request, body: Body | None) -> h11.Response:
        """Send the request while the answer is waited for: a refusal may come before the body has gone."""
        failed: list[Exception] = []
        answer: h11.Response | None = None
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                try:
                    await self._send(connection, request, body)
                    wait_s = ANSWER_S
                except trio.BrokenResourceError:
                    wait_s = SILENCE_S  # the server does not read on: its answer may be there all the same
                except Exception as error:  # noqa: BLE001 - raised below, outside of the nursery
                    failed.append(error)
                    nursery.cancel_scope.cancel()
                    return
                connection.answer_scope.deadline = trio.current_time() + wait_s

            connection.answer_scope = trio.CancelScope()
            nursery.start_soon(send)
            try:
                with connection.answer_scope:
                    answer = await self._response(connection)
            except Exception as error:  # noqa: BLE001 - raised below, outside of the nursery
                failed.append(error)
            nursery.cancel_scope.cancel()
        if failed:
            raise failed[0]
        if answer is None:
            raise StoreUnreachable(f"{self.server.host}: does not answer")
        return answer

    async def _send(self, connection: _Connection, request: h11.Request, body: Body | None) -> None:
        await self._out(connection, request)
        if body is not None:
            async with body() as pieces:
                async for piece in pieces:
                    await self._out(connection, h11.Data(data=piece))
        await self._out(connection, h11.EndOfMessage())

    async def _out(self, connection: _Connection, event: h11.Event) -> None:
        try:
            parts = connection.protocol.send_with_data_passthrough(event)
        except h11.LocalProtocolError as error:
            raise BodySizeWrong(one_line(error)) from None
        for part in parts or ():
            if not part:
                continue
            with trio.move_on_after(SILENCE_S) as scope:
                await connection.stream.send_all(part)
            if scope.cancelled_caught:
                raise StoreUnreachable(f"{self.server.host}: takes nothing for {SILENCE_S:.0f} s")

    async def _response(self, connection: _Connection) -> h11.Response:
        while True:
            event = await self._next(connection)
            if isinstance(event, h11.InformationalResponse):
                continue
            if isinstance(event, h11.Response):
                connection.used = True
                return event
            if connection.used:
                raise ConnectionStale(f"{self.server.host}: closed the connection")
            raise StoreUnreachable(f"{self.server.host}: closed the connection without an answer")

    async def _next(self, connection: _Connection) -> object:
        while True:
            try:
                event = connection.protocol.next_event()
            except h11.RemoteProtocolError as error:
                if connection.closed:
                    raise StoreUnreachable(f"{self.server.host}: closed the connection in the middle") from None
                raise StoreMisbehaved(f"{self.server.host}: speaks no HTTP/1.1: {one_line(error)}") from None
            if event is not h11.NEED_DATA:
                return event
            try:
                data = await connection.stream.receive_some(PIECE_BYTES)
            except trio.BrokenResourceError:
                data = b""  # reset: as closed
            connection.closed = not data
            connection.protocol.receive_data(bytes(data))

    async def _pieces(self, connection: _Connection) -> AsyncGenerator[bytes]:
        while True:
            with trio.move_on_after(SILENCE_S) as scope:
                event = await self._next(connection)
            if scope.cancelled_caught:
                raise StoreUnreachable(f"{self.server.host}: silent for {SILENCE_S:.0f} s")
            if not isinstance(event, h11.Data):
                return
            yield bytes(event.data)

    def _reusable(self, connection: _Connection) -> bool:
        protocol = connection.protocol
        if protocol.our_state is not h11.DONE or protocol.their_state is not h11.DONE:
            return False
        protocol.start_next_cycle()
        return True


class BodySizeWrong(Exception):
    """The body has not the size that was announced."""


async def _drop(connection: _Connection) -> None:
    """Close it at once, without the end of TLS."""
    with trio.CancelScope(shield=True):
        await trio.aclose_forcefully(connection.stream)
