"""Texts by which recordings are searched for, each with the number by which the index knows it. Pure."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from bwvd.evidence.export.search import folded


class Kind(enum.StrEnum):
    """What a recording says with a text."""

    DEVICE = "device"
    OFFICER = "officer"
    MARKER = "marker"  # "" where it is sealed, or has no label


class Said(NamedTuple):
    """A text as texts are compared."""

    kind: Kind
    folded: str


def text_number(kind: Kind, folded_text: str) -> int:
    """The number of a text: the same in every index, whoever has entered it first. 63 bits of its digest."""
    digest = hashlib.sha256(f"{kind} {folded_text}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def texts_of(device: str, said: Iterable[tuple[Kind, str]]) -> dict[int, Said]:
    """All that a recording is found by but its id, which no other has, by its number.

    Args:
        said: markers and officers, as they are in the clear.
    """
    every = [(Kind.DEVICE, device), *said]
    texts = {Said(kind, folded(text)) for kind, text in every}
    return {text_number(*text): text for text in texts}
