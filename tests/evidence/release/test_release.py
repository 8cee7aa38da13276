"""The only delete path: refused unless everything is proven, and finished once the journal says so."""

from __future__ import annotations

import errno
import functools
import hashlib
from collections.abc import Callable

import pytest
import trio
import trio.testing

from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.journal.journal import Journal
from bwvd.evidence.release import release as module
from bwvd.evidence.release.handing_in import ReleaseRefused, run_release
from bwvd.evidence.release.receipt import Accepted, Receipt
from bwvd.evidence.release.release import Release, finish_releases
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.startup.serials import next_serial
from bwvd.testing.flash.crash import CrashState, crash_states
from bwvd.testing.flash.faults import Operation
from bwvd.testing.flash.medium import Tree
from bwvd.testing.flash.storage import BLOCK, VirtualStorage, VirtualVolume
from tests.support.storage_recording import SIGNER, new_volume, recording_id, verified, virtual_clock, write_recording

FOLDER = f"recordings/{recording_id(1)}"


@functools.cache
def finished() -> Tree:
    """A storage with two closed recordings, the second one recovered, leftovers and all."""
    volume = new_volume()
    opened(volume)
    write_recording(volume, 1)
    write_recording(volume, 2, close=False)
    leftover = volume.create(f"recordings/{recording_id(2)}/000004.m4s")
    leftover.write(b"never acknowledged")
    recover(volume, SIGNER, virtual_clock(), "boot-2", reserve=Reserve(BLOCK))
    return volume.tree()


def opened(volume: VirtualVolume) -> Journal:
    return Journal.open(volume, SIGNER, device="BWV-0001", limit_bytes=1 << 20)


def receipt_for(tree: Tree, serial: int = 1, **changes: str) -> Accepted[Receipt]:
    """A receipt as the server that has these bytes would make it."""
    manifest = tree[f"recordings/{recording_id(serial)}/manifest.jsonl"] or b""
    fields = {
        "recording": recording_id(serial),
        "device": "BWV-0001",
        "manifest_sha512": hashlib.sha512(manifest).hexdigest(),
        "received_utc": "2026-11-22T19:02:11Z",
        "by": "evidence-server",
        **changes,
    }
    return Accepted(Receipt(format=1, **fields), "aa" * 32, "SHA256:key")


def releasing(volume: VirtualVolume, accepted: Accepted[Receipt], in_progress: str = "") -> Release:
    return Release(
        volume,
        opened(volume),
        accepted,
        device="BWV-0001",
        clock=virtual_clock(),
        in_progress=lambda: in_progress,
    )


def run(release: Release) -> None:
    while release.step():
        pass


def refusal(tree: Tree, accepted: Accepted[Receipt], in_progress: str = "") -> str:
    """Why it is refused; nothing has changed then."""
    volume = VirtualVolume.from_state(tree)
    with pytest.raises(ReleaseRefused) as raised:
        run(releasing(volume, accepted, in_progress))
    assert volume.tree() == tree
    assert opened(volume).released == {}
    assert "\n" not in str(raised.value)
    return str(raised.value)


def with_file(tree: Tree, name: str, content: bytes | None) -> Tree:
    changed = {**tree, f"{FOLDER}/{name}": content}
    return changed if content is not None else {path: c for path, c in changed.items() if path != f"{FOLDER}/{name}"}


@pytest.mark.parametrize("serial", [1, 2])
def test_a_received_recording_is_removed_and_the_journal_says_why(serial: int) -> None:
    volume = VirtualVolume.from_state(finished())
    accepted = receipt_for(finished(), serial)
    release = releasing(volume, accepted)
    run(release)
    assert release.entered
    kept = {path for path in finished() if not path.startswith(f"recordings/{recording_id(serial)}")}
    assert set(volume.tree()) == kept
    detail = opened(volume).released[recording_id(serial)]
    assert detail == {
        "recording": recording_id(serial),
        "serial": serial,
        "manifest_sha512": accepted.receipt.manifest_sha512,
        "receipt_sha256": "aa" * 32,
        "received_utc": "2026-11-22T19:02:11Z",
        "by": "evidence-server",
        "key": "SHA256:key",
    }
    other = 3 - serial
    assert verified(volume.tree(), other).good


def test_a_number_is_not_given_again_after_a_release() -> None:
    volume = VirtualVolume.from_state(finished())
    for serial in (2, 1):
        run(releasing(volume, receipt_for(finished(), serial)))
    assert volume.names("recordings") == []
    assert next_serial(volume.names("recordings"), opened(volume).last_serial) == 3


def test_it_is_released_once() -> None:
    volume = VirtualVolume.from_state(finished())
    run(releasing(volume, receipt_for(finished())))
    with pytest.raises(ReleaseRefused, match="has been released"):
        run(releasing(volume, receipt_for(finished())))


# --- what is refused -------------------------------------------------------------------------------------------------


def test_the_recording_in_progress() -> None:
    assert "in progress" in refusal(finished(), receipt_for(finished()), in_progress=recording_id(1))


def test_a_recording_without_an_end() -> None:
    volume = new_volume()
    opened(volume)
    write_recording(volume, 1, close=False)
    assert "has no end" in refusal(volume.tree(), receipt_for(volume.tree()))


def test_a_receipt_for_an_earlier_state_of_the_manifest() -> None:
    """Invariant 8: who received the first ten seconds has not received the rest."""
    manifest = finished()[f"{FOLDER}/manifest.jsonl"] or b""
    earlier = manifest[: manifest.index(b'{"type":"segment","n":3')]
    digest = hashlib.sha512(earlier).hexdigest()
    assert "another manifest" in refusal(finished(), receipt_for(finished(), manifest_sha512=digest))


def test_a_receipt_for_another_recording() -> None:
    digest = receipt_for(finished(), 2).receipt.manifest_sha512
    assert "another manifest" in refusal(finished(), receipt_for(finished(), manifest_sha512=digest))


def test_a_recording_under_anothers_name() -> None:
    other = f"recordings/{recording_id(9)}"
    tree = {path.replace(FOLDER, other): content for path, content in finished().items()}
    assert "holds the manifest of" in refusal(tree, receipt_for(tree, 9))


@pytest.mark.parametrize("recording", ["", "..", "../x", "recordings", "a/20261122T071505Z-BWV-0001-000001", "*"])
def test_no_recordings_id(recording: str) -> None:
    assert "no recording's id" in refusal(finished(), receipt_for(finished(), recording=recording))


def test_a_path_in_an_id() -> None:
    accepted = receipt_for(finished(), recording=f"20261122T071505Z-x/../{recording_id(1)}")
    assert "no recording's id" in refusal(finished(), accepted)


def test_an_absent_recording() -> None:
    assert "is not here" in refusal(finished(), receipt_for(finished(), recording=recording_id(7)))


def test_another_devices_receipt() -> None:
    assert "BWV-0002" in refusal(finished(), receipt_for(finished(), device="BWV-0002"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("000002.m4s", b"something else"),
        ("000002.m4s", b""),
        ("000002.m4s", None),
        ("init.mp4", b"something else"),
        ("index.m3u8", b"#EXTM3U\n"),
        ("000009.m4s", b"planted"),
        ("notes.txt", b"planted"),
        ("init-2.mp4", b"planted"),
    ],
)
def test_an_altered_recording_stays(name: str, content: bytes | None) -> None:
    """Invariant 7: what was done to it on the card would be gone with it."""
    tree = with_file(finished(), name, content)
    assert "has been altered" in refusal(tree, receipt_for(tree))


def test_an_altered_manifest_stays_though_the_receipt_is_for_it() -> None:
    manifest = finished()[f"{FOLDER}/manifest.jsonl"] or b""
    tree = with_file(finished(), "manifest.jsonl", manifest.replace(b'"frames":10', b'"frames":11', 1))
    assert refusal(tree, receipt_for(tree))


@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.sig"])
def test_sums_that_do_not_hold(name: str) -> None:
    assert refusal(with_file(finished(), name, b"x"), receipt_for(finished()))
    assert refusal(with_file(finished(), name, None), receipt_for(finished()))


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_planted_thing_stays_and_is_not_followed(kind: str) -> None:
    volume = VirtualVolume.from_state(finished())
    volume.plant(f"{FOLDER}/000009.m4s", kind)
    with pytest.raises(ReleaseRefused, match="no record names"):
        run(releasing(volume, receipt_for(finished())))


# --- errors and power cuts -------------------------------------------------------------------------------------------


def test_a_journal_that_cannot_be_written_keeps_the_recording() -> None:
    """Invariant 8: nothing is removed before the journal has it."""
    volume = VirtualVolume.from_state(finished())
    release = releasing(volume, receipt_for(finished()))
    volume.fail(errno.ENOSPC, kind="write", path="journal.jsonl")
    with pytest.raises(OSError, match=r"journal\.jsonl"):
        run(release)
    assert not release.entered
    assert {p: c for p, c in volume.tree().items() if "recordings" in p} == {
        p: c for p, c in finished().items() if "recordings" in p
    }
    run(releasing(volume, receipt_for(finished())))


def started(tree: Tree) -> tuple[VirtualVolume, list[str]]:
    """The next start, as the daemon makes it."""
    volume = VirtualVolume.from_state(tree, trace=True)
    journal = opened(volume)
    complaints = finish_releases(volume, journal)
    leave = frozenset(journal.released)
    recover(volume, SIGNER, virtual_clock(), "boot-3", reserve=Reserve(BLOCK), leave=leave)
    return volume, complaints


def wrong(state: CrashState, entered_at: int, done_at: int) -> str:
    """What a state and the start after it break of the promises; "" if nothing."""
    volume, complaints = started(state.tree)
    tree = volume.tree()
    if complaints:
        return str(complaints)
    if not verified(tree, 2).good:
        return "the other recording is not what it was"
    there = any(path.startswith(FOLDER) for path in tree)
    if there != (recording_id(1) not in opened(volume).released):
        return "the journal and the flash do not agree"
    if there and verified(tree, 1).verdict != "authentic":
        return "half of a recording"
    if there and state.last >= entered_at:
        return "the entry was acknowledged and is lost"
    if state.last >= done_at and any(path.startswith(FOLDER) for path in state.tree):
        return "the removal was acknowledged and is undone"
    return ""


def traced(omit: Callable[[Operation], bool] | None = None) -> tuple[VirtualVolume, int, int]:
    volume = VirtualVolume.from_state(finished(), trace=True, omit=omit)
    release = releasing(volume, receipt_for(finished()))
    while not release.entered:
        release.step()
    entered_at = volume.gate.count
    run(release)
    return volume, entered_at, volume.gate.count


def test_a_power_cut_leaves_all_of_it_or_a_release_that_is_finished() -> None:
    """Invariant 8: never half a recording, never a removal that the journal does not know."""
    volume, entered_at, done_at = traced()
    states = crash_states(volume.moments)
    assert len(states) > 50
    for state in states:
        assert wrong(state, entered_at, done_at) == "", f"after operations {state.first} to {state.last}"


def test_finishing_a_release_can_be_cut_too() -> None:
    volume, entered_at, done_at = traced()
    seen = 0
    for state in crash_states(volume.moments, per_moment=16)[::5]:
        booted, _ = started(state.tree)
        for again in crash_states(booted.moments, per_moment=8):
            seen += 1
            second = CrashState(again.tree, state.first, min(state.last, done_at - 1))
            assert wrong(second, entered_at, done_at) == ""
    assert seen > 50


OMISSIONS: dict[str, Callable[[Operation], bool]] = {
    "the entry's": lambda op: op.kind == "sync" and op.path == "journal.jsonl",
    "the folder's": lambda op: op.kind == "sync_dir" and op.path == FOLDER,
    "the parent's": lambda op: op.kind == "sync_dir" and op.path == "recordings",
}


@pytest.mark.parametrize("what", OMISSIONS)
def test_each_omitted_sync_is_noticed(what: str) -> None:
    volume, entered_at, done_at = traced(OMISSIONS[what])
    assert any(wrong(state, entered_at, done_at) for state in crash_states(volume.moments))


def test_an_error_half_way_is_made_up_for_at_the_next_start() -> None:
    volume = VirtualVolume.from_state(finished())
    release = releasing(volume, receipt_for(finished()))
    volume.fail(errno.EIO, kind="remove", nth=3)
    with pytest.raises(OSError, match="Input/output"):
        run(release)
    assert release.entered
    after, complaints = started(volume.tree())
    assert complaints == []
    assert f"{recording_id(1)}/" not in after.names("recordings")


def test_another_recording_in_the_place_of_a_released_one_is_not_removed() -> None:
    """The journal's word is for one manifest; a card may have been changed since."""
    volume = VirtualVolume.from_state(finished())
    run(releasing(volume, receipt_for(finished())))
    tree = volume.tree()
    second = f"recordings/{recording_id(2)}"
    tree |= {path.replace(second, FOLDER): c for path, c in finished().items() if path.startswith(second)}
    after, (complaint,) = started(tree)
    assert "another manifest" in complaint
    assert after.tree() == tree


def test_a_file_that_was_put_beside_a_released_manifest_is_not_removed() -> None:
    volume, _, _ = traced()
    half_way = next(
        state.tree
        for state in crash_states(volume.moments)
        if f"{FOLDER}/manifest.jsonl" in state.tree and f"{FOLDER}/000001.m4s" not in state.tree
    )
    tree = {**half_way, f"{FOLDER}/planted.txt": b"x"}
    after, (complaint,) = started(tree)
    assert "planted.txt" in complaint
    assert after.tree()[f"{FOLDER}/planted.txt"] == b"x"


# --- beside a recording ----------------------------------------------------------------------------------------------


async def test_the_writer_has_the_storage_between_two_steps(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 10: a release of hours of video is no stall."""
    monkeypatch.setattr(module, "STEP_BYTES", 1)
    monkeypatch.setattr(module, "STEP_FILES", 2)
    volume = VirtualVolume.from_state(finished())
    volume.gate.latency.per_operation = {"read": 0.05, "remove": 0.01}
    storage = VirtualStorage(volume)
    release = releasing(volume, receipt_for(finished()))
    waits = []

    async def write() -> None:
        while not release.entered:
            before = trio.current_time()
            await storage.run(lambda _: None)
            waits.append(trio.current_time() - before)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_release, storage, release)
        nursery.start_soon(write)
    assert f"{recording_id(1)}/" not in volume.names("recordings")
    whole = sum(waits)
    assert len(waits) > 8
    assert max(waits) < whole / 2


async def test_cancelled_before_the_entry_nothing_has_happened(autojump_clock: trio.testing.MockClock) -> None:
    volume = VirtualVolume.from_state(finished())
    volume.gate.latency.per_operation = {"read": 1.0}
    with trio.move_on_after(2):
        await run_release(VirtualStorage(volume), releasing(volume, receipt_for(finished())))
    assert volume.tree() == finished()
