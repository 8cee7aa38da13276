"""Stamping: what waits stands on the flash, authorities that fail are named and asked again, nothing blocks."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from bwvd.controls.client import Unreachable
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.format.digest_list import MOST_MANIFESTS, DigestList, is_list, parse_list, token_of
from bwvd.evidence.format.layout import RECORDINGS, WITNESS
from bwvd.evidence.keys.rfc3161 import Token, TokenBad
from bwvd.evidence.write.token_files import keep_token
from bwvd.offload.faults import Faults
from bwvd.offload.stamping import AGAIN, HEAD_EVERY_S, Stamping
from bwvd.testing.store import VirtualStore
from tests.support.carried import DEVICE, Camera, VirtualReader, carrier_of


class Virtual:
    """An authority in virtual time."""

    def __init__(self, label: str = "one.example") -> None:
        self.label = label
        self.asked: list[bytes] = []
        self.trouble = ""
        self.hangs_s = 0.0

    async def stamp(self, data: bytes) -> tuple[bytes, Token]:
        await trio.sleep(self.hangs_s)
        self.asked.append(data)
        if self.trouble:
            raise TokenBad(f"{self.label}: {self.trouble}")
        return b"a token of " + self.label.encode(), Token(datetime.datetime.now(datetime.UTC), f"CN={self.label}")


class Bench:
    """A camera, authorities, and who asks them."""

    def __init__(self, *labels: str) -> None:
        self.camera = Camera()
        self.authorities = [Virtual(label) for label in labels or ("one.example",)]
        self.faults = Faults(self.camera.clock)
        self.down = False
        self.refusal = ""
        self.begin()

    def begin(self) -> None:
        """A process that has just begun."""
        self.stamping = Stamping(
            DEVICE, self.authorities, VirtualReader(self.camera.volume), self.camera.clock, self.faults, self.keep
        )

    async def keep(self, listed: bytes, label: str, answer: bytes) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        if self.down:
            raise Unreachable("s.sock: nobody answers; is the daemon running?")
        if self.refusal:
            return {"ok": False, "error": self.refusal}
        try:
            keep_token(self.camera.volume, listed, label, answer)
        except EvidenceError as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True}

    def files(self) -> list[str]:
        volume = self.camera.volume
        return volume.names(WITNESS) if f"{WITNESS}/" in volume.names("") else []

    def stamped(self, label: str = "one.example") -> set[str]:
        """The manifests that an authority has stamped, by what lies on the flash."""
        tokens = [found for name in self.files() if (found := token_of(name)) is not None and found[1] == label]
        lists = [parse_list(self.camera.volume.read(f"{WITNESS}/{listed}")) for listed, _ in tokens]
        return {sha512 for one in lists for sha512 in one.manifests}

    def manifest(self, recording: str) -> str:
        return hashlib.sha512(self.camera.volume.read(f"{RECORDINGS}/{recording}/manifest.jsonl")).hexdigest()


async def test_one_request_for_everything_that_waits(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.camera.enter()
    made = [bench.camera.record(serial) for serial in (1, 2, 3)]
    open_one = bench.camera.record(4, close=False)
    await bench.stamping.round()
    (asked,) = bench.authorities[0].asked
    listed = parse_list(asked)
    assert listed.manifests == {bench.manifest(one) for one in made}
    assert bench.manifest(open_one) not in listed.manifests
    head = listed.head
    assert head is not None
    journal = bench.camera.volume.read("journal.jsonl")
    assert head.sha512 == hashlib.sha512(journal[: head.bytes]).hexdigest()
    assert head.bytes == len(journal)
    assert (bench.stamping.complete, bench.stamping.told.waiting, bench.stamping.told.tokens) == (True, 0, 1)
    await bench.stamping.round()
    assert len(bench.authorities[0].asked) == 1


async def test_an_authority_that_does_not_answer_holds_up_no_other(autojump_clock: MockClock) -> None:
    bench = Bench("slow.example", "one.example")
    bench.authorities[0].hangs_s = 30.0
    bench.camera.enter()
    made = bench.camera.record(1)
    with trio.move_on_after(1):
        await bench.stamping.round()
    assert bench.stamped() == {bench.manifest(made)}
    assert bench.stamped("slow.example") == set()
    with trio.move_on_after(31):
        await bench.stamping.round()
    assert bench.stamped("slow.example") == {bench.manifest(made)}


async def test_what_waits_stands_on_the_flash(autojump_clock: MockClock) -> None:
    """Without a network for weeks, and with any number of starts: the first answer covers all of it."""
    bench = Bench()
    made = []
    bench.authorities[0].trouble = "no address"
    for serial in range(1, 6):
        made.append(bench.camera.record(serial))
        bench.begin()
        await bench.stamping.round()
    assert bench.stamping.told.waiting == 5
    assert bench.faults.active["offload:tsa"][0] == "one.example: no address"
    bench.authorities[0].trouble = ""
    bench.begin()
    await bench.stamping.round()
    assert bench.stamped() == {bench.manifest(one) for one in made}
    assert bench.faults.active == {}
    asked = len(bench.authorities[0].asked)
    bench.begin()  # what is stamped is found again; only the journal has no head since this start
    await bench.stamping.round()
    (again,) = bench.authorities[0].asked[asked:]
    assert parse_list(again).manifests == frozenset()


async def test_a_bad_authority_is_named_asked_later_and_later_and_holds_up_no_other(autojump_clock: MockClock) -> None:
    bench = Bench("one.example", "two.example")
    bad, good = bench.authorities
    bad.trouble = "the token is for something else"
    recording = bench.camera.record(1)
    await bench.stamping.round()
    assert bench.stamped("two.example") == {bench.manifest(recording)}
    assert bench.stamped("one.example") == set()
    assert bench.faults.active["offload:tsa"][0] == "one.example: the token is for something else"
    for tries in range(1, 8):
        assert len(bad.asked) == tries
        await trio.sleep(AGAIN.delay_s(tries) * 0.99)
        await bench.stamping.round()
        assert len(bad.asked) == tries
        await trio.sleep(AGAIN.delay_s(tries) * 0.02)
        await bench.stamping.round()
    assert len(good.asked) == 1
    bad.trouble = ""
    await trio.sleep(4000)
    await bench.stamping.round()
    assert bench.stamped("one.example") == {bench.manifest(recording)}
    assert bench.faults.active == {}
    assert len([name for name in bench.files() if is_list(name)]) == 1  # the same list, stamped later


async def test_more_than_one_list_holds(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bwvd.offload.stamping.MOST_MANIFESTS", 2)
    bench = Bench()
    made = {bench.manifest(bench.camera.record(serial)) for serial in range(1, 6)}
    await bench.stamping.round()
    assert [len(parse_list(one).manifests) for one in bench.authorities[0].asked] == [2, 2, 1]
    assert bench.stamped() == made
    assert MOST_MANIFESTS >= 200


async def test_a_recorder_that_is_away_or_refuses_gets_it_later(autojump_clock: MockClock) -> None:
    bench = Bench()
    recording = bench.camera.record(1)
    bench.down = True
    await bench.stamping.round()
    assert bench.faults.active["offload:token"][0] == "s.sock: nobody answers; is the daemon running?"
    assert bench.files() == []
    bench.down, bench.refusal = False, "the flash is nearly full: what is left is for recordings"
    await trio.sleep(60)
    await bench.stamping.round()
    assert bench.faults.active["offload:token"][0] == bench.refusal
    bench.refusal = ""
    await trio.sleep(600)
    await bench.stamping.round()
    assert bench.faults.active == {}
    assert bench.stamped() == {bench.manifest(recording)}


async def test_a_folder_that_fills_up_is_told_before_it_is_full_and_nothing_in_it_goes(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariants 8 and 16: no receipt is for tokens, so neither recorder nor carrier removes one; a person is told."""
    bench = Bench()
    bench.camera.enter()
    bench.camera.record(1)
    await bench.stamping.round()
    assert bench.faults.active == {}
    size = sum(bench.camera.volume.sizes(WITNESS).values())
    monkeypatch.setattr("bwvd.offload.stamping.NEARLY_FULL", size + 1)
    bench.camera.record(2)
    await bench.stamping.round()
    before = bench.files()
    await bench.stamping.round()
    assert "copy it to where it is kept, then empty it" in bench.faults.active["offload:token"][0]
    assert bench.stamping.complete  # all is stamped still
    # At the bound itself: what is there stays, the recorder refuses, and recordings go on being made.
    monkeypatch.setattr("bwvd.evidence.write.token_files.MOST_BYTES", sum(bench.camera.volume.sizes(WITNESS).values()))
    third = bench.camera.record(3)
    for _ in range(3):
        await bench.stamping.round()
    assert "no room for more tokens" in bench.faults.active["offload:token"][0]
    assert bench.files() == before
    assert (bench.stamping.told.waiting, bench.stamping.complete) == (1, False)
    assert len(bench.authorities[0].asked) == 3  # not each round for what finds no room
    # A person has copied the folder, and emptied it: what lies on the flash is stamped anew, what waited as well.
    for name in before:
        bench.camera.volume.remove(f"{WITNESS}/{name}")
    monkeypatch.undo()
    await trio.sleep(AGAIN.limit_s + 1)
    await bench.stamping.round()
    assert bench.faults.active == {}
    assert bench.manifest(third) in bench.stamped()
    assert bench.stamping.told.waiting == 0


async def test_the_journal_alone_is_stamped_a_few_times_a_day(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.camera.enter()
    for _ in range(4 * 3600 // 30):
        bench.camera.enter("state")
        await bench.stamping.round()
        await trio.sleep(30)
    assert len(bench.authorities[0].asked) == 1
    await trio.sleep(HEAD_EVERY_S)
    await bench.stamping.round()
    await bench.stamping.round()
    assert len(bench.authorities[0].asked) == 2
    await trio.sleep(2 * HEAD_EVERY_S)
    await bench.stamping.round()
    assert len(bench.authorities[0].asked) == 2  # nothing has been entered since


async def test_tokens_go_to_the_store_with_what_they_vouch_for(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.camera.record(1)
    await bench.stamping.round()
    store = VirtualStore()
    await carrier_of(bench.camera).round(store)
    there = {name.rpartition("/")[2]: one.content for name, one in store.objects.items() if f"/{WITNESS}/" in name}
    assert there == {name: bench.camera.volume.read(f"{WITNESS}/{name}") for name in bench.files()}
    assert len(there) == 2


async def test_lists_that_somebody_has_planted_or_cut_count_for_nothing(autojump_clock: MockClock) -> None:
    bench = Bench()
    recording = bench.camera.record(1)
    listed = DigestList(frozenset({bench.manifest(recording)})).encode()
    keep_token(bench.camera.volume, listed, "one.example", b"x")
    name = next(name for name in bench.files() if is_list(name))
    bench.camera.volume.remove(f"{WITNESS}/{name}")
    file = bench.camera.volume.create(f"{WITNESS}/{name}")
    file.write(listed[:40])
    file.close()
    await bench.stamping.round()
    assert len(bench.authorities[0].asked) == 1


async def test_a_flash_that_can_not_be_read_is_a_fault(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.camera.record(1)
    good = bench.stamping.reader

    class Broken(VirtualReader):
        async def run(self, job: Any) -> Any:  # noqa: ARG002  nothing is done
            raise OSError(5, "Input/output error", "recordings")

    bench.stamping.reader = Broken(bench.camera.volume)
    await bench.stamping.round()
    assert bench.faults.active["offload:storage"][0] == "recordings: Input/output error"
    assert not bench.stamping.complete
    bench.stamping.reader = good
    await bench.stamping.round()
    assert bench.faults.active == {}
    assert bench.stamping.complete
