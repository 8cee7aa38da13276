"""Forged heads of a journal: whoever has a camera's credentials, and not its key, keeps nobody's receipts back.

The names of heads say how far a journal came, and the newest stands for the file in force. One that the device has not
signed is told, and another one is taken.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bwvd.custody import forged
from bwvd.custody import index as at
from bwvd.custody.findings import BLOCKING
from bwvd.store import names
from bwvd.testing.store import Held, VirtualStore
from tests.support.custody_store import Camera, Working, carry, custody, draft
from tests.support.evidence_keys import fixed_signer


def kinds(working: Working) -> set[str]:
    return {row["kind"] for row in working.post.index.do(at.all_findings)}


def put_head(store: VirtualStore, camera: Camera, number: int, data: bytes, *, named_for: bytes = b"") -> None:
    digest = hashlib.sha512(named_for or data).hexdigest()
    store.objects[names.journal_head(camera.device, camera.storage, number, len(data), digest)] = Held(data)


def by_a_stranger(tmp_path: Path, camera: Camera) -> bytes:
    """A whole journal of that device's name, signed by another key."""
    other = Camera(tmp_path / "other", device=camera.device, signer=fixed_signer(9))
    return (other.root / "journal.jsonl").read_bytes()


@pytest.mark.parametrize("number", [1, 2, 999_999])
@pytest.mark.parametrize("what", ["garbage", "other bytes", "a stranger's", "an archive"])
async def test_what_the_device_has_not_signed_is_told_and_holds_nothing_up(
    tmp_path: Path, what: str, number: int
) -> None:
    """Invariants 13 and 16."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(2)
    await carry(store, camera)
    genuine = (camera.root / "journal.jsonl").read_bytes()
    if what == "garbage":
        put_head(store, camera, number, b"x" * 100_000)
    elif what == "other bytes":
        put_head(store, camera, number, b"x" * (len(genuine) + 500), named_for=genuine)
    elif what == "a stranger's":
        put_head(store, camera, number, by_a_stranger(tmp_path, camera))
    else:
        archive = f"journal-{number + 1:06d}.jsonl"
        store.objects[names.journal_archive(camera.device, camera.storage, archive)] = Held(b"x" * 1000)
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 2
        assert kinds(working) == {"stranger"}
        camera.record(1)  # and it goes on
        await carry(store, camera)
        assert (await working.once()).received == 1
        assert kinds(working) == {"stranger"}


async def test_what_the_device_has_signed_and_left_is_a_fork_all_the_same(tmp_path: Path) -> None:
    """Invariant 13."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    await carry(store, camera)
    twin = Camera(tmp_path / "twin")
    for path in camera.root.iterdir():
        if path.is_file():
            (twin.root / path.name).write_bytes(path.read_bytes())
    twin.enter(draft("boot", boot="boot-9"))
    put_head(store, camera, 1, (twin.root / "journal.jsonl").read_bytes())
    camera.record(1)
    await carry(store, camera)
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 0
        assert "fork" in kinds(working)


async def test_no_more_are_read_than_a_round_can_bear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not looked at is taken for what its name says: that stops the receipts, and a person sees it."""
    monkeypatch.setattr(forged, "MOST_TRIED", 5)
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    await carry(store, camera)
    for number in range(10):
        put_head(store, camera, 900_000 + number, b"x" * 100)
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert (done.received, done.failed) == (0, {})
        assert kinds(working) & BLOCKING
