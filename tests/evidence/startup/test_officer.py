"""Who wears the device: kept over restarts, private wherever recordings are, and nobody's to put back."""

from __future__ import annotations

from collections.abc import Callable

import pyrage
import pytest
import trio
import trio.testing

from bwvd.evidence.format import records
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import OFFICER_KEPT
from bwvd.evidence.keys.age import AgeSealer, open_sealed
from bwvd.evidence.startup.officer import Kept, load_officer, save_officer
from bwvd.messages import FaultChanged, Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.faults import Operation
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.evidence_keys import fixed_signer
from tests.support.rig import KEY, Rig, configuration
from tests.support.storage_recording import virtual_clock

OFFICER = "PC 1234 Example"


def _rig(volume: VirtualVolume, sealer: AgeSealer | None) -> Rig:
    rig = Rig(config=configuration(loop={"seconds": 2}, recording={"post_roll_s": 0}), volume=volume, sealer=sealer)
    rig.camera = VirtualCamera(rig.clock, rate=10, gop_frames=10)
    return rig


async def test_the_wearer_is_kept_and_sealed(autojump_clock: trio.testing.MockClock) -> None:
    identity = pyrage.x25519.Identity.generate()
    sealer = AgeSealer([str(identity.to_public())])
    volume = VirtualVolume()
    rig = _rig(volume, sealer)
    async with rig.running():
        await trio.sleep(4)
        await rig.order(Order.ASSIGN, text=OFFICER)
        await rig.order(Order.MARK, text="not recording")
        await trio.sleep(1)
    rig = _rig(volume, sealer)
    async with rig.running() as daemon:
        assert daemon.recorder.officer == OFFICER
        await trio.sleep(4)
        await rig.press()
        await rig.order(Order.MARK, text="the man in the red coat")
        await trio.sleep(2)
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    (officer,) = [record for record in manifest if isinstance(record, records.Officer)]
    (mark,) = [record for record in manifest if isinstance(record, records.Mark)]
    assert officer.sealed
    assert mark.sealed
    for sealed, text in ((officer.sealed, OFFICER), (mark.sealed, "the man in the red coat")):
        plain = open_sealed(volume.read(f"recordings/{recording}/{sealed.file}"), [identity])
        assert text.encode() in plain
    everything = b"".join(content for content in volume.tree().values() if content)
    assert OFFICER.encode() not in everything
    assert b"red coat" not in everything


async def test_nobody_is_kept_as_well(autojump_clock: trio.testing.MockClock) -> None:
    volume = VirtualVolume()
    rig = _rig(volume, None)
    async with rig.running():
        await rig.order(Order.ASSIGN, text=OFFICER)
        await trio.sleep(1)
        await rig.order(Order.ASSIGN, text="")
        await trio.sleep(1)
    rig = _rig(volume, None)
    async with rig.running() as daemon:
        assert daemon.recorder.officer == ""


async def test_yesterdays_file_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: whoever has the card for a moment puts it back; it is encrypted as well as today's."""
    volume = VirtualVolume()
    for officer in ("YESTERDAY", "TODAY"):
        rig = _rig(volume, None)
        async with rig.running():
            await rig.order(Order.ASSIGN, text=officer)
            await trio.sleep(1)
        if officer == "YESTERDAY":
            yesterday = volume.read(".wearer")
    _put(volume, ".wearer", yesterday)
    rig = _rig(volume, None)
    async with rig.running() as daemon:
        assert daemon.recorder.officer == ""
        faults = [event for event in rig.events if isinstance(event, FaultChanged) and event.name == "wearer"]
        assert [fault.detail for fault in faults if fault.active] == [
            ".wearer is not the one that this device kept last; nobody is assigned"
        ]
        await rig.order(Order.ASSIGN, text="TODAY")
        await trio.sleep(1)
    assert volume.read("journal.jsonl").count(b'"event":"officer_refused"') == 1
    rig = _rig(volume, None)
    async with rig.running() as daemon:
        assert daemon.recorder.officer == "TODAY"


# --- with a journal alone ---------------------------------------------------------------------------------------------


def opened(volume: VirtualVolume, signer: Signer = KEY, limit_bytes: int = 1 << 20) -> Journal:
    return Journal.open(volume, signer, device="BWV-0001", limit_bytes=limit_bytes)


def begun() -> VirtualVolume:
    """A storage that this device has been started on, as this version leaves it or an earlier one."""
    volume = VirtualVolume.from_state({"recordings": None})
    enter(volume, Draft("boot", {}, virtual_clock().read()))
    return volume


def enter(volume: VirtualVolume, *drafts: Draft) -> None:
    journal = opened(volume)
    journal.append(drafts)
    journal.close()


def started(volume: VirtualVolume) -> Kept:
    """What a start finds, with its entries made."""
    journal = opened(volume)
    kept = load_officer(volume, KEY, journal)
    if drafts := kept.drafts(virtual_clock().read()):
        journal.append(drafts)
    journal.close()
    return kept


def assign(volume: VirtualVolume, officer: str) -> None:
    journal = opened(volume)
    save_officer(volume, KEY, journal, officer, virtual_clock().read())
    journal.close()


def assigned(*officers: str) -> VirtualVolume:
    volume = begun()
    started(volume)
    for officer in officers:
        assign(volume, officer)
    return volume


def _put(volume: VirtualVolume, name: str, content: bytes) -> None:
    if name in volume.names(""):
        volume.remove(name)
    file = volume.create(name)
    file.write(content)
    file.close()


def test_a_start_finds_who_was_assigned() -> None:
    volume = assigned(OFFICER)
    assert started(volume) == Kept(OFFICER)
    assign(volume, "")
    assert started(volume) == Kept()


def test_it_is_bound_through_rotations() -> None:
    volume = assigned(OFFICER)
    for _ in range(6):
        journal = opened(volume, limit_bytes=65_536)
        journal.append([Draft("x", {"text": "x" * 500}, virtual_clock().read())] * 60)
        journal.close()
    assert sum(name.startswith("journal-") for name in volume.names("")) > 1
    assert started(volume) == Kept(OFFICER)


@pytest.mark.parametrize("back", ["", "another", OFFICER])
def test_an_earlier_file_is_refused(back: str) -> None:
    """Invariant 13: of whomever, and of the same officer too."""
    volume = assigned("first", back)
    old = volume.read(".wearer")
    assign(volume, OFFICER)
    _put(volume, ".wearer", old)
    kept = started(volume)
    assert (kept.officer, "not the one" in kept.refused) == ("", True)


@pytest.mark.parametrize("name", [".wearer", ".wearer.new"])
def test_a_file_where_nobody_was_ever_assigned(name: str) -> None:
    """Invariant 13: one of another card of this very device."""
    volume = assigned()
    _put(volume, name, assigned(OFFICER).read(".wearer"))
    kept = started(volume)
    # What lies under the second name was never entered, as after a power cut: it counts for nothing, without a word.
    assert (kept.officer, bool(kept.refused)) == ("", name == ".wearer")


def test_a_file_on_a_storage_that_is_new() -> None:
    volume = VirtualVolume.from_state({"recordings": None})
    _put(volume, ".wearer", assigned(OFFICER).read(".wearer"))
    assert started(volume).refused
    again = started(volume)
    assert (again.officer, bool(again.refused)) == ("", True)


def test_a_file_that_is_gone() -> None:
    """Invariant 13: or the next recordings would name nobody, and nobody would know why."""
    volume = assigned(OFFICER)
    volume.remove(".wearer")
    kept = started(volume)
    assert kept.refused == ".wearer is gone; nobody is assigned"
    assert not started(volume).refused


def test_a_file_of_an_earlier_key_is_told_once() -> None:
    """It lies there until somebody is assigned."""
    volume, other = assigned("4711"), fixed_signer(7)
    told = []
    for _ in range(3):
        journal = opened(volume, other)
        kept = load_officer(volume, other, journal)
        journal.append(kept.drafts(virtual_clock().read()))
        journal.close()
        told.append(bool(kept.refused))
        assert (kept.officer, kept.exchanged) == ("", False)
    assert told == [True, False, False]


def test_a_storage_that_was_put_back_names_nobody() -> None:
    """Invariant 13: its journal and its file agree, and both are yesterday's."""
    volume = assigned(OFFICER)
    kept = load_officer(volume, KEY, opened(volume), rolled_back=True)
    assert (kept.officer, bool(kept.refused), kept.bind) == ("", True, "")
    enter(volume, *kept.drafts(virtual_clock().read()))
    assert started(volume).refused  # nor at the start after that


def test_a_damaged_file_is_refused() -> None:
    volume = assigned(OFFICER)
    data = volume.read(".wearer")
    _put(volume, ".wearer", data[:-1] + bytes([data[-1] ^ 1]))
    assert started(volume).refused


class TestMigration:
    """An earlier version's storage: its journal names no file."""

    def of_before(self, signer: Signer = KEY) -> VirtualVolume:
        volume, other = begun(), VirtualVolume.from_state({"recordings": None})
        save_officer(other, signer, opened(other, signer), OFFICER, virtual_clock().read())
        _put(volume, ".wearer", other.read(".wearer"))
        return volume

    def test_what_it_kept_is_taken_and_bound(self) -> None:
        volume = self.of_before()
        old = volume.read(".wearer")
        assert started(volume).officer == OFFICER
        assert started(volume) == Kept(OFFICER)
        assign(volume, "another")
        _put(volume, ".wearer", old)
        assert started(volume).refused

    def test_once(self) -> None:
        """Where the first start found none, none that appears later is taken."""
        volume = begun()
        assert not started(volume).refused
        _put(volume, ".wearer", self.of_before().read(".wearer"))
        assert started(volume).refused

    def test_another_keys_is_refused(self) -> None:
        kept = started(self.of_before(fixed_signer(9)))
        assert (kept.officer, kept.refused) == ("", ".wearer was kept under another key; nobody is assigned")


# --- power cuts ------------------------------------------------------------------------------------------------------


def cut(omit: Callable[[Operation], bool] | None = None) -> list[tuple[str, str]]:
    """What is wrong after a cut at any operation of two assignments; and what the start says."""
    volume = VirtualVolume.from_state(assigned("first").tree(), trace=True, omit=omit)
    marks = []
    for officer in ("second", ""):
        assign(volume, officer)
        marks.append(volume.gate.count)
    seen = []
    for state in crash_states(volume.moments):
        may = {"first", "second", ""}
        if state.last >= marks[0]:
            may.discard("first")
        if state.last >= marks[1]:
            may.discard("second")
        kept = started(VirtualVolume.from_state(state.tree))
        seen.append(("" if kept.officer in may else f"{kept.officer} at {state.last}", kept.refused))
    return seen


def test_a_power_cut_leaves_the_one_or_the_other_without_a_word() -> None:
    """Invariant 6, and no false alarm."""
    seen = cut()
    assert len(seen) > 20
    assert set(seen) == {("", "")}


@pytest.mark.parametrize("kind", ["sync", "sync_dir"])
def test_an_omitted_sync_is_noticed(kind: str) -> None:
    assert set(cut(lambda op: op.kind == kind)) != {("", "")}


def test_an_error_anywhere_and_another_attempt() -> None:
    """Whatever step fails, the same call again keeps it; and a cut after that is no alarm."""
    for nth in range(1, 12):
        for kind in ("write", "sync", "sync_dir", "rename"):
            volume = VirtualVolume.from_state(assigned("first").tree(), trace=True)
            journal = opened(volume)
            volume.fail(5, kind=kind, nth=nth)
            for _ in range(2):
                try:
                    save_officer(volume, KEY, journal, OFFICER, virtual_clock().read())
                except OSError:
                    continue
                break
            journal.close()
            for state in crash_states(volume.moments, per_moment=8):
                kept = started(VirtualVolume.from_state(state.tree))
                assert kept.officer in ("first", OFFICER)
                assert not kept.refused
            assert started(VirtualVolume.from_state(volume.tree())) == Kept(OFFICER)


def test_the_entry_says_nothing_about_the_officer() -> None:
    volume = assigned(OFFICER)
    entered = opened(volume).latest(OFFICER_KEPT)
    assert entered is not None
    assert entered.keys() == {"sha256"}
