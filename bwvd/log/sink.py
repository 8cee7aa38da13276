"""Lines to a stream whose reader may be slow, stuck or gone.

The recorder runs on one thread: a write to a pipe that nobody empties would stop the camera. So nothing is ever
written that the kernel has no room for. What finds no room waits, up to a bound; beyond it lines are lost and counted,
and when there is room again one line says how many. What waits is written with the next line, or at the end.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable
from typing import TextIO

WAITING_BYTES = 262_144  # about a thousand lines: minutes of a talkative day, and little memory
CHUNK_BYTES = 4096  # PIPE_BUF: a pipe that polls writable takes as much without blocking


class Sink:
    """Writes lines to a file descriptor, or to a text stream that has none (a test's).

    **Synchronization:** any thread. Never blocks for long, never raises because of the stream.
    """

    def __init__(self, target: int | TextIO, lines_lost: Callable[[int], bytes]) -> None:
        self._lines_lost = lines_lost
        self._lock = threading.Lock()
        self._waiting = bytearray()
        self._socket: socket.socket | None = None
        self.lost = 0  # lines since the last one that said so
        if isinstance(target, int):
            self._stream = None
            self._fd = _own(target)
            if stat.S_ISSOCK(os.fstat(self._fd).st_mode):
                self._socket = socket.socket(fileno=os.dup(self._fd))
        else:
            self._stream = target
            self._fd = -1

    @property
    def waiting_bytes(self) -> int:
        """What the reader has not taken yet."""
        return len(self._waiting)

    def write(self, line: bytes) -> None:
        """Write a line, with its newline, as soon as there is room."""
        with self._lock:
            if self._stream is not None:
                self._stream.write(line.decode("utf-8", "replace"))
                return
            if self.lost and len(self._waiting) < WAITING_BYTES // 2:
                self._waiting += self._lines_lost(self.lost)
                self.lost = 0
            if len(self._waiting) + len(line) > WAITING_BYTES:
                self.lost += 1
            else:
                self._waiting += line
            self._drain()

    def close(self, patience_s: float) -> None:
        """Wait at most `patience_s` for the reader to take what is waiting, then let go of the stream."""
        with self._lock:
            if self._fd < 0:
                return
            until_s = time.monotonic() + patience_s
            poll = self._poll()
            while self._waiting and (left_s := until_s - time.monotonic()) > 0:
                poll.poll(left_s * 1000)
                self._drain()
            os.close(self._fd)
            self._fd = -1
            if self._socket is not None:
                self._socket.close()

    def _drain(self) -> None:
        """Write as much of what is waiting as the kernel has room for."""
        while self._waiting and self._fd >= 0:
            try:
                written = self._write_some(bytes(self._waiting[:CHUNK_BYTES]))
            except BlockingIOError:
                return
            except OSError:  # the reader is gone for good, or the disk behind the file is full
                self.lost += self._waiting.count(b"\n")
                self._waiting.clear()
                return
            del self._waiting[:written]

    def _write_some(self, chunk: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(chunk, socket.MSG_DONTWAIT)
        if not self._poll().poll(0):
            raise BlockingIOError
        return os.write(self._fd, chunk)

    def _poll(self) -> select.poll:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return poll


def _own(fd: int) -> int:
    """A descriptor of our own for the same stream.

    A terminal is opened anew, not to block: O_NONBLOCK on a shared descriptor would reach the shell that started us,
    and a terminal that polls writable may have room for less than a line.
    """
    if stat.S_ISCHR(os.fstat(fd).st_mode):
        try:
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # somebody else's terminal, as after su
            pass
    return os.dup(fd)


def is_journal(fd: int) -> bool:
    """Whether systemd has connected this descriptor to its journal: it says which one in JOURNAL_STREAM."""
    found = os.fstat(fd)
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
