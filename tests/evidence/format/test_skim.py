"""What a start passes over by its bytes it would have decoded for nothing, whatever has happened to the file."""

from __future__ import annotations

import base64
import hashlib
import io

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from bwvd.evidence.format import chain_tail as module
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, Chain, Signer
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.chain_tail import Ending, read_ending
from bwvd.evidence.format.decode import Unknown, decode
from bwvd.evidence.format.line_reader import LineReader
from bwvd.evidence.format.records import Entry, Found, Record, Stamp, TornTail
from bwvd.evidence.format.skim import Skim
from bwvd.evidence.keys.ssh_wire import mpint, string
from bwvd.evidence.keys.sshsig import signed_bytes
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.evidence_keys import fixed_signer

STAMP = Stamp(mono_ns=1, utc="2026-11-22T07:15:03.000Z", quality="synchronised")
SIGNER = fixed_signer()
KIND = b"ecdsa-sha2-nistp256"
ASKED_FOR = frozenset({"opened"})


class Records:
    def __init__(self) -> None:
        self.all: list[Record | Unknown] = []

    def take(self, record: Record | Unknown) -> None:
        self.all.append(record)


def asked_for(found: list[Record | Unknown]) -> list[Record | Unknown]:
    return [one for one in found if not isinstance(one, Entry) or one.event in ASKED_FOR]


def skimmed(data: bytes, signer: Signer = SIGNER) -> tuple[Ending, list[Record | Unknown]]:
    """As the journal reads it; the records that were asked for."""
    volume = VirtualVolume.from_state({"f": data})
    ending, found = read_ending(
        volume, "f", "f", JOURNAL_NAMESPACE, Records, key=signer.public_key, asked_for=ASKED_FOR
    )
    assert len(found.all) + ending.skipped == ending.records
    return ending, asked_for(found.all)


def strictly(data: bytes) -> tuple[Ending, list[Record | Unknown]]:
    reader = ChainReader(io.BytesIO(data), "f", JOURNAL_NAMESPACE)
    found = [signed.record for signed in reader]
    ending = Ending(len(data), reader.end, len(found), reader.torn, reader.newline_missing, reader.problems)
    return ending, asked_for(found)


def line(chain: Chain, event: str = "state", **detail: str | int) -> bytes:
    return chain.line(Entry(n=chain.n, event=event, stamp=STAMP, detail={**detail}))


def named(chain: Chain, at: int, torn: bytes) -> bytes:
    """Torn bytes at an offset, and the record that names them."""
    found = Found(what="torn_line", where="f", offset=at, bytes=len(torn), sha256=hashlib.sha256(torn).hexdigest())
    chain.absorb(torn)
    return torn + chain.line(TornTail(n=chain.n, found=found))


def file_of(count: int, signer: Signer = SIGNER, torn_after: int = -1) -> bytes:
    chain = Chain(signer, JOURNAL_NAMESPACE)
    data = b""
    for i in range(count):
        data += line(chain, "opened" if i % 4 == 2 else "state", i=i)
        if i == torn_after:
            data += named(chain, len(data), b'{"type":"entry","n":%d,"event":"sta\n' % chain.n)
    return data


WHOLE = [file_of(9), file_of(9, torn_after=3)]


@pytest.mark.parametrize("data", WHOLE)
def test_a_byte_that_was_changed_is_found_wherever_it_is(data: bytes) -> None:
    """Invariant 7: the start judges what the strict reader judges."""
    assert skimmed(data) == strictly(data)
    for at in range(0, len(data), 11):
        for by in (0x01, 0x80):
            damaged = data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]
            assert skimmed(damaged) == strictly(damaged), at


@pytest.mark.parametrize("data", WHOLE)
def test_cuts_near_every_line_end_and_between(data: bytes) -> None:
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    near = {end + by for end in ends for by in (-2, -1, 0, 1) if end + by <= len(data)}
    for cut in sorted(near | set(range(0, len(data), 41))):
        assert skimmed(data[:cut]) == strictly(data[:cut])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    """Invariant 7."""
    damaged = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(damaged)))
        end = min(len(damaged), start + data.draw(st.sampled_from([0, 1, 2, 100, 512])))
        kinds = st.sampled_from([b"", b"\0" * (end - start), b"x", b"\n", WHOLE[0][:500], b'{"type":"torn","n":3}\n'])
        damaged[start:end] = data.draw(kinds)
    assert skimmed(bytes(damaged)) == strictly(bytes(damaged))


NO_RECORDS = [
    b'{"type":"entry","n":%d,"event":"state","stamp":{"mono_ns":1,\0\0\0\0}}\n',
    b'{"type":"entry","n":%d,"event":"state","stamp":7,"detail":{}}\n',
    b'{"type":"entry","n":%d,"event":"opened","stamp":7,"detail":{}}\n',
]


@pytest.mark.parametrize("wrong", NO_RECORDS)
@pytest.mark.parametrize("goes_on", ["not", "unnamed", "named"])
def test_a_line_that_only_looks_like_an_entry_is_found(wrong: bytes, goes_on: str) -> None:
    """Invariant 7: a block that never reached the medium, in the middle of a line whose signature did."""
    chain = Chain(SIGNER, JOURNAL_NAMESPACE)
    data = b"".join(line(chain, i=i) for i in range(3))
    before = Chain(SIGNER, JOURNAL_NAMESPACE)
    before.absorb(data, chain.n)
    closing = line(before).splitlines(keepends=True)[1]
    bad = wrong % chain.n + closing
    if goes_on == "named":  # as recovery goes on behind such bytes
        data += named(chain, len(data), bad)
    else:
        data += bad
        chain.absorb(bad)
    if goes_on != "not":
        data += line(chain, "opened", i=9)
    assert skimmed(data) == strictly(data)


def test_entries_are_passed_over_and_those_that_are_asked_for_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: the lines that are decoded."""
    decoded: list[bytes] = []

    def counting(data: bytes) -> Record | Unknown | str:
        decoded.append(data)
        return decode(data)

    monkeypatch.setattr(module, "decode", counting)
    chain = Chain(SIGNER, JOURNAL_NAMESPACE)
    data = b"".join(line(chain, "opened" if i % 50 == 49 else "press", label="x" * 300) for i in range(1000))
    ending, found = skimmed(data)
    assert ending.records == 1000
    assert len(found) == 20
    assert len(decoded) <= 20 + 1 + len(data) // 262_144 + 1, (
        "and the first of the file, and of each piece that is read"
    )


@pytest.mark.parametrize(
    "text",
    ['","event":"opened', '{"type":"entry","n":1,"event":"opened"}', "}\n{", "\\", '"}\n{"sig":"', "\0", "\N{SNOWMAN}"],
)
def test_what_a_person_writes_is_no_event(text: str) -> None:
    """Invariant 7: a marker's text neither hides an entry nor passes it off for another one."""
    chain = Chain(SIGNER, JOURNAL_NAMESPACE)
    data = line(chain) + line(chain, "press", label=text) + line(chain, "opened", label=text) + line(chain, text)
    assert skimmed(data) == strictly(data)
    assert len(skimmed(data)[1]) == 1


class SecureElement:
    """A signer with an ECDSA key, whose signatures differ in length."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._blob = string(KIND) + string(b"nistp256") + string(point)
        self.public_key = f"{KIND.decode()} {base64.b64encode(self._blob).decode()}"

    def sign(self, sha512: bytes, namespace: str) -> bytes:
        signature = self._key.sign(signed_bytes(sha512, namespace), ec.ECDSA(hashes.SHA256()))
        value = b"".join(map(mpint, decode_dss_signature(signature)))
        head = b"SSHSIG" + (1).to_bytes(4, "big") + string(self._blob) + string(namespace.encode()) + string(b"")
        return head + string(b"sha512") + string(string(KIND) + string(value))

    def allowed_signers(self, principal: str) -> str:
        return f"{principal} {self.public_key}\n"


def test_signatures_of_any_kind_of_key_are_known_again() -> None:
    signer = SecureElement()
    data = file_of(60, signer)
    assert len({len(one) for one in data.splitlines()[1::2]}) > 1
    ending, found = skimmed(data, signer)
    assert (ending, found) == strictly(data)
    assert ending.skipped == 60 - 15 - 1, "all but those that are asked for, and the first of the file"


def test_numbers_that_are_not_due_are_not_passed_over() -> None:
    chain = Chain(SIGNER, JOURNAL_NAMESPACE)
    data = line(chain)
    head = data.splitlines()[1]
    assert head.startswith(b'{"sig":"')
    chain.n = 5
    more = line(chain)
    skim = Skim(b"", ASKED_FOR)
    for due, count in ((5, 1), (1, 0)):
        lines = LineReader(io.BytesIO(data + more), 1_048_576)
        lines.next()
        lines.next()
        run = skim.run(lines, due)
        assert (run.entries, run.size) == (count, count * len(more))
        assert lines.next() == more[: more.index(b"\n") + 1], "none was taken"
