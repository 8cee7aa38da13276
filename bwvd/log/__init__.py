"""Logs: one line an event, on stderr; JSON for machines, columns for a person at a terminal.

A line has an event name in snake_case that does not change between versions, and fields. Nothing that could be media
or a terminal's control sequence gets through (`clean`), a flood is counted instead of written (`limit`), and a reader
who has stopped reading can't stop the recorder (`sink`). What must be kept is in the signed journal, not here.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO, cast

import msgspec

from bwvd.clock import utc_text
from bwvd.log.clean import clean
from bwvd.log.limit import Limiter
from bwvd.log.logger import LEVELS, Logger, send_to
from bwvd.log.sink import Sink, is_journal

__all__ = ["LEVELS", "Logger", "close", "configure", "get_logger"]

EXIT_FLUSH_S = 1.0  # what a reader who is behind gets at the end of the process

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog's, as sd-daemon(3) prefixes

_Event = dict[str, Any]

_sink: Sink | None = None


def get_logger(name: str) -> Logger:
    """A logger whose lines carry `name`. May be made before `configure`, and then still obeys it."""
    return Logger(name)


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send the log to `stream` (default: stderr) from now on, at `level` (a key of LEVELS) and above.

    Columns if the stream is a terminal, else JSON lines; under systemd each with its priority.

    **Synchronization:** once, at the start; loggers may then be used from any thread. Logging never blocks for longer
    than one write that the kernel has room for, and never raises because of the stream.
    """
    global _sink
    stream = stream if stream is not None else sys.stderr
    fd = _fileno(stream)
    terminal = stream.isatty()
    render = _columns(colours=terminal and "NO_COLOR" not in os.environ) if terminal else _json_line
    prefix = fd is not None and is_journal(fd)

    def to_bytes(event: _Event) -> bytes:
        priority = f"<{_PRIORITIES.get(event['level'], 6)}>" if prefix else ""
        return (priority + render(event)).encode("utf-8", "backslashreplace") + b"\n"

    def lines_lost(count: int) -> bytes:
        event = _stamped({"event": "log_lines_lost", "level": "warning", "lines": count})
        return to_bytes(event)

    def take(name: str, level: str, fields: _Event) -> None:
        line = {**fields, "level": level}
        line.setdefault("logger", name)
        if limiter.lets_through(name, line):
            sink.write(to_bytes(_stamped(cast("_Event", clean(line)))))

    limiter = Limiter(_suppressed)
    sink = Sink(fd if fd is not None else stream, lines_lost)
    close()
    _sink = sink
    send_to(take, level)


def close() -> None:
    """Give the reader a moment to take what is waiting, and let go of the stream; a no-op if there is none."""
    global _sink
    if _sink is not None:
        _sink.close(EXIT_FLUSH_S)
        _sink = None


atexit.register(close)


def _suppressed(event: str, count: int, seconds: float) -> None:
    get_logger("log").warning("log_suppressed", suppressed_event=event, lines=count, within_s=round(seconds, 1))


def _stamped(event: _Event) -> _Event:
    """When, how bad, what; then the rest in the order in which it was given."""
    first = {
        "utc": utc_text(time.time_ns()),
        "mono_ns": time.monotonic_ns(),
        "level": event["level"],
        "event": event["event"],
    }
    return {**first, **{key: value for key, value in event.items() if key not in first}}


def _json_line(event: _Event) -> str:
    return msgspec.json.encode(event).decode()


def _columns(colours: bool) -> Callable[[_Event], str]:
    import structlog.dev  # only for a person at a terminal: it is slow to import

    renderer = structlog.dev.ConsoleRenderer(
        colors=colours,
        sort_keys=False,
        timestamp_key="utc",
        exception_formatter=structlog.dev.plain_traceback,  # no other: rich's shows local variables, media among them
    )

    def render(event: _Event) -> str:
        shown = {key: value for key, value in event.items() if key != "mono_ns"}
        return str(renderer(None, "", shown))

    return render


def _fileno(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # a test's StringIO, or a stream that was closed
        return None
