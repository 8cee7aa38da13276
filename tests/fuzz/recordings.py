"""Signed lines, and the recordings and storages that they tell of.

`manifest`, `journal` and `verify` get files as they might be found: nothing that was changed is signed. `records` and
`entries` sign what they get, because whoever has a key of their own can make a verifier read anything.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from bwvd.clock import Reading
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.media_index import read_outline
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, MANIFEST_NAMESPACE
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.chain_tail import read_ending
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.records import Record
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.verify.report import Report
from bwvd.testing.flash.storage import VirtualVolume
from tests.fuzz.keys import key_blobs, signatures
from tests.fuzz.target import Target, hold, one_line, scratch
from tests.support.desk import verify_recording, verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

SIGNER, STRANGER = fixed_signer(), fixed_signer(9)
MANIFEST, JOURNAL = "manifest.jsonl", "journal.jsonl"
VERDICTS = ("authentic", "not_closed", "recovered", "altered", "unreadable")
READING = Reading(5_000_000_000, 1_795_331_703_250_000_000, "synchronised", 500)


# --- a storage with one recording, and what lies in it ----------------------------------------------------------------


@cache
def storage() -> Path:
    root = make_storage(scratch() / "storage")
    with PosixVolume(root) as volume:
        journal = Journal.open(volume, SIGNER, device="BWV-0001", limit_bytes=10_000_000)
        journal.append([Draft("opened", {"recording": "20261122T071505Z-BWV-0001-000001", "serial": 1}, READING)])
        head = journal.head()
        make_recording(root, 1, seconds=2, sound_from=1, gap_after=0, journal=head)
        detail: dict[str, str | int | float | None] = {
            "recording": "20261122T071505Z-BWV-0001-000001",
            "serial": 1,
            "segments": 2,
            "reason": "stop",
        }
        journal.append([Draft("closed", detail, READING)])
        journal.close()
    return root


@cache
def recording() -> Path:
    return next((storage() / "recordings").iterdir())


@cache
def files() -> dict[str, bytes]:
    """Name to content of the recording's files."""
    return {path.name: path.read_bytes() for path in sorted(recording().iterdir())}


@cache
def journal_file() -> bytes:
    return (storage() / JOURNAL).read_bytes()


def record_lines(data: bytes) -> list[bytes]:
    """The records of a file of signed lines, without padding."""
    lines = [line for line in data.split(b"\n") if line and not line.startswith(b'{"sig"')]
    return [json.dumps({**json.loads(line), "pad": ""}, separators=(",", ":")).encode() for line in lines]


def sign_lines(data: bytes, namespace: str) -> bytes:
    """Sign every line of `data` anew; `!` in front leaves one unsigned, `?` lets a stranger sign it."""
    sha512 = hashlib.sha512()
    out = bytearray()
    for line in data.split(b"\n"):
        text = line.lstrip(b"!?") + b"\n"
        sha512.update(text)
        out += text
        if line.startswith(b"!"):
            continue
        signer = STRANGER if line.startswith(b"?") else SIGNER
        signature = b'{"sig":"' + base64.b64encode(signer.sign(sha512.digest(), namespace)) + b'"}\n'
        sha512.update(signature)
        out += signature
    return bytes(out)


# --- what must hold ---------------------------------------------------------------------------------------------------


def judged(report: Report) -> None:
    """A report has a verdict, and can be shown and sent."""
    hold(report.verdict in VERDICTS, f"no verdict: {report.verdict}")
    for finding in (*report.findings, *report.notes):
        hold(finding.where.isprintable() and finding.what.isprintable(), f"not printable: {finding!r:.300}")
    json.dumps(report.as_dict(), allow_nan=False).encode()


def walked(data: bytes, namespace: str) -> None:
    """The strict reader, and what continues a file, over the same bytes."""
    tail = ChainReader(io.BytesIO(data), "f", namespace)
    strict = [signed.record for signed in tail]
    hold(0 <= tail.end <= len(data) + 1, "an end outside the file")
    for problem in tail.problems:
        one_line(problem.what)
    volume = VirtualVolume.from_state({"f": data})
    found, records = read_ending(volume, "f", "f", namespace, _All)
    if found.problems == tail.problems and found.records == len(strict):
        hold(records.all == strict, "the quick look sees other records")
        hold((found.end, found.torn) == (tail.end, tail.torn), "the quick look sees another end")
    hold(found.records <= max(len(strict), data.count(b"\n")), "more records than lines")


class _All:
    def __init__(self) -> None:
        self.all: list[Record | Unknown] = []

    def take(self, record: Record | Unknown) -> None:
        self.all.append(record)


# --- targets ----------------------------------------------------------------------------------------------------------


def manifest(data: bytes) -> None:
    walked(data, MANIFEST_NAMESPACE)


def journal(data: bytes) -> None:
    walked(data, JOURNAL_NAMESPACE)


def put(path: Path, data: bytes) -> None:
    """Write without an fsync; the file may be there."""
    path.write_bytes(data)


def records(data: bytes) -> None:
    signed = sign_lines(data, MANIFEST_NAMESPACE)
    folder = scratch() / "records" / recording().name
    if not folder.is_dir():
        shutil.copytree(recording(), folder)
    put(folder / MANIFEST, signed)
    judged(verify_recording(folder))
    try:
        with read_outline(folder) as outline:
            hold(outline.length_s <= outline.length_s, "a length that is no number")
            for span in outline.spans:
                span.utc_at(span.begin_ns)
    except EvidenceError as error:
        one_line(error)


def entries(data: bytes) -> None:
    root = scratch() / "entries"
    if not root.is_dir():
        shutil.copytree(storage(), root)
    put(root / JOURNAL, sign_lines(data, JOURNAL_NAMESPACE))
    for report in verify_storage(root):
        judged(report)


def altered(data: bytes) -> tuple[str, bytes]:
    """A file of the recording, and what it holds then.

    The first byte chooses it, the second how it is changed: wholly, or from an offset on for some bytes.
    """
    names = sorted(files())
    head, rest = data[:2].ljust(2, b"\0"), data[2:]
    name = names[head[0] % len(names)]
    before = files()[name]
    match head[1] % 3:
        case 1:
            at, gone = int.from_bytes(rest[:3], "big") % (len(before) + 1), int.from_bytes(rest[3:5], "big")
            return name, before[:at] + rest[5:] + before[at + gone :]
        case 2:
            at = int.from_bytes(rest[:3], "big") % (len(before) + 1)
            return name, before[:at]
        case _:
            return name, rest


def verify(data: bytes) -> None:
    name, after = altered(data)
    before = files()[name]
    folder = scratch() / "verify" / recording().name
    if not folder.is_dir():
        shutil.copytree(recording(), folder)
    put(folder / name, after)
    try:
        report = verify_recording(folder, decode=True)
        judged(report)
        hold((report.verdict == "authentic") == (after == before), f"{name} was changed: {report.verdict}")
    finally:
        put(folder / name, before)


# --- seeds and mutations ----------------------------------------------------------------------------------------------


def manifest_seeds() -> Iterable[bytes]:
    whole = sign_lines(b"\n".join(record_lines(files()[MANIFEST])), MANIFEST_NAMESPACE)
    yield files()[MANIFEST]
    yield whole
    yield whole[:-1]
    yield whole[:-200]
    yield from _lines_with_signatures(whole)
    yield sign_lines(_torn(record_lines(files()[MANIFEST]), "recovered"), MANIFEST_NAMESPACE)


def journal_seeds() -> Iterable[bytes]:
    whole = sign_lines(b"\n".join(record_lines(journal_file())), JOURNAL_NAMESPACE)
    yield whole
    yield whole[:-1]
    yield whole[:-200]
    yield sign_lines(_torn(record_lines(journal_file()), "torn"), JOURNAL_NAMESPACE)


def _lines_with_signatures(whole: bytes) -> Iterable[bytes]:
    """Every kind of key and signature where a signature belongs."""
    first = whole.split(b"\n", 1)[0] + b"\n"
    for blob in signatures():
        yield first + b'{"sig":"' + base64.b64encode(blob) + b'"}\n'
    slow = signatures()[-2]
    torn = b'{"type":"torn","n":0,"found":{"what":"","where":""}}\n'
    line = torn + b'{"sig":"' + base64.b64encode(slow) + b'"}\n'
    yield line * (65_536 // len(line))
    yield b'{"sig":"' + base64.b64encode(key_blobs()[0]) + b'"}\n' + b"\0" * 400 + whole


STAMP = {"mono_ns": 1, "utc": "2026-11-22T07:15:03Z", "quality": "synchronised"}


def _torn(lines: list[bytes], kind: str) -> bytes:
    """Some lines, an unsigned one, and the record that names it."""
    namespace = MANIFEST_NAMESPACE if kind == "recovered" else JOURNAL_NAMESPACE
    keep = lines[:2]
    offset = len(sign_lines(b"\n".join(keep), namespace))
    torn = b'{"type":"torn'
    digest = hashlib.sha256(torn + b"\n").hexdigest()
    found = {"what": "torn_line", "where": "f", "offset": offset, "bytes": len(torn) + 1, "sha256": digest}
    record: dict[str, Any] = {"type": "torn", "n": 2, "found": found}
    if kind == "recovered":
        totals = dict.fromkeys(("segments", "frames", "audio_frames", "bytes", "duration_ns"), 0)
        record = {"type": kind, "n": 2, "reason": "killed", "boot": "b", **totals, "found": [found], "stamp": STAMP}
    return b"\n".join([*keep, b"!" + torn, json.dumps(record, separators=(",", ":")).encode()])


OTHERS: tuple[dict[str, Any], ...] = (
    {"type": "init", "at_ns": 1, "epoch": 2, "reason": "size", "tracks": [], "init": "AAAA"},
    {"type": "mark", "at_ns": 1, "source": "gpio", "stamp": STAMP, "sealed": dict.fromkeys(("bytes",), 1)},
    {"type": "officer", "at_ns": 1, "officer": "4711"},
    {"type": "gap", "track": "both", "from_ns": 1, "to_ns": 2, "cause": "camera_lost"},
    {"type": "fault", "name": "camera", "active": True, "at_ns": 1},
    {"type": "clock", "at_ns": 1, "step_ns": -5, "stamp": STAMP},
    {"type": "power", "at_ns": 1, "percent": None, "supply": "battery", "flags": ["low"]},
    {"type": "state", "state": "post_roll", "at_ns": 1},
    {"type": "later", "with": {"a": [1, 2.5, None]}},
)


def records_seeds() -> Iterable[bytes]:
    lines = record_lines(files()[MANIFEST])
    yield b"\n".join(lines)
    yield b"\n".join(lines[:-1])
    yield b"?" + b"\n".join(lines)
    yield _torn(lines, "recovered")
    for utc in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00", "now"):
        yield b"\n".join(lines).replace(_utc_of(lines), utc.encode())
    more = [json.dumps({"n": number, **other}).encode() for number, other in enumerate(OTHERS, 1)]
    yield b"\n".join([lines[0], *more])
    sealed = {"file": "sealed-000001.json.age", "bytes": 1, "sha256": "", "plain_sha256": ""}
    mark = {"type": "mark", "n": 1, "at_ns": 1, "source": "", "stamp": STAMP, "sealed": sealed}
    opening = {**json.loads(lines[0]), "recipients": ["age1"]}
    yield b"\n".join([json.dumps(opening).encode(), json.dumps(mark).encode()])
    yield b'{"type":"open","n":0,"format":2}'
    for size in (19, 400, 4000):  # digits; a float holds numbers of 308
        yield b"\n".join(lines).replace(b'"pts_ns":0,', b'"pts_ns":' + b"9" * size + b",")
        yield b"\n".join(lines).replace(b'"n":1,', b'"n":' + b"9" * size + b",")


def _utc_of(lines: list[bytes]) -> bytes:
    """The time of the first segment."""
    first = next(record for line in lines if (record := json.loads(line))["type"] == "segment")
    text: str = first["stamp"]["utc"]
    return text.encode()


def entries_seeds() -> Iterable[bytes]:
    lines = record_lines(journal_file())
    yield b"\n".join(lines)
    yield _torn(lines, "torn")
    last = json.loads(lines[-1])
    events = ("boot", "opened", "closed", "recovered", "released", "press")
    changed = [json.dumps({**last, "n": at, "event": event}).encode() for at, event in enumerate(events, 1)]
    yield b"\n".join([lines[0], *changed])
    before = {"file": "journal-000001.jsonl", "bytes": 10, "sha512": "ab"}
    yield json.dumps({**json.loads(lines[0]), "previous": before}).encode()
    yield b'{"type":"journal","n":0,"format":2}'


def verify_seeds() -> Iterable[bytes]:
    for index, content in enumerate(files()[name] for name in sorted(files())):
        if len(content) < 3000:
            yield bytes([index, 0]) + content
        for at in (0, len(content) // 2, len(content) - 1):
            yield bytes([index, 1]) + at.to_bytes(3, "big") + b"\0\1x"
            yield bytes([index, 2]) + at.to_bytes(3, "big")


VALUES: tuple[Any, ...] = (
    *(0, 1, -1, 2**31, 2**63, 2**64, 10**30, 10**300, -(10**307), 10**400, 1.5, 1e308, -1e308, True, None),
    *("", "\0", "a/b", "..", ".", "x" * 300, "\x1b[2J\r\n", "\U0001f6aa", "\udc80", "\ud800", "é" * 200),
    *(MANIFEST, "SHA256SUMS", "000001.m4s", "init.mp4", "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999-23:59"),
    *("0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z", "not_set", [], {}, [[]], "AAAA", "A", "x" * 20_000),
)


def mutate_lines(data: bytes, seed: int) -> bytes:
    """Exchange, add or remove one field, or move, double or unsign one line; now and then of a whole file.

    Of a file that is broken at its beginning nothing more is read, so most of what grows from it says nothing new.
    """
    chosen = random.Random(seed)
    if chosen.random() < 0.3:
        whole = journal_file() if b'"journal"' in data[:40] else files()[MANIFEST]
        data = b"\n".join(record_lines(whole))
    lines = data.split(b"\n")
    at = chosen.randrange(len(lines))
    match chosen.randrange(9):
        case 0:
            lines.insert(chosen.randrange(len(lines) + 1), lines[at])
        case 1:
            other = chosen.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 2:
            lines[at] = chosen.choice((b"!", b"?")) + lines[at].lstrip(b"!?")
        case 3:
            lines.insert(at, json.dumps({"n": at, **chosen.choice(OTHERS)}).encode())
        case _:
            lines[at] = _other_field(lines[at], chosen)
    if chosen.randrange(4):
        lines = [_numbered(line, number) for number, line in enumerate(lines)]
    return b"\n".join(lines)


def _other_field(line: bytes, chosen: random.Random) -> bytes:
    mark = line[: len(line) - len(line.lstrip(b"!?"))]
    try:
        record = json.loads(line[len(mark) :])
    except (ValueError, RecursionError):
        return line
    if not isinstance(record, dict) or not record:
        return line
    inside = record
    while (
        tables := [value for value in inside.values() if isinstance(value, dict) and value]
    ) and chosen.random() < 0.6:
        inside = chosen.choice(tables)
    key = chosen.choice(list(inside))
    if chosen.random() < 0.1:
        del inside[key]
    else:
        alike = [value for value in VALUES if type(value) is type(inside[key])]
        inside[key] = chosen.choice(alike if alike and chosen.random() < 0.8 else VALUES)
    return mark + json.dumps(record, separators=(",", ":")).encode()


def _numbered(line: bytes, number: int) -> bytes:
    """The line with the number that belongs there, where it is a record."""
    mark = line[: len(line) - len(line.lstrip(b"!?"))]
    try:
        record = json.loads(line[len(mark) :])
    except (ValueError, RecursionError):
        return line
    if not isinstance(record, dict) or record.get("n") == number:
        return line
    return mark + json.dumps({**record, "n": number}, separators=(",", ":")).encode()


TARGETS = (
    Target("manifest", manifest, manifest_seeds, weight=2),
    Target("journal", journal, journal_seeds),
    Target("records", records, records_seeds, mutate_lines, weight=4),
    Target("entries", entries, entries_seeds, mutate_lines, weight=2),
    Target("verify", verify, verify_seeds, weight=2.5),
)
