"""Stores against their contract: the virtual one and a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bwvd.store.folder import FolderStore
from bwvd.testing.conformance.store import CHECKS, Subject
from bwvd.testing.store import VirtualStore


@asynccontextmanager
async def virtual() -> AsyncIterator[Subject]:
    store = VirtualStore()

    async def plant(name: str, content: bytes) -> None:
        store.replace(name, content)

    yield Subject(store, plant, locks=True, keeps_versions=True)


@asynccontextmanager
async def folder(path: Path) -> AsyncIterator[Subject]:
    store = FolderStore(str(path))

    async def plant(name: str, content: bytes) -> None:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    yield Subject(store, plant)
    await store.aclose()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_virtual_store(check: Callable[[Subject], Awaitable[None]]) -> None:
    """Invariant 8: an object that is there is never replaced."""
    async with virtual() as subject:
        await check(subject)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_folder(check: Callable[[Subject], Awaitable[None]], tmp_path: Path) -> None:
    """Invariant 8: an object that is there is never replaced."""
    async with folder(tmp_path) as subject:
        await check(subject)
