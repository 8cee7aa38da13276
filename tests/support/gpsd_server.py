"""A gpsd without a receiver, on a real socket: it greets, wants to be asked, and says what it is told to."""

from __future__ import annotations

import trio

from bwvd.testing.receiver import GREETING, WATCHED


class GpsdServer:
    """Its address is `127.0.0.1:port`, the same one each time that it is plugged in.

    `asked` holds what its clients have asked for; who has not asked is told nothing.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.port = 0
        self.asked: list[bytes] = []
        self._nursery = nursery
        self._clients: list[trio.SocketStream] = []
        self._scope: trio.CancelScope | None = None

    async def plug(self) -> None:
        await self._nursery.start(self._serve)

    async def hang_up(self) -> None:
        assert self._scope is not None
        self._scope.cancel()
        self._scope = None
        await trio.testing.wait_all_tasks_blocked()

    async def say(self, data: bytes) -> None:
        for client in self._clients:
            await client.send_all(data)

    async def _serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope() as self._scope:
            listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
            self.port = listeners[0].socket.getsockname()[1]
            async with trio.open_nursery() as nursery:
                task_status.started()
                await trio.serve_listeners(self._client, listeners, handler_nursery=nursery)

    async def _client(self, client: trio.SocketStream) -> None:
        async with client:
            await client.send_all(GREETING)
            heard = b""
            while not heard.endswith(b"\n"):
                if not (more := await client.receive_some()):
                    return
                heard += more
            self.asked.append(heard)
            await client.send_all(WATCHED)
            self._clients.append(client)
            try:
                while await client.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
            finally:
                self._clients.remove(client)
