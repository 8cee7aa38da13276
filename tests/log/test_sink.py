"""A log reader who is slow, stuck or gone: the recorder goes on, and what was lost is counted."""

from __future__ import annotations

import os
import pty
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from bwvd.log.sink import WAITING_BYTES, Sink, is_journal

LINE = b"x" * 199 + b"\n"

Readers = Callable[[], bytes]


def lost_line(count: int) -> bytes:
    return b"lost %d\n" % count


@pytest.fixture(params=["pipe", "socket", "terminal"])
def stream(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """A descriptor to write to and one to read from."""
    near: socket.socket | None = None
    if request.param == "pipe":
        reader, writer = os.pipe()
    elif request.param == "terminal":
        reader, writer = pty.openpty()
    else:
        near, far = socket.socketpair()
        reader, writer = far.detach(), near.detach()
    yield writer, reader
    for fd in (writer, reader):
        try:
            os.close(fd)
        except OSError:  # the test closed it
            continue


def drain(reader: int, sink: Sink) -> bytes:
    """Read until nothing is waiting in the sink or the kernel; each line lets the sink go on."""
    os.set_blocking(reader, False)
    found = b""
    while True:
        try:
            found += os.read(reader, 65536)
        except BlockingIOError:
            if not sink.waiting_bytes:
                return found.replace(b"\r\n", b"\n")
            sink.write(b"more\n")


def test_lines_arrive_at_once_when_there_is_room(stream: tuple[int, int]) -> None:
    writer, reader = stream
    sink = Sink(writer, lost_line)
    sink.write(b"one\n")
    sink.write(b"two\n")
    assert sink.waiting_bytes == 0
    assert drain(reader, sink) == b"one\ntwo\n"
    sink.close(0)


def test_a_reader_who_stops_reading_never_blocks_the_writer(stream: tuple[int, int]) -> None:
    writer, reader = stream
    sink = Sink(writer, lost_line)
    start_s = time.monotonic()
    lines = 10_000  # 2 MB: more than any of the three keeps
    for _ in range(lines):
        sink.write(LINE)
    assert time.monotonic() - start_s < 5  # it would be for ever
    assert sink.lost > 0
    assert sink.waiting_bytes <= WAITING_BYTES
    found = drain(reader, sink)
    whole = found.split(b"\n")
    (said,) = [line for line in whole if line.startswith(b"lost ")]
    assert whole.count(LINE[:-1]) + int(said.split()[1]) >= lines
    assert {line[:1] for line in whole} == {b"x", b"l", b"m", b""}
    sink.close(0)


def test_a_reader_who_is_gone_is_survived(stream: tuple[int, int]) -> None:
    writer, reader = stream
    sink = Sink(writer, lost_line)
    os.close(reader)
    for _ in range(10):
        sink.write(LINE)
    assert sink.waiting_bytes <= 10 * len(LINE)
    sink.close(0.1)


def test_the_descriptor_that_others_share_is_left_as_it_was(stream: tuple[int, int]) -> None:
    writer, _ = stream
    sink = Sink(writer, lost_line)
    sink.write(LINE)
    assert os.get_blocking(writer)
    sink.close(0)
    os.fstat(writer)  # still open


def test_closing_waits_for_a_slow_reader_but_not_for_ever() -> None:
    reader, writer = os.pipe()
    sink = Sink(writer, lost_line)
    for _ in range(1000):
        sink.write(LINE)
    assert sink.waiting_bytes > 0
    start_s = time.monotonic()
    sink.close(0.2)
    assert 0.15 < time.monotonic() - start_s < 5
    sink.write(LINE)  # after the end: nobody hears it, nothing breaks
    sink.close(0)
    os.close(reader)
    os.close(writer)


def test_the_journals_stream_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    found = os.fstat(writer)
    assert not is_journal(writer)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    assert is_journal(writer)
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    assert not is_journal(writer)
    os.close(reader)
    os.close(writer)
