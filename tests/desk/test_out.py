"""What goes out: what `bwvd export` makes, each with its entries in the log, its progress, and a way to stop it."""

from __future__ import annotations

import hashlib
import io
import resource
import signal
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import httpx
import pyrage
import pytest
import trio

from bwvd.desk import jobs
from bwvd.desk.jobs import State
from bwvd.desk.session import Session
from bwvd.desk.source import Found, Key
from bwvd.desk.store_source import StoreSource
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.still import export_still
from bwvd.evidence.keys.age import AgeSealer
from bwvd.testing.store import Fault, VirtualStore
from tests.support.custody_store import Camera, carry
from tests.support.desk import SIGNERS, export_mp4, verify_proof
from tests.support.desk_page import ORIGIN, Asked, a_desk, desk_of
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

RECORDING = "20261122T071505Z-BWV-0001-000001"
OUT = f"/out/BWV-0001/{RECORDING}"
JSON = {"origin": ORIGIN, "accept": "application/json"}


@pytest.fixture
def card(tmp_path: Path) -> Path:
    make_recording(make_storage(tmp_path / "card"))
    return tmp_path / "card"


async def handed_out(asked: Asked, what: str, out: Path, **fields: str) -> dict[str, Any]:
    """A job, when it is over."""
    asked.desk.out = out
    answer = await asked.client.post(f"{OUT}/{what}", data=fields, headers=JSON)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    with trio.fail_after(60):
        while job["state"] in ("waiting", "running"):
            await trio.sleep(0.02)
            job = (await asked.client.get(job["address"])).json()
    return job


def left(folder: Path) -> list[str]:
    """What lies beside the card."""
    return [path.name for path in folder.iterdir() if path.name != "card"]


def made(job: dict[str, Any]) -> bytes:
    return Path(job["files"][0]["path"]).read_bytes()


async def test_an_mp4_is_the_one_that_export_makes(card: Path, tmp_path: Path) -> None:
    async with desk_of(card) as asked:
        job = await handed_out(asked, "mp4", tmp_path, **{"from": "1", "to": "2.5"})
        assert (job["state"], job["percent"], job["problem"]) == ("done", 100, "")
        film = tmp_path / f"{RECORDING}-1s-2.5s.mp4"
        assert [Path(file["path"]) for file in job["files"]] == [film]
        export_mp4(card / "recordings" / RECORDING, tmp_path / "own.mp4", from_s=1, to_s=2.5)
        assert film.read_bytes() == (tmp_path / "own.mp4").read_bytes()
        got = await asked.client.get(job["files"][0]["address"])
        assert got.content == film.read_bytes()
        assert got.headers["content-disposition"] == f'attachment; filename="{film.name}"'
        entries = await asked.log()
    assert [event for event, _ in entries] == ["entered", "exporting", "exported", "downloaded"]
    asked_for, told = entries[1][1], entries[2][1]
    assert (asked_for["what"], asked_for["from"], asked_for["to"], asked_for["reason"]) == ("mp4", 1.0, 2.5, "case 7")
    assert told["sha256"] == hashlib.sha256(film.read_bytes()).hexdigest()


async def test_a_second_one_overwrites_nothing(card: Path, tmp_path: Path) -> None:
    async with desk_of(card) as asked:
        first = await handed_out(asked, "proof", tmp_path)
        second = await handed_out(asked, "proof", tmp_path, reason="case 8")
        assert [job["files"][0]["name"] for job in (first, second)] == [f"{RECORDING}.zip", f"{RECORDING}-2.zip"]
        assert [report.verdict for report in verify_proof(tmp_path / f"{RECORDING}.zip")] == ["authentic"]
        reasons = [detail["reason"] for event, detail in await asked.log() if event == "exporting"]
    assert reasons == ["case 7", "case 8"]


async def test_an_excerpt_can_be_verified(card: Path, tmp_path: Path) -> None:
    """Invariant 7, of a part."""
    async with desk_of(card) as asked:
        job = await handed_out(asked, "proof", tmp_path, **{"from": "1", "to": "2"})
    (report,) = verify_proof(Path(job["files"][0]["path"]))
    assert report.verdict == "excerpt"


async def test_a_still_is_the_frame_of_that_moment_with_its_utc_and_digest(card: Path, tmp_path: Path) -> None:
    async with desk_of(card) as asked:
        job = await handed_out(asked, "still", tmp_path, at="1.25")
    data = made(job)
    segment = (card / "recordings" / RECORDING / "000002.m4s").read_bytes()
    with av.open(io.BytesIO(data), "r") as picture:
        frame = next(picture.decode(video=0))
        assert (frame.width, frame.height) == (96, 64)
    assert b"2026-11-22T07:15:04." in data
    assert hashlib.sha256(segment).hexdigest().encode() in data


async def test_a_still_of_a_gap_or_of_nothing_is_refused(card: Path, tmp_path: Path) -> None:
    make_recording(card, 2, gap_after=1)
    second = card / "recordings" / "20261122T071505Z-BWV-0001-000002"
    with pytest.raises(ExportRefused, match="gap"):
        export_still(second, tmp_path / "a.png", at_s=2.5, signers=SIGNERS)
    with pytest.raises(ExportRefused, match="long"):
        export_still(second, tmp_path / "a.png", at_s=900, signers=SIGNERS)
    with pytest.raises(ExportRefused, match="png"):
        export_still(second, tmp_path / "a.jpg", at_s=0, signers=SIGNERS)
    (second / "000001.m4s").write_bytes(b"x")
    with pytest.raises(ExportRefused, match="altered"):
        export_still(second, tmp_path / "a.png", at_s=0, signers=SIGNERS)
    assert left(tmp_path) == []


async def test_a_contact_sheet(card: Path, tmp_path: Path) -> None:
    async with desk_of(card) as asked:
        job = await handed_out(asked, "sheet", tmp_path)
    assert b"authentic" in made(job)


async def test_a_receipt_needs_its_key_and_a_copy(card: Path, tmp_path: Path) -> None:
    """Invariant 8."""
    async with desk_of(card) as asked:
        answer = await asked.client.post(f"{OUT}/receipt", headers=JSON)
        assert answer.status_code == 422
        assert "--receipt-key" in answer.json()["problem"]
        asked.desk.receipts = fixed_signer(60), "clerk"
        job = await handed_out(asked, "receipt", tmp_path)
    assert [file["name"] for file in job["files"]] == [f"{RECORDING}.receipt.json", f"{RECORDING}.receipt.json.sig"]


async def test_what_was_altered_is_not_handed_out(card: Path, tmp_path: Path) -> None:
    (card / "recordings" / RECORDING / "000001.m4s").write_bytes(b"x")
    async with desk_of(card) as asked:
        for what in ("mp4", "proof", "sheet"):
            job = await handed_out(asked, what, tmp_path)
            assert (job["state"], job["files"]) == ("failed", [])
            assert "altered" in job["problem"]
        assert {event for event, _ in await asked.log()} == {"entered", "exporting", "export_failed"}
    assert left(tmp_path) == []


async def test_what_is_cancelled_leaves_nothing(card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first read waits until the job was given up."""
    async with desk_of(card) as asked:
        asked.desk.out = tmp_path
        reading, given_up = trio.Event(), trio.Event()
        token = trio.lowlevel.current_trio_token()
        found = await asked.desk.find("BWV-0001", RECORDING)
        whole = type(found.source).read

        async def held(source: Any, found: Any, job: Any) -> Any:
            def late(folder: Any) -> Any:
                trio.from_thread.run_sync(reading.set, trio_token=token)
                trio.from_thread.run(given_up.wait, trio_token=token)
                return job(folder)

            return await whole(source, found, late)

        monkeypatch.setattr(type(found.source), "read", held)
        job = (await asked.client.post(f"{OUT}/mp4", headers=JSON)).json()
        await reading.wait()
        assert (await asked.client.get("/out")).text.count("<progress") == 1
        await asked.client.post(job["cancel"], headers=JSON)
        given_up.set()
        with trio.fail_after(10):
            while job["state"] != State.CANCELLED:
                await trio.sleep(0.01)
                job = (await asked.client.get(job["address"])).json()
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("mp4", {"from": "x"}),
        ("mp4", {"from": "-1"}),
        ("mp4", {"from": "2", "to": "1"}),
        ("mp4", {"to": "1e3"}),
        ("still", {}),
        ("still", {"at": "nan"}),
    ],
)
async def test_a_form_that_asks_for_nothing_that_can_be(card: Path, what: str, fields: dict[str, str]) -> None:
    async with desk_of(card) as asked:
        assert (await asked.client.post(f"{OUT}/{what}", data=fields, headers=JSON)).status_code == 422
        plain = await asked.client.post(f"{OUT}/{what}", data=fields, headers={"origin": ORIGIN})
        assert plain.status_code == 422
        assert [event for event, _ in await asked.log()] == ["entered"]


async def test_an_export_needs_its_entry(card: Path, tmp_path: Path) -> None:
    async with desk_of(card) as asked:
        asked.desk.out = tmp_path
        asked.store.every(Fault.UNREACHABLE)
        assert (await asked.client.post(f"{OUT}/mp4", headers=JSON)).status_code == 503
        asked.store.mend()
        assert asked.desk.jobs.all() == []
    assert left(tmp_path) == []


async def test_there_is_no_other_thing_to_hand_out(card: Path) -> None:
    async with desk_of(card) as asked:
        own = {"origin": ORIGIN}
        assert (await asked.client.post(f"{OUT}/keys", headers=own)).status_code == 404
        assert (await asked.client.get("/out/jobs/none.json")).status_code == 404
        assert (await asked.client.get(f"{OUT}/mp4")).status_code in (404, 405)


async def test_what_is_encrypted_goes_out_with_the_identity_alone(tmp_path: Path) -> None:
    root = make_storage(tmp_path / "card")
    identity = pyrage.x25519.Identity.generate()
    make_recording(root, sealer=AgeSealer([str(identity.to_public())]))
    async with desk_of(root) as asked:
        job = await handed_out(asked, "mp4", tmp_path)
        assert "--identity" in job["problem"]
    async with desk_of(root, identities=[identity]) as asked:
        job = await handed_out(asked, "mp4", tmp_path)
        assert job["state"] == "done"
        await handed_out(asked, "proof", tmp_path)
    with zipfile.ZipFile(tmp_path / f"{RECORDING}.zip") as archive:
        assert any(name.endswith(".m4s.age") for name in archive.namelist())
    assert not list(root.rglob("*.m4s"))


async def test_a_desk_that_ends_enters_what_became_of_each_job_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reads from a store that does not answer, one has not begun: the log says what came of both."""

    class Silent(VirtualStore):
        @asynccontextmanager
        async def get(
            self, name: str, start: int = 0, end: int | None = None, *, version: str = ""
        ) -> AsyncIterator[AsyncIterator[bytes]]:
            if name.endswith("000002.m4s"):
                await trio.sleep_forever()
            async with super().get(name, start, end, version=version) as pieces:
                yield pieces

    monkeypatch.setattr(jobs, "AT_ONCE", 1)
    store, out = Silent(), tmp_path / "out"
    out.mkdir()
    camera = Camera(tmp_path / "card")
    camera.record(seconds=3)
    await carry(store, camera)
    with trio.fail_after(30):
        async with desk_of(StoreSource(store, "s3://evidence", SIGNERS)) as asked:
            asked.desk.out = out
            for what in ("proof", "mp4"):
                assert (await asked.client.post(f"{OUT}/{what}", headers=JSON)).status_code == 200
            one, other = reversed(asked.desk.jobs.all())
            while not one.read_bytes:  # noqa: ASYNC110  only the job knows it
                await trio.sleep(0.01)
        events = [(event, detail["job"], detail.get("state")) for event, detail in await asked.log() if "job" in detail]
    assert events[:2] == [("exporting", one.id, None), ("exporting", other.id, None)]
    assert sorted(events[2:]) == sorted(("export_failed", job.id, "cancelled") for job in (one, other))
    assert (one.state, other.state) == (State.CANCELLED, State.CANCELLED)
    assert list(out.iterdir()) == []


async def test_so_many_jobs_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again and again is told, and neither kept waiting nor entered into the log."""
    monkeypatch.setattr(jobs, "MOST_WAITING", 2)
    desk = a_desk([], VirtualStore())  # nothing of it is at work
    source = StoreSource(VirtualStore(), "s3://evidence")
    found = Found(Key("BWV-0001", "x"), "x", "x", source)
    with trio.fail_after(10):
        for _ in range(2):
            await desk.jobs.add(jobs.Job("mp4", found, Session("a"), lambda _: [], {}, 1.0))
        with pytest.raises(jobs.TooMany, match="2 jobs wait already"):
            await desk.jobs.add(jobs.Job("mp4", found, Session("a"), lambda _: [], {}, 1.0))
    assert len(desk.jobs.all()) == 2


async def test_jobs_that_were_given_up_keep_no_other_from_being_ordered(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While those before them never end; and what is too many is said, at once."""
    monkeypatch.setattr(jobs, "AT_ONCE", 0)  # nobody takes one
    monkeypatch.setattr(jobs, "MOST_WAITING", 3)
    monkeypatch.setattr(jobs, "MOST_QUEUED", 10)
    async with desk_of(card) as asked:

        async def ordered() -> httpx.Response:
            with trio.fail_after(20):
                return await asked.client.post(f"{OUT}/proof", headers=JSON)

        for _ in range(2):
            for _ in range(3):
                address = (await ordered()).json()["cancel"]
                assert (await asked.client.post(address, headers=JSON)).json()["state"] == "cancelled"
        for _ in range(1):
            assert (await ordered()).status_code == 200
        assert (await ordered()).status_code == 422
        assert "wait already" in (await ordered()).json()["problem"]
        assert (await asked.client.get(f"/out/jobs/x/file/{'9' * 5000}")).status_code == 404


async def test_what_does_not_fit_onto_the_disk_leaves_nothing(card: Path, tmp_path: Path) -> None:
    """Each kind, where no file may become as large as it."""
    out = tmp_path / "out"
    out.mkdir()
    limits, before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        async with desk_of(card) as asked:
            for what, fields in (("mp4", {}), ("sheet", {}), ("proof", {}), ("proof", {"from": "1", "to": "2"})):
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
                job = await handed_out(asked, what, out, **fields)
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
                assert (job["state"], job["files"]) == ("failed", [])
                assert "File too large" in job["problem"]
                assert list(out.iterdir()) == []
            assert (await handed_out(asked, "proof", out))["state"] == "done"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
