"""A press, thirty segments, a stall, a stop, a rotation of the journal, a kill, a recovery: cut at every operation."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest

from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.startup.outcome import drafts_of, evidence_missing
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.startup.serials import next_serial, unrecorded
from bwvd.evidence.write.recording_folder import RecordingFolder
from bwvd.testing.flash.crash import CrashState, crash_states
from bwvd.testing.flash.faults import Operation
from bwvd.testing.flash.medium import Tree
from bwvd.testing.flash.storage import BLOCK, VirtualVolume
from tests.support.storage_recording import (
    SIGNER,
    Acknowledged,
    new_volume,
    recording_id,
    verified,
    virtual_clock,
    write_recording,
)

READING = virtual_clock().read()
LIMIT = 10_500  # bytes of a journal file: its first record and a handful of entries


@dataclass
class Shift:
    """What happened on a volume, and what was promised on the way."""

    volume: VirtualVolume
    recorded: list[Acknowledged] = field(default_factory=list)
    entered: list[tuple[int, str]] = field(default_factory=list)  # after which operation, the entry's name


def start(volume: VirtualVolume, boot: str) -> tuple[Journal, int]:
    """What the daemon does before anything is recorded; returns the journal and the next serial number."""
    journal = Journal.open(volume, SIGNER, device="BWV-0001", limit_bytes=LIMIT)
    results = recover(volume, SIGNER, virtual_clock(), boot, reserve=Reserve(BLOCK), said=journal.said)
    assert not [result for result in results if result.error or evidence_missing(result)]
    folders = volume.names("recordings")
    late = [
        Draft("opened", {"recording": recording, "serial": serial}, READING)
        for serial, recording in unrecorded(folders, journal.last_serial)
    ]
    journal.append([*late, *drafts_of(results, READING), Draft("boot", {"name": boot}, READING)])
    return journal, next_serial(folders, journal.last_serial)


def enter(shift: Shift, journal: Journal, event: str, **detail: str | int) -> None:
    name = f"{event} {len(shift.entered)}"
    journal.append([Draft(event, {"name": name, **detail}, READING)])
    shift.entered.append((shift.volume.gate.count, name))


def work(volume: VirtualVolume, segments: int) -> Shift:
    """Two recordings: one stopped in order, one that a kill ends; then a second start, which recovers it."""
    shift = Shift(volume)
    journal, serial = start(volume, "boot-1")

    def busy(index: int) -> None:
        if index % 3 == 1:
            enter(shift, journal, "press", text="x" * 200)

    def told(folder: RecordingFolder) -> None:
        """As the writer tells the journal, but behind every second segment."""
        detail: dict[str, str | int] = {"recording": folder.recording, "serial": folder.opening.serial}
        if folder.segments == 1:
            enter(shift, journal, "opened", **detail)
        elif folder.segments % 2 == 0:
            enter(shift, journal, "progress", **detail, **claim(folder))

    def written(serial: int, segments: int, *, close: bool = True) -> None:
        write_recording(
            volume,
            serial,
            segments=segments,
            close=close,
            acknowledged=shift.recorded,
            before_commit=busy,
            after_commit=told,
        )

    written(serial, segments)
    written(serial + 1, 4, close=False)
    leftover = volume.create(f"recordings/{recording_id(serial + 1)}/000005.m4s")
    leftover.write(b"never acknowledged" * 100)
    journal.close()
    journal, serial = start(volume, "boot-1")
    assert serial == 3
    enter(shift, journal, "press")
    return shift


def claim(folder: RecordingFolder) -> dict[str, str | int]:
    """What an entry says of how far a recording has come."""
    head = folder.manifest_head
    detail = {"segments": folder.segments, "duration_ns": folder.duration_ns, "manifest_bytes": head.bytes}
    return {**detail, "manifest_sha512": head.sha512}


@functools.cache
def folder_complaint(
    serial: int, folder: frozenset[tuple[str, bytes | None]], said: records.Removed | None
) -> tuple[str, str]:
    """Start twice on a storage with this one recording: what is wrong with it, and its verdict.

    said: what the journal says of it.
    """
    volume = VirtualVolume.from_state({"recordings": None, **dict(folder)})
    for boot in ("boot-2", "boot-3"):
        results = recover(
            volume, SIGNER, virtual_clock(), boot, reserve=Reserve(BLOCK), said=lambda _recording, _serial: said
        )
        if lost := [text for result in results if (text := evidence_missing(result))]:
            return f"told of what nobody has taken: {lost}", ""
        if errors := [result.error for result in results if result.error]:
            return f"not recovered: {errors}", ""
    if results:
        return "the second start found something to do", ""
    tree = volume.tree()
    for path, content in folder:
        kept = tree.get(path)
        if content is not None and not convenience(path) and (kept is None or not kept.startswith(content)):
            return f"{path} was there before the start and is not what it was", ""
    manifest = tree[f"recordings/{recording_id(serial)}/manifest.jsonl"] or b""
    if wrong := vouched_in_vain(tree, serial, manifest):
        return wrong, ""
    report = verified(tree, serial)
    if not report.good:
        return f"{report.verdict}: {[finding.as_dict() for finding in report.findings]}", ""
    if not manifest.startswith(b'{"type":"open"'):
        return never_began_complaint(manifest), "never began"
    return "", report.verdict


def vouched_in_vain(tree: Tree, serial: int, manifest: bytes) -> str:
    """A recovery names leftovers by their digest: they must be there."""
    line = manifest.split(b"\n")[-3]  # the last record: behind it its signature, and nothing
    if not line.startswith(b'{"type":"recovered"'):
        return ""
    for found in msgspec.json.decode(line, type=records.Recovered).found:
        content = tree.get(f"recordings/{recording_id(serial)}/{found.where}")
        if found.what == "file_without_line" and hashlib.sha256(content or b"").hexdigest() != found.sha256:
            return f"the recovery vouches for {found.where}, which is not there"
    return ""


def convenience(path: str) -> bool:
    return path.rpartition("/")[2] in ("SHA256SUMS", "SHA256SUMS.sig", "index.m3u8", "init.mp4")


def never_began_complaint(manifest: bytes) -> str:
    """A recording without an `open` record is one `recovered` record that vouches for what lies there."""
    reader = ChainReader(io.BytesIO(manifest), "manifest.jsonl")
    found = [signed.record for signed in reader]
    if reader.problems or reader.torn or len(found) != 1 or not isinstance(found[0], records.Recovered):
        return f"a manifest that is neither begun nor recovered: {reader.problems}"
    return ""


@functools.cache
def journal_complaint(
    files: frozenset[tuple[str, bytes | None]], numbers: tuple[int, ...]
) -> tuple[str, tuple[str, ...], int, dict[int, records.Removed | None]]:
    """Start on these journal files: what is wrong, the names of the entries, the last serial number, and what is said
    of the recordings of these numbers.
    """
    folders = {f"recordings/{recording_id(serial)}": None for serial in numbers}
    volume = VirtualVolume.from_state({**dict(files), **folders})
    journal = Journal.open(volume, SIGNER, device="BWV-0001", limit_bytes=LIMIT)
    journal.append([Draft("boot", {"name": "after"}, READING)])
    names = []
    tree = volume.tree()
    for name in [*sorted(name for name in tree if name.startswith("journal-")), "journal.jsonl"]:
        reader = ChainReader(io.BytesIO(tree[name] or b""), name, JOURNAL_NAMESPACE)
        names += [str(one.record.detail.get("name")) for one in reader if isinstance(one.record, records.Entry)]
        if reader.problems or reader.torn is not None:
            return f"{name}: {reader.problems}", (), 0, {}
    said = {serial: journal.said(recording_id(serial), serial) for serial in numbers}
    return "", tuple(names), journal.last_serial, said


def complaint(state: CrashState, shift: Shift) -> str:
    """What is wrong with a state that the power left; "" if every promise is kept."""
    tree = state.tree
    below: dict[int, dict[str, bytes | None]] = {}
    for path, content in tree.items():
        if path.startswith("recordings/"):
            serial = serial_of(path.split("/")[1])
            assert serial is not None
            below.setdefault(serial, {})[path] = content
    numbers = sorted(below)
    if numbers != list(range(1, len(numbers) + 1)):
        return f"the numbers {numbers} have a hole"
    wrong, entries, last_serial, said = journal_complaint(
        frozenset((p, c) for p, c in tree.items() if not p.startswith("recordings/")), tuple(numbers)
    )
    if wrong:
        return wrong
    verdicts = {}
    for serial in numbers:
        wrong, verdicts[serial] = folder_complaint(serial, frozenset(below[serial].items()), said[serial])
        if wrong:
            return f"recording {serial}: {wrong}"
    if last_serial > max(numbers, default=0):
        return f"the journal knows recording {last_serial}, which is gone"
    for promise in shift.recorded:
        if promise.at <= state.last and (wrong := broken(promise, tree, verdicts)):
            return wrong
    missing = [name for at, name in shift.entered if at <= state.last and name not in entries]
    return f"entries are lost: {missing}" if missing else ""


def broken(promise: Acknowledged, tree: Tree, verdicts: dict[int, str]) -> str:
    verdict = verdicts.get(promise.serial, "gone")
    if verdict not in (("authentic",) if promise.closed else ("authentic", "recovered")):
        return f"recording {promise.serial} is {verdict}"
    for name, content in promise.files.items():
        if tree.get(f"recordings/{recording_id(promise.serial)}/{name}") != content:
            return f"{name} of recording {promise.serial} is lost"
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(("segments", "max_write"), [(30, None), (6, 1500)], ids=["whole writes", "writes in pieces"])
def test_no_power_cut_breaks_a_promise(segments: int, max_write: int | None) -> None:
    """Invariants 6, 7 and 8: what was acknowledged is there, everything verifies, no number is lost or given twice."""
    volume = new_volume(trace=True, max_write=max_write)
    shift = work(volume, segments)
    states = crash_states(volume.moments, per_moment=64)
    assert len(states) > 1400
    assert len(shift.recorded) == segments + 7
    assert "journal-000001.jsonl" in volume.names("")
    for state in states:
        assert complaint(state, shift) == "", f"after operations {state.first} to {state.last}"


def test_a_word_about_what_no_sync_has_confirmed_is_noticed() -> None:
    """Invariant 13, and that the check can fail: told before the manifest is synced, a power cut looks like a theft."""
    for ahead in (False, True):
        volume = new_volume(trace=True, omit=OMISSIONS["the manifest's fdatasync"] if ahead else None)
        shift = work(volume, segments=5)
        complaints = {complaint(state, shift) for state in crash_states(volume.moments, per_moment=24)}
        assert any("nobody has taken" in wrong for wrong in complaints) == ahead


def test_a_recovery_can_be_cut_anywhere() -> None:
    """Every few states the start is itself cut at every operation, and done again."""
    volume = new_volume(trace=True)
    shift = work(volume, segments=3)
    states = crash_states(volume.moments, per_moment=16)
    seen = 0
    for state in states[::9]:
        booted = VirtualVolume.from_state(state.tree, trace=True)
        start(booted, "boot-2")
        for again in crash_states(booted.moments, per_moment=8):
            seen += 1
            promises = Shift(booted, [p for p in shift.recorded if p.at <= state.last])
            promises.recorded = [Acknowledged(0, p.serial, p.files, p.closed) for p in promises.recorded]
            promises.entered = [(0, name) for at, name in shift.entered if at <= state.last]
            assert complaint(again, promises) == ""
    assert seen > 500


OMISSIONS: dict[str, Callable[[Operation], bool]] = {
    "a segment's fdatasync": lambda op: op.kind == "sync" and op.path.endswith(".m4s"),
    "the manifest's fdatasync": lambda op: op.kind == "sync" and op.path.endswith("manifest.jsonl"),
    "the journal's fdatasync": lambda op: op.kind == "sync" and op.path == "journal.jsonl",
    "the new journal's fdatasync": lambda op: op.kind == "sync" and op.path == "journal.jsonl.new",
    "the recording's folder's fsync": lambda op: op.kind == "sync_dir" and op.path.startswith("recordings/"),
    "the fsync of recordings/": lambda op: op.kind == "sync_dir" and op.path == "recordings",
    "the root's fsync": lambda op: op.kind == "sync_dir" and op.path == "",
}


@pytest.mark.parametrize("what", OMISSIONS)
def test_each_omitted_sync_is_noticed(what: str) -> None:
    """The check can fail: without any one kind of sync some state breaks a promise."""
    volume = new_volume(trace=True, omit=OMISSIONS[what])
    shift = work(volume, segments=5)
    assert any(complaint(state, shift) for state in crash_states(volume.moments, per_moment=24))


@pytest.mark.parametrize(
    "what", ["a segment's fdatasync", "the manifest's fdatasync", "the recording's folder's fsync"]
)
def test_each_sync_of_the_recovery_is_needed(what: str) -> None:
    """After a kill the recovery builds on what is only in the cache; it must make that durable before it vouches."""
    volume = new_volume()
    write_recording(volume, 1, segments=2, close=False)
    leftover = volume.create(f"recordings/{recording_id(1)}/000003.m4s")
    leftover.write(b"never acknowledged" * 100)
    killed = volume.killed(trace=True, omit=OMISSIONS[what])
    journal, _ = start(killed, "boot-1")
    promise = Shift(killed, [Acknowledged(killed.gate.count, 1)])
    journal.close()
    assert any(complaint(state, promise) for state in crash_states(killed.moments, per_moment=64))


def test_the_recovery_makes_sure_of_the_folder_itself() -> None:
    """A kill may leave a folder in the cache alone; the journal must not count a recording that then vanishes."""
    for omitted in (True, False):
        volume = new_volume()
        volume.make_dir(f"recordings/{recording_id(1)}")
        omit = OMISSIONS["the fsync of recordings/"] if omitted else None
        killed = volume.killed(trace=True, omit=omit)
        start(killed, "boot-1")
        complaints = {complaint(state, Shift(killed)) for state in crash_states(killed.moments)}
        assert (complaints != {""}) == omitted


def test_the_recovery_after_a_kill_keeps_its_promises() -> None:
    """The same without an omission: nothing is wrong."""
    volume = new_volume()
    write_recording(volume, 1, segments=2, close=False)
    leftover = volume.create(f"recordings/{recording_id(1)}/000003.m4s")
    leftover.write(b"never acknowledged" * 100)
    killed = volume.killed(trace=True)
    start(killed, "boot-1")
    promise = Shift(killed, [Acknowledged(killed.gate.count, 1)])
    for state in crash_states(killed.moments, per_moment=64):
        assert complaint(state, promise) == ""
