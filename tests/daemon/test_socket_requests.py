"""A flood of requests on the control socket: it fills no journal, and costs no press its entry."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from bwvd.clock import NS
from bwvd.controls.client import request
from bwvd.controls.command_rate import BURST, REFILL_NS, TOO_MANY, Pace
from bwvd.controls.socket_protocol import ORDERS
from bwvd.daemon import control_actors
from bwvd.daemon.socket_requests import SOCKET_REQUESTS, socket_requests
from bwvd.evidence.journal.actor import QUEUE_BOUND
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.faults.recorded import entries_of
from tests.support.rig import Rig, configuration

FLOOD: dict[str, dict[str, Any]] = {
    "log_access": {"what": "exported", "where": "w" * 190, "outcome": "o" * 190},
    "did": {"what": "exported", "where": "w" * 190, "outcome": "o" * 190},
    "release": {"recording": "r" * 190, "receipt": "{}", "signature": None},
    "keep_token": {"digests": "d" * 32_000, "authority": "a" * 80, "token": "t" * 20_000},
}


def test_every_request_has_a_flood() -> None:
    assert FLOOD.keys() == SOCKET_REQUESTS.keys()


@pytest.mark.parametrize("name", FLOOD)
async def test_a_flood_of_requests_gets_the_pace_of_a_hand(autojump_clock: trio.testing.MockClock, name: str) -> None:
    rig = Rig(config=configuration(loop={"seconds": 5}))
    answers: list[dict[str, Any]] = []
    most = BURST + 60 * NS // REFILL_NS
    async with rig.running() as daemon, trio.open_nursery() as nursery:
        pace = Pace()
        handle = socket_requests(daemon, pace)[name]

        async def client() -> None:
            while len(answers) <= 2 * most:  # else one that is let through at once would go on before any time passes
                answers.append(await handle(FLOOD[name], "socket:uid=1000,pid=77"))

        before = rig.volume.size("journal.jsonl")
        for _ in range(8):
            nursery.start_soon(client)
        await trio.sleep(60)
        served = [answer for answer in answers if answer.get("error") != TOO_MANY]
        assert len(served) <= most
        assert (rig.volume.size("journal.jsonl") - before) / 60 < 8000
        for _ in range(BURST // 2 - 1):  # that much is left to commands, whoever floods
            assert pace.lets_through(rig.clock.monotonic_ns())
        nursery.cancel_scope.cancel()


async def test_the_carrier_may_hand_in_receipts_and_nothing_else(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 11: the user that the network can reach ends no recording, and writes nothing into the journal."""
    carrier = f"socket:uid={os.getuid()},"
    monkeypatch.setattr(control_actors, "carrier_source", lambda: carrier)
    with tempfile.TemporaryDirectory() as short:  # a socket's path has 107 bytes
        config = configuration(loop={"seconds": 5}, socket={"path": f"{short}/s"})
        rig = Rig(config=config, peripherals=[partial(control_actors.control_socket, config)])

        async def ask(**payload: Any) -> dict[str, Any]:
            return await trio.to_thread.run_sync(request, f"{short}/s", payload, 1000.0)

        async with rig.running() as daemon:
            for order in ORDERS:
                answer = await ask(cmd=order)
                assert answer["ok"] is False
                assert "bwvd-offload may not ask for" in answer["error"]
            assert daemon.recorder.current is None
            said = await ask(cmd="log_access", what="exported", where="x", outcome="y")
            assert said == {"ok": False, "error": "bwvd-offload may not ask for log_access"}
            assert (await ask(cmd="status"))["status"]["state"] == "standby"
            said = await ask(cmd="release", recording="r", receipt="{}", signature=None)
            assert "may not ask" not in said["error"]


async def test_a_hundred_receipts_in_a_row_are_not_refused(autojump_clock: trio.testing.MockClock) -> None:
    """One client at a time waits for its turn."""
    rig = Rig(config=configuration(loop={"seconds": 5}))
    async with rig.running() as daemon:
        handle = socket_requests(daemon, Pace())["did"]
        for _ in range(100):
            assert (await handle(FLOOD["did"], "test"))["ok"]


async def test_requests_wait_for_the_start_and_are_refused_at_the_end(autojump_clock: trio.testing.MockClock) -> None:
    volume = VirtualVolume()
    volume.stall(20, kind="sync")
    rig = Rig(config=configuration(loop={"seconds": 5}), volume=volume)
    answers: list[dict[str, Any]] = []

    async def ask() -> None:
        await trio.sleep(5)
        answers.append(await socket_requests(rig.daemon, Pace())["did"](FLOOD["did"], "test"))
        assert trio.current_time() >= 20

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        async with rig.running() as daemon:
            await trio.sleep(1)
            daemon.shut_down("asked")
            answers.append(await socket_requests(daemon, Pace())["did"](FLOOD["did"], "test"))
    assert [(answer["ok"], answer.get("error")) for answer in answers] == [(True, None), (False, "ending")]


async def test_a_press_has_room_of_its_own_in_the_journal(autojump_clock: trio.testing.MockClock) -> None:
    """The flash takes nothing for a while, and something fills the queue: the press that comes then is entered."""
    volume = VirtualVolume()
    rig = Rig(config=configuration(loop={"seconds": 5}, recording={"post_roll_s": 0}), volume=volume)
    async with rig.running() as daemon:
        await trio.sleep(6)
        volume.stall(30, kind="sync", path="journal")
        daemon.evidence.enter("exported", where="first")
        await trio.sleep(1)
        for _ in range(2 * QUEUE_BOUND):
            daemon.evidence.enter("exported", where="flood")
        assert daemon.storage_status()["journal_lost"] >= QUEUE_BOUND
        assert (await rig.press()).ok
        await trio.sleep(60)
        await rig.stop()
        await rig.closed()
    journal = volume.read("journal.jsonl")
    for event in ("press", "state", "opened", "closed", "shutdown"):
        assert b'"event":"%s"' % event.encode() in journal, event


async def test_an_access_is_journalled_under_its_name_and_its_old_one(autojump_clock: trio.testing.MockClock) -> None:
    clock = VirtualClock()
    volume = VirtualVolume()
    rig = Rig(clock=clock, volume=volume, camera=VirtualCamera(clock, rate=10, gop_frames=10))
    async with rig.running() as daemon:
        for name in ("log_access", "did"):
            handle = SOCKET_REQUESTS[name]
            said = {"cmd": name, "what": "verified", "where": name, "outcome": "good"}
            assert (await handle(daemon, said, "socket:uid=0,pid=1"))["ok"]
            refused = await handle(daemon, {**said, "what": "deleted"}, "socket:uid=0,pid=1")
            assert not refused["ok"]
    entries = [entry for entry in entries_of(volume.tree()) if entry.event == "verified"]
    assert [entry.detail["where"] for entry in entries] == ["log_access", "did"]
