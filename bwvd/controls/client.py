"""The other end of the control socket, for command lines: synchronous, and quick to import."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from typing import Any

CONNECT_RETRY_S = 0.02


class Unreachable(Exception):
    """The daemon can't be asked. The text is one line that names the socket's path."""


def request(path: str, payload: dict[str, Any], timeout_s: float = 15.0) -> dict[str, Any]:
    """Send one request and return its reply, a JSON object with "ok". Raises Unreachable."""
    with closing(_replies(path, payload, timeout_s)) as replies:
        return next(replies)


def watch(path: str, timeout_s: float = 15.0) -> Iterator[dict[str, Any]]:
    """The daemon's status, again and again, as it changes. Raises Unreachable when it ends."""
    yield from _replies(path, {"cmd": "watch"}, timeout_s)


def _replies(path: str, payload: dict[str, Any], timeout_s: float) -> Generator[dict[str, Any]]:
    """Replies to one request, each within `timeout_s` of the last."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        _connect(path, sock, timeout_s)
        with suppress(OSError):  # a daemon that hung up may have said why
            # A path or label of other bytes than UTF-8 comes from the command line as what JSON can't hold: "?".
            sock.sendall(json.dumps(payload, ensure_ascii=False).encode(errors="replace") + b"\n")
        buffer = bytearray()
        while True:
            yield _reply(path, _line(path, sock, buffer, timeout_s))


def _connect(path: str, sock: socket.socket, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while True:
        try:
            sock.settimeout(timeout_s)
            sock.connect(path)
        except BlockingIOError as error:  # so many are waiting that the kernel takes no more; it tells nobody when
            if time.monotonic() >= until:
                raise Unreachable(f"{path}: too many are asking") from error
            time.sleep(CONNECT_RETRY_S)
        except (OSError, ValueError) as error:
            raise Unreachable(f"{path}: {_why(error)}") from error
        else:
            return


def _line(path: str, sock: socket.socket, buffer: bytearray, timeout_s: float) -> bytes:
    until = time.monotonic() + timeout_s
    while (end := buffer.find(b"\n")) < 0:
        try:
            sock.settimeout(max(until - time.monotonic(), 0.001))
            data = sock.recv(65_536)
        except TimeoutError as error:
            raise Unreachable(f"{path}: no answer within {timeout_s:g} s") from error
        except OSError as error:
            raise Unreachable(f"{path}: {_why(error)}") from error
        if not data:
            raise Unreachable(f"{path}: the daemon hung up")
        buffer += data
    line = bytes(buffer[:end])
    del buffer[: end + 1]
    return line


def _reply(path: str, line: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unreachable(f"{path}: what answers there is not bwvd") from error
    if not isinstance(reply, dict) or "ok" not in reply:
        raise Unreachable(f"{path}: what answers there is not bwvd")
    return reply


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such socket; is the daemon running?"
    if isinstance(error, ConnectionRefusedError):
        return "nobody answers; is the daemon running?"
    if isinstance(error, PermissionError):
        return f"permission denied for uid {os.geteuid()}; the socket's group may ask"
    if isinstance(error, ConnectionResetError):
        return "the daemon hung up"
    return (isinstance(error, OSError) and error.strerror) or str(error)
