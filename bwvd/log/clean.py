"""Values as a log line may hold them: short printable text and numbers. Never media (invariant 1). Pure.

Only what is known to be harmless is written out. Any other object is named by its type alone, because a dataclass's
`repr` would print the buffer of samples that it holds.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import PurePath

from bwvd.text import clean

MAX_EXCEPTION_CHARACTERS = 8000  # of a traceback: what a fault report needs of it
MAX_ENTRIES = 50  # of a list or a mapping
MAX_DEPTH = 4

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def clean_value(value: object, depth: int = 0) -> object:
    """`value` with everything replaced that has no place in a log."""
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return clean_value(value.value, depth)
        case int():
            return value if -(2**63) <= value < 2**63 else "<integer>"
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return clean(value)
        case BaseException():
            said = str(value)
            return clean(f"{type(value).__name__}: {said}" if said else type(value).__name__)
        case PurePath():
            return clean(str(value))
        case Mapping() if depth < MAX_DEPTH:
            return _mapping(value, depth)
        case Sequence() | Set() if depth < MAX_DEPTH and _is_plain(value):
            entries = [clean_value(entry, depth + 1) for entry, _ in zip(value, range(MAX_ENTRIES), strict=False)]
            return entries if len(value) <= MAX_ENTRIES else [*entries, f"<{len(value) - MAX_ENTRIES} more>"]
        case _:
            return _unknown(value)


def _mapping(value: Mapping[object, object], depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, inner in value.items():
        if len(found) == MAX_ENTRIES:
            found["more"] = f"<{len(value) - MAX_ENTRIES} more>"
            break
        key = name if isinstance(name, str) and _KEY.fullmatch(name) else clean(str(clean_value(name, MAX_DEPTH)), 64)
        if depth == 0 and key == "exception" and isinstance(inner, str):
            found[key] = _lines(inner)
        else:
            found[key] = clean_value(inner, depth + 1)
    return found


def _lines(value: str) -> str:
    """A traceback keeps its lines, and its end: the error itself."""
    kept = value if len(value) <= MAX_EXCEPTION_CHARACTERS else "…\n" + value[-MAX_EXCEPTION_CHARACTERS:]
    return "\n".join(clean(line) for line in kept.split("\n"))


def _is_plain(value: object) -> bool:
    """Not a Sample: a NamedTuple is a sequence too, and so are arrays of pixels."""
    return type(value) in (list, tuple, set, frozenset)


def _unknown(value: object) -> str:
    """How much there is of a buffer (bytes, packets, arrays), the type of anything else."""
    try:
        return f"<{memoryview(value).nbytes} bytes>"  # type: ignore[arg-type]  # asking is how one learns
    except (TypeError, ValueError, BufferError):
        return f"<{type(value).__name__}>"
