"""Mutants of what the device and `verify` say of a card that somebody has changed (invariants 7, 13 and 14)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

TRUST = (
    Mutant(
        "wait a minute for a witness that hangs",
        13,
        "evidence/journal/witness_writer.py",
        "        with trio.move_on_after(ANSWER_S):\n            while self._settled",
        "        with trio.move_on_after(60):\n            while self._settled",
        ("evidence/journal/test_witness_writer.py",),
    ),
    Mutant(
        "write over what the witness knows of other cards",
        13,
        "evidence/journal/witness_writer.py",
        "            self._storages = storages\n        self._unread",
        "            pass\n        self._unread",
        ("evidence/journal/test_witness_writer.py",),
    ),
)
