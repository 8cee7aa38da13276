"""What may stand in a log line: short printable text and numbers. Never media (invariant 1). Pure.

Only what is known to be harmless is written out. Any other object is named by its type alone, because a dataclass's
`repr` would print the buffer of samples that it holds.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import PurePath

MAX_CHARACTERS = 500  # of one value
MAX_EXCEPTION_CHARACTERS = 8000  # of a traceback: what a fault report needs of it
MAX_ENTRIES = 50  # of a list or a mapping
MAX_DEPTH = 4

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
_BYTES = re.compile(r"""\bb(['"])(?:\\.|(?!\1).)*\\x(?:\\.|(?!\1).)*(?:\1|$)""")  # b'..\x..', as errors quote it
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def clean(value: object, depth: int = 0) -> object:
    """`value` with everything replaced that has no place in a log."""
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return clean(value.value, depth)
        case int():
            return value if -(2**63) <= value < 2**63 else "<integer>"
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return text(value)
        case BaseException():
            said = str(value)
            return text(f"{type(value).__name__}: {said}" if said else type(value).__name__)
        case PurePath():
            return text(str(value))
        case Mapping() if depth < MAX_DEPTH:
            return _mapping(value, depth)
        case Sequence() | Set() if depth < MAX_DEPTH and _is_plain(value):
            entries = [clean(entry, depth + 1) for entry, _ in zip(value, range(MAX_ENTRIES), strict=False)]
            return entries if len(value) <= MAX_ENTRIES else [*entries, f"<{len(value) - MAX_ENTRIES} more>"]
        case _:
            return _unknown(value)


def text(value: str, limit: int = MAX_CHARACTERS) -> str:
    """On one line, without control characters, escape sequences, direction marks, quoted bytes or passwords; cut."""
    cut = value if len(value) <= limit else f"{value[:limit]}… <{len(value) - limit} more>"
    shown = _CREDENTIALS.sub("…@", _BYTES.sub("<bytes>", cut))
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in shown)


def _mapping(value: Mapping[object, object], depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, inner in value.items():
        if len(found) == MAX_ENTRIES:
            found["more"] = f"<{len(value) - MAX_ENTRIES} more>"
            break
        key = name if isinstance(name, str) and _KEY.fullmatch(name) else text(str(clean(name, MAX_DEPTH)), 64)
        if depth == 0 and key == "exception" and isinstance(inner, str):
            found[key] = _lines(inner)
        else:
            found[key] = clean(inner, depth + 1)
    return found


def _lines(value: str) -> str:
    """A traceback keeps its lines, and its end: the error itself."""
    kept = value if len(value) <= MAX_EXCEPTION_CHARACTERS else "…\n" + value[-MAX_EXCEPTION_CHARACTERS:]
    return "\n".join(text(line) for line in kept.split("\n"))


def _is_plain(value: object) -> bool:
    """Not a Sample: a NamedTuple is a sequence too, and so are arrays of pixels."""
    return type(value) in (list, tuple, set, frozenset)


def _unknown(value: object) -> str:
    """How much there is of a buffer (bytes, packets, arrays), the type of anything else."""
    try:
        return f"<{memoryview(value).nbytes} bytes>"  # type: ignore[arg-type]  # asking is how one learns
    except (TypeError, ValueError, BufferError):
        return f"<{type(value).__name__}>"
