"""The guard: nobody who was not let in, and nothing that another page, name or user asks."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from bwvd.desk.access import NOBODY, Access, peer_uid, public_names
from bwvd.desk.app import application
from bwvd.desk.entrance import FORM_BYTES, MOST_FIELDS, form
from bwvd.desk.guard import HEADERS, Guard
from bwvd.desk.serve import listen
from bwvd.desk.static_files import FOREVER, address
from bwvd.testing.store import VirtualStore
from tests.support.desk_page import ORIGIN, PORT, a_desk, browser, come_in, desk_of, loopback
from tests.support.evidence_folder import make_recording, make_storage

OTHER = 4711  # another system user


@pytest.fixture
def card(tmp_path: Path) -> Path:
    make_recording(make_storage(tmp_path / "card"))
    return tmp_path / "card"


async def test_without_the_address_nothing_is_shown(card: Path) -> None:
    async with desk_of(card) as asked, browser(asked.desk) as stranger:
        for path in ("/", "/r/BWV-0001/20261122T071505Z-BWV-0001-000001", "/verdicts", "/who", "/nothing"):
            answer = await stranger.get(path)
            assert answer.status_code == 403
            assert "000001" not in answer.text
        assert (await stranger.get("/enter", params={"token": "x" * 43})).status_code == 403
        assert (await stranger.get("/enter")).status_code == 403
        assert not stranger.cookies


async def test_an_address_lets_one_browser_in_and_there_is_another(card: Path) -> None:
    desk = a_desk([], VirtualStore())
    renewed: list[str] = []
    desk.sessions.renewed = lambda: renewed.append(desk.sessions.ticket)
    ticket = desk.sessions.ticket
    async with browser(desk) as first, browser(desk) as second:
        await come_in(desk, first)
        assert renewed == [desk.sessions.ticket] != [ticket]
        assert (await second.get("/enter", params={"token": ticket})).status_code == 403
        assert (await first.get("/enter", params={"token": ticket})).headers["location"] == "/"
        await come_in(desk, second)


async def test_the_cookie_is_for_this_page_alone(card: Path) -> None:
    desk = a_desk([], VirtualStore())
    async with browser(desk) as client:
        answer = await client.get("/enter", params={"token": desk.sessions.ticket})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"bwvd-desk-{PORT}=")
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert desk.sessions.ticket not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:8123", ""])
async def test_another_host_s_name_is_refused(card: Path, host: str) -> None:
    """A name that somebody else owns may be made to mean 127.0.0.1."""
    async with desk_of(card) as asked:
        assert (await asked.client.get("/", headers={"host": host})).status_code == 421
        assert (await asked.client.get("/", headers={"host": f"localhost:{PORT}"})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ],
)
async def test_what_another_page_asks_is_refused(card: Path, headers: dict[str, str]) -> None:
    async with desk_of(card) as asked:
        assert (await asked.client.get("/", headers=headers)).status_code == 403
        assert (await asked.client.post("/who", data={"name": "x"}, headers=headers)).status_code == 403


async def test_a_form_is_taken_from_this_page_alone(card: Path) -> None:
    async with desk_of(card) as asked:
        assert (await asked.client.post("/who", data={"name": "x"})).status_code == 403
        own = {"origin": ORIGIN}
        assert (await asked.client.post("/who", data={"name": "x"}, headers=own)).status_code == 303
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert (await asked.client.get("/", headers=link)).status_code == 200


async def test_every_answer_forbids_what_a_page_could_be_made_to_do(card: Path) -> None:
    async with desk_of(card) as asked, browser(asked.desk) as stranger:
        answers = [
            await asked.client.get("/"),
            await asked.client.get("/nothing"),
            await asked.client.get(f"{address()}/desk.css"),
            await asked.client.get(f"{address()}/none.css"),
            await asked.client.get("/static/0000000000000000/desk.css"),
            await asked.client.get("/verdicts"),
            await stranger.get("/"),
            await stranger.get("/", headers={"host": "evil.example"}),
        ]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        kept = answer.status_code == 200 and "/static/" in str(answer.url)
        assert answer.headers["cache-control"] == (FOREVER if kept else "no-store")
    assert [answer.status_code for answer in answers[2:5]] == [200, 404, 404]
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_another_user_of_this_machine_is_refused_even_with_the_cookie(card: Path, tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text(_table(OTHER))
    access = replace(loopback(), peers=(table,))
    desk = a_desk([], VirtualStore(), access=access)
    async with browser(desk) as client:
        answer = await client.get("/enter", params={"token": desk.sessions.ticket})
        assert answer.status_code == 403
        table.write_text(_table(access.uid))
        await come_in(desk, client)
        table.write_text(_table(OTHER))
        assert (await client.get("/")).status_code == 403


def test_the_owner_of_a_connection_is_found_in_the_kernel_s_table() -> None:
    table = _table(OTHER)
    assert peer_uid(table, ("127.0.0.1", 50_000), ("127.0.0.1", PORT)) == OTHER
    assert peer_uid(table, ("127.0.0.1", PORT), ("127.0.0.1", 50_000)) == 0  # the desk's own end
    assert peer_uid(table, ("127.0.0.1", 50_001), ("127.0.0.1", PORT)) is None
    assert peer_uid("", ("127.0.0.1", 50_000), ("127.0.0.1", PORT)) is None
    assert peer_uid(table, ("::1", 50_000), ("127.0.0.1", PORT)) is None


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_socket_of_either_kind_has_an_owner(family: socket.AddressFamily) -> None:
    """A program may reach 127.0.0.1 as ::ffff:127.0.0.1, which the kernel lists in another table."""
    with listen(0) as listening, socket.socket(family) as client:
        port = listening.getsockname()[1]
        client.connect(("127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1", port))
        server, address = listening.accept()
        with server:
            access = Access.loopback(port, os.getuid(), "tester")
            assert access.peer(address) == os.getuid()
            assert access.peer(("127.0.0.1", 1)) == NOBODY


async def test_a_connection_that_the_kernel_does_not_list_is_nobody_s(card: Path, tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text("")
    desk = a_desk([], VirtualStore(), access=replace(loopback(), peers=(table,)))
    async with browser(desk) as client:
        assert (await client.get("/enter", params={"token": desk.sessions.ticket})).status_code == 403


async def test_a_header_is_believed_of_the_proxy_alone(card: Path, tmp_path: Path) -> None:
    """Off by default; and any program of this machine can write a header."""
    table = tmp_path / "tcp"
    table.write_text(_table(OTHER))
    named = {"x-remote-user": "Ann"}
    direct = replace(loopback(), peers=(tmp_path / "none",))
    async with desk_of(card, access=direct) as asked, browser(asked.desk, **named) as stranger:
        assert (await stranger.get("/")).status_code == 403
    host, origin = public_names("https://desk.example")
    behind = replace(
        loopback(),
        hosts=loopback().hosts | {host},
        origins=loopback().origins | {origin},
        trusted=("x-remote-user",),
        proxy_uid=OTHER,
        peers=(table,),
        secure=True,
    )
    desk = a_desk([], VirtualStore(), access=behind)
    async with browser(desk, **named) as through:
        answer = await through.get("/", headers={"host": host})
        assert answer.status_code == 200
        assert "x-remote-user" in (await through.get("/who", headers={"host": host})).text
        assert (await through.get("/", headers={"host": host, "x-remote-user": ""})).status_code == 403
        doubled = [("host", host), ("x-remote-user", "Ann"), ("x-remote-user", "Eve")]
        assert (await through.send(httpx.Request("GET", f"{ORIGIN}/", headers=doubled))).status_code == 403
        table.write_text(_table(behind.uid))  # the same header, not of the proxy's user
        assert (await through.get("/")).status_code == 403


@pytest.mark.parametrize("url", ["desk.example", "https://", "ftp://desk.example", "https://desk.example/page"])
def test_an_address_of_a_proxy_is_a_host_and_no_more(url: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        public_names(url)


@pytest.mark.parametrize("where", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", ""])
async def test_the_way_on_never_leads_away(card: Path, where: str) -> None:
    async with desk_of(card) as asked:
        fields = {"name": "Ann", "reason": "", "next": where}
        answer = await asked.client.post("/who", data=fields, headers={"origin": ORIGIN})
        assert answer.headers["location"] == "/"


async def test_a_form_without_end_is_not_read_to_its_end() -> None:
    pieces = 0

    async def receive() -> Message:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": b"name=" + b"x" * 9000, "more_body": True}

    assert await form(Request({"type": "http", "method": "POST", "headers": []}, receive)) == {}
    assert pieces * 9000 < 2 * FORM_BYTES


async def test_a_form_of_too_many_fields_has_none(card: Path) -> None:
    async with desk_of(card) as asked:
        fields = {f"name{number}": "x" for number in range(MOST_FIELDS)}
        answer = await asked.client.post("/who", data={**fields, "name": "Ann"}, headers={"origin": ORIGIN})
        assert answer.status_code == 422


async def test_a_websocket_is_closed_before_anything_is_asked() -> None:
    """Any program of this machine can ask for one; it gets no traceback onto the desk's terminal."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": [], "client": ("127.0.0.1", 50_000)}
    await Guard(application(desk := a_desk([], VirtualStore())), desk)(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


def _table(uid: int) -> str:
    """The kernel's table, with both ends of the test's connection: 127.0.0.1:50000 and the desk."""
    return (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        f"   0: 0100007F:{PORT:04X} 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
        f"   1: 0100007F:C350 0100007F:{PORT:04X} 01 00000000:00000000 00:00000000 00000000  {uid}        0 2 1\n"
    )
