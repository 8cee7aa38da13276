"""Secrets among a command's arguments, blotted out of what its program says. Pure.

A program that can't reach its camera quotes the address that it was given, user and password included; its last words
stand in the fault's reason, and that is signed and stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from bwvd.text import BLOTTED, without_credentials

LEAST = 4  # characters: what is shorter would blot out half of what is said
# Of an option, or of a property as GStreamer has them (user-pw=…): its value is a secret.
_NAMED = re.compile(r"pass|pw|secret|token|auth|cred|login|user|cookie|header|(?:^|[-_])key$|^[up]$", re.IGNORECASE)


class Secrets:
    """What must not be shown of a command line."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """arguments: the program's, without its name."""
        found = {text for text in _secrets(arguments) if len(text) >= LEAST}
        # The longer first: a shorter one may be a part of it.
        parts = sorted(found, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, parts))) if parts else None

    def blotted(self, said: str) -> str:
        """`said` without them, and without the user and password of any address in it."""
        return without_credentials(self._known.sub(BLOTTED, said) if self._known is not None else said)


def _secrets(arguments: Sequence[str]) -> Iterator[str]:
    before = ""
    for argument in arguments:
        name, sign, value = argument.partition("=")
        if argument.startswith("-") and not sign:
            before = argument
            continue
        if _NAMED.search(before.lstrip("-")):
            yield from _with_parts(argument)
        elif sign and _NAMED.search(name.lstrip("-")):
            yield from _with_parts(value)
        before = ""
        yield from _of_address(argument)


def _with_parts(value: str) -> Iterator[str]:
    """`USER:PASSWORD` is said whole or in parts."""
    for text in (value, *re.split(r"[:\s]+", value)):
        yield text
        yield unquote(text)


def _of_address(argument: str) -> Iterator[str]:
    for match in re.finditer(r"[a-z][a-z0-9+.-]*://[^\s\"']+", argument, re.IGNORECASE):
        try:
            parts = urlsplit(match[0])
            password = parts.password
        except ValueError:
            continue  # no address, only much like one
        if password:
            yield password
            yield unquote(password)
        for _, value in parse_qsl(parts.query):
            yield value
