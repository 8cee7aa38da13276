"""What a custodian makes of recordings: receipts for the good ones, findings for the others (invariant 16)."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from bwvd.custody import index as at
from bwvd.custody.judge import State
from bwvd.evidence.release.receipt import accept_receipt
from bwvd.store import names
from bwvd.testing.store import Held, VirtualStore
from tests.support.custody_store import (
    CUSTODIAN,
    OTHER,
    Camera,
    Working,
    carry,
    custodian_line,
    custody,
    device_line,
    draft,
    list_of,
    put,
    recording_id,
)
from tests.support.evidence_keys import fixed_signer

RELEASE = list_of(custodian_line(CUSTODIAN, "evidence-server"))  # the camera's keys.release


def receipts(store: VirtualStore) -> list[str]:
    return sorted(name.rpartition("/")[2] for name in store.objects if "/receipts/" in name)


def kinds(working: Working) -> list[tuple[str, str]]:
    """The open findings: kind and recording."""
    return [(row["kind"], row["recording"]) for row in working.post.index.do(at.all_findings)]


def details(working: Working) -> str:
    return "\n".join(row["detail"] for row in working.post.index.do(at.all_findings))


async def test_a_good_recording_gets_the_receipt_that_a_camera_takes(tmp_path: Path) -> None:
    """Invariant 16."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    made = camera.record(3)
    await carry(store, camera)
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert (done.received, done.findings, done.failed) == (3, 0, {})
        for recording in made:
            data = store.objects[names.receipt("BWV-0001", recording)].content
            accepted = accept_receipt(data, None, [RELEASE], 1_795_400_000)
            assert (accepted.receipt.recording, accepted.receipt.device) == (recording, "BWV-0001")
        again = await working.once()
        assert (again.received, again.idle) == (0, True)


async def test_what_has_not_come_whole_is_left_alone(tmp_path: Path) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(2)
    await carry(store, camera)
    last = names.recording_file("BWV-0001", recording_id(2), "SHA256SUMS.sig")
    held = store.objects.pop(last)
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 1
        assert receipts(store) == [f"{recording_id(1)}.json"]
        assert kinds(working) == []
        store.objects[last] = held
        assert (await working.once()).received == 1
        assert len(receipts(store)) == 2


@pytest.mark.parametrize("file", ["000001.m4s", "manifest.jsonl", "SHA256SUMS", "init.mp4"])
async def test_an_altered_recording_is_a_finding_and_gets_no_receipt(tmp_path: Path, file: str) -> None:
    """Invariants 7 and 16."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(3)
    await carry(store, camera)
    name = names.recording_file("BWV-0001", recording_id(2), file)
    content = bytearray(store.objects[name].content)
    content[len(content) // 2] ^= 1
    store.objects[name] = Held(bytes(content))
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert done.received == 2
        assert kinds(working) == [("altered", recording_id(2))]
        assert receipts(store) == [f"{recording_id(1)}.json", f"{recording_id(3)}.json"]
        again = await working.once()  # told once
        assert (again.findings, again.bytes) == (0, 0)


async def test_a_missing_segment_is_found(tmp_path: Path) -> None:
    """Invariant 7."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1, seconds=2)
    await carry(store, camera)
    del store.objects[names.recording_file("BWV-0001", recording_id(1), "000002.m4s")]
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 0
        assert kinds(working) == [("altered", recording_id(1))]
        assert "is missing" in details(working)


async def test_a_signer_that_is_not_listed_is_a_finding_until_he_is(tmp_path: Path) -> None:
    """Invariant 14."""
    store, camera = VirtualStore(), Camera(tmp_path / "card", signer=fixed_signer(7))
    camera.record(2)
    await carry(store, camera)
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 0
        assert sorted(kinds(working)) == [
            ("journal", ""),
            ("unvouched", recording_id(1)),
            ("unvouched", recording_id(2)),
        ]
        assert "SHA256:" in details(working)
        assert (await working.once()).bytes == 0  # by the same list it is not read again
    both = list_of(device_line(), device_line(fixed_signer(7)))
    async with custody(store, tmp_path / "index", signers=both, signers_sha256="list-2") as working:
        assert (await working.once()).received == 2
        assert kinds(working) == []
        resolved = working.post.index.do(lambda db: at.all_findings(db, resolved=True))
        assert [row["resolution"] for row in resolved] == [at.SEEN] * 3


async def test_a_recording_waits_for_the_journal_that_it_names(tmp_path: Path) -> None:
    """Invariant 13."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    await carry(store, camera)
    camera.enter(draft("boot", boot="boot-2"))
    camera.record(1)
    late = {name: data for name, data in camera.objects().items() if "/journal/" in name}
    for name, data in camera.objects().items():
        if name not in late:
            await put(store, name, data)
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert (done.received, done.waiting) == (1, 1)
        assert kinds(working) == []
        for name, data in late.items():
            await put(store, name, data)
        done = await working.once()
        assert (done.received, done.waiting) == (1, 0)


async def test_a_journal_that_was_put_back_stops_the_receipts_until_a_person_decides(tmp_path: Path) -> None:
    """Invariant 13: the card is exchanged with an earlier copy of itself, and the camera goes on with that."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    await carry(store, camera)
    copy = Camera(tmp_path / "copy")
    shutil.rmtree(copy.root)
    shutil.copytree(camera.root, copy.root)
    copy.serial, copy.head = camera.serial, camera.head
    camera.record(1)
    await carry(store, camera)
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 2
        copy.enter(draft("boot", boot="boot-2"))
        await carry(store, copy)
        await working.once()
        assert kinds(working) == [("rollback", "")]
        copy.serial = 2
        copy.record(3)  # numbers 3 to 5, of the card that was put back
        await carry(store, copy)
        done = await working.once()
        assert (done.received, done.held) == (0, 3)
        assert {kind for kind, _ in kinds(working)} >= {"rollback", "fork"}
        blocking = [row["id"] for row in working.post.index.do(at.all_findings) if row["kind"] in ("rollback", "fork")]
        working.post.index.do(lambda db: at.resolve(db, blocking, "2026-11-30T12:00:00Z", "clerk: card was repaired"))
        done = await working.once()
        assert done.received == 3
        assert not {kind for kind, _ in kinds(working)} & {"rollback", "fork"}
        assert (await working.once()).findings == 0


async def test_the_device_says_itself_that_it_was_put_back(tmp_path: Path) -> None:
    """Invariant 13."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.enter(draft("storage_rolled_back"))
    camera.record(1)
    await carry(store, camera)
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert (done.received, done.held) == (0, 1)
        assert kinds(working) == [("rollback", "")]


async def test_an_altered_journal_stops_the_receipts(tmp_path: Path) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card", limit_bytes=9000)
    camera.record(3)
    await carry(store, camera)
    archive = next(name for name in sorted(store.objects) if name.endswith("/journal-000002.jsonl"))
    content = bytearray(store.objects[archive].content)
    content[100] ^= 1
    store.objects[archive] = Held(bytes(content))
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert done.received == 0
        assert {kind for kind, _ in kinds(working)} >= {"journal"}


async def test_a_number_that_is_missing_is_found_and_forgotten_when_it_comes(tmp_path: Path) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(3)
    await carry(store, camera, but=(recording_id(2),))
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 2
        assert kinds(working) == [("missing_serial", "")]
        assert recording_id(2) in details(working)
        await carry(store, camera)
        assert (await working.once()).received == 1
        assert kinds(working) == []


async def test_a_number_whose_release_the_journal_knows_is_not_missing(tmp_path: Path) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(2)
    camera.enter(draft("released", recording=recording_id(1), serial=1))
    camera.record(1)
    await carry(store, camera, but=(recording_id(1),))
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 2
        assert kinds(working) == []


async def test_a_recording_that_names_another_journal_is_a_finding(tmp_path: Path) -> None:
    """Invariant 13: the journal knows it, and was exchanged before it."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    assert camera.head is not None
    camera.head = msgspec.structs.replace(camera.head, sha512="0" * 128)
    camera.record(1)
    await carry(store, camera)
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 0
        assert kinds(working) == [("journal_cut", recording_id(1))]


# --- receipts that are there ------------------------------------------------------------------------------------------


async def test_a_receipt_by_a_stranger_is_a_finding(tmp_path: Path) -> None:
    """Invariant 16."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(2)
    await carry(store, camera)
    async with custody(store, tmp_path / "index", signer=OTHER, name="other") as other:
        await other.once()
    before = {name: held.content for name, held in store.objects.items() if "/receipts/" in name}
    async with custody(store, tmp_path / "index-2") as working:
        assert (await working.once()).received == 0
        assert kinds(working) == [("receipt", recording_id(1)), ("receipt", recording_id(2))]
    assert before == {name: held.content for name, held in store.objects.items() if "/receipts/" in name}


async def test_a_receipt_by_another_custodian_that_is_listed_counts(tmp_path: Path) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(2)
    await carry(store, camera)
    async with custody(store, tmp_path / "index", signer=OTHER, name="other") as other:
        await other.once()
    signers = list_of(device_line(), custodian_line(OTHER, "other"))
    async with custody(store, tmp_path / "index-2", signers=signers) as working:
        done = await working.once()
        assert (done.received, done.findings) == (2, 0)
        assert done.bytes == 0  # the other has verified them


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * 100_000, b'{"type":"receipt"}\n{"sig":"AAAA"}\n'])
async def test_what_is_no_receipt_in_the_place_of_one_is_a_finding(tmp_path: Path, content: bytes) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    await carry(store, camera)
    store.objects[names.receipt("BWV-0001", recording_id(1))] = Held(content)
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 0
        assert kinds(working) == [("receipt", recording_id(1))]


async def test_a_receipt_for_another_manifest_is_a_finding(tmp_path: Path) -> None:
    """Invariant 16."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(2)
    await carry(store, camera)
    async with custody(store, tmp_path / "index") as working:
        await working.once()
    one, two = (names.receipt("BWV-0001", recording_id(serial)) for serial in (1, 2))
    store.objects[one] = store.objects[two]
    async with custody(store, tmp_path / "index-2") as working:
        assert (await working.once()).received == 1
        assert kinds(working) == [("receipt", recording_id(1))]


async def test_no_custodian_acknowledges_what_its_own_key_has_signed(tmp_path: Path) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card", signer=CUSTODIAN)
    camera.record(1)
    await carry(store, camera)
    async with custody(store, tmp_path / "index", signers=list_of(device_line(CUSTODIAN))) as working:
        assert (await working.once()).received == 0
        assert kinds(working) == [("own_key", recording_id(1))]


# --- whoever has filled the store -------------------------------------------------------------------------------------


async def test_names_from_a_hostile_store_are_told_and_not_used(tmp_path: Path) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    await carry(store, camera)
    for name in (
        "devices/BWV-0001/recordings/../x/manifest.jsonl",
        "devices/BWV-0001/recordings/\x1b[31m/manifest.jsonl",
        "devices/BWV-0001/recordings/20261122T071505Z-BWV-0002-000001/SHA256SUMS.sig",
        f"devices/BWV-0001/recordings/{recording_id(1)}/\x07",
        "devices/BWV-0001/journal/nonsense/heads/1",
        "devices/../etc/passwd",
        "devices/\x1b/recordings/x/SHA256SUMS.sig",
    ):
        store.objects[name] = Held(b"x")
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert done.received == 0
        told = details(working)
        assert {kind for kind, _ in kinds(working)} == {"stranger", "altered"}
        assert told.isprintable() or all(line.isprintable() for line in told.split("\n"))
        assert "BWV-0002" in told
        assert "nonsense" in told


async def test_a_store_of_another_fleet(tmp_path: Path) -> None:
    """Invariant 14."""
    store = VirtualStore()
    for number in range(3):
        device = f"CAM-{number}"
        camera = Camera(tmp_path / device, device=device, signer=fixed_signer(20 + number))
        camera.record(1)
        await carry(store, camera)
    async with custody(store, tmp_path / "index") as working:
        done = await working.once()
        assert (done.received, done.devices) == (0, 3)
        assert [kind for kind, _ in kinds(working)].count("unvouched") == 3
    assert receipts(store) == []


async def test_a_device_in_another_ones_place_is_found(tmp_path: Path) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    for name, data in camera.objects().items():
        await put(store, name.replace("BWV-0001", "BWV-0009"), data)
    async with custody(store, tmp_path / "index") as working:
        assert (await working.once()).received == 0
        assert {kind for kind, _ in kinds(working)} >= {"journal", "altered"}


async def test_no_more_findings_of_a_device_are_kept_than_a_person_can_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at, "MOST_FINDINGS", 10)
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    await carry(store, camera)
    for number in range(50):
        store.objects[f"devices/BWV-0001/recordings/x{number:03d}/y"] = Held(b"")
    async with custody(store, tmp_path / "index") as working:
        await working.once()
        assert len(kinds(working)) == 11
        assert "more than 10 findings" in details(working)
        entered = {name for name in store.objects if name.startswith("custody/")}
        for _ in range(2):  # it goes on to be so, and nothing more of it is entered
            done = await working.once()
            assert (done.findings, done.idle) == (0, True)
        assert {name for name in store.objects if name.startswith("custody/")} == entered
        for number in range(45):
            del store.objects[f"devices/BWV-0001/recordings/x{number:03d}/y"]
        for _ in range(2):  # the first of them makes room
            await working.once()
        assert "more than 10 findings" not in details(working)


async def test_a_recording_is_released_by_states_that_the_index_has(tmp_path: Path) -> None:
    """Its rows: the recording, its markers, the officer in the clear, the receipt."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1, seconds=2)
    await carry(store, camera)
    async with custody(store, tmp_path / "index") as working:
        await working.once()
        rows = working.post.index.do(lambda db: at.recording_rows(db, "BWV-0001"))
        assert rows[recording_id(1)]["state"] == State.RECEIVED
        assert rows[recording_id(1)]["verdict"] == "authentic"
        count = working.post.index.do(at.count_of)
        assert {name: count[name] for name in ("recordings", "markers", "officers", "receipts", "findings")} == {
            "recordings": 1,
            "markers": 1,
            "officers": 1,
            "receipts": 1,
            "findings": 0,
        }
