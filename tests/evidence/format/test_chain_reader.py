"""Signed lines read back: what holds, what a power cut left, what was altered, and where."""

from __future__ import annotations

import base64
import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, MANIFEST_NAMESPACE, Chain
from bwvd.evidence.format.chain_reader import ChainReader, Signed
from bwvd.evidence.format.decode import MAX_LINE, Unknown
from bwvd.evidence.format.records import Found, Record, Recovered, Stamp, State, TornTail
from bwvd.evidence.keys.sshsig import armour
from tests.support.evidence_keys import fixed_signer

NAME = "manifest.jsonl"
STAMP = Stamp(mono_ns=1, utc="2026-11-22T07:15:03.000Z", quality="synchronised")


def chain() -> Chain:
    return Chain(fixed_signer(), MANIFEST_NAMESPACE)


def state(n: int, text: str = "post_roll") -> State:
    return State(n=n, state=text, at_ns=n)


def pairs(count: int) -> list[bytes]:
    """Each a record's line and its signature's line."""
    writer = chain()
    return [writer.line(state(n)) for n in range(count)]


def lines(count: int) -> list[bytes]:
    return b"".join(pairs(count)).splitlines(keepends=True)


def read(data: bytes) -> tuple[ChainReader, list[Signed]]:
    reader = ChainReader(io.BytesIO(data), NAME)
    return reader, list(reader)


def places(data: bytes) -> list[str]:
    return [problem.where for problem in read(data)[0].problems]


def continued(data: bytes, record: str = "recovered") -> bytes:
    """What recovery makes of a file: the torn bytes stay, a newline if one is missing, a record that names them."""
    tail, signed = read(data)
    writer = chain()
    writer.absorb(data[: tail.end], len(signed))
    torn = data[tail.end :] + (b"\n" if tail.newline_missing else b"")
    writer.absorb(torn)
    found = [tail.torn] if tail.torn else []
    if record == "recovered":
        last: Record = Recovered(
            n=writer.n,
            reason="power_cut",
            boot="b",
            segments=0,
            frames=0,
            audio_frames=0,
            bytes=0,
            duration_ns=0,
            found=found,
            stamp=STAMP,
        )
    else:
        last = TornTail(n=writer.n, found=found[0])
    return data[: tail.end] + torn + writer.line(last) + writer.line(state(writer.n))


def test_what_was_written_is_read() -> None:
    written = pairs(3)
    reader, signed = read(b"".join(written))
    assert [s.record for s in signed] == [state(0), state(1), state(2)]
    assert reader.problems == []
    assert reader.torn is None
    assert [s.line for s in signed] == [1, 3, 5]
    assert [s.offset for s in signed] == [0, len(written[0]), len(written[0] + written[1])]
    assert signed[-1].end == reader.end == reader.size
    assert signed[1].sha512 == hashlib.sha512(written[0] + written[1]).digest()
    assert {s.key.line for s in signed} == {fixed_signer().public_key}


def test_an_empty_file_has_nothing_wrong_and_nothing_right() -> None:
    reader, signed = read(b"")
    assert (signed, reader.problems, reader.torn) == ([], [], None)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_cut_of_the_last_append_is_a_torn_tail(count: int) -> None:
    """Invariant 6: what was acknowledged before the cut still holds."""
    whole = b"".join(pairs(count))
    before = len(b"".join(pairs(count)[:-1]))
    for size in range(before, len(whole)):
        reader, signed = read(whole[:size])
        assert reader.problems == []
        if size == len(whole) - 1:  # only the newline is missing: the signature is there, and holds
            assert (len(signed), reader.end, reader.torn) == (count, len(whole), None)
        else:
            assert (len(signed), reader.end) == (count - 1, before)
            assert (reader.torn is None) == (size == before)
        assert reader.newline_missing == (size > 0 and whole[size - 1] != 10)


@pytest.mark.parametrize("record", ["recovered", "torn"])
def test_a_torn_tail_that_is_named_is_accounted_for(record: str) -> None:
    """Invariant 7: a signed record covers the bytes that a power cut left."""
    whole = b"".join(pairs(3))
    first = len(b"".join(pairs(2)))
    for size in range(first + 1, len(whole) - 1):
        data = continued(whole[:size], record)
        reader, signed = read(data)
        assert reader.problems == []
        assert len(signed) == 4
        assert reader.end == len(data)


def test_a_tail_that_lacks_its_newline_alone_is_whole() -> None:
    """The newline that recovery puts there completes a pair that was signed: it counts, and is not torn."""
    data = continued(b"".join(pairs(3))[:-1])
    reader, signed = read(data)
    assert reader.problems == []
    assert [s.record.n for s in signed] == [0, 1, 2, 3, 4]


def test_a_second_power_cut_is_accounted_for_as_well() -> None:
    once = continued(b"".join(pairs(2))[:-5], "torn")
    twice = continued(once[:-7], "torn")
    reader, signed = read(twice)
    assert reader.problems == []
    assert [type(s.record) for s in signed] == [State, TornTail, TornTail, State]
    assert signed[2].line == 9  # state, sig, state, piece; torn, sig, state, piece; torn


@pytest.mark.parametrize(
    "rest", [b"\0" * 5000, b"\n\n\n", b"\0" * 100 + b'{"sig":"AAAA"}\n', b"x" * 3000 + b"\n\xff\n"]
)
def test_any_rubbish_behind_the_last_append_can_be_named(rest: bytes) -> None:
    data = b"".join(pairs(2)) + rest
    reader, _ = read(data)
    assert reader.problems == []
    assert reader.torn is not None
    assert reader.torn.offset == len(data) - len(rest)
    assert read(continued(data))[0].problems == []


@pytest.mark.parametrize("what", ["bytes", "sha256", "offset"])
def test_a_region_named_wrongly_is_a_problem(what: str) -> None:
    data = b"".join(pairs(2))[:-5]
    tail, _ = read(data)
    assert tail.torn is not None
    fields = {"bytes": tail.torn.bytes, "sha256": tail.torn.sha256, "offset": tail.torn.offset}
    fields[what] = "00" * 32 if what == "sha256" else 7
    writer = chain()
    writer.absorb(data[: tail.end], 1)
    writer.absorb(data[tail.end :] + b"\n")
    wrong = Found(what="torn_line", where=NAME, **fields)  # type: ignore[arg-type]  # a mixed dict
    data += b"\n" + writer.line(TornTail(n=1, found=wrong))
    assert places(data) == [f"{NAME} line 3 (byte {tail.end})"]


@pytest.mark.slow
def test_a_flipped_bit_is_found_in_its_pair() -> None:
    """Invariant 7: any flipped bit, in the middle or at the end, is found, and where it is."""
    whole = b"".join(pairs(3))
    starts = [0]
    for pair in pairs(3):
        starts.append(starts[-1] + len(pair))
    for at in range(len(whole)):
        for bit in (0, 5):
            bad = bytearray(whole)
            bad[at] ^= 1 << bit
            reader, signed = read(bytes(bad))
            index = sum(start <= at for start in starts[1:])
            assert len(signed) == index
            if reader.problems:
                assert reader.problems[0].where == f"{NAME} line {2 * index + 1} (byte {starts[index]})"
            else:
                # The last signature's line and the newline before it: that may be an append that the power ended.
                assert index == 2
                assert at >= starts[3] - len(lines(3)[-1]) - 1
                assert reader.torn is not None


@pytest.mark.parametrize("index", range(8))
def test_a_removed_line_is_found(index: int) -> None:
    """Invariant 7."""
    left = lines(5)
    del left[index]
    reader, signed = read(b"".join(left))
    assert len(signed) == index // 2
    assert len(reader.problems) == 1
    assert reader.problems[0].where.startswith(f"{NAME} line {index // 2 * 2 + 1} ")


def test_removed_swapped_and_doubled_records_are_named() -> None:
    """Invariant 7."""
    p = pairs(5)
    for moved in ([p[0], p[2], p[3], p[4]], [p[0], p[2], p[1], p[3], p[4]], [p[0], p[0], p[1]]):
        reader, signed = read(b"".join(moved))
        assert len(signed) == 1
        assert [problem.where for problem in reader.problems] == [f"{NAME} line 3 (byte {len(p[0])})"]
        assert "where 1 is expected" in reader.problems[0].what


def test_an_inserted_line_is_found() -> None:
    """Invariant 7."""
    for index in range(6):
        more = lines(3)
        more.insert(index, b'{"type":"state","n":1,"state":"x","at_ns":1}\n')
        reader, signed = read(b"".join(more))
        assert len(signed) == index // 2
        assert len(reader.problems) == 1


def test_another_namespace_does_not_hold() -> None:
    reader = ChainReader(io.BytesIO(b"".join(pairs(2))), NAME, JOURNAL_NAMESPACE)
    assert list(reader) == []
    assert "signed for 'bwvd-manifest', not for 'bwvd-journal'" in reader.problems[0].what


def test_unknown_records_and_fields_are_passed_over() -> None:
    signer = fixed_signer()
    data = b""
    for line in (
        b'{"type":"thermal","n":0,"celsius":[41]}\n',
        b'{"type":"state","n":1,"state":"x","at_ns":2,"new":{}}\n',
    ):
        data += line
        blob = signer.sign(hashlib.sha512(data).digest(), MANIFEST_NAMESPACE)
        data += b'{"sig":"' + base64.b64encode(blob) + b'"}\n'
    reader, signed = read(data)
    assert reader.problems == []
    assert signed[0].record == Unknown(n=0, type="thermal", fields={"type": "thermal", "n": 0, "celsius": [41]})
    assert signed[1].record == State(n=1, state="x", at_ns=2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"type":"state","n":0}\n', "malformed record (state)"),
        (b'{"type":"thermal"}\n', "no type or no number"),
        (b'{"type":"thermal","n":true}\n', "no type or no number"),
        (b"[]\n", "not a JSON object"),
        (b"\n", "not a record"),
        (b"\xff\n", "not a record"),
        (b"[" * 5000 + b"\n", "not a record"),
        (b'{"type":"thermal","n":4}\n', "record 4 where 0 is expected"),
    ],
)
def test_a_signed_line_that_is_no_record_is_a_problem(line: bytes, message: str) -> None:
    blob = fixed_signer().sign(hashlib.sha512(line).digest(), MANIFEST_NAMESPACE)
    reader, signed = read(line + b'{"sig":"' + base64.b64encode(blob) + b'"}\n')
    assert signed == []
    assert message in reader.problems[0].what


def test_a_signature_has_one_form_only() -> None:
    """Invariant 7: not one bit of base64 is free."""
    first, sig = lines(1)
    text = sig[8:-3].decode()
    for other in (f'{{"sig": "{text}"}}\n', f'{{"sig":"{text}" }}\n', f'{{"sig":"{text}"}}\r\n', armour(b"x") + "\n"):
        assert read(first + other.encode())[1] == []


def test_a_line_too_long_is_a_problem_and_costs_no_memory() -> None:
    data = lines(2)[0] + lines(2)[1] + b'{"type":"x","n":1,"pad":"' + b"x" * (3 * MAX_LINE) + b'"}\n' + lines(2)[3]
    reader, signed = read(data)
    assert len(signed) == 1
    assert f"longer than {MAX_LINE}" in reader.problems[0].what


@given(st.binary(max_size=400), st.integers(0, 3))
def test_rubbish_is_a_verdict_never_a_traceback(rubbish: bytes, count: int) -> None:
    data = b"".join(pairs(count))
    reader, signed = read(data + rubbish)
    assert len(signed) == count
    assert rubbish == b"" or reader.torn is not None
    assert read(continued(data + rubbish))[0].problems == []


@given(st.data())
def test_whatever_is_spliced_the_prefix_holds_and_nothing_else(data: st.DataObject) -> None:
    """Invariant 7: what is accepted is a prefix of what was signed."""
    original = lines(4)
    indexes = data.draw(st.lists(st.integers(0, 7), max_size=10))
    _, signed = read(b"".join(original[index] for index in indexes))
    same = 0
    while same < min(len(indexes), 8) and indexes[same] == same:
        same += 1
    assert len(signed) == same // 2
