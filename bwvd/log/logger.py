"""Loggers: an event's name and its fields, handed on to whoever writes the log.

Ours, because a library for this was a quarter of the daemon's start: it brings asyncio, rich and pygments along.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any, cast

from bwvd.log.clean import clean

Take = Callable[[str, str, dict[str, Any]], None]
"""Takes the logger's name, the level and the line's fields, "event" among them. Must not raise."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class _Output:
    """Where all lines of this process go. **Synchronization:** set once, at the start."""

    def __init__(self) -> None:
        self.least = LEVELS["info"]
        self.take: Take = plainly


def plainly(name: str, level: str, fields: dict[str, Any]) -> None:
    """A line on stderr, before anybody has said how the log should look: of a command that is no daemon."""
    event, line = fields.pop("event"), cast("dict[str, Any]", clean(fields))
    print(f"{level}: {name}: {event}", *(f"{key}={value!r}" for key, value in line.items()), file=sys.stderr)


_output = _Output()


def send_to(take: Take, level: str) -> None:
    """Hand all lines of `level` (a key of LEVELS) and above to `take` from now on."""
    _output.least, _output.take = LEVELS[level], take


class Logger:
    """A name, and fields that each of its lines has.

    **Synchronization:** any thread, and at any time: also one that was made before `send_to` obeys it.
    """

    __slots__ = ("_fields", "name")

    def __init__(self, name: str, fields: dict[str, Any] | None = None) -> None:
        self.name = name
        self._fields = fields or {}

    def bind(self, **fields: Any) -> Logger:
        """A logger of the same name with more fields."""
        return Logger(self.name, {**self._fields, **fields})

    # "event" and "level" may be fields' names too.

    def debug(self, event: str, /, **fields: Any) -> None:
        self._say("debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        self._say("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        self._say("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        self._say("error", event, fields)

    def critical(self, event: str, /, **fields: Any) -> None:
        """`exc_info`: an exception, whose traceback becomes the field "exception"."""
        self._say("critical", event, fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """An error, with the exception that is being handled."""
        self._say("error", event, {"exc_info": sys.exception(), **fields})

    def _say(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if LEVELS[level] < _output.least:
            return
        line = {**self._fields, **fields, "event": event}
        error = line.pop("exc_info", None)
        if isinstance(error, BaseException):
            line["exception"] = "".join(traceback.format_exception(error)).rstrip("\n")
        _output.take(self.name, level, line)
