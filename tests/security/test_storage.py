"""A memory card that somebody has prepared: links, FIFOs, devices and gigabytes in the place of every file of ours.

Nothing outside the storage is touched or shown, nothing hangs, memory stays bounded, and what comes out is one line.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.catalogue import catalogue
from bwvd.evidence.export.describe import describe
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format import line_reader as lines
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, MANIFEST_NAMESPACE, Chain
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.line_reader import LineReader, lines_before
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.journal.journal import Journal
from bwvd.evidence.startup.admission import StorageRefused, open_storage
from bwvd.evidence.startup.officer import load_officer, save_officer
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.startup.serials import next_serial
from bwvd.evidence.startup.vouch import vouch
from bwvd.evidence.write.finalize import finish_recording
from bwvd.evidence.write.numbering import RecordingNumbers
from bwvd.testing.clock import VirtualClock
from tests.support.desk import export_mp4, export_proof, export_sheet, verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

DEVICE = "BWV-0001"
HANGS_S = 300  # whoever waits for a FIFO waits for ever; a busy machine does not take so long
REC = f"recordings/20261122T071505Z-{DEVICE}-000001"
NEXT = f"recordings/20261122T071505Z-{DEVICE}-000002"

PLACES = (
    "recordings",
    REC,
    *(f"{REC}/{name}" for name in ("manifest.jsonl", "manifest.jsonl.new", "000001.m4s", "000005.m4s", "init.mp4")),
    *(f"{REC}/{name}" for name in ("index.m3u8", "SHA256SUMS", "SHA256SUMS.sig", "other")),
    *("journal.jsonl", "journal.jsonl.new", "journal-000001.jsonl", "allowed_signers", "allowed_signers.new"),
    *(".reserve", ".lock", ".probe", ".wearer", ".wearer.new"),
)
NOT_READ = {".reserve", ".lock", ".probe", ".wearer", ".wearer.new", "allowed_signers.new", f"{REC}/manifest.jsonl.new"}


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """A wait in a system call ends with an exception, so that a hang is a failure."""

    def ring(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANGS_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a recording that has no end yet."""
    storage = make_storage(tmp_path_factory.mktemp("template") / "storage")
    with PosixVolume(storage) as volume:
        Journal.open(volume, fixed_signer(), device=DEVICE, limit_bytes=1_000_000).close()
    make_recording(storage, close="", seconds=1)
    return storage


# --- what is planted -------------------------------------------------------------------------------------------------


def to_file(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "file")


def to_folder(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def dangling(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "made by nobody")


def to_itself(place: Path, _: Path) -> None:
    place.symlink_to(place.name)


def to_device(place: Path, _: Path) -> None:
    place.symlink_to("/dev/zero")


def fifo(place: Path, _: Path) -> None:
    os.mkfifo(place)


def a_folder(place: Path, _: Path) -> None:
    place.mkdir()
    (place / "x").write_text("x")


def a_socket(place: Path, _: Path) -> None:
    here = Path.cwd()
    os.chdir(place.parent)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as planted:
            planted.bind(place.name)
    finally:
        os.chdir(here)


def a_device(place: Path, _: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make device nodes")
    os.mknod(place, 0o20666, os.makedev(1, 5))  # zero


# --- what is done with it --------------------------------------------------------------------------------------------


def start(storage: Path, _: Path) -> None:
    """As the daemon starts on it: admission, list of keys, journal, recovery, wearer, reserve."""
    with open_storage(storage, device=DEVICE) as volume:
        reserve = Reserve(65_536)
        steps: list[Callable[[], object]] = [
            lambda: vouch(volume, fixed_signer().allowed_signers(DEVICE)),
            lambda: journal(volume).close(),
            lambda: recover(volume, fixed_signer(), clock(), "boot-2", reserve=reserve),
            lambda: reserve.restore(volume),
            lambda: load_officer(volume, fixed_signer(), journal(volume)),
            lambda: save_officer(volume, fixed_signer(), journal(volume), "4711", clock().read()),
        ]
        for step in steps:
            _tolerant(step)


def write(storage: Path, _: Path) -> None:
    """As the writer does a recording."""
    make_recording(storage, serial=2, seconds=1)


def read(storage: Path, out: Path) -> None:
    """All that reads, each whatever the others say."""
    folder = storage / REC
    readers: list[Callable[[], object]] = [
        lambda: verify_storage(storage),
        lambda: catalogue(storage),
        lambda: describe(folder),
        lambda: export_mp4(folder, out / "out.mp4", force=True),
        lambda: export_sheet(folder, out / "out.html", force=True),
        lambda: export_proof(folder, out / "out.zip", force=True),
    ]
    for reader in readers:
        _tolerant(reader)
    for report in verify_storage(storage):
        assert all(finding.what.isprintable() for finding in report.findings)


def _tolerant(step: Callable[[], object]) -> None:
    said = ""
    try:
        step()
    except (OSError, EvidenceError, StorageRefused) as error:
        said = str(error)
    assert "\n" not in said


def journal(volume: PosixVolume, limit_bytes: int = 100) -> Journal:
    return Journal.open(volume, fixed_signer(), device=DEVICE, limit_bytes=limit_bytes)


def clock() -> VirtualClock:
    return VirtualClock(seconds=lambda: 100.0)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
        for path in [folder, *sorted(folder.rglob("*"))]
    }


@pytest.mark.slow
@pytest.mark.parametrize("operation", [start, write, read])
@pytest.mark.parametrize(
    "plant", [to_file, to_folder, dangling, to_itself, to_device, fifo, a_folder, a_socket, a_device]
)
def test_whatever_stands_in_a_files_place(
    template: Path, tmp_path: Path, plant: Callable[[Path, Path], None], operation: Callable[[Path, Path], None]
) -> None:
    """Invariants 7 and 8: nothing outside the storage is read into evidence, changed or removed; nothing waits."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    (outside / "000001.m4s").write_text("precious too")
    before = snapshot(outside)
    skipped = NOT_READ if operation is read else set()
    places = [name for name in (*PLACES, NEXT) if name not in skipped]
    for number, name in enumerate(places):
        storage, out = tmp_path / str(number), tmp_path / f"{number}-out"
        out.mkdir()
        shutil.copytree(template, storage)
        place = storage / name
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        plant(place, outside)
        _tolerant(lambda storage=storage, out=out: operation(storage, out))  # type: ignore[misc]  # bound at once
        assert snapshot(outside) == before, name
        assert not any(b"precious" in path.read_bytes() for path in out.iterdir()), name
        shutil.rmtree(storage)
        shutil.rmtree(out)


@pytest.mark.parametrize("name", ["allowed_signers.new", "journal.jsonl.new", "journal-000001.jsonl", ".wearer"])
def test_a_link_in_the_place_of_ours_keeps_the_daemon_off(template: Path, tmp_path: Path, name: str) -> None:
    storage = tmp_path / "storage"
    shutil.copytree(template, storage)
    (storage / name).symlink_to(tmp_path)
    with pytest.raises(StorageRefused, match="a symbolic link"):
        open_storage(storage, device=DEVICE)


# --- names that lead elsewhere ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["../../../secret", "/etc/hostname", "..", ".", "", "a/b", "000001.m4s\0x", "x" * 300])
def test_a_record_that_names_a_file_elsewhere(tmp_path: Path, file: str) -> None:
    """Signed by the device's own key even: names of files are plain names, or nothing is opened."""
    (tmp_path / "secret").write_bytes(b"precious")
    folder = make_recording(make_storage(tmp_path / "storage"), close="", seconds=1)
    data = (folder / "manifest.jsonl").read_bytes()
    chain = Chain(fixed_signer(), MANIFEST_NAMESPACE)
    lines_out = b""
    for line in data.splitlines(keepends=True)[::2]:
        record = msgspec.json.decode(line, type=records.ManifestRecord)
        if isinstance(record, records.Segment):
            record = msgspec.structs.replace(record, file=file)
        lines_out += chain.line(record)
    (folder / "manifest.jsonl").write_bytes(lines_out)
    assert [r.verdict for r in verify_storage(tmp_path / "storage")][-1] == "altered"
    for export, name in ((export_mp4, "out.mp4"), (export_sheet, "out.png")):
        _tolerant(lambda export=export, name=name: export(folder, tmp_path / name, force=True))  # type: ignore[misc]  # bound at once
    describe(folder)
    with PosixVolume(tmp_path / "storage") as volume:
        recover(volume, fixed_signer(), clock(), "boot-2", reserve=Reserve(0))
    assert (tmp_path / "secret").read_bytes() == b"precious"
    assert not any(b"precious" in path.read_bytes() for path in tmp_path.glob("out.*"))


@pytest.mark.parametrize(
    "name", [f"20261122T071505Z-X-{'9' * 13}", f"20261122T071505Z-X-{2**63 - 1}", f"20261122T071505Z-X-{'9' * 200}"]
)
def test_a_folder_with_a_giants_number_does_not_end_the_counting(name: str) -> None:
    """The next recording's number must be one that a manifest can hold: 64 bits."""
    assert serial_of(name) is None
    assert next_serial([name, f"20261122T071505Z-{DEVICE}-000007"], 3) == 8


def test_digits_of_other_scripts_are_no_number() -> None:
    assert serial_of("20261122T071505Z-X-00000\N{ARABIC-INDIC DIGIT SEVEN}") is None


def test_an_id_is_one_path_component() -> None:
    """A configuration's device id has passed its check; the rest of an id is made of digits."""
    _, recording = RecordingNumbers(DEVICE, 1, clock()).take(0)
    assert serial_of(recording) == 1
    assert "/" not in recording


# --- gigabytes -------------------------------------------------------------------------------------------------------

MB = 1_000_000
PEAK = 24 * MB  # whatever the file's size


def long_line(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(b'{"type":"segment","n":1,"x":"')
        for _ in range(size // MB):
            file.write(b"x" * MB)


def short_lines(path: Path, size: int) -> None:
    with path.open("ab") as file:
        for _ in range(size // MB):
            file.write(b"{}\n" * (MB // 3))


def empty_lines(path: Path, size: int) -> None:
    with path.open("ab") as file:
        for _ in range(size // MB):
            file.write(b"\n" * MB)


def sparse(path: Path, size: int) -> None:
    os.truncate(path, size)


def false_signatures(path: Path, size: int) -> None:
    with path.open("ab") as file:
        for _ in range(size // MB):
            file.write(b'{"sig":"AAAA"}\n' * (MB // 15))


@pytest.mark.parametrize("size", [2 * MB, pytest.param(1000 * MB, marks=pytest.mark.complete)], ids=["2 MB", "1 GB"])
@pytest.mark.parametrize("fill", [long_line, short_lines, empty_lines, sparse, false_signatures])
def test_a_manifest_of_a_gigabyte(tmp_path: Path, fill: Callable[[Path, int], None], size: int) -> None:
    """Shown, listed, verified, refused for export and recovered, with a few megabytes of memory and a look a block."""
    signal.alarm(HANGS_S if size < 100 * MB else 1800)
    storage = make_storage(tmp_path / "storage")
    folder = make_recording(storage, close="", seconds=1)
    fill(folder / "manifest.jsonl", size)
    tracemalloc.start()
    try:
        catalogue(storage)
        _tolerant(lambda: describe(folder))
        report = verify_storage(storage)[-1]
        assert report.verdict in ("altered", "not_closed", "unreadable")
        _tolerant(lambda: export_mp4(folder, tmp_path / "out.mp4"))
        with PosixVolume(storage) as volume:
            recover(volume, fixed_signer(), clock(), "boot-2", reserve=Reserve(0))
        assert tracemalloc.get_traced_memory()[1] < PEAK
    finally:
        tracemalloc.stop()
    assert verify_storage(storage)[-1].findings or verify_storage(storage)[-1].verdict == "recovered"


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"type":"x"}\n', b"\0\n"])
def test_rubbish_is_passed_over_in_blocks(monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    """A gigabyte of newlines, looked at one by one, would keep the device from recording for an hour."""
    looks = 0
    look = LineReader.next

    def count(reader: LineReader) -> bytes:
        nonlocal looks
        looks += 1
        return look(reader)

    monkeypatch.setattr(LineReader, "next", count)
    data = line * (4 * MB // len(line))
    reader = ChainReader(io.BytesIO(data), "manifest.jsonl", JOURNAL_NAMESPACE)
    assert list(reader) == []
    assert reader.size == len(data)
    assert looks < 100


@pytest.mark.parametrize("name", ["allowed_signers", "SHA256SUMS", ".wearer", "journal.jsonl"])
def test_other_files_of_a_gigabyte(template: Path, tmp_path: Path, name: str) -> None:
    """Sparse, so that the card needs no room for it; memory stays bounded."""
    storage = tmp_path / "storage"
    shutil.copytree(template, storage)
    path = storage / (f"{REC}/{name}" if name == "SHA256SUMS" else name)
    path.touch()
    if name == "SHA256SUMS":
        (storage / REC / "SHA256SUMS.sig").touch()
    os.truncate(path, 50 * MB if name == "journal.jsonl" else 1000 * MB)
    tracemalloc.start()
    try:
        with PosixVolume(storage) as volume:
            _tolerant(lambda: vouch(volume, "x\n"))
            _tolerant(lambda: load_officer(volume, fixed_signer(), journal(volume, 10**9)))
            _tolerant(lambda: journal(volume, 10**9).close())
            if name == "SHA256SUMS":
                recover(volume, fixed_signer(), clock(), "boot-2", reserve=Reserve(0))
        assert tracemalloc.get_traced_memory()[1] < 160 * MB  # 64 MiB is what SHA256SUMS may have
    finally:
        tracemalloc.stop()


# --- the reader of lines itself --------------------------------------------------------------------------------------


class Pieces:
    """A file that gives what it has in pieces of any size."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def read(self, _: int, /) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


LINES = st.lists(st.sampled_from([b"\n", b"a", b"{", b"ab\n", b"abc", b"\0", b"xyz\nabz\n"]), max_size=30)


@given(LINES, st.integers(1, 9))
def test_lines_are_those_of_readline(pieces: list[bytes], limit: int) -> None:
    reader, stock = LineReader(Pieces(pieces), limit), io.BytesIO(b"".join(pieces))
    while line := stock.readline(limit):
        assert reader.next() == line
    assert reader.next() == b""


@given(LINES, st.sampled_from([b"a", b"ab", b"\n", b"xyz"]))
def test_what_is_skipped_are_whole_lines_that_begin_otherwise(pieces: list[bytes], beginning: bytes) -> None:
    reader, data = LineReader(Pieces(pieces), 1000), b"".join(pieces)
    at = 0
    while True:
        block = reader.skip(beginning)
        assert data[at : at + len(block)] == block
        assert not any(line.startswith(beginning) for line in block.splitlines(keepends=True) if b"\0" not in line)
        assert not block or block.endswith(b"\n")
        at += len(block)
        line = reader.next()
        assert data[at : at + len(line)] == line
        at += len(line)
        if not line:
            break
    assert at == len(data)


@given(LINES)
def test_lines_before(pieces: list[bytes]) -> None:
    data = b"".join(pieces).splitlines(keepends=True) if b"\0" not in b"".join(pieces) else []
    expected, before = [], b""
    for line in data:
        if line.startswith(b"a"):
            expected += [(before, line)] if before else []
            before = b""
        else:
            before = line
    assert list(lines_before(LineReader(io.BytesIO(b"".join(data)), 1000), b"a")) == expected


def test_finishing_a_hostile_manifest_reads_what_is_signed(tmp_path: Path) -> None:
    """Between rubbish, the playlist still finds every segment; lines are cut where blocks end."""
    storage = make_storage(tmp_path / "storage")
    folder = make_recording(storage, finish=False)
    manifest = folder / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes() + b"{}\n" * (lines._CHUNK // 2))
    with PosixVolume(storage) as volume:
        finish_recording(volume, f"recordings/{folder.name}", fixed_signer())
    assert (folder / "index.m3u8").read_text().count("#EXTINF") == 4
