"""A problem of a configuration, and how a key or a value is written in one line."""

from __future__ import annotations

import re

from bwvd.text import printable, without_credentials

SHOWN_CHARACTERS = 60  # of a value that somebody wrote: enough to find it again in the file

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")


class Problem(Exception):
    """One thing that is wrong: one line.

    `where` is a key, two keys, a place in the text, or empty for the whole file; `what` is the rest of the line.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(where, what)
        self.where = where
        self.what = what

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


def shown_key(key: str) -> str:
    """A key as it may stand in a message: bare where TOML lets it be, else in quotes and cut."""
    return key if _BARE_KEY.fullmatch(key) else _quoted(key)


def shown(value: object) -> str:
    """A value as it may stand in a message: short, on one line, without the password of a URL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return _quoted(without_credentials(value))
    text = printable(str(value)) if not isinstance(value, int) or abs(value) < 10**60 else "a very large number"
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _quoted(text: str) -> str:
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return f'"{printable(cut)}"'
