"""Table of columns as wide as what stands in them, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its head, and a text for each line."""

    head: str
    texts: Sequence[str]
    least: int = 0  # cells that it is wide at least
    right: bool = False  # numbers stand below each other


def lines_of(columns: Sequence[Column]) -> Iterator[str]:
    """The head, then each line; nothing behind its last text."""
    widths = [max(column.least, cells(column.head), *map(cells, column.texts)) for column in columns]
    for texts in zip(*([column.head, *column.texts] for column in columns), strict=True):
        parts = []
        for column, width, text in zip(columns, widths, texts, strict=True):
            space = " " * (width - cells(text))
            parts.append(space + text if column.right else text + space)
        yield "  ".join(parts).rstrip()


def cells(text: str) -> int:
    """How wide a terminal shows it: two cells for wide letters, none for marks and joiners."""
    if text.isascii():
        return len(text)
    import unicodedata  # here: most lists are ASCII

    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
