"""Thousands of seeded alterations of three recordings: every one is found, and placed where it was made.

The plain run makes 1,500 alterations and 150 checks of what is untouched; `pytest -m complete` makes 10,000 and 1,000.
"""

from __future__ import annotations

import io
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyrage
import pytest

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.records import Segment
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.verify.report import Report
from bwvd.testing.clock import VirtualClock
from tests.support.desk import verify_recording
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

MANIFEST = "manifest.jsonl"
SUMS = {"SHA256SUMS", "SHA256SUMS.sig", "SHA256SUMS or SHA256SUMS.sig"}

Files = dict[str, bytes]


@dataclass(frozen=True)
class Subject:
    """A recording, its files as they must be, and the places in its manifest."""

    folder: Path
    files: Files
    segments: frozenset[str]  # that have a record
    other: Files  # another recording's, of the same device
    units: list[tuple[int, str]]  # where each record (or torn region) begins, and how a report calls that place

    def place(self, offset: int) -> tuple[str, bool]:
        """Where a report must place an alteration at `offset` of the manifest, and whether that is the last record."""
        index = sum(start <= offset for start, _ in self.units) - 1
        return self.units[index][1], index == len(self.units) - 1


def subject(folder: Path, other: Path) -> Subject:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    units: list[tuple[int, str]] = []
    segments = set()
    reader = ChainReader(io.BytesIO(files[MANIFEST]), MANIFEST)
    end = 0
    for signed in reader:
        if isinstance(signed.record, Segment):
            segments.add(signed.record.file)
        if signed.offset > end:
            line = files[MANIFEST].count(b"\n", 0, end) + 1
            units.append((end, reader.where(line, end)))
        units.append((signed.offset, reader.where(signed.line, signed.offset)))
        end = signed.end
    return Subject(
        folder, files, frozenset(segments), {path.name: path.read_bytes() for path in other.iterdir()}, units
    )


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Subject]]:
    shared = Path("/dev/shm")  # noqa: S108  memory, if there is some: a fresh folder of ours is made in it
    root = tmp_path_factory.mktemp("mutation")
    if shared.is_dir() and os.access(shared, os.W_OK):
        root = shared / f"bwvd-{os.getpid()}-{root.name}"
        root.mkdir()
    try:
        storage = make_storage(root / "storage")
        sealer = AgeSealer([str(pyrage.x25519.Identity.generate().to_public())])
        clear, other = make_recording(storage, 1), make_recording(storage, 2, bframes=2, label="another")
        sealed = make_recording(storage, 3, sealer=sealer)
        torn = make_recording(storage, 4, close="", gap_after=1)
        os.truncate(torn / MANIFEST, (torn / MANIFEST).stat().st_size - 400)
        with PosixVolume(storage) as volume:
            recover(volume, fixed_signer(), VirtualClock(seconds=lambda: 9.0), "boot-2", reserve=Reserve(0))
        yield [subject(folder, other) for folder in (clear, sealed, torn)]
    finally:
        shutil.rmtree(root)


# --- alterations: each returns the files as altered, and a check of the report ---------------------------------------

Check = Callable[[Report], bool]


def named(*names: str) -> Check:
    """A finding is about one of these files."""
    wanted = {*names}
    if wanted & SUMS:
        wanted |= SUMS
    return lambda report: any(
        finding.where in wanted or finding.where.split(" (")[0] in wanted for finding in report.findings
    )


def content(it: Subject, name: str, data: bytes) -> tuple[Files, Check] | None:
    """One file has other content: the report names it, and in the manifest the record."""
    before = it.files[name]
    if data == before:
        return None
    files = {**it.files, name: data}
    if name in it.segments:  # a report says which segment, and of what time
        return files, lambda report: any(finding.where.startswith(f"{name} (segment ") for finding in report.findings)
    if name != MANIFEST:
        return files, named(name)
    first = next((i for i, (a, b) in enumerate(zip(before, data, strict=False)) if a != b), min(len(before), len(data)))
    if first == len(before):  # only lengthened
        return files, lambda report: any(finding.where.startswith(MANIFEST) for finding in report.findings)
    place, last = it.place(first)
    exact = {place, f"{MANIFEST} byte {place.split('byte ')[1].rstrip(')')}"}
    return files, lambda report: any(
        finding.where in exact or (last and finding.where.startswith(MANIFEST)) for finding in report.findings
    )


def flip_bit(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    name = rng.choice(sorted(it.files))
    data = bytearray(it.files[name])
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return content(it, name, bytes(data))


def flip_manifest_bit(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    data = bytearray(it.files[MANIFEST])
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return content(it, MANIFEST, bytes(data))


def truncate(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    name = rng.choice(sorted(it.files))
    return content(it, name, it.files[name][: rng.randrange(len(it.files[name]))])


def insert_bytes(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    name = rng.choice(sorted(it.files))
    data = it.files[name]
    at = rng.randint(0, len(data))
    return content(it, name, data[:at] + rng.randbytes(rng.randint(1, 20)) + data[at:])


def cut_out(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    name = rng.choice(sorted(it.files))
    data = it.files[name]
    at = rng.randrange(len(data))
    return content(it, name, data[:at] + data[at + rng.randint(1, 300) :])


def change_lines(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    """Remove, swap or double lines or whole records of the manifest."""
    lines = it.files[MANIFEST].splitlines(keepends=True)
    step = rng.choice((1, 2))
    a, b = rng.randrange(0, len(lines) - step + 1, step), rng.randrange(0, len(lines) - step + 1, step)
    match rng.choice(("remove", "swap", "double", "move")):
        case "remove":
            del lines[a : a + step]
        case "swap":
            lines[a : a + step], lines[b : b + step] = lines[b : b + step], lines[a : a + step]
        case "double":
            lines[b:b] = lines[a : a + step]
        case _:
            taken = lines[a : a + step]
            del lines[a : a + step]
            lines[b:b] = taken
    return content(it, MANIFEST, b"".join(lines))


def change_sums_lines(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    lines = it.files["SHA256SUMS"].splitlines(keepends=True)
    rng.shuffle(lines)
    return content(it, "SHA256SUMS", b"".join(lines[: rng.randint(0, len(lines))]))


def remove_file(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    name = rng.choice(sorted(it.files))
    return {other: data for other, data in it.files.items() if other != name}, named(name)


def rename_file(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    name, new = rng.choice(sorted(it.files)), rng.choice(("000009.m4s", "x", "init-7.mp4", ".hidden", "0.m4s"))
    files = {other: data for other, data in it.files.items() if other != name}
    return {**files, new: it.files[name]}, lambda report: named(name)(report) and named(new, MANIFEST)(report)


def swap_files(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    one, other = rng.sample(sorted(it.files), 2)
    return (
        {**it.files, one: it.files[other], other: it.files[one]},
        lambda report: (
            named(one)(report) or named(other)(report) or any(f.where.startswith(MANIFEST) for f in report.findings)
        ),
    )


def add_file(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    name = rng.choice(("000005.m4s", "000000.m4s", "note.txt", "manifest.jsonl.bak", "init-2.mp4", "\udcff", "a b"))
    if name in it.files:
        return None
    shown = name.encode("unicode_escape").decode() if name == "\udcff" else name
    return {**it.files, name: rng.choice((b"", b"x", it.files[MANIFEST]))}, named(shown)


def from_another_recording(it: Subject, rng: random.Random) -> tuple[Files, Check] | None:
    name = rng.choice(sorted(it.files.keys() & it.other.keys()))
    if name == MANIFEST:
        files = {**it.files, name: it.other[name]}
        # The other recording's manifest is whole: what does not fit it is everything else.
        return files, lambda report: len(report.findings) > 0
    return content(it, name, it.other[name])


ALTERATIONS = (
    *(flip_bit, flip_bit, flip_manifest_bit, truncate, insert_bytes, cut_out, change_lines, change_lines),
    *(change_sums_lines, remove_file, rename_file, swap_files, add_file, from_another_recording),
)


def put(it: Subject, files: Files, before: Files) -> None:
    """Make the folder hold `files`, of which `before` is there."""
    for name in before.keys() - files.keys():
        (it.folder / name).unlink()
    for name, data in files.items():
        if before.get(name) != data:
            (it.folder / name).write_bytes(data)


def alter(subjects: list[Subject], count: int, seed: int) -> None:
    rng = random.Random(seed)
    made = 0
    while made < count:
        it, alteration = rng.choice(subjects), rng.choice(ALTERATIONS)
        changed = alteration(it, rng)
        if changed is None:
            continue
        files, check = changed
        if files == it.files:
            continue
        made += 1
        put(it, files, it.files)
        try:
            report = verify_recording(it.folder)
            said = (
                f"{alteration.__name__} {made} of seed {seed} in {it.folder.name}: {report.verdict} {report.findings}"
            )
            assert not report.good, said
            assert check(report), said
        finally:
            put(it, it.files, files)


def leave(subjects: list[Subject], count: int) -> None:
    for number in range(count):
        it = subjects[number % len(subjects)]
        report = verify_recording(it.folder)
        assert report.findings == []
        assert report.good


@pytest.mark.slow
def test_alterations_are_found_and_placed(subjects: list[Subject]) -> None:
    """Invariant 7."""
    alter(subjects, 1500, seed=1)


def test_what_is_untouched_raises_no_alarm(subjects: list[Subject]) -> None:
    leave(subjects, 150)


@pytest.mark.complete
@pytest.mark.parametrize("seed", range(2, 12))
def test_ten_thousand_alterations_are_found_and_placed(subjects: list[Subject], seed: int) -> None:
    """Invariant 7."""
    alter(subjects, 1000, seed)


@pytest.mark.complete
def test_a_thousand_untouched_raise_no_alarm(subjects: list[Subject]) -> None:
    leave(subjects, 1000)
