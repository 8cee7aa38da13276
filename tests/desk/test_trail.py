"""The desk's log: who looked, at what, when and why, before it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bwvd.testing.store import Fault, VirtualStore
from tests.support.desk_page import NAME, ORIGIN, a_desk, browser, desk_of, loopback
from tests.support.evidence_folder import make_recording, make_storage

PAGE = "/r/BWV-0001/20261122T071505Z-BWV-0001-000001"


@pytest.fixture
def card(tmp_path: Path) -> Path:
    make_recording(make_storage(tmp_path / "card"))
    return tmp_path / "card"


async def test_every_look_and_search_is_entered_with_who_and_why(card: Path) -> None:
    async with desk_of(card) as asked:
        for path in ("/", "/?device=BWV-0001", "/?device=BWV-0001&page=2", "/"):
            assert (await asked.client.get(path)).status_code == 200
        found = await asked.desk.find("BWV-0001", PAGE.rpartition("/")[2])
        session = next(iter(asked.desk.sessions._open.values()))
        await asked.desk.trail.viewed(session, found)
        await asked.desk.trail.viewed(session, found)
        entries = await asked.log()
    assert asked.problems == []
    assert [event for event, _ in entries] == ["entered", "listed", "searched", "viewed"]
    who = {"user": "tester", "name": "Ann Smith", "reason": "case 7"}
    assert all(who.items() <= detail.items() for _, detail in entries)
    assert entries[2][1]["device"] == "BWV-0001"
    assert entries[3][1]["recording"] == "20261122T071505Z-BWV-0001-000001"


async def test_another_recording_and_another_search_are_other_looks(tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "card")
    names = [make_recording(storage, serial).name for serial in (1, 2)]
    async with desk_of(tmp_path / "card") as asked:
        for name in (*names, *names):
            assert (await asked.client.get(f"/r/BWV-0001/{name}")).status_code == 200
        for officer in ("4711", "4712", "4711"):
            assert (await asked.client.get(f"/?officer={officer}")).status_code == 200
        entries = await asked.log()
    assert [detail["recording"] for event, detail in entries if event == "viewed"] == names
    assert [detail["officer"] for event, detail in entries if event == "searched"] == ["4711", "4712"]


async def test_another_reason_is_another_look(card: Path) -> None:
    async with desk_of(card) as asked:
        await asked.client.get("/")
        fields = {"name": "Ann Smith", "reason": "case 8", "next": "/"}
        await asked.client.post("/who", data=fields, headers={"origin": ORIGIN})
        await asked.client.get("/")
        entries = await asked.log()
    assert [(event, detail["reason"]) for event, detail in entries] == [
        ("entered", "case 7"),
        ("listed", "case 7"),
        ("entered", "case 8"),
        ("listed", "case 8"),
    ]


async def test_what_is_not_in_the_log_is_not_shown(card: Path) -> None:
    async with desk_of(card) as asked:
        asked.store.every(Fault.UNREACHABLE)
        answer = await asked.client.get("/?officer=4711")
        assert answer.status_code == 503
        assert "000001" not in answer.text
        asked.store.mend()
        assert (await asked.client.get("/?officer=4711")).status_code == 200


async def test_who_has_no_name_in_the_log_has_none_for_the_desk(card: Path) -> None:
    store = VirtualStore()
    desk = a_desk([], store)
    async with browser(desk) as client:
        await client.get("/enter", params={"token": desk.sessions.ticket})
        store.every(Fault.UNREACHABLE)
        fields = {"name": "Ann", "reason": "", "next": "/"}
        assert (await client.post("/who", data=fields, headers={"origin": ORIGIN})).status_code == 503
        store.mend()
        assert (await client.get("/")).headers["location"] == "/who?next=%2F"


async def test_a_reason_can_be_demanded(card: Path) -> None:
    async with desk_of(card, access=loopback(reason_needed=True)) as asked:
        fields = {"name": "Ann", "reason": " ", "next": "/"}
        answer = await asked.client.post("/who", data=fields, headers={"origin": ORIGIN})
        assert answer.status_code == 422
        async with browser(asked.desk) as other:
            await other.get("/enter", params={"token": asked.desk.sessions.ticket})
            assert (await other.get("/")).status_code == 303
            assert (await other.get("/verdicts", headers={"sec-fetch-dest": "empty"})).status_code == 403
            assert (await other.get("/who")).status_code == 200


async def test_what_a_person_types_is_one_line_of_the_log(card: Path) -> None:
    async with desk_of(card) as asked:
        fields = {"name": "A\nnn\x1b[31m" + "x" * 5000, "reason": "‮case", "next": "/"}
        await asked.client.post("/who", data=fields, headers={"origin": ORIGIN})
        entries = await asked.log()
    detail = entries[-1][1]
    assert len(detail["name"]) < 1000
    assert detail["name"].isprintable()
    assert detail["reason"] == "\\u202ecase"
    assert asked.problems == []


async def test_a_line_that_was_changed_is_told(card: Path) -> None:
    """Invariant 7, of the desk's own records."""
    async with desk_of(card) as asked:
        await asked.client.get("/")
        await asked.log()
        assert asked.problems == []
        name = f"desk/{NAME}/000000000001.jsonl"
        held = asked.store.objects[name]
        asked.store.objects[name] = replace(held, content=held.content.replace(b"case 7", b"case 9"))
        await asked.log()
    assert len(asked.problems) == 2  # the line, and that the next object goes on from another
