"""The control socket's file: made without a moment of wrong permissions, never taken from a living daemon."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bwvd.controls.ports import ControlRefused

# Connections that the kernel keeps until they are accepted. Accepting is quick; when there is no room, a client that
# does not block is told EAGAIN, which many take for success.
WAITING_CLIENTS = 512


class SocketInUse(ControlRefused):
    """Another daemon answers at this path."""


@contextmanager
def listening_socket(path: str, mode: int = 0o660) -> Iterator[socket.socket]:
    """A listening, non-blocking Unix socket at `path`, which is removed at the end if it is still ours.

    A socket file that nobody answers at, left by a daemon that died, is replaced; anything else at `path` stays.
    Raises SocketInUse or ControlRefused, one line that names the path. Quick: blocks on nothing but the folder.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        try:
            with _alone(path):
                _remove_stale(path)
                os.fchmod(sock.fileno(), mode)  # Linux gives the file these bits, less the umask's,
                sock.bind(path)
                Path(path).chmod(mode)  # and here come back those that the umask took
                made = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - Path.lstat says less plainly what it is
                sock.listen(WAITING_CLIENTS)
        except OSError as error:
            raise ControlRefused(f"socket.path: {path}: {error.strerror or error}") from error
        except ValueError as error:
            raise ControlRefused(f"socket.path: {path!r}: {error}") from error
        try:
            yield sock
        finally:
            _remove_own(path, made)
    finally:
        sock.close()


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Two daemons that start at once must not both find the file stale: the second would remove the first one's."""
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SocketInUse(f"socket.path: {path}: another daemon is starting") from error
        yield
    finally:
        os.close(folder)


def _remove_stale(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        number = probe.connect_ex(path)
    if number == errno.ENOENT:
        return
    if number in (0, errno.EAGAIN):  # it answers, or is too busy to
        raise SocketInUse(f"socket.path: {path}: another daemon is running")
    if number != errno.ECONNREFUSED or not Path(path).is_socket():
        raise ControlRefused(f"socket.path: {path} is there and is no socket of ours")
    Path(path).unlink()


def _remove_own(path: str, made: os.stat_result) -> None:
    with suppress(OSError):  # gone already, with its folder perhaps
        found = Path(path).lstat()
        if (found.st_dev, found.st_ino) == (made.st_dev, made.st_ino):
            Path(path).unlink()
