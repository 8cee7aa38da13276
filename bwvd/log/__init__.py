"""Logs: one line an event, on stderr; JSON for machines, columns for a person at a terminal.

A line has an event name in snake_case that does not change between versions, and fields. Nothing that could be media
or a terminal's control sequence gets through (`clean`), a flood is counted instead of written (`limit`), and a reader
who has stopped reading can't stop the recorder (`sink`). What must be kept is in the signed journal, not here.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, TextIO, cast

import msgspec

from bwvd.clock import utc_text
from bwvd.log.clean import clean_value
from bwvd.log.light import structlog
from bwvd.log.limit import Limiter
from bwvd.log.sink import Sink, is_journal

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

EXIT_FLUSH_S = 1.0  # what a reader who is behind gets at the end of the process

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog's, as sd-daemon(3) prefixes

_Event = MutableMapping[str, Any]

_sink: Sink | None = None


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry `name`. May be made before `configure`, and then still obeys it."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))


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

    def to_bytes(_logger: WrappedLogger, _method: str, event: _Event) -> bytes:
        priority = f"<{_PRIORITIES.get(event['level'], 6)}>" if prefix else ""
        return (priority + render(event)).encode("utf-8", "backslashreplace") + b"\n"

    def lines_lost(count: int) -> bytes:
        event = _stamped({"event": "log_lines_lost", "level": "warning", "lines": count})
        return to_bytes(None, "warning", event)

    sink = Sink(fd if fd is not None else stream, lines_lost)
    close()
    _sink = sink
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            cast("Processor", Limiter(_suppressed)),
            _named,
            structlog.processors.format_exc_info,
            _cleaned,
            to_bytes,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda name="bwvd", *_: _Named(name, sink),
        cache_logger_on_first_use=False,  # modules make their loggers before the log is configured
    )


def close() -> None:
    """Give the reader a moment to take what is waiting, and let go of the stream; a no-op if there is none."""
    global _sink
    if _sink is not None:
        _sink.close(EXIT_FLUSH_S)
        _sink = None


atexit.register(close)


class _ToStderr:
    """Takes the lines of a process that has not said how its log should look: stdout is for answers."""

    def __init__(self, name: str = "bwvd", *_: object) -> None:
        self.name = name

    def write(self, line: str) -> None:
        print(line, file=sys.stderr)

    debug = info = warning = error = critical = write


def _plain_line(logger: WrappedLogger, _method: str, event: _Event) -> str:
    fields = cast("dict[str, Any]", clean_value(dict(event)))
    level, name = fields.pop("level"), fields.pop("event")
    return " ".join([f"{level}: {logger.name}: {name}", *(f"{key}={value!r}" for key, value in fields.items())])


def unconfigured() -> None:
    """One line on stderr for each event from "info" on: until `configure`, and in commands that are no daemon."""
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.processors.format_exc_info, _plain_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=_ToStderr,
        cache_logger_on_first_use=False,
    )


unconfigured()


def quiet() -> None:
    """Errors alone, for a command that prints what came of its work; `unconfigured` takes it back."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


class _Named:
    """What structlog calls a logger: takes finished lines. It has a name."""

    def __init__(self, name: str, sink: Sink) -> None:
        self.name = name
        self._sink = sink

    def write(self, line: bytes) -> None:
        self._sink.write(line)

    debug = info = warning = error = critical = write


def _suppressed(event: str, count: int, seconds: float) -> None:
    get_logger("log").warning("log_suppressed", suppressed_event=event, lines=count, within_s=round(seconds, 1))


def _named(logger: WrappedLogger, _method: str, event: _Event) -> _Event:
    event.setdefault("logger", getattr(logger, "name", "bwvd"))
    return event


def _cleaned(_logger: WrappedLogger, _method: str, event: _Event) -> _Event:
    return _stamped(cast("dict[str, Any]", clean_value(dict(event))))


def _stamped(event: dict[str, Any]) -> _Event:
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


def _columns(colours: bool) -> Any:
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
