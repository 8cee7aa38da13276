"""What is found in one recording's folder at start-up, and what is written about it."""

from __future__ import annotations

import errno
import hashlib
import io
import math
from pathlib import Path

import pytest

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.flash.steps import Steps
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.startup.outcome import RecoveryResult, drafts_of
from bwvd.evidence.startup.recovery import recover
from bwvd.testing.flash.medium import Tree
from bwvd.testing.flash.storage import BLOCK, VirtualVolume
from tests.support.storage_recording import (
    BOOT,
    SIGNER,
    new_volume,
    recording_id,
    verified,
    virtual_clock,
    write_recording,
)

FOLDER = f"recordings/{recording_id(1)}"
MANIFEST = f"{FOLDER}/manifest.jsonl"


def start(
    volume: VirtualVolume | PosixVolume, boot: str = "boot-2", reserve: Reserve | None = None
) -> list[RecoveryResult]:
    return recover(volume, SIGNER, virtual_clock(), boot, reserve=reserve or Reserve(BLOCK))


def cut(tree: Tree, **changes: bytes | None) -> VirtualVolume:
    """The volume with some of the recording's files changed; None removes one."""
    state = dict(tree)
    for name, content in changes.items():
        path = f"{FOLDER}/{name.replace('__', '.')}"
        if content is None:
            del state[path]
        else:
            state[path] = content
    return VirtualVolume.from_state(state)


def open_recording(segments: int = 3) -> dict[str, bytes | None]:
    """A recording as a power cut between two commits leaves it."""
    volume = new_volume()
    write_recording(volume, 1, segments=segments, close=False)
    return volume.tree()


def signed(volume: VirtualVolume | PosixVolume) -> list[records.Record]:
    reader = ChainReader(io.BytesIO(volume.read(MANIFEST)), "manifest.jsonl")
    found = [one.record for one in reader]
    assert reader.problems == []
    assert reader.torn is None
    return [record for record in found if isinstance(record, records.Record)]


def last(volume: VirtualVolume | PosixVolume) -> records.Recovered:
    record = signed(volume)[-1]
    assert isinstance(record, records.Recovered)
    return record


def test_of_a_closed_recording_its_media_are_not_read() -> None:
    volume = new_volume()
    write_recording(volume, 1)
    before = volume.gate.count
    tree = volume.tree()
    assert start(volume) == []
    assert volume.tree() == tree
    read = {operation.path for operation in volume.gate.log[before:] if operation.kind == "read"}
    assert read == {f"{FOLDER}/{name}" for name in ("SHA256SUMS", "SHA256SUMS.sig", "manifest.jsonl")}


@pytest.mark.parametrize(("boot", "reason"), [("boot-2", "power_cut"), (BOOT, "killed")])
def test_a_recording_without_an_end_gets_one(boot: str, reason: str) -> None:
    volume = cut(open_recording())
    (result,) = start(volume, boot)
    assert (result.recording, result.serial, result.reason, result.segments) == (recording_id(1), 1, reason, 3)
    record = last(volume)
    assert (record.reason, record.boot, record.found) == (reason, boot, [])
    segments = [r for r in signed(volume) if isinstance(r, records.Segment)]
    assert record.segments == len(segments) == 3
    assert record.frames == sum(segment.frames for segment in segments)
    assert record.bytes == sum(segment.bytes for segment in segments)
    assert record.duration_ns == max(segment.pts_ns + segment.duration_ns for segment in segments)
    assert {"SHA256SUMS", "SHA256SUMS.sig", "index.m3u8", "init.mp4"} <= set(volume.names(FOLDER))
    assert verified(volume.tree(), 1).verdict == "recovered"
    assert start(volume) == [], "once is enough"


@pytest.mark.parametrize("by", [1, 2, 30, 150, 200, 700])
def test_a_torn_line_is_covered_byte_for_byte(by: int) -> None:
    """Invariant 7: whatever lies in the folder is covered by a signature."""
    tree = open_recording()
    whole = tree[MANIFEST]
    assert whole is not None
    volume = cut(tree, manifest__jsonl=whole[: len(whole) - by])
    (result,) = start(volume)
    record = last(volume)
    torn = [found for found in record.found if found.what == "torn_line"]
    if by == 1:
        assert torn == [], "the signature holds; only its newline was missing"
        assert result.segments == 3
    else:
        (found,) = torn
        covered = volume.read(MANIFEST, found.offset, found.bytes)
        assert covered.rstrip(b"\n") == whole[found.offset : len(whole) - by].rstrip(b"\n")
        assert hashlib.sha256(covered).hexdigest() == found.sha256
        assert [f.where for f in record.found if f.what == "file_without_line"] == ["000003.m4s"]
    assert verified(volume.tree(), 1).verdict == "recovered"


def test_files_without_a_line_are_kept_and_named() -> None:
    volume = cut(open_recording(), **{"000004__m4s": b"half a segment", "000005__m4s": b""})
    start(volume)
    found = {f.where: f for f in last(volume).found}
    assert found["000004.m4s"].sha256 == hashlib.sha256(b"half a segment").hexdigest()
    assert (found["000005.m4s"].bytes, found["000005.m4s"].what) == (0, "file_without_line")
    assert volume.read(f"{FOLDER}/000004.m4s") == b"half a segment"
    report = verified(volume.tree(), 1)
    assert report.verdict == "recovered"
    assert any("000004.m4s" in note.where for note in report.notes)


def test_a_changed_leftover_is_noticed_afterwards() -> None:
    """Invariant 7: leftovers, too, are covered by a signed record."""
    volume = cut(open_recording(), **{"000004__m4s": b"half a segment"})
    start(volume)
    tree = volume.tree()
    tree[f"{FOLDER}/000004.m4s"] = b"half a segmenT"
    assert verified(tree, 1).verdict == "altered"


def test_a_missing_and_a_short_segment_are_named() -> None:
    tree = open_recording()
    segment = tree[f"{FOLDER}/000003.m4s"]
    assert segment is not None
    volume = cut(tree, **{"000002__m4s": None, "000003__m4s": segment[:100]})
    start(volume)
    missing, short = last(volume).found
    assert (missing.what, missing.where) == ("line_without_file", "000002.m4s")
    assert (short.what, short.where, short.bytes) == ("short_file", "000003.m4s", 100)
    assert short.sha256 == hashlib.sha256(segment[:100]).hexdigest()


def test_links_and_folders_are_named_and_not_followed() -> None:
    volume = cut(open_recording())
    volume.plant(f"{FOLDER}/000009.m4s", "link")
    volume.plant(f"{FOLDER}/pipe", "fifo")
    volume.make_dir(f"{FOLDER}/folder")
    (result,) = start(volume, reserve=Reserve(BLOCK))
    assert result.error == ""
    assert start(volume) == []
    assert [(f.what, f.where) for f in last(volume).found] == [
        ("not_a_file", "000009.m4s"),
        ("not_a_file", "folder"),
        ("not_a_file", "pipe"),
    ]


def test_an_altered_recording_is_not_made_good() -> None:
    """Invariant 7: the device's signature on a recovery must not cover up what somebody did to the card."""
    tree = open_recording()
    whole = tree[MANIFEST]
    assert whole is not None
    volume = cut(tree, manifest__jsonl=whole.replace(b'"segment":2', b'"segment":9'))
    (result,) = start(volume)
    assert result.segments == 1
    (found,) = [f for f in result.found if f.where == "manifest.jsonl"]
    assert (found.what, found.sha256) == ("unsigned_lines", "")
    assert verified(volume.tree(), 1).verdict == "altered"


@pytest.mark.parametrize("content", [None, b"", b"{", b"\0" * 512, b"torn\n"])
def test_a_recording_that_never_began_keeps_its_number(content: bytes | None) -> None:
    state: dict[str, bytes | None] = {"recordings": None, FOLDER: None}
    if content is not None:
        state[MANIFEST] = content
    volume = VirtualVolume.from_state(state)
    (result,) = start(volume)
    assert (result.serial, result.reason, result.segments) == (1, "unknown", 0)
    (record,) = signed(volume)
    assert isinstance(record, records.Recovered)
    assert record.n == 0
    (found,) = record.found
    if content:
        whole = content if content.endswith(b"\n") else content + b"\n"
        assert (found.what, found.offset, found.bytes) == ("torn_line", 0, len(whole))
        assert volume.read(MANIFEST).startswith(whole)
    else:
        assert (found.what, found.where) == ("no_manifest", "manifest.jsonl")
    assert volume.size(MANIFEST) >= 8192
    assert start(volume) == []


def test_missing_conveniences_are_made() -> None:
    volume = new_volume()
    write_recording(volume, 1, finish=False)
    (result,) = start(volume)
    assert (result.reason, result.error) == ("finished", "")
    assert verified(volume.tree(), 1).verdict == "authentic"
    assert start(volume) == []


@pytest.mark.parametrize("name", ["init.mp4", "index.m3u8", "SHA256SUMS", "SHA256SUMS.sig"])
def test_each_missing_convenience_is_noticed(name: str) -> None:
    volume = new_volume()
    write_recording(volume, 1)
    volume.remove(f"{FOLDER}/{name}")
    (result,) = start(volume)
    assert result.reason == "finished"
    assert name in volume.names(FOLDER)
    assert verified(volume.tree(), 1).verdict == "authentic"


@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.sig"])
@pytest.mark.parametrize("content", [b"", b"\0" * 512, b"old"])
def test_sums_that_were_not_finished_are_made_again(name: str, content: bytes) -> None:
    volume = new_volume()
    write_recording(volume, 1)
    tree = volume.tree()
    tree[f"{FOLDER}/{name}"] = content
    volume = VirtualVolume.from_state(tree)
    (result,) = start(volume)
    assert result.reason == "finished"
    assert verified(volume.tree(), 1).verdict == "authentic"


def test_conveniences_can_be_written_by_somebody_else() -> None:
    calls = []

    def finish(_volume: Volume, folder: str, signer: Signer) -> Steps[None]:
        calls.append((folder, signer))
        yield

    volume = cut(open_recording())
    recover(
        volume,
        SIGNER,
        virtual_clock(),
        "boot-2",
        reserve=Reserve(BLOCK),
        finish=finish,
    )
    assert calls == [(FOLDER, SIGNER)]


def test_what_is_not_a_recording_is_left_alone() -> None:
    state: dict[str, bytes | None] = {"recordings": None, "recordings/notes": None, "recordings/x-000001": b"file"}
    volume = VirtualVolume.from_state(state)
    assert start(volume) == []
    assert volume.tree() == state


def test_a_recording_that_is_being_released_is_left_alone() -> None:
    volume = cut(open_recording())
    tree = volume.tree()
    leave = frozenset({recording_id(1)})
    assert recover(volume, SIGNER, virtual_clock(), "boot-2", reserve=Reserve(BLOCK), leave=leave) == []
    assert volume.tree() == tree


def test_a_full_flash_is_recovered_on_the_reserve() -> None:
    """Invariant 12."""
    tree = open_recording()
    volume = VirtualVolume.from_state(tree)
    reserve = Reserve(16 * BLOCK)
    assert reserve.restore(volume)
    volume.capacity = volume.total_bytes() - volume.free_bytes()
    assert volume.free_bytes() == 0
    (result,) = start(volume, reserve=reserve)
    assert result.error == ""
    assert not reserve.held
    assert verified(volume.tree(), 1).verdict == "recovered"


def test_one_that_cannot_be_recovered_does_not_keep_the_others() -> None:
    volume = new_volume()
    for serial in (1, 2, 3):
        write_recording(volume, serial, close=False)
    volume.fail(errno.EIO, path=f"{recording_id(2)}/manifest.jsonl", times=math.inf)
    results = start(volume)
    assert [(result.serial, bool(result.error)) for result in results] == [(1, False), (2, True), (3, False)]
    volume.heal()
    assert [result.serial for result in start(volume)] == [2]
    assert {verified(volume.tree(), serial).verdict for serial in (1, 2, 3)} == {"recovered"}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_error_at_any_operation_is_made_up_for_at_the_next_start(number: int) -> None:
    tree = open_recording()
    tree[f"{FOLDER}/000004.m4s"] = b"half a segment"
    for nth in range(1, 200):
        volume = VirtualVolume.from_state(tree)
        volume.fail(number, nth=nth)
        try:
            results = start(volume)
        except OSError:
            results = []  # recordings/ itself
        volume.heal()
        if volume.gate.count < nth:
            break
        start(volume)
        assert verified(volume.tree(), 1).verdict == "recovered", f"operation {nth}: {results}"
    else:
        pytest.fail("the fault never came too late")
    assert nth > 20


def test_the_journal_is_told() -> None:
    volume = cut(open_recording(), **{"000004__m4s": b"x"})
    results = start(volume)
    (draft,) = drafts_of(results, virtual_clock().read())
    assert draft.event == "recovered"
    assert draft.detail == {
        "recording": recording_id(1),
        "serial": 1,
        "reason": "power_cut",
        "segments": 3,
        "found": "file_without_line",
        "manifest_sha512": hashlib.sha512(volume.read(MANIFEST)).hexdigest(),
    }
    failed = RecoveryResult(recording_id(1), 1, "unknown", error="Input/output error")
    (draft,) = drafts_of([failed], virtual_clock().read())
    assert draft.event == "recovery"
    assert draft.detail["error"] == "Input/output error"


def test_on_a_real_file_system(tmp_path: Path) -> None:
    for path, content in open_recording().items():
        if content is None:
            (tmp_path / path).mkdir()
        else:
            (tmp_path / path).write_bytes(content)
    (tmp_path / FOLDER / "000004.m4s").write_bytes(b"half a segment")
    with PosixVolume(tmp_path) as volume:
        (result,) = start(volume)
        assert result.error == ""
        assert last(volume).segments == 3
        assert start(volume) == []
