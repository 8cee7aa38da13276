"""The journal's files: chained, bounded, and in order again after anything that a flash can do."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os

import pytest

from bwvd.clock import Reading
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, Chain
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.layout import JOURNAL, NEW_JOURNAL
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.faults import Operation, PowerCut
from bwvd.testing.flash.medium import Tree
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.evidence_keys import fixed_signer

SIGNER = fixed_signer()
READING = Reading(5_000_000_000, 1_795_331_703_250_000_000, "synchronised", 500)
LIMIT = 20_000  # about the first record and thirty entries


def opened(volume: VirtualVolume, limit: int = LIMIT) -> Journal:
    return Journal.open(volume, SIGNER, device="BWV-0001", limit_bytes=limit)


def draft(name: str, **detail: str | int) -> Draft:
    return Draft("state", {"name": name, **detail}, READING)


def signed(tree: Tree, name: str) -> list[records.Record]:
    """The records of one file, strictly read."""
    content = tree[name]
    assert content is not None
    reader = ChainReader(io.BytesIO(content), name, JOURNAL_NAMESPACE)
    found = [one.record for one in reader]
    assert reader.problems == []
    assert reader.torn is None
    assert not reader.newline_missing
    return [record for record in found if isinstance(record, records.Record)]


def files(tree: Tree) -> list[str]:
    """All journal files, the oldest first."""
    return [*sorted(name for name in tree if name.startswith("journal-")), JOURNAL]


def names_in(tree: Tree) -> list[str]:
    """The entries' names over all files; the files' chain is checked on the way."""
    found = []
    before = ""
    for name in files(tree):
        every = signed(tree, name)
        assert every, f"{name} holds no record"
        first = every[0]
        assert isinstance(first, records.Journal)
        assert first.device == "BWV-0001"
        if before:
            assert first.previous is not None
            assert first.previous.file == before
            content = tree[before]
            assert content is not None
            assert hashlib.sha512(content[: first.previous.bytes]).hexdigest() == first.previous.sha512
        else:
            assert first.previous is None
        found += [str(record.detail.get("name")) for record in every if isinstance(record, records.Entry)]
        before = name
    return found


def test_a_new_journal_begins_with_a_large_first_record() -> None:
    """f2fs returns from fdatasync of a small inline file without a flush: the first record is 8 KiB and more."""
    volume = VirtualVolume()
    opened(volume)
    (first,) = signed(volume.tree(), JOURNAL)
    assert isinstance(first, records.Journal)
    assert (first.file_number, first.last_serial, first.previous) == (1, 0, None)
    assert volume.size(JOURNAL) >= 8192
    assert volume.names("") == [JOURNAL]


def test_entries_are_durable_together() -> None:
    volume = VirtualVolume(trace=True)
    journal = opened(volume)
    syncs = sum(operation.kind == "sync" for operation in volume.gate.log)
    journal.append([draft("a"), draft("b"), draft("c")])
    assert sum(operation.kind == "sync" for operation in volume.gate.log) == syncs + 1
    for state in crash_states(volume.moments[-1:]):
        assert names_in(state.tree) == ["a", "b", "c"]


def test_it_goes_on_after_a_restart() -> None:
    volume = VirtualVolume()
    opened(volume).append([draft("a")])
    opened(volume).append([draft("b")])
    assert names_in(volume.tree()) == ["a", "b"]


def test_the_head_names_what_is_durable() -> None:
    volume = VirtualVolume()
    journal = opened(volume)
    journal.append([draft("a")])
    head = journal.head()
    content = volume.read(JOURNAL)
    assert head == records.JournalHead(file=JOURNAL, bytes=len(content), sha512=hashlib.sha512(content).hexdigest())
    volume.fail(errno.EIO, kind="write")
    with pytest.raises(OSError, match=JOURNAL):
        journal.append([draft("b")])
    assert journal.head() == head


def test_the_head_after_a_kill_is_durable_too() -> None:
    """What the killed process wrote is read from the cache; named in a manifest it must survive the next cut."""
    killed = False
    volume = VirtualVolume(omit=lambda operation: killed and operation.kind == "sync")
    journal = opened(volume)
    journal.append([draft("a")])
    killed = True
    journal.append([draft("b")])
    after = volume.killed(trace=True)
    head = opened(after).head()
    assert head is not None
    for state in crash_states(after.moments[-1:]):
        content = state.tree[JOURNAL]
        assert content is not None
        assert hashlib.sha512(content[: head.bytes]).hexdigest() == head.sha512


@pytest.mark.parametrize("cut", [1, 2, 5, 90, 200])
def test_a_torn_end_is_named(cut: int) -> None:
    volume = VirtualVolume()
    journal = opened(volume)
    journal.append([draft("a"), draft("b")])
    content = volume.read(JOURNAL)
    volume = VirtualVolume.from_state({JOURNAL: content[: len(content) - cut]})
    opened(volume).append([draft("c")])
    assert names_in(volume.tree()) == (["a", "b", "c"] if cut == 1 else ["a", "c"])
    torn = [record for record in signed(volume.tree(), JOURNAL) if isinstance(record, records.TornTail)]
    if cut == 1:
        assert torn == [], "a signature without its newline holds; the newline is written"
        return
    found = torn[0].found
    covered = volume.read(JOURNAL, found.offset, found.bytes)
    assert found.sha256 == hashlib.sha256(covered).hexdigest()
    assert covered.endswith(b"\n")
    assert found.where == JOURNAL


def test_it_is_archived_when_it_has_grown() -> None:
    volume = VirtualVolume()
    journal = opened(volume)
    names = [f"entry {i}" for i in range(120)]
    for name in names:
        journal.append([draft(name)])
    tree = volume.tree()
    assert files(tree)[:2] == ["journal-000001.jsonl", "journal-000002.jsonl"]
    assert names_in(tree) == names
    numbers = [r.file_number for name in files(tree) for r in signed(tree, name)[:1] if isinstance(r, records.Journal)]
    assert numbers == list(range(1, len(files(tree)) + 1))
    for name in files(tree):
        assert volume.size(name) - 1000 < LIMIT


def test_serials_survive_rotations() -> None:
    volume = VirtualVolume()
    journal = opened(volume)
    journal.append([Draft("opened", {"recording": "r", "serial": 41}, READING)])
    for i in range(120):
        journal.append([draft(str(i))])
    assert journal.last_serial == 41
    assert opened(volume).last_serial == 41


def test_a_release_is_carried_until_its_folder_is_gone() -> None:
    volume = VirtualVolume()
    volume.make_dir("recordings")
    volume.make_dir("recordings/r")
    journal = opened(volume)
    journal.append([Draft("released", {"recording": "r", "serial": 7}, READING)])
    for i in range(120):
        journal.append([draft(str(i))])
    assert opened(volume).released == {"r": {"recording": "r", "serial": 7}}
    volume.remove("recordings/r")
    for i in range(120):
        journal.append([draft(str(i))])
    journal = opened(volume)
    assert journal.released == {}
    assert journal.last_serial == 7


def test_another_archive_of_the_same_name_is_not_overwritten() -> None:
    volume = VirtualVolume()
    journal = opened(volume)
    volume.create("journal-000001.jsonl").close()
    for i in range(60):
        journal.append([draft(str(i))])
    assert volume.read("journal-000001.jsonl") == b""
    assert "journal-000002.jsonl" in volume.names("")


def test_a_journal_without_a_first_record_is_kept_and_named() -> None:
    volume = VirtualVolume.from_state({JOURNAL: b"garbage\n" * 10})
    journal = opened(volume)
    journal.append([draft("a")])
    assert volume.read("journal-000001.jsonl") == b"garbage\n" * 10
    first, torn, entry = signed(volume.tree(), JOURNAL)
    assert isinstance(first, records.Journal)
    assert first.previous is not None
    assert first.previous.sha512 == hashlib.sha512(b"garbage\n" * 10).hexdigest()
    assert isinstance(torn, records.TornTail)
    assert (torn.found.what, torn.found.where, torn.found.bytes) == ("unreadable", "journal-000001.jsonl", 80)
    assert isinstance(entry, records.Entry)


def test_an_altered_journal_is_gone_on_with_and_told() -> None:
    volume = VirtualVolume()
    journal = opened(volume)
    journal.append([draft("a")])
    journal.append([draft("b")])
    content = volume.read(JOURNAL).replace(b'"name":"a"', b'"name":"x"')
    volume = VirtualVolume.from_state({JOURNAL: content})
    journal = opened(volume)
    assert journal.problems
    journal.append([draft("c")])
    reader = ChainReader(io.BytesIO(volume.read(JOURNAL)), JOURNAL, JOURNAL_NAMESPACE)
    last = [one.record for one in reader][-1]
    assert isinstance(last, records.Entry)
    assert last.detail["name"] == "c"
    assert reader.problems, "the device's own signature does not cover up what somebody else did"


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("partial", [0, 1, 150, 400])
def test_after_a_failed_write_the_piece_is_named(number: int, partial: int) -> None:
    volume = VirtualVolume(trace=True)
    journal = opened(volume)
    journal.append([draft("a")])
    volume.fail(number, kind="write", partial=partial)
    with pytest.raises(OSError, match=JOURNAL):
        journal.append([draft("b")])
    journal.append([draft("b"), draft("c")])
    for state in crash_states(volume.moments[-1:]):
        assert [name for name in names_in(state.tree) if name != "b"] == ["a", "c"]
        assert "b" in names_in(state.tree)


def test_after_a_failed_sync_the_file_is_not_trusted_again() -> None:
    """Invariant 6: the next sync's success says nothing about what the failed one was to make durable."""
    volume = VirtualVolume(trace=True)
    journal = opened(volume)
    journal.append([draft("a")])
    durable = journal.head()
    assert durable is not None
    volume.fail(errno.EIO, kind="sync")
    with pytest.raises(OSError, match=JOURNAL):
        journal.append([draft("b")])
    journal.append([draft("b"), draft("c")])
    states = crash_states(volume.moments[-1:])
    assert len(states) > 1, "the simulator doubts the old file"
    for state in states:
        first, torn, *entries = signed(state.tree, JOURNAL)
        assert isinstance(first, records.Journal)
        assert first.previous == records.JournalHead(
            file="journal-000001.jsonl", bytes=durable.bytes, sha512=durable.sha512
        )
        assert isinstance(torn, records.TornTail)
        assert (torn.found.what, torn.found.offset) == ("unsynced", durable.bytes)
        assert [entry.detail["name"] for entry in entries if isinstance(entry, records.Entry)] == ["b", "c"]
        old = state.tree["journal-000001.jsonl"]
        assert old is not None
        assert hashlib.sha512(old[: durable.bytes]).hexdigest() == durable.sha512


@pytest.mark.parametrize("kind", ["append", "write", "sync", "sync_dir"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_start_that_may_not_write_still_knows_the_serials(kind: str, number: int) -> None:
    volume = VirtualVolume()
    journal = opened(volume)
    journal.append([Draft("opened", {"recording": "r", "serial": 41}, READING)])
    journal.append([draft("torn")])
    content = volume.read(JOURNAL)
    volume = VirtualVolume.from_state({JOURNAL: content[:-20]})
    volume.fail(number, kind=kind, times=math.inf)
    journal = opened(volume)
    assert journal.last_serial == 41
    with pytest.raises(OSError, match=kind_text(number)):
        journal.append([draft("a")])
    volume.heal()
    journal.append([draft("a")])
    entries = [
        r for name in files(volume.tree()) for r in signed_but_torn(volume, name) if isinstance(r, records.Entry)
    ]
    assert entries[-1].detail["name"] == "a"
    assert opened(volume).last_serial == 41


def kind_text(number: int) -> str:
    return os.strerror(number)


def signed_but_torn(volume: VirtualVolume, name: str) -> list[records.Record]:
    reader = ChainReader(io.BytesIO(volume.read(name)), name, JOURNAL_NAMESPACE)
    return [one.record for one in reader if isinstance(one.record, records.Record)]


def test_a_journal_that_cannot_be_read_is_an_error() -> None:
    volume = VirtualVolume()
    opened(volume).append([draft("a")])
    volume.fail(errno.EIO, kind="read", times=math.inf)
    with pytest.raises(OSError, match=JOURNAL):
        opened(volume)


@pytest.mark.parametrize("nth", range(1, 12))
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_error_anywhere_in_a_rotation_loses_no_entry(nth: int, number: int) -> None:
    volume = VirtualVolume()
    journal = opened(volume)
    names = [str(i) for i in range(100)]
    failed = 0
    for name in names:
        if volume.size(JOURNAL) >= LIMIT and not failed:
            failed = 1
            volume.fail(number, nth=nth)
        for _ in range(3):
            try:
                journal.append([draft(name)])
                break
            except OSError:
                failed += 1
    assert failed
    found = []
    for name in files(volume.tree()):
        found += [r.detail["name"] for r in signed_but_torn(volume, name) if isinstance(r, records.Entry)]
    assert list(dict.fromkeys(found)) == names
    assert NEW_JOURNAL not in volume.names("")


def test_a_full_flash_lets_it_grow_instead_of_rotating() -> None:
    volume = VirtualVolume(capacity=6 * 4096)
    journal = opened(volume)
    names: list[str] = []

    def fill() -> None:
        while len(names) < 1000:
            journal.append([draft(str(len(names)))])
            names.append(str(len(names)))

    with pytest.raises(OSError, match="No space"):
        fill()
    assert volume.size(JOURNAL) > LIMIT
    assert names_in_torn(volume) == names
    volume.capacity = None
    journal.append([draft("again")])
    assert names_in(volume.tree()) == [*names, "again"]


def names_in_torn(volume: VirtualVolume) -> list[str]:
    found = []
    for name in files(volume.tree()):
        found += [str(r.detail["name"]) for r in signed_but_torn(volume, name) if isinstance(r, records.Entry)]
    return found


# --- power cuts ------------------------------------------------------------------------------------------------------


def life(volume: VirtualVolume, acknowledged: list[tuple[int, str]] | None = None) -> list[tuple[int, str]]:
    """Start, append, rotate twice, start again; returns what was acknowledged after which operation."""
    acknowledged = [] if acknowledged is None else acknowledged
    journal = opened(volume, limit=9_500)
    for i in range(12):
        if i == 6:
            journal.close()
            journal = opened(volume, limit=9_500)
        journal.append([draft(f"e{i}"), draft(f"f{i}", text="x" * 700)])
        acknowledged += [(volume.gate.count, f"e{i}"), (volume.gate.count, f"f{i}")]
    return acknowledged


def lost(tree: Tree, last: int, acknowledged: list[tuple[int, str]]) -> str:
    """Start from a state, append, and see what is missing; "" if nothing is."""
    volume = VirtualVolume.from_state(tree)
    opened(volume, limit=9_500).append([draft("after")])
    try:
        found = names_in(volume.tree())
    except AssertionError as error:
        return f"not whole: {error}"
    missing = [name for at, name in acknowledged if at <= last and name not in found]
    if missing:
        return f"lost: {missing}"
    wanted = [name for _, name in acknowledged if name in found]
    return "" if found == [*wanted, "after"] else "doubled or out of order"


def test_no_power_cut_loses_an_entry() -> None:
    """Invariant 6, for the journal: appends, rotations and starts, cut at every operation."""
    volume = VirtualVolume(trace=True)
    acknowledged = life(volume)
    states = crash_states(volume.moments)
    assert len(states) > 300
    assert len(files(volume.tree())) >= 3
    for state in states:
        assert lost(state.tree, state.last, acknowledged) == "", f"after operations {state.first} to {state.last}"


def test_a_start_can_be_cut_and_repeated() -> None:
    volume = VirtualVolume(trace=True)
    acknowledged = life(volume)
    states = crash_states(volume.moments, per_moment=12)
    for state in states[::7]:
        booted = VirtualVolume.from_state(state.tree, trace=True)
        opened(booted, limit=9_500).append([draft("after")])
        for again in crash_states(booted.moments, per_moment=6):
            found = names_in_second_start(again.tree)
            assert [name for at, name in acknowledged if at <= state.last and name not in found] == []


def names_in_second_start(tree: Tree) -> list[str]:
    volume = VirtualVolume.from_state(tree)
    opened(volume, limit=9_500).append([draft("second")])
    return names_in(volume.tree())


def test_a_kill_and_then_a_power_cut() -> None:
    """The second process builds on what the first one wrote but did not sync: it has to sync that first."""
    for nth in range(1, 60, 3):
        volume = VirtualVolume()
        volume.power_cut_at(nth)
        acknowledged: list[tuple[int, str]] = []
        with pytest.raises(PowerCut):
            life(volume, acknowledged)
        after = volume.killed(trace=True)
        opened(after, limit=9_500).append([draft("after kill")])
        for state in crash_states(after.moments[-1:]):
            found = names_in(state.tree)
            assert found[-1] == "after kill"
            assert [name for _, name in acknowledged if name not in found] == []


SYNCS = [("sync", JOURNAL), ("sync", NEW_JOURNAL), ("sync_dir", "")]


@pytest.mark.parametrize(("kind", "path"), SYNCS)
def test_each_omitted_sync_is_noticed(kind: str, path: str) -> None:
    volume = VirtualVolume(trace=True, omit=lambda operation: (operation.kind, operation.path) == (kind, path))
    acknowledged = life(volume)
    assert any(lost(state.tree, state.last, acknowledged) for state in crash_states(volume.moments))


def test_the_folders_sync_after_the_first_rename_is_needed() -> None:
    """Without it the second rename may reach the medium alone, and the old file is gone."""

    def after_archiving(operation: Operation) -> bool:
        log = volume.gate.log
        return operation.kind == "sync_dir" and log[-2].kind == "rename" and log[-2].target.startswith("journal-")

    volume = VirtualVolume(trace=True, omit=after_archiving)
    acknowledged = life(volume)
    assert any(lost(state.tree, state.last, acknowledged) for state in crash_states(volume.moments))


@pytest.mark.parametrize("number", [10**6, 10**12 - 1, 10**12, 2**63 - 1, 10**20 - 1])
@pytest.mark.parametrize("content", [b"", b"x\n"])
def test_a_planted_file_of_a_giants_number(number: int, content: bytes) -> None:
    """A journal whose own number no record can hold would be unreadable at every start, and forget what it knew."""
    planted = f"journal-{number:06d}.jsonl"
    volume = VirtualVolume.from_state({"recordings": None, planted: b"", **({JOURNAL: content} if content else {})})
    for serial in (1, 2, 3):
        journal = opened(volume)
        assert journal.last_serial == serial - 1
        journal.append([Draft("opened", {"recording": "x", "serial": serial}, READING)])
        journal.close()
        assert signed(volume.tree(), JOURNAL)
    assert volume.tree()[planted] == b""


@pytest.mark.parametrize("number", [0, -1, 10**12, 2**63 - 1])
def test_a_journal_that_says_a_giants_number_of_itself(number: int) -> None:
    """Signed by whomever: it is gone on with, and the file after it has a number that a name can hold."""
    chain = Chain(SIGNER, JOURNAL_NAMESPACE)
    beginning = records.Journal(
        n=0,
        format=records.FORMAT,
        device="BWV-0001",
        signer=SIGNER.public_key,
        file_number=number,
        last_serial=4,
        previous=None,
    )
    volume = VirtualVolume.from_state({"recordings": None, JOURNAL: chain.line(beginning)})
    for name in ("first", "second"):
        journal = opened(volume, limit=1)
        journal.append([draft(name)])
        journal.close()
    assert files(volume.tree()) == ["journal-000001.jsonl", "journal-000002.jsonl", JOURNAL]
    assert names_in(volume.tree()) == ["first", "second"]
    assert opened(volume).last_serial == 4
