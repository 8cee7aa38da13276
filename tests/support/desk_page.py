"""A desk's application without a socket, asked by a browser that has come in, and its log in a store of RAM."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import trio

from bwvd.clock import SystemClock
from bwvd.custody.log import DESK, CustodyLog, Entered, read_logs
from bwvd.desk.access import Access
from bwvd.desk.app import application
from bwvd.desk.desk import Desk
from bwvd.desk.facts import Listed
from bwvd.desk.folder_source import FolderSource
from bwvd.desk.trail import Trail
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.testing.store import VirtualStore
from tests.support.desk import SIGNERS
from tests.support.evidence_keys import fixed_signer

PORT = 8123
ORIGIN = f"http://127.0.0.1:{PORT}"
DESK_KEY = fixed_signer(50)
NAME = "desk-test"


@dataclass
class Asked:
    """A desk, a browser that has come in, and what the log says."""

    desk: Desk
    client: httpx.AsyncClient
    store: VirtualStore
    nursery: trio.Nursery
    problems: list[str] = field(default_factory=list)

    async def log(self) -> list[tuple[str, dict[str, Any]]]:
        """Every entry of the desk's log, each with what it was."""
        found: list[Entered] = []
        nobody = AllowedSigners.parse(b"", "nobody")
        self.problems = await read_logs(self.store, DESK_KEY.key, nobody, found.append, DESK)
        return [(one.event, dict(one.detail)) for one in found]

    async def told(self, path: str = "/") -> httpx.Response:
        """A page, once the background has found out all that it lacks."""
        answer = await self.client.get(path)
        with trio.fail_after(30):
            while "data-pending" in answer.text:
                await trio.sleep(0.02)
                answer = await self.client.get(path)
        return answer

    async def verdict(self, place: str) -> dict[str, Any]:
        """What the page of a recording says of its verification, once it is through."""
        said: dict[str, Any] = {"known": False}
        with trio.fail_after(30):
            while not said["known"]:
                await trio.sleep(0.02)
                said = (await self.client.get(f"{place}/verdict.json")).json()
        return said


def loopback(*, reason_needed: bool = False) -> Access:
    """Without a table of connections: a browser without a socket is in none."""
    return replace(Access.loopback(PORT, os.getuid(), "tester", reason_needed=reason_needed), peers=())


def a_desk(
    sources: Sequence[Listed], store: VirtualStore, *, access: Access | None = None, identities: Sequence[Any] = ()
) -> Desk:
    trail = Trail(CustodyLog(store, DESK_KEY, NAME, SystemClock(), DESK), "tester")
    return Desk(sources, access or loopback(), trail, identities, SIGNERS)


def browser(desk: Desk, **headers: str) -> httpx.AsyncClient:
    """A browser on this machine that has not come in yet."""
    transport = httpx.ASGITransport(application(desk), client=("127.0.0.1", 50_000))
    return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)


async def come_in(desk: Desk, client: httpx.AsyncClient, *, name: str = "Ann Smith", reason: str = "case 7") -> None:
    """What a person does first: open the address, and say who it is."""
    assert (await client.get("/enter", params={"token": desk.sessions.ticket})).status_code == 200
    answer = await client.post("/who", data={"name": name, "reason": reason, "next": "/"}, headers={"origin": ORIGIN})
    assert answer.status_code == 303


@asynccontextmanager
async def desk_of(
    *places: Path | Listed,
    access: Access | None = None,
    identities: Sequence[Any] = (),
    receipts: Sequence[Path] = (),
) -> AsyncIterator[Asked]:
    """A desk on folders, or on other sources, with its background at work, and somebody who has come in."""
    sources: list[Listed] = [
        FolderSource(one, SIGNERS, identities, receipts=receipts, number=number) if isinstance(one, Path) else one
        for number, one in enumerate(places, 1)
    ]
    store = VirtualStore()
    desk = a_desk(sources, store, access=access, identities=identities)
    async with browser(desk) as client, trio.open_nursery() as nursery:
        nursery.start_soon(desk.run)
        await come_in(desk, client)
        yield Asked(desk, client, store, nursery)
        nursery.cancel_scope.cancel()
    await desk.aclose()
