"""Names of files and folders that somebody else may have chosen, as records, sums and the journal write them. Pure.

A file system takes any bytes but `/` and NUL; a line of JSON, a line of SHA256SUMS and a terminal do not.
"""

from __future__ import annotations

import re

# Control characters, what Python makes of bytes that are no UTF-8, and what escapes are written with.
_HARMFUL = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})")


def harmless(name: str) -> str:
    """`name`, as `os.listdir` gives it, with `\\uXXXX` for all that harms; two names never become one.

    The bytes ff 0a become `\\udcff\\u000a`, a backslash becomes `\\u005c`. Most names stay as they are.
    """
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", name)


def original(written: str) -> str:
    """The name that `harmless` has written so."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), written)
