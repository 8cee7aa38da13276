"""The quick look at a file's end finds what the strict reader finds, whatever has happened to the file."""

from __future__ import annotations

import hashlib
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bwvd.evidence.format import chain_tail as module
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, Chain
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.chain_tail import Ending, absorb, read_ending
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.records import Entry, Found, Record, Recovered, Segment, Stamp, TornTail
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.evidence_keys import fixed_signer

STAMP = Stamp(mono_ns=1, utc="2026-11-22T07:15:03.000Z", quality="synchronised")
SIGNER = fixed_signer()


class Records:
    def __init__(self) -> None:
        self.all: list[Record | Unknown] = []

    def take(self, record: Record | Unknown) -> None:
        self.all.append(record)


def look(data: bytes) -> tuple[Ending, list[Record | Unknown]]:
    volume = VirtualVolume.from_state({"f": data})
    found, records = read_ending(volume, "f", "f", JOURNAL_NAMESPACE, Records)
    return found, records.all


def strictly(data: bytes) -> tuple[Ending, list[Record | Unknown]]:
    reader = ChainReader(io.BytesIO(data), "f", JOURNAL_NAMESPACE)
    records = [signed.record for signed in reader]
    missing = reader.newline_missing
    return Ending(len(data), reader.end, len(records), reader.torn, missing, reader.problems), records


def entry(chain: Chain, i: int) -> bytes:
    return chain.line(Entry(n=chain.n, event="state", stamp=STAMP, detail={"i": i}))


def file_of(count: int, torn_after: tuple[int, ...] = (), cut: int = 60, *, recovered: bool = False) -> bytes:
    """A file of `count` entries; after some of them an append was cut, and named by the next record."""
    chain = Chain(SIGNER, JOURNAL_NAMESPACE)
    data = b""
    for i in range(count):
        data += entry(chain, i)
        if i in torn_after:
            scratch = Chain(SIGNER, JOURNAL_NAMESPACE)
            scratch.n = chain.n
            torn = entry(scratch, i)[:cut]
            torn += b"" if torn.endswith(b"\n") else b"\n"
            found = Found(
                what="torn_line", where="f", offset=len(data), bytes=len(torn), sha256=hashlib.sha256(torn).hexdigest()
            )
            chain.absorb(torn)
            data += torn
            record: Record = TornTail(n=chain.n, found=found)
            if recovered:
                record = Recovered(
                    n=chain.n,
                    reason="power_cut",
                    boot="b",
                    segments=0,
                    frames=0,
                    audio_frames=0,
                    bytes=0,
                    duration_ns=0,
                    found=[found],
                    stamp=STAMP,
                )
            data += chain.line(record)
    return data


WHOLE = [
    file_of(5),
    file_of(6, (2,)),
    file_of(6, (1, 4), 200),
    file_of(6, (1, 2), recovered=True),
    file_of(3, (2,), 1),
]


@pytest.mark.parametrize("data", WHOLE)
def test_a_whole_file_is_read_without_the_strict_reader(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = strictly(data)
    assert expected[0].problems == []
    monkeypatch.setattr(module, "ChainReader", None)
    assert look(data) == expected


@pytest.mark.parametrize("data", WHOLE)
def test_cuts_near_every_line_end_and_between(data: bytes) -> None:
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    near = {end + by for end in ends for by in (-2, -1, 0, 1)}
    for cut in sorted(near | set(range(0, len(data), 41))):
        assert look(data[:cut]) == strictly(data[:cut])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(damaged)))
        end = min(len(damaged), start + data.draw(st.sampled_from([0, 1, 2, 100, 512])))
        kinds = st.sampled_from([b"", b"\0" * (end - start), b"x", b"\n", WHOLE[0][:180], b'{"type":"torn","n":3}\n'])
        damaged[start:end] = data.draw(kinds)
    assert look(bytes(damaged)) == strictly(bytes(damaged))


@pytest.mark.parametrize("cut", [0, 1, 7, 500])
def test_the_chain_goes_on_behind_it(cut: int) -> None:
    data = file_of(6, (2,))
    data = data[: len(data) - cut]
    volume = VirtualVolume.from_state({"f": data})
    found, _ = read_ending(volume, "f", "f", JOURNAL_NAMESPACE, Records)
    chain = Chain(SIGNER, JOURNAL_NAMESPACE)
    absorb(chain, volume, "f", found)
    more = b"\n" if found.newline_missing else b""
    if found.torn is not None:
        more += chain.line(TornTail(n=chain.n, found=found.torn))
    more += entry(chain, 99)
    assert strictly(data + more)[0].problems == []
    assert look(data + more) == strictly(data + more)


def test_twelve_hours_are_read_in_a_moment() -> None:
    """A recording of twelve hours has 43,200 segments; at start-up its end must be found quickly."""
    chain = Chain(SIGNER, JOURNAL_NAMESPACE)
    part = b"".join(
        chain.line(
            Segment(
                n=chain.n,
                segment=i,
                file=f"{i:06}.m4s",
                bytes=500_000,
                sha256="0" * 64,
                plain_bytes=500_000,
                plain_sha256="0" * 64,
                epoch=1,
                pts_ns=i * 10**9,
                duration_ns=10**9,
                frames=30,
                audio_frames=47,
                gops=1,
                stamp=STAMP,
            )
        )
        for i in range(1, 4001)
    )
    volume = VirtualVolume.from_state({"f": part})
    begun = time.process_time()
    found, records = read_ending(volume, "f", "f", JOURNAL_NAMESPACE, Records)
    elapsed = time.process_time() - begun
    assert found.problems == []
    assert len(records.all) == 4000
    # 4,000 checked signatures are 0.5 s and more; the bound leaves room for a busy machine.
    assert elapsed < 0.25, f"{elapsed:.3f} s for 4,000 records"
