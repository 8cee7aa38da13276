"""The faults of the virtual button and of the virtual serial line: each does what it says, the same each time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from bwvd.controls.ports import Edge
from bwvd.testing.clock import VirtualClock
from bwvd.testing.contact import VirtualContact
from bwvd.testing.line import VirtualLine


@asynccontextmanager
async def _edges(contact: VirtualContact) -> AsyncIterator[list[Edge]]:
    edges: list[Edge] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(contact.run, edges.append)
        yield edges
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_a_stuck_contact_stays_and_follows_the_hand_again(autojump_clock: trio.testing.MockClock) -> None:
    contact = VirtualContact("gpio:record", VirtualClock())
    async with _edges(contact) as edges:
        contact.move(True)
        contact.stick()
        await trio.sleep(0.1)
        contact.move(False)
        contact.move(True)
        contact.move(False)
        await trio.sleep(60)
        assert [edge.down for edge in edges] == [True]
        contact.loosen()
        await trio.lowlevel.checkpoint()
    assert [edge.down for edge in edges] == [True, False]


async def test_an_uneven_bounce_is_the_same_each_time(autojump_clock: trio.testing.MockClock) -> None:
    found = []
    for seed in (3, 3, 4):
        contact = VirtualContact("gpio:record", VirtualClock())
        began = trio.current_time()
        async with _edges(contact) as edges:
            await contact.chattering_press(0.2, edges=6, seed=seed)
        assert [edge.down for edge in edges] == [True, False] * 7
        found.append([round(edge.at_ns - edges[0].at_ns) for edge in edges])
        assert 0.2 < trio.current_time() - began < 0.23
    assert found[0] == found[1] != found[2]


async def test_a_flood_fills_the_queue_and_the_rest_is_lost(autojump_clock: trio.testing.MockClock) -> None:
    line = VirtualLine(queue_bytes=1000)
    with line.open():
        sent = await line.flood(1.0, data=b"RECORD\r\n")
        assert 11_000 < sent < 12_000
        assert line.overrun == sent - 1000
        received = b""
        while len(received) < 1000:
            received += await line.receive()
        assert received == (b"RECORD\r\n" * 125)[:1000]
        line.say(b"again")
        assert await line.receive() == b"again"


async def test_a_damaged_line_turns_single_bits_over(autojump_clock: trio.testing.MockClock) -> None:
    line = VirtualLine()
    sent = bytes(range(256)) * 10
    heard = []
    with line.open():
        for _ in range(2):
            line.damage(0.1, seed=5)
            line.say(sent)
            heard.append(await line.receive())
        line.damage(0)
        line.say(b"good")
        assert await line.receive() == b"good"
    assert heard[0] == heard[1]
    wrong = [a ^ b for a, b in zip(sent, heard[0], strict=True) if a != b]
    assert 150 < len(wrong) < 370
    assert all(bits.bit_count() == 1 for bits in wrong)
