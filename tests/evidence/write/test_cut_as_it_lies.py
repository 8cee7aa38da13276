"""A card as a power cut has left it, verified before the device is started again: nothing looks altered.

A desk may be given the card of a camera that fell from a bridge. What only lacks its end is "not closed".
"""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest

from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.keys.age import AgeSealer, Sealer
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.trust import Trust
from bwvd.evidence.write.finalize import finish_recording
from bwvd.evidence.write.group import Group
from bwvd.evidence.write.lost_media import Unwritten
from bwvd.evidence.write.recording_folder import Device, RecordingFolder
from bwvd.messages import Marked
from bwvd.testing.flash.crash import CrashState, crash_states
from bwvd.testing.flash.medium import Tree
from bwvd.testing.flash.storage import BLOCK, VirtualVolume
from tests.support.desk import SIGNERS, verify_storage
from tests.support.evidence_folder import START_NS, make_recording, make_storage, media
from tests.support.storage_recording import SIGNER, TreeFolder, new_volume, opening, recording_id, virtual_clock

PATH = f"recordings/{recording_id(1)}"
SEALER = AgeSealer([str(pyrage.x25519.Identity.generate().to_public())])


def record(volume: VirtualVolume, sealer: Sealer | None, *, full: bool) -> None:
    """An officer's recording of two segments and a marker; `full`: there is no room for a third."""
    device = Device("BWV-0001", "boot-1", 1.0, SIGNER, sealer)
    folder = RecordingFolder(volume, device, replace(opening(1), officer="4711"), virtual_clock())
    gops = [media().gop(index, sound=False, start_ns=START_NS) for index in range(3)]
    folder.create(gops[0], None)
    folder.commit(gops[:1], [])
    folder.commit(gops[1:2], [Marked(gops[1].start_ns, "gpio:record", "a door")])
    if full:
        volume.fail(errno.ENOSPC, kind="sync", path="000003.m4s" + (".age" if sealer else ""))
        with pytest.raises(OSError, match="No space"):
            folder.commit(gops[2:], [])
        folder.close_full("storage_full", Unwritten(Group(gops=gops[2:], notes=[])))
    else:
        folder.close("stop")
    finish_recording(volume, PATH, SIGNER)


def states_of(sealer: Sealer | None, *, full: bool) -> list[CrashState]:
    volume = new_volume(trace=True)
    record(volume, sealer, full=full)
    return [state for state in crash_states(volume.moments, per_moment=64) if PATH in state.tree]


def verified(tree: Tree) -> Report:
    return Verification(TreeFolder(tree, PATH), Trust(SIGNERS), name=recording_id(1)).run()


@pytest.mark.parametrize("full", [False, True], ids=["stopped", "full"])
@pytest.mark.parametrize("sealer", [None, SEALER], ids=["clear", "sealed"])
def test_no_power_cut_looks_like_an_alteration(sealer: Sealer | None, full: bool) -> None:
    """Invariants 6 and 7: nor does it once the device has been started again."""
    states = states_of(sealer, full=full)
    assert len(states) > 100
    for number, state in enumerate(states):
        report = verified(state.tree)
        begun = f"{PATH}/manifest.jsonl" in state.tree  # else see `test_a_folder_without_a_manifest_yet`
        assert not begun or report.verdict in ("authentic", "not_closed"), (state.first, state.last, report.findings)
        if number % 4 == 0:
            volume = VirtualVolume.from_state(state.tree)
            results = recover(volume, SIGNER, virtual_clock(), "boot-2", reserve=Reserve(BLOCK))
            assert not any(result.error or result.missing for result in results), (state.first, state.last)
            assert verified(volume.tree()).good, (state.first, state.last)


@pytest.mark.parametrize("left", [(), ("sealed-000001.json.age",)])
def test_a_folder_without_a_manifest_yet(left: tuple[str, ...], tmp_path: Path) -> None:
    """The officer's sealed id is written before the manifest's first line: its name may be the only one there."""
    storage = make_storage(tmp_path / "storage")
    make_recording(storage, 1)
    folder = storage / "recordings" / recording_id(2)
    folder.mkdir()
    for name in left:
        (folder / name).write_bytes(b"x")
    report = verify_storage(storage)[-1]
    assert (report.id, report.verdict) == (recording_id(2), "not_closed")
    (folder / "000001.m4s").write_bytes(b"x")
    assert verify_storage(storage)[-1].verdict == "unreadable", "a segment is never there before the manifest"
