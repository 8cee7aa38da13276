"""The list: what it shows of a folder and of an index, what a search finds, and verdicts that come later."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bwvd.desk import folder_source
from bwvd.desk.listing import rows_of
from bwvd.desk.query import Query
from bwvd.desk.source import Key
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.testing.clock import VirtualClock
from tests.support.desk_page import desk_of
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}\x1b[31m‮"


def card(root: Path, count: int = 1, **more: Any) -> Path:
    make_storage(root)
    for serial in range(1, count + 1):
        make_recording(root, serial, **more)
    return root


def strange(folder: Path) -> None:
    """A folder whose name is in no encoding."""
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe<tt>")).mkdir()


async def test_a_row_shows_what_its_records_say_and_the_verdict_when_it_is_found(tmp_path: Path) -> None:
    """Invariant 14: authentic by the desk's own list."""
    root = card(tmp_path / "card", 2, seconds=3, label="a door", officer="4711")
    async with desk_of(root) as asked:
        first = (await asked.client.get("/")).text
        assert first.count("<tr data-key=") == 2
        assert 'data-verdict="unknown"' in first
        told = (await asked.told()).text
        assert told.count('data-verdict="authentic"') == 2
        assert "a door" in told
        assert "4711" in told
        answer = await asked.client.get("/verdicts", params={"k": "BWV-0001/20261122T071505Z-BWV-0001-000002"})
        assert answer.json()["rows"]["BWV-0001/20261122T071505Z-BWV-0001-000002"]["verdict"] == "authentic"
        assert answer.json()["pending"] is False


async def test_what_was_altered_is_shown_as_that_and_why(tmp_path: Path) -> None:
    """Invariant 7."""
    root = card(tmp_path / "card", 2)
    segment = root / "recordings" / "20261122T071505Z-BWV-0001-000001" / "000001.m4s"
    segment.write_bytes(segment.read_bytes()[:-1] + b"x")
    async with desk_of(root) as asked:
        told = (await asked.told()).text
        assert told.count('data-verdict="altered"') == 1
        assert "000001.m4s" in told
        assert (await asked.client.get("/?verdict=altered")).text.count("<tr data-key=") == 1
        assert (await asked.client.get("/?verdict=authentic")).text.count("<tr data-key=") == 1


async def test_a_verdict_is_forgotten_when_the_recording_changes(tmp_path: Path) -> None:
    root = card(tmp_path / "card")
    async with desk_of(root) as asked:
        assert 'data-verdict="authentic"' in (await asked.told()).text
        manifest = next(root.glob("recordings/*/manifest.jsonl"))
        manifest.write_bytes(manifest.read_bytes() + b"x\n")
        assert 'data-verdict="unknown"' in (await asked.client.get("/")).text
        assert 'data-verdict="authentic"' not in (await asked.told()).text


async def test_the_journal_is_asked_as_verify_asks_it(tmp_path: Path) -> None:
    """Invariant 13: a recording that names a journal which is not there."""
    root = card(tmp_path / "card", journal=JournalHead(file="journal.jsonl", bytes=10, sha512="0" * 128))
    async with desk_of(root) as asked:
        assert 'data-verdict="altered"' in (await asked.told()).text


@pytest.mark.parametrize(
    ("address", "serials"),
    [
        ("/", {1, 2, 3}),
        ("/?officer=4711", {1, 2, 3}),
        ("/?officer=471", set()),
        ("/?marker=DOOR", {1, 2, 3}),
        ("/?marker=window", set()),
        ("/?any_marker=1", {1, 2, 3}),
        ("/?text=000002", {2}),
        ("/?text=4711", {1, 2, 3}),
        ("/?device=bwv-0001", {1, 2, 3}),
        ("/?device=BWV-0002", set()),
        ("/?begin=2026-11-22", {1, 2, 3}),
        ("/?begin=2026-11-23", set()),
        ("/?end=2026-11-22", {1, 2, 3}),
        ("/?end=2026-11-21", set()),
        ("/?receipt=no", {1, 2, 3}),
        ("/?receipt=yes", set()),
        ("/?verdict=unknown", {1, 2, 3}),
        ("/?page=2", set()),
        ("/?page=x&verdict=x&receipt=x&nothing=1", {1, 2, 3}),
    ],
)
async def test_a_search_is_an_address(tmp_path: Path, address: str, serials: set[int]) -> None:
    root = card(tmp_path / "card", 3, seconds=3, label="a door", officer="4711")
    async with desk_of(root) as asked:
        text = (await asked.client.get(address)).text
        assert {serial for serial in (1, 2, 3) if f"{serial:06d}</" in text or f'-{serial:06d}"' in text} == serials


async def test_a_time_that_is_none_is_said(tmp_path: Path) -> None:
    async with desk_of(card(tmp_path / "card")) as asked:
        text = (await asked.client.get("/?begin=yesterday")).text
        assert 'role="alert"' in text
        assert text.count("<tr data-key=") == 1
        assert Query.of({"begin": "2026-11-23", "end": "2026-11-22"}).problems == ("end",)


async def test_hostile_texts_are_text(tmp_path: Path) -> None:
    """Of a label, an officer, a folder's name, a search: none is markup, and none obeys."""
    root = card(tmp_path / "card", seconds=3, label=HOSTILE, officer=HOSTILE[:40])
    made = root / "recordings" / "20261122T071505Z-BWV-0001-000001"
    made.rename(made.with_name('<img src=x onerror=alert(1)>"\x1b[2J'))
    strange(root / "recordings")
    async with desk_of(root) as asked:
        told = await asked.told(f"/?text={HOSTILE[:20]}")
        everything = await asked.told()
    for text in (told.text, everything.text):
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "<tt>" not in text
        assert not any(character in text for character in "\x1b‮")
    assert "&lt;script&gt;" in everything.text
    assert everything.text.count("<tr data-key=") == 2


async def test_a_folder_of_no_id_has_an_address_of_its_own(tmp_path: Path) -> None:
    root = card(tmp_path / "card")
    made = root / "recordings" / "20261122T071505Z-BWV-0001-000001"
    made.rename(made.with_name("a name? of #another"))
    async with desk_of(root) as asked:
        key = next(iter((await asked.desk.sources[0].rows(Query(), 0, 10, asked.desk.memory)).rows)).key
        assert key.device == "-"
        assert (await asked.desk.find(key.device, key.recording)).name == "a name? of #another"
        assert (await asked.client.get(key.path)).status_code == 200
    assert Key.of("x", "a").path != Key.of("x", "b").path


async def test_two_copies_are_two_rows_and_each_is_found(tmp_path: Path) -> None:
    one, two = card(tmp_path / "one"), card(tmp_path / "two")
    async with desk_of(one, two, tmp_path) as asked:
        found = [row.found for row in (await rows_of(asked.desk, Query())).rows]
        assert len({each.key for each in found}) == 4
        for each in found:
            again = await asked.desk.find(each.key.device, each.key.recording)
            assert again.where == each.where


async def test_a_source_that_is_gone_hides_no_other(tmp_path: Path) -> None:
    one, two = card(tmp_path / "one"), card(tmp_path / "two")
    async with desk_of(one, two) as asked:
        two.rename(tmp_path / "gone")
        text = (await asked.client.get("/")).text
        assert text.count("<tr data-key=") == 1
        assert "No such file" in text


async def test_a_list_changes_nothing_and_makes_nothing(tmp_path: Path) -> None:
    root = card(tmp_path / "card", 2, seconds=2)
    before = _state(tmp_path)
    async with desk_of(root) as asked:
        await asked.told()
        await asked.told("/?marker=x")
    assert _state(tmp_path) == before


def _state(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


async def test_a_recording_that_the_journal_knows_and_that_is_gone_is_named_above_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 13: no verdict on what is still there can say it."""
    root = make_storage(tmp_path / "card")
    with PosixVolume(root) as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=65_536)
        made = []
        for serial in (1, 2):
            made.append(make_recording(root, serial, journal=journal.head()))
            detail: dict[str, str | int | float | None] = {"recording": made[-1].name, "serial": serial}
            journal.append([Draft("opened", detail, VirtualClock(seconds=lambda: 1.0).read())])
        journal.close()
    missing = f"{made[0].name}: is missing: the journal knows of no release"
    async with desk_of(root) as asked:
        assert missing not in (await asked.told()).text
    shutil.rmtree(made[0])
    async with desk_of(root) as asked:
        assert missing in (await asked.told()).text
        assert any(missing in line for line in (await asked.client.get("/verdicts")).json()["problems"])
    shutil.rmtree(made[1])
    monkeypatch.setattr(folder_source, "EMPTY_S", 60)
    async with desk_of(root) as asked:  # none is left whose verification would lead to the journal
        text = (await asked.client.get("/")).text
        assert "<tr data-key" not in text
        assert text.count("is missing: the journal knows of no release") == 2
        assert missing in text


async def test_a_long_label_takes_no_more_of_the_list_than_a_line(tmp_path: Path) -> None:
    root = card(tmp_path, label="W" * 400)
    async with desk_of(root) as asked:
        text = (await asked.told()).text
        assert "W" * 79 + "…" in text
        assert "W" * 80 not in text
        assert (
            "<tr data-key" in (await asked.client.get("/", params={"marker": "W" * 150})).text
        )  # it is found by all of it
