"""`bwvd verify` of a store with time-stamps: how far each journal existed when, and one that does not go on from it."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
from trio.testing import MockClock

from bwvd.custody.verify_store import StoreVerifier
from bwvd.evidence.format.digest_list import DigestList, Head, list_name, token_name
from bwvd.evidence.format.layout import JOURNAL
from bwvd.evidence.keys.rfc3161 import load_certificates, new_request
from bwvd.evidence.verify.report import Report
from bwvd.store import names
from bwvd.testing.store import VirtualStore
from tests.support.custody_store import Camera, carry, device_line, draft, list_of, put
from tests.support.time_authority import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa"))


def head_of(camera: Camera) -> Head:
    """The journal as far as it goes now."""
    data = (camera.root / JOURNAL).read_bytes()
    return Head(hashlib.sha512(data).hexdigest(), len(data), 1, camera.storage)


async def stamp(store: VirtualStore, authority: Authority, head: Head, device: str = "BWV-0001") -> None:
    """As the carrier puts it, once the authority has answered."""
    listed = DigestList(frozenset(), head).encode()
    answer = authority.reply(new_request(listed).der)
    await put(store, names.witness_file(device, list_name(listed)), listed)
    await put(store, names.witness_file(device, token_name(listed, "one.example")), answer)


async def journal_report(store: VirtualStore, authority: Authority, *, roots: bool = True) -> Report:
    trusted = load_certificates(authority.root) if roots else None
    verifier = StoreVerifier(store, list_of(device_line()), roots=trusted, address="file:store")
    reports = await verifier.verify("devices/BWV-0001")
    [report] = [one for one in reports if one.kind == "storage" and "/journal/" in one.path]
    return report


async def test_how_far_a_journal_existed(tmp_path: Path, authority: Authority, autojump_clock: MockClock) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(2)
    head = head_of(camera)
    await carry(store, camera)
    await stamp(store, authority, head)
    camera.record(1)
    await carry(store, camera)
    report = await journal_report(store, authority)
    assert (report.verdict, report.findings) == ("authentic", [])
    assert report.existed is not None
    [existed] = report.existed
    assert existed.what == f"the first {head.bytes} bytes of journal file 1, and all before them"
    unjudged = await journal_report(store, authority, roots=False)
    assert unjudged.existed is None
    assert any("--tsa-certs FILE" in note.what for note in unjudged.notes)


async def test_a_journal_that_is_no_continuation_of_what_was_stamped(
    tmp_path: Path, authority: Authority, autojump_clock: MockClock
) -> None:
    """Invariant 13: whoever has the device's key wrote it anew, under the same id; the token is from before that."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    head = dataclasses.replace(head_of(camera), sha512=hashlib.sha512(b"as it was").hexdigest())
    await stamp(store, authority, head)
    await carry(store, camera)
    report = await journal_report(store, authority)
    assert report.verdict == "altered"
    [finding] = report.findings
    assert f"the first {head.bytes} bytes of journal file 1 are not what they were; it was so before" in finding.what
    assert report.existed == []


async def test_what_has_not_come_yet_is_a_note(tmp_path: Path, authority: Authority, autojump_clock: MockClock) -> None:
    """A token may come before the head that it is for: that is no alteration, and it is said."""
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    await carry(store, camera)
    camera.enter(draft("state", state="standby"))
    head = head_of(camera)
    await stamp(store, authority, head)
    report = await journal_report(store, authority)
    assert report.verdict == "authentic"
    assert [note.what for note in report.notes if "have not come yet, or were cut" in note.what]
    await carry(store, camera)
    report = await journal_report(store, authority)
    assert report.existed
    assert not [note for note in report.notes if "have not come yet" in note.what]


async def test_the_journal_of_a_storage_that_is_not_there(
    tmp_path: Path, authority: Authority, autojump_clock: MockClock
) -> None:
    store, camera = VirtualStore(), Camera(tmp_path / "card")
    camera.record(1)
    await carry(store, camera)
    await stamp(store, authority, dataclasses.replace(head_of(camera), storage="ab" * 16))
    report = await journal_report(store, authority)
    assert report.verdict == "authentic"
    assert [note.what for note in report.notes] == [
        f"vouches for the journal of storage {'ab' * 16}, which is not in the store"
    ]
