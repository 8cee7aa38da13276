"""Files of the flash as bodies of objects: in pieces through trio, or in one go in the thread of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from bwvd.offload import flash
from bwvd.offload.flash import FlashBody, ThreadReader, flash_body
from bwvd.offload.pace import Pacer
from bwvd.store.body import blocking_of
from bwvd.store.folder import FolderStore
from bwvd.store.ports import Put
from bwvd.testing.clock import VirtualClock

CONTENT = bytes(range(256)) * 12_289  # three pieces, and something
SIZE = len(CONTENT)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    (tmp_path / "card").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "card" / "a").write_bytes(CONTENT)
    return tmp_path / "card"


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was run in threads."""
    jobs: list[Any] = []
    run: Callable[..., Any] = trio.to_thread.run_sync

    async def counted(job: Any, *arguments: Any, **options: Any) -> Any:
        jobs.append(job)
        return await run(job, *arguments, **options)

    monkeypatch.setattr(trio.to_thread, "run_sync", counted)
    return jobs


def body_of(card: Path, size: int = SIZE, max_mbit: float = 0) -> FlashBody:
    return flash_body(ThreadReader(card), "a", size, Pacer(max_mbit, VirtualClock()))


async def put(card: Path, body: FlashBody, size: int = SIZE) -> Put:
    store = FolderStore(str(card.with_name("store")))
    try:
        return await store.put("a", body, size=size, sha256=hashlib.sha256(CONTENT[:size]).digest())
    finally:
        await store.aclose()


async def test_into_a_folder_a_file_goes_in_one_thread(card: Path, hops: list[Any]) -> None:
    """Each change between threads costs as much as reading a good part of a piece."""
    assert await put(card, body_of(card)) is Put.NEW
    assert len(hops) == 1
    assert (card.parent / "store" / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [0, 1, flash.PIECE_BYTES, flash.PIECE_BYTES + 1, SIZE])
async def test_both_ways_give_the_same_bytes(card: Path, size: int) -> None:
    body = body_of(card, size)
    async with body() as pieces:
        assert b"".join([piece async for piece in pieces]) == CONTENT[:size]
    blocking = blocking_of(body)
    assert blocking is not None
    with blocking.blocking() as parts:
        assert b"".join(parts) == CONTENT[:size]


@pytest.mark.parametrize("more", [True, False])
async def test_a_file_that_is_shorter_than_it_was_is_an_error_of_the_flash(card: Path, more: bool) -> None:
    size = SIZE + more
    if not more:
        (card / "a").write_bytes(CONTENT[:-1])
    with pytest.raises(OSError, match=f"shorter than {size} bytes"):
        await put(card, body_of(card, size), size)
    assert [path for path in (card.parent / "store").rglob("*") if path.is_file()] == []


async def test_a_file_that_is_gone_is_an_error_of_the_flash(card: Path) -> None:
    (card / "a").unlink()
    with pytest.raises(FileNotFoundError):
        await put(card, body_of(card))


async def test_what_has_a_pace_or_is_large_goes_piece_by_piece(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pieces there is the wait, and the look whether there still is power."""
    assert blocking_of(body_of(card, max_mbit=1)) is None
    monkeypatch.setattr(flash, "MOST_IN_ONE", SIZE - 1)
    assert blocking_of(body_of(card)) is None
    assert await put(card, body_of(card)) is Put.NEW
