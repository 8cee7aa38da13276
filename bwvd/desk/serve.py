"""Server: the application on a port of this machine, until it is told to end."""

from __future__ import annotations

import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve

from bwvd.desk.access import LOOPBACK
from bwvd.desk.app import application
from bwvd.desk.desk import Desk

BACKLOG = 64
KEEP_ALIVE_S = 30
ENDING_S = 2  # for answers that are under way


def listen(port: int) -> socket.socket:
    """A listening socket of this machine alone; 0 is any free port. Raises: OSError."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


async def serve(desk: Desk, listening: socket.socket, ready: Callable[[], Awaitable[None]]) -> None:
    """Serve the desk on the socket, which is closed behind it, until SIGINT, SIGTERM or SIGHUP.

    Args:
        ready: called when the page answers.
    """
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.include_server_header = False
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.graceful_timeout = ENDING_S
    config.accesslog = None
    config.loglevel = "ERROR"
    app: Any = application(desk)  # the two projects have names of their own for what ASGI calls a scope
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:

        async def told() -> None:
            async for _ in received:
                return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.run)

            async def main(*, task_status: trio.TaskStatus[list[str]]) -> None:
                await hypercorn_serve(app, config, shutdown_trigger=told, task_status=task_status, mode="asgi")
                nursery.cancel_scope.cancel()

            await nursery.start(main)
            await ready()
