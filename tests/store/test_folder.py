"""A folder as a store: what a power cut leaves, what is planted in it, what it can't do."""

from __future__ import annotations

import datetime
import errno
import os
import time
from pathlib import Path

import pytest

from bwvd.store import folder_tree
from bwvd.store.errors import LockMissing, ObjectDiffers, StoreError, StoreFull, StoreRefused, StoreUnreachable
from bwvd.store.folder import FolderStore
from bwvd.store.folder_tree import INCOMING
from bwvd.store.ports import EveryPage, Lock, Put
from bwvd.testing.conformance.store import put, read

NAME = "devices/A/recordings/R/000001.m4s"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(str(tmp_path))


async def test_the_order_of_the_syncs(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 6: the content is durable before its name, and the name before the put has returned."""
    steps: list[str] = []

    def told(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object, **named: object) -> object:
            steps.append(name)
            return real(*arguments, **named)

        monkeypatch.setattr(f"bwvd.store.folder_tree.os.{name}", call)

    for name in ("write", "fdatasync", "link", "fsync", "mkdir", "unlink"):
        told(name)
    assert await put(store, NAME, b"content") is Put.NEW
    assert steps == [
        "mkdir",  # .incoming
        "write", "fdatasync",
        *4 * ["mkdir", "fsync"],
        "link", "fsync", "unlink",
    ]  # fmt: skip


async def test_what_a_cut_left_is_no_object_and_goes_in_time(store: FolderStore, tmp_path: Path) -> None:
    """Invariant 6: whole under its name, or not there."""
    incoming = tmp_path / INCOMING
    incoming.mkdir()
    old, new = incoming / "old", incoming / "new"
    old.write_bytes(b"hal")
    new.write_bytes(b"hal")
    os.utime(old, (time.time() - 90_000,) * 2)
    assert await put(store, NAME, b"content") is Put.NEW
    assert [one.name for one in (incoming).iterdir()] == ["new"]
    assert [one.name async for page in EveryPage(store) for one in page.objects] == [NAME]


async def test_links_that_are_planted_lead_nowhere(store: FolderStore, tmp_path: Path) -> None:
    """Invariant 7: nothing outside of the folder is read, written or taken for an object."""
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "000001.m4s").write_bytes(b"outside")
    (tmp_path / "devices").symlink_to(outside)
    (tmp_path / "file").symlink_to(outside / "000001.m4s")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ObjectDiffers, match="symbolic link"):
        await put(store, "devices/000001.m4s", b"content")
    with pytest.raises(StoreRefused, match="symbolic link"):
        await read(store, "devices/000001.m4s")
    for name in ("file", "fifo"):
        with pytest.raises(ObjectDiffers):
            await put(store, name, b"content")
        with pytest.raises(StoreRefused):
            await read(store, name)
        with pytest.raises(StoreRefused):
            await store.head(name)
    page = await store.page("")
    assert page.objects == ()
    assert sorted(one.shown for one in page.hostile) == ["devices", "fifo", "file"]
    assert [one.name for one in (outside).iterdir()] == ["000001.m4s"]
    assert (outside / "000001.m4s").read_bytes() == b"outside"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
async def test_a_file_system_without_links(
    store: FolderStore, number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Invariant 8: there the file is renamed, and nothing is replaced either."""

    def no_links(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("bwvd.store.folder_tree.os.link", no_links)
    assert await put(store, NAME, b"content") is Put.NEW
    assert await put(store, NAME, b"content") is Put.SAME
    assert [one.name for one in (tmp_path / INCOMING).iterdir()] == []
    source = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(FileExistsError):
        folder_tree._rename_without_replacing(source, "other", source, NAME)
    os.close(source)
    assert await read(store, NAME) == b"content"


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EROFS, StoreRefused),
        (errno.EIO, StoreUnreachable),
        (errno.ESTALE, StoreUnreachable),
        (errno.EHOSTDOWN, StoreUnreachable),
    ],
)
async def test_a_medium_that_fails_leaves_nothing(
    store: FolderStore, number: int, error: type[StoreError], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr("bwvd.store.folder_tree.os.fdatasync", fails)
        with pytest.raises(error) as raised:
            await put(store, NAME, b"content")
    assert os.strerror(number) in str(raised.value)
    assert [one.name for one in (tmp_path / INCOMING).iterdir()] == []
    assert await store.head(NAME) is None
    assert await put(store, NAME, b"content") is Put.NEW


async def test_a_large_folder_is_read_now_and_then_and_not_for_each_page(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A hostile hand may leave a million files: each page would read all of their names again."""
    monkeypatch.setattr("bwvd.store.folder_tree.PAGE_OBJECTS", 10)
    monkeypatch.setattr("bwvd.store.folder_tree.WINDOW", 50)
    names = [f"many/{number:03d}" for number in range(200)]
    names += [f"many/{number:03d}-d/{part}" for number in range(3, 40) for part in "abc"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folders = 0
    real = os.scandir

    def counted(fd: int) -> object:
        nonlocal folders
        folders += 1
        return real(fd)

    monkeypatch.setattr("bwvd.store.folder_tree.os.scandir", counted)
    pages = [page async for page in EveryPage(store, "many/")]
    assert [one.name for page in pages for one in page.objects] == sorted(names)
    assert len(pages) == 32
    pages = [page async for page in EveryPage(store, "many/", folders=True)]
    assert sorted(one.name for page in pages for one in page.objects) == [n for n in sorted(names) if "-d/" not in n]
    assert sum(len(page.folders) for page in pages) == 37
    folders = 0
    monkeypatch.setattr("bwvd.store.folder_tree.WINDOW", 20_000)
    assert len([page async for page in EveryPage(store, "many/", folders=True)]) == 24
    assert folders == 1
    (tmp_path / "many" / "0005").touch()  # a listing that begins sees what is new
    page = await store.page("many/", after="many/0004")
    assert page.objects[0].name == "many/0005"


async def test_a_folder_locks_nothing_and_says_so(store: FolderStore) -> None:
    facts = await store.facts()
    assert facts.lock is Lock.NONE
    assert "locks nothing" in facts.detail
    with pytest.raises(LockMissing, match="locks nothing") as raised:
        await put(store, NAME, b"content", until=datetime.datetime.now(datetime.UTC))
    assert not raised.value.stored
    assert await store.head(NAME) is None


async def test_a_closed_folder(store: FolderStore) -> None:
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreError):
        await store.facts()
