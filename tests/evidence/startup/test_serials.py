"""Which serial number comes next, whatever folders and journals somebody has prepared."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, Chain
from bwvd.evidence.format.recording_id import AHEAD, LARGEST, counted, serial_of
from bwvd.evidence.startup.look import Settled, settling, sort_out
from bwvd.evidence.startup.serials import next_serial, unrecorded
from bwvd.evidence.write.numbering import RecordingNumbers
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.desk import verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.rig import KEY, Rig, configuration

DEVICE = "BWV-0001"
NUMBERS = st.integers(0, 10**12 - 1) | st.integers(0, 100) | st.integers(LARGEST - 3, LARGEST + 3)


def folder(serial: int) -> str:
    return f"20261122T071505Z-{DEVICE}-{serial:06d}"


@given(st.lists(NUMBERS, max_size=20), st.integers(-(2**63), 2**63 - 1) | NUMBERS)
def test_the_next_number_is_one_that_an_id_can_hold(serials: list[int], last: int) -> None:
    """Invariant 6: a recording with another number would never be recovered."""
    naming = RecordingNumbers(DEVICE, next_serial(map(folder, serials), last), VirtualClock(seconds=lambda: 1.0))
    for _ in range(3):
        serial, recording = naming.take(0)
        assert serial_of(recording) == serial > 0


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=20), st.integers(0, 10**6))
def test_it_follows_the_largest_that_a_device_can_have_reached(serials: list[int], last: int) -> None:
    assert next_serial(map(folder, serials), last) == max(*serials, last) + 1


@given(
    st.lists(NUMBERS, max_size=20),
    st.integers(-(2**63), 2**63 - 1) | NUMBERS,
    st.integers(-(2**63), 2**63 - 1) | NUMBERS,
)
def test_what_is_not_newer_need_not_be_counted(serials: list[int], last: int, settled_to: int) -> None:
    """Invariant 6: a start counts from the names alone that the journal does not know, and comes to the same number."""
    names, before = [f"{folder(serial)}/" for serial in serials], Settled(settled_to)
    newer = sort_out(names, DEVICE, before, last, ()).newer
    assert next_serial(newer, last) == next_serial(names, last)
    assert unrecorded(newer, last) == unrecorded(names, last)
    assert settling(before, newer, []) == settling(before, names, [])


@pytest.mark.parametrize("serial", [10**12 - 1, LARGEST, LARGEST + 1, AHEAD + 8, 10**9])
def test_a_folder_far_ahead_of_all_others_does_not_count(serial: int) -> None:
    there = [folder(number) for number in (3, 7, serial)]
    assert next_serial(there, 5) == 8
    assert unrecorded(there, 5) == [(7, folder(7))]
    assert next_serial([folder(AHEAD + 7), *there[:2]], 5) == AHEAD + 8, "this one may"
    assert counted(serial - 1, serial) == (serial if serial <= LARGEST else serial - 1)


def journal(*entries: int, last: int = 0) -> bytes:
    """A journal whose beginning and entries name these numbers."""
    chain = Chain(KEY, JOURNAL_NAMESPACE)
    beginning = records.Journal(
        n=0,
        format=records.FORMAT,
        device=DEVICE,
        signer=KEY.public_key,
        file_number=1,
        last_serial=last,
        previous=None,
    )
    stamp = records.Stamp(mono_ns=0, utc="2026-11-22T07:15:03.000Z", quality="free")
    lines = [chain.line(beginning)]
    for n, serial in enumerate(entries, 1):
        detail: dict[str, str | int | float | bool | None] = {"recording": folder(serial), "serial": serial}
        lines.append(chain.line(records.Entry(n=n, event="opened", stamp=stamp, detail=detail)))
    return b"".join(lines)


CARDS: list[dict[str, bytes | None]] = [
    {f"recordings/{folder(10**12 - 1)}": None},
    {"journal.jsonl": journal(last=10**12)},
    {"journal.jsonl": journal(last=2**63 - 1)},
    {"journal.jsonl": journal(10**12 - 1)},
    {"journal.jsonl": journal(2**63 - 1)},
]


@pytest.mark.parametrize("card", CARDS)
async def test_numbers_that_are_made_up_do_not_keep_recordings_from_their_end(
    autojump_clock: trio.testing.MockClock, card: dict[str, bytes | None]
) -> None:
    """Invariants 5 and 6: two power cuts in a row, and each recording gets its end, and a number of its own."""
    volume = VirtualVolume.from_state({"recordings": None, **card})
    made = []
    for life in (1, 2, 3):
        rig = Rig(
            configuration(loop={"seconds": 2}, recording={"post_roll_s": 1}),
            volume=volume,
            clock=VirtualClock(mono_ns=life * 10**12),
            boot=f"boot-{life}",
        )
        async with rig.running():
            await trio.sleep(3)
            answer = await rig.press()
            assert answer.recording is not None
            made.append(answer.recording)
            await trio.sleep(3)
            # As the flash is when the power goes now.
            volume = VirtualVolume.from_state({p: c and bytes(c) for p, c in volume.tree().items()})
    assert [serial_of(recording) for recording in made] == [1, 2, 3]
    last = Rig(volume=volume)
    assert [type(last.signed(recording)[-1]) for recording in made] == [
        records.Recovered,
        records.Recovered,
        records.Segment,
    ]


def test_a_verifier_names_the_number_and_not_the_hole_before_it(tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "storage")
    make_recording(storage, seconds=1)
    (storage / "recordings" / folder(10**12 - 1)).mkdir()
    said = [(finding.where, finding.what) for finding in verify_storage(storage)[0].findings]
    assert (f"recordings/{folder(10**12 - 1)}", "has a serial number that this device can't have reached") in said
    assert not any("to 999999999998 is missing" in what for _, what in said)
