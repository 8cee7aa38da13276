"""Entries that a start need not decode: recognised by their bytes, as many at once as are at hand. Pure.

A journal in force may be tens of megabytes, nearly all of it entries of events that a start does not ask about. The
last signature of the file covers every byte of them, so all that has to be seen of one is that it is one more record:
it begins as the device writes an entry, with the number that is due, and the line behind it has the form of a signature
by the same key. A line that is not quite so is decoded, and so is an entry of an event that is asked for. What a person
has put into an entry stands behind its event, in quotes, so it can't pass an entry off for one of another event.

What is passed here and is no record that holds is found all the same. The device counts the records that hold. Where it
has signed one behind that place, its number is not the one that is due here; where it has signed none, the signature
that is checked is the one of that place. Either way the strict reader judges every line.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection
from typing import NamedTuple

from bwvd.evidence.format.decode import SIGNATURE_BEGIN
from bwvd.evidence.format.line_reader import LineReader

# As `records.Entry` is encoded: type, number and event come first. A longer line is decoded.
_ENTRY = rb'\{"type":"entry","n":([1-9][0-9]{0,17}),"event":"([a-z_]+)","stamp":[^\n]{0,65536}\}\n'
_SIGNATURE_END = rb'[A-Za-z0-9+/]+={0,2}"\}\n'


class Run(NamedTuple):
    """Entries one after the other, each with its signature."""

    entries: int
    asked_for: list[tuple[int, bytes]]  # number and line of those that are to be decoded
    signed: memoryview  # all of it up to the last signature
    signature: bytes  # the line of that

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return len(self.signed) + len(self.signature)


class Skim:
    """Recognises the entries of one file and one key.

    Args:
        signature_head: what every signature by the key in this file begins with, up to its value.
        asked_for: the events whose entries are to be decoded.
    """

    def __init__(self, signature_head: bytes, asked_for: Collection[str]) -> None:
        # Base64 of whole threes of bytes; what is left of the head is in the part that any signature may have.
        head = base64.b64encode(signature_head)[: len(signature_head) // 3 * 4]
        self._pair = re.compile(_ENTRY + b"()" + re.escape(SIGNATURE_BEGIN + head) + _SIGNATURE_END)
        self._asked_for = frozenset(event.encode() for event in asked_for)

    def run(self, lines: LineReader, number: int) -> Run:
        """The entries from where `lines` stands on, the first of them of this number, as far as they are at hand.

        `lines` stays where it is.
        """
        buffer, begin = lines.at_hand()
        signature = end = begin
        asked_for = []
        due = number
        match = self._pair.match
        while pair := match(buffer, end):
            found, event, _ = pair.groups()
            if int(found) != due:
                break
            signature = pair.start(3)
            if event in self._asked_for:
                asked_for.append((due, buffer[end:signature]))
            end = pair.end()
            due += 1
        return Run(due - number, asked_for, memoryview(buffer)[begin:signature], buffer[signature:end])
