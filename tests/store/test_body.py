"""Bodies of files: read in threads or in one, regular files only, and their errors are their own."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from bwvd.store.body import PIECE_BYTES, FileBody, blocking_of, bytes_body, file_body
from bwvd.store.folder import FolderStore
from bwvd.store.folder_tree import INCOMING
from bwvd.store.ports import Put, Store
from bwvd.testing.conformance.store import read
from bwvd.testing.store import VirtualStore


async def _whole(body: FileBody) -> bytes:
    async with body() as pieces:
        found = [piece async for piece in pieces]
    with body.blocking() as blocking:
        assert list(blocking) == found
    assert all(0 < len(piece) <= PIECE_BYTES for piece in found)
    return b"".join(found)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
async def test_a_file_whole_and_in_part(size: int, tmp_path: Path) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert await _whole(file_body(tmp_path / "file")) == content
    assert await _whole(file_body(tmp_path / "file", end=size // 2)) == content[: size // 2]
    folder = os.open(tmp_path, os.O_RDONLY)
    assert await _whole(file_body("file", folder=folder)) == content
    os.close(folder)


def test_what_can_be_read_in_a_thread(tmp_path: Path) -> None:
    assert blocking_of(file_body(tmp_path)) is not None
    assert blocking_of(bytes_body(b"")) is None


async def _kinds(folder: Path) -> list[Store]:
    (folder / "store").mkdir()
    return [VirtualStore(), FolderStore(str(folder / "store"))]


async def test_a_files_errors_are_its_own_and_store_nothing(tmp_path: Path) -> None:
    """Invariant 8: what can't be read is not taken for the store's fault, and leaves no object."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    for store in await _kinds(tmp_path):
        for name, number in (("none", errno.ENOENT), ("link", errno.EPERM), ("fifo", errno.EPERM)):
            with pytest.raises(OSError, match=name) as raised:
                await store.put("a", file_body(tmp_path / name), size=7, sha256=bytes(32))
            assert raised.value.errno == number
        assert await store.head("a") is None
        digest = hashlib.sha256(b"content").digest()
        assert await store.put("a", file_body(tmp_path / "file"), size=7, sha256=digest) is Put.NEW
        assert await store.put("a", file_body(tmp_path / "file"), size=7, sha256=digest) is Put.SAME
        assert await read(store, "a") == b"content"
    assert not list((tmp_path / "store" / INCOMING).iterdir())
