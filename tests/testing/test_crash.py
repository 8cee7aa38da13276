"""The crash simulator: it keeps what was synced, may lose what was not, and so notices every sync that is left out."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bwvd.testing.flash.crash import CrashState, crash_states
from bwvd.testing.flash.faults import Operation, PowerCut
from bwvd.testing.flash.medium import SECTOR
from bwvd.testing.flash.storage import VirtualVolume


def contents(volume: VirtualVolume, path: str, *, per_moment: int = 4096) -> set[bytes | None]:
    """What `path` may hold after a power cut now: None = there is no such name."""
    return {state.tree.get(path) for state in crash_states(volume.moments[-1:], per_moment=per_moment)}


def synced(volume: VirtualVolume, path: str, content: bytes) -> None:
    file = volume.create(path)
    file.write(content)
    file.sync()
    file.close()
    volume.sync_dir("")


def test_what_was_synced_is_there() -> None:
    volume = VirtualVolume(trace=True)
    synced(volume, "a", b"content")
    assert contents(volume, "a") == {b"content"}
    assert len(crash_states(volume.moments[-1:])) == 1


def test_a_name_without_its_folders_sync_may_be_absent() -> None:
    volume = VirtualVolume(trace=True)
    file = volume.create("a")
    file.write(b"content")
    file.sync()
    assert contents(volume, "a") == {None, b"content"}


def test_a_folder_whose_name_is_not_synced_takes_all_below_with_it() -> None:
    volume = VirtualVolume(trace=True)
    volume.make_dir("d")
    file = volume.create("d/a")
    file.write(b"content")
    file.sync()
    volume.sync_dir("d")
    trees = [dict(state.tree) for state in crash_states(volume.moments[-1:])]
    assert {} in trees
    assert {"d": None, "d/a": b"content"} in trees
    assert len(trees) == 2


def test_unsynced_bytes_are_kept_lost_torn_or_zero() -> None:
    volume = VirtualVolume(trace=True)
    synced(volume, "a", b"k" * 100)
    file = volume.append("a")
    file.write(b"n" * (3 * SECTOR))
    after = contents(volume, "a")
    assert b"k" * 100 in after, "lost"
    assert b"k" * 100 + b"n" * 3 * SECTOR in after, "kept"
    assert b"k" * 100 + b"n" * (SECTOR - 100) in after, "torn at a sector"
    assert b"k" * 100 + bytes(3 * SECTOR) in after, "the size without the bytes"
    first_lost = b"k" * 100 + bytes(SECTOR - 100) + b"n" * (2 * SECTOR + 100)
    assert first_lost in after, "later ones there, earlier ones not"
    for content in after:
        assert content is not None
        assert content.startswith(b"k" * 100), "what was synced never changes"
        assert set(content[100:]) <= set(b"n\0")
        cuts = [i for i in range(101, len(content)) if content[i] != content[i - 1]]
        assert all(cut % SECTOR == 0 for cut in cuts), "a sector is whole or not there"


def test_a_sector_that_two_writes_share_never_holds_the_second_alone() -> None:
    volume = VirtualVolume(trace=True)
    synced(volume, "a", b"")
    file = volume.append("a")
    file.write(b"1" * 100)
    file.write(b"2" * 100)
    after = contents(volume, "a")
    assert b"1" * 100 in after
    assert b"1" * 100 + bytes(100) in after
    assert bytes(100) + b"2" * 100 not in after


def test_a_rename_is_on_one_side_or_the_other() -> None:
    volume = VirtualVolume(trace=True)
    synced(volume, "old", b"old")
    synced(volume, "new", b"new")
    volume.rename("new", "old")
    trees = [dict(state.tree) for state in crash_states(volume.moments[-1:])]
    assert sorted(map(str, trees)) == sorted(map(str, [{"old": b"old", "new": b"new"}, {"old": b"new"}]))
    volume.sync_dir("")
    assert [dict(state.tree) for state in crash_states(volume.moments[-1:])] == [{"old": b"new"}]


def test_a_rename_between_folders_is_one_step() -> None:
    volume = VirtualVolume(trace=True)
    volume.make_dir("d")
    synced(volume, "a", b"a")
    volume.rename("a", "d/a")
    trees = [dict(state.tree) for state in crash_states(volume.moments[-1:])]
    assert sorted(map(str, trees)) == sorted(map(str, [{"d": None, "a": b"a"}, {"d": None, "d/a": b"a"}]))
    volume.sync_dir("d")
    assert [dict(state.tree) for state in crash_states(volume.moments[-1:])] == [{"d": None, "d/a": b"a"}]


def test_names_reach_the_medium_in_any_order() -> None:
    volume = VirtualVolume(trace=True)
    for name in "abc":
        volume.create(name).close()
    found = {frozenset(state.tree) for state in crash_states(volume.moments[-1:])}
    assert found == {frozenset(s) for n in range(4) for s in itertools.combinations("abc", n)}


def test_a_removed_file_may_still_be_there() -> None:
    volume = VirtualVolume(trace=True)
    synced(volume, "a", b"content")
    volume.remove("a")
    assert contents(volume, "a") == {None, b"content"}
    volume.sync_dir("")
    assert contents(volume, "a") == {None}


def test_after_a_failed_sync_the_next_success_means_nothing() -> None:
    """The kernel drops dirty pages after a write error and says yes to the next fdatasync."""
    volume = VirtualVolume(trace=True)
    synced(volume, "a", b"kept")
    volume.fail(errno.EIO, kind="sync")
    file = volume.append("a")
    file.write(b"doubt")
    with pytest.raises(OSError, match="a"):
        file.sync()
    file = volume.append("a")
    file.write(b"later")
    file.sync()
    assert volume.read("a") == b"keptdoubtlater", "a reader sees nothing of it"
    assert contents(volume, "a") == {b"keptdoubtlater", b"kept\0\0\0\0\0later"}


def test_a_cut_in_the_middle_of_a_sync_promises_nothing() -> None:
    volume = VirtualVolume(trace=True)
    file = volume.create("a")
    file.write(b"content")
    volume.power_cut_at(1)
    with pytest.raises(PowerCut):
        file.sync()
    assert {b"", b"content", None} <= contents(volume, "a")


def test_a_kill_makes_nothing_certain() -> None:
    volume = VirtualVolume()
    file = volume.create("a")
    file.write(b"content")
    after = volume.killed(trace=True)
    assert {b"", b"content", None} <= contents(after, "a")
    file = after.append("a")
    file.sync()
    after.sync_dir("")
    assert contents(after, "a") == {b"content"}


def test_a_state_boots_and_can_be_cut_again() -> None:
    volume = VirtualVolume(trace=True)
    volume.make_dir("d")
    synced(volume, "d/a", b"content")
    volume.sync_dir("d")
    for state in crash_states(volume.moments):
        booted = VirtualVolume.from_state(state.tree, trace=True)
        assert booted.tree() == dict(state.tree)
        assert [dict(s.tree) for s in crash_states(booted.moments)] == [dict(state.tree)]
        booted.create("x").close()
        assert len(crash_states(booted.moments)) == 2


def test_a_state_says_from_when_to_when_it_is_possible() -> None:
    volume = VirtualVolume(trace=True)
    synced(volume, "a", b"1")  # create, write, sync, close, sync_dir: operations 1 to 5
    states = {state.tree.get("a"): (state.first, state.last) for state in crash_states(volume.moments)}
    assert states[None] == (0, 4)
    assert states[b"1"] == (2, 5)


def test_the_sample_of_many_choices_is_the_same_for_a_seed() -> None:
    volume = VirtualVolume(trace=True)
    for i in range(12):
        file = volume.create(f"{i:02}")
        file.write(bytes([i + 1]) * 700)
    once, again = (crash_states(volume.moments[-1:], per_moment=50, seed=3) for _ in range(2))
    assert [s.tree for s in once] == [s.tree for s in again]
    assert any(not s.tree for s in once), "everything lost is always among them"
    assert any(list(s.tree.values()) == [bytes([i + 1]) * 700 for i in range(12)] for s in once), "and everything kept"


# --- a protocol and its mutants --------------------------------------------------------------------------------------


def commit_segments(volume: VirtualVolume, count: int = 3) -> list[tuple[int, str]]:
    """The commit protocol, bare; returns what was acknowledged after which operation."""
    acknowledged = []
    volume.make_dir("r")
    volume.sync_dir("")
    manifest = volume.create("r/manifest")
    volume.sync_dir("r")
    for i in range(count):
        file = volume.create(f"r/{i}")
        file.write(bytes([65 + i]) * 1300)
        file.sync()
        file.close()
        volume.sync_dir("r")
        manifest.write(f"{i}\n".encode())
        manifest.sync()
        acknowledged.append((volume.gate.count, f"{i}\n"))
    return acknowledged


def damage(state: CrashState, acknowledged: list[tuple[int, str]]) -> str:
    """What is wrong with a state: "" if nothing is."""
    manifest = state.tree.get("r/manifest") or b""
    for at, line in acknowledged:
        if at <= state.last and line.encode() not in manifest:
            return "an acknowledged line is lost"
    for i in range(3):
        if f"{i}\n".encode() in manifest and state.tree.get(f"r/{i}") != bytes([65 + i]) * 1300:
            return "a line without its segment"
    return ""


def damages(omit: Callable[[Operation], bool] | None = None) -> set[str]:
    volume = VirtualVolume(trace=True, omit=omit)
    acknowledged = commit_segments(volume)
    return {damage(state, acknowledged) for state in crash_states(volume.moments)}


def test_the_protocol_survives_every_state() -> None:
    assert damages() == {""}


@pytest.mark.parametrize(("kind", "path"), [("sync", "/1"), ("sync", "manifest"), ("sync_dir", "r"), ("sync_dir", "")])
def test_each_omitted_sync_is_noticed(kind: str, path: str) -> None:
    omitted = []

    def omit(operation: Operation) -> bool:
        omits = operation.kind == kind and operation.path.endswith(path) and (path != "" or operation.path == "")
        omitted.append(omits)
        return omits

    assert damages(omit) != {""}
    assert any(omitted)


# --- the model against itself ----------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["create", "write", "sync", "remove", "sync_dir"]), st.sampled_from("ab")),
        st.tuples(st.just("rename"), st.sampled_from(["ab", "ba"])),
    ),
    max_size=14,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_certain_things_are_in_every_state_and_the_whole_is_one_of_them(steps: list[tuple[str, str]]) -> None:
    volume = VirtualVolume(trace=True)
    for number, (kind, path) in enumerate(steps):
        try:
            match kind:
                case "create":
                    volume.create(path).close()
                case "write":
                    volume.append(path).write(bytes([number + 1]) * 600)
                case "sync":
                    volume.append(path).sync()
                case "remove":
                    volume.remove(path)
                case "sync_dir":
                    volume.sync_dir("")
                case _:
                    volume.rename(path[0], path[1])
        except OSError:
            continue
    states = [dict(state.tree) for state in crash_states(volume.moments[-1:], per_moment=256)]
    assert volume.tree() in states
    for path in volume.tree():
        volume.append(path).sync()
    volume.sync_dir("")
    assert [dict(state.tree) for state in crash_states(volume.moments[-1:])] == [volume.tree()]
