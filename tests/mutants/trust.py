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
    Mutant(
        "take any journal for the one that was left",
        13,
        "evidence/journal/continuity.py",
        "    return None if _leads_to(volume, name) and is_there(volume, wanted) else known_as\n",
        "    return known_as if name == wanted.bytes else None\n",
        ("evidence/journal/test_witness.py",),
    ),
    Mutant(
        "take a storage without its journal for a new one",
        13,
        "evidence/journal/continuity.py",
        "        return storages[-1] if any(",
        "        return None if any(",
        ("evidence/journal/test_witness.py",),
    ),
    Mutant(
        "take a card of an earlier key for a new one",
        13,
        "evidence/journal/continuity.py",
        "if one.storage == storage), None)",
        "if one.storage == storage and one.signer == signer), None)",
        ("evidence/journal/test_witness.py",),
    ),
    Mutant(
        "take any file for the officer's id",
        13,
        "evidence/verify/officer.py",
        "            if not facts.officer or facts.officer in _digests(folder):",
        "            if not facts.officer or _digests(folder):",
        ("evidence/verify/test_officer.py",),
    ),
    Mutant(
        "let an archive of the journal go that is still needed",
        8,
        "evidence/release/archive.py",
        "        yield from self._check_recordings()\n",
        "",
        ("evidence/release/test_archive.py",),
    ),
    Mutant(
        "take any archive of the journal for one that was taken over",
        7,
        "evidence/verify/journal.py",
        "(taken := facts.taken_over.get(this.previous)) is not None",
        '(taken := facts.taken_over.get(this.previous, ("", "")))',
        ("evidence/release/test_archive.py",),
    ),
    Mutant(
        "take whatever is not there for withheld",
        7,
        "evidence/verify/proof.py",
        "excerpt=chosen if len(folders) == 1 else None,",
        "excerpt=chosen or Chosen(1, 1),",
        ("evidence/export/test_excerpt.py", "evidence/export/test_proof.py"),
    ),
    Mutant(
        "take a declaration of another manifest for this one's",
        7,
        "evidence/verify/excerpt.py",
        "if declared.manifest_sha512 != manifest_sha512:",
        "if not declared.manifest_sha512:",
        ("evidence/export/test_excerpt.py",),
    ),
    Mutant(
        "believe an exported film what it says of itself",
        7,
        "evidence/verify/report.py",
        '                return "copy"\n',
        '                return (self.claims or {}).get("verdict", "copy")\n',
        ("evidence/verify/test_copy.py",),
    ),
)
