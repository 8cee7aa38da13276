"""Mutants of the stores: what is put twice, named too early, or believed (invariants 6, 7, 8 and 16)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

STORE = (
    Mutant(
        "put over what a bucket holds",
        8,
        "store/s3/store.py",
        '            "if-none-match": "*",\n',
        "",
        ("store/test_s3.py",),
    ),
    Mutant(
        "believe a bucket that it locks",
        8,
        "store/s3/store.py",
        "            await self._check_lock(name, retain_until if outcome is Put.NEW else self._now())\n",
        "            pass\n",
        ("store/test_s3.py",),
    ),
    Mutant(
        "take what has the name in a bucket for the same",
        16,
        "store/s3/store.py",
        "                same = there.sha256 == sha256\n",
        "                same = True\n",
        ("store/test_s3.py",),
    ),
    Mutant(
        "name an object in a folder before it is durable",
        6,
        "store/folder_tree.py",
        "            os.fdatasync(written.fd)\n",
        "",
        ("store/test_folder.py",),
    ),
    Mutant(
        "leave the name of an object in a folder to chance",
        6,
        "store/folder_tree.py",
        "                    os.fsync(folder)\n",
        "",
        ("store/test_folder.py",),
    ),
    Mutant(
        "follow links in a folder store",
        7,
        "store/folder_tree.py",
        "_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC",
        "_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC",
        ("store/test_folder.py",),
    ),
)
