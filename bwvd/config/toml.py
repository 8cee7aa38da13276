"""Bytes of a file to TOML tables, or the line and column where it stops being TOML."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

from bwvd.config.problem import Problem

MAX_BYTES = 1_048_576  # a configuration is some kilobytes; a larger file is another file (a recording, a device)

KEY_PARTS = 32  # our tables are three deep; tomllib takes time by the square of the parts, 20 s for 64 KB
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_LONG_KEY = re.compile(rf"(?:^|[{{,\[])[ \t]*{_PART}(?:[ \t]*\.[ \t]*{_PART}){{{KEY_PARTS}}}", re.MULTILINE)
_DIGITS = re.compile(r"[0-9_]{4000,}")  # Python refuses to convert a little more
_PLACE = re.compile(r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL)


def read(path: Path) -> str:
    """The text of the file, undecoded line ends kept.

    Raises Problem when it can't be read, is too large or is not UTF-8. Its `where` is empty: the file itself.
    """
    try:
        data = _bytes(path)
    except FileNotFoundError:
        raise Problem("", "there is no such file") from None
    except OSError as error:
        raise Problem("", f"can't be read: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the name
        raise Problem("", f"can't be read: {error}") from None
    if len(data) > MAX_BYTES:
        raise Problem("", f"is larger than {MAX_BYTES} bytes: not a configuration file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Problem(f"line {line}", f"not UTF-8 (byte 0x{data[error.start]:02x})") from None


def _bytes(path: Path) -> bytes:
    """Up to a byte more than may be. Raises OSError; Problem for what is no file: a FIFO would be waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Problem("", "can't be read: not a regular file")
        return file.read(MAX_BYTES + 1)


def tables(text: str) -> dict[str, Any]:
    """The TOML document as plain tables. Raises Problem with the line."""
    import tomllib  # here, because only a process that reads a file needs its 5 ms

    if text.startswith("\ufeff"):
        raise Problem("line 1", "starts with a byte order mark; save the file as UTF-8 without one")
    if (long := _LONG_KEY.search(text)) is not None:
        line = text.count("\n", 0, long.end()) + 1
        raise Problem(f"line {line}", f"a key of more than {KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(str(error), text) from None
    except RecursionError:
        raise Problem("syntax", "values are nested too deeply") from None
    except ValueError as error:
        digits = _DIGITS.search(text)
        if digits is None:
            raise Problem("syntax", str(error)) from None
        line = text.count("\n", 0, digits.start()) + 1
        raise Problem(f"line {line}", "a number of thousands of digits") from None


def _syntax(message: str, text: str) -> Problem:
    place = _PLACE.match(message)
    if place is None:
        return Problem("syntax", message)
    what = place["what"][:1].lower() + place["what"][1:]
    if place["line"] is None:
        last = text.rstrip("\n").count("\n") + 1
        return Problem(f"line {last}", f"{what} (at the end of the file)")
    return Problem(f"line {place['line']}, column {place['column']}", what)
