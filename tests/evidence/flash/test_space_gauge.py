"""Minutes, warnings, refusals, and the room that is kept for closing."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.flash.space_gauge import FILES_BESIDE, HYSTERESIS, MEASURED_OVER_NS, SHORTEST_S, StorageGauge
from bwvd.evidence.format.layout import RESERVE, SPARES
from bwvd.testing.flash.storage import BLOCK, VirtualVolume

RATE = 4_000_000  # bits per second
MINUTE = RATE // 8 * 60  # bytes


def gauge() -> StorageGauge:
    return StorageGauge(bits_per_s=RATE, loop_s=30)


# --- files -----------------------------------------------------------------------------------------------------------


def test_the_reserve_is_files_as_well() -> None:
    """Invariant 12: a flash without a free inode is as full as one without a free block."""
    volume = VirtualVolume(capacity=100 * BLOCK, files=30)
    reserve = Reserve(BLOCK)
    assert reserve.restore(volume)
    while volume.free_files():
        volume.create(f"segment-{volume.free_files()}").close()
    with pytest.raises(OSError, match="No space"):
        volume.create("one more")
    reserve.spend(volume)
    assert volume.free_files() == len(SPARES) + 1
    assert not any(name.startswith(RESERVE) for name in volume.names(""))


def test_a_reserve_that_finds_too_few_files_is_none() -> None:
    volume = VirtualVolume(files=len(SPARES))
    reserve = Reserve(BLOCK)
    assert not reserve.restore(volume)
    assert not reserve.held
    volume.files = len(SPARES) + 1
    assert reserve.restore(volume)
    assert reserve.held


def test_where_files_are_not_counted_none_are_set_aside() -> None:
    volume = VirtualVolume()
    assert Reserve(BLOCK).restore(volume)
    assert volume.names("") == [RESERVE]


def test_files_bound_the_minutes_and_refuse() -> None:
    """Whichever runs out first; by the configured length of a segment, then by what commits have shown."""
    watch = gauge()
    watch.update(100 * MINUTE, 10_000, reserved=True)
    assert watch.minutes_left == 100
    assert watch.update(100 * MINUTE, FILES_BESIDE + 25 * 60, reserved=True) == 30
    assert watch.minutes_left == 25
    watch.measured(20 * RATE // 8, 20 * NS)  # twenty groups in a file
    assert watch.minutes_left == 100
    watch = gauge()
    assert watch.update(100 * MINUTE, FILES_BESIDE + 30 + SHORTEST_S - 1, reserved=True) == 0
    assert watch.refusal == f"the flash is full: it has room for {FILES_BESIDE + 39} more files, whatever their size"
    watch.update(100 * MINUTE, None, reserved=True)
    assert watch.refusal == ""


# --- the reserve -----------------------------------------------------------------------------------------------------


def test_the_reserve_is_room_that_others_cannot_take() -> None:
    """Invariant 12: when the flash is full to the last block, closing still finds its bytes."""
    volume = VirtualVolume(capacity=100 * BLOCK)
    reserve = Reserve(20 * BLOCK)
    assert reserve.restore(volume)
    file = volume.create("recording")
    with pytest.raises(OSError, match="No space"):
        file.write(bytes(200 * BLOCK))
    assert volume.free_bytes() == 0
    reserve.spend(volume)
    assert not reserve.held
    assert volume.free_bytes() == 20 * BLOCK
    assert volume.names("") == ["recording"]


def test_spending_what_is_not_there_is_no_error() -> None:
    volume = VirtualVolume()
    Reserve(BLOCK).spend(volume)


def test_a_reserve_without_room_leaves_nothing_behind() -> None:
    volume = VirtualVolume(capacity=10 * BLOCK)
    reserve = Reserve(20 * BLOCK)
    assert not reserve.restore(volume)
    assert not reserve.held
    assert volume.names("") == []
    volume.capacity = 30 * BLOCK
    assert reserve.restore(volume)


def test_a_smaller_reserve_is_kept_where_a_larger_has_no_room() -> None:
    volume = VirtualVolume(capacity=30 * BLOCK)
    assert Reserve(20 * BLOCK).restore(volume)
    larger = Reserve(40 * BLOCK)
    assert not larger.restore(volume)
    assert volume.size(RESERVE) == 20 * BLOCK
    larger.spend(volume)
    assert volume.free_bytes() == 30 * BLOCK


def test_a_reserve_of_another_size_is_made_to_measure() -> None:
    volume = VirtualVolume(capacity=100 * BLOCK)
    assert Reserve(50 * BLOCK).restore(volume)
    assert Reserve(20 * BLOCK).restore(volume)
    assert volume.size(RESERVE) == 20 * BLOCK
    assert Reserve(80 * BLOCK).restore(volume)
    assert volume.size(RESERVE) == 80 * BLOCK


def test_another_error_is_not_taken_for_a_full_flash() -> None:
    volume = VirtualVolume()
    reserve = Reserve(BLOCK)
    reserve.held = True
    volume.fail(errno.EIO, kind="reserve")
    with pytest.raises(OSError, match="Input/output"):
        reserve.restore(volume)
    assert not reserve.held


# --- minutes ---------------------------------------------------------------------------------------------------------


def test_minutes_are_whole_and_never_too_many() -> None:
    one = gauge()
    for free_bytes, minutes in ((MINUTE * 60, 60), (MINUTE * 60 - 1, 59), (0, 0)):
        one.update(free_bytes, reserved=True)
        assert one.minutes_left == minutes


def test_the_configured_rate_counts_until_there_is_a_measured_one() -> None:
    g = gauge()
    g.measured(RATE, 9 * NS)
    assert g.bits_per_s == RATE
    g.measured(RATE // 8 * 2 * 60, 60 * NS)
    assert g.bits_per_s == pytest.approx((RATE + RATE // 8 * 2 * 60) * 8 / 69)


def test_only_the_last_minutes_are_measured() -> None:
    g = gauge()
    for _ in range(1000):
        g.measured(RATE, NS)  # eight times the configured rate
    for _ in range(MEASURED_OVER_NS // NS):
        g.measured(RATE // 80, NS)
    assert g.bits_per_s == pytest.approx(RATE / 10)


@pytest.mark.parametrize(("size", "media_ns"), [(0, NS), (100, 0), (-5, NS), (5, -NS)])
def test_nothing_says_nothing(size: int, media_ns: int) -> None:
    g = gauge()
    g.measured(size, media_ns)
    assert g.bits_per_s == RATE


# --- warnings --------------------------------------------------------------------------------------------------------


def levels(*minutes: float) -> list[int | None]:
    g = gauge()
    return [g.update(int(m * MINUTE), reserved=True) for m in minutes]


def test_each_level_is_told_once_on_the_way_down() -> None:
    assert levels(90, 61, 59.9, 59, 45, 29, 20, 5, 0.5, 0.1) == [None, None, 60, None, None, 30, None, None, 0, None]


def test_a_start_on_a_nearly_full_flash_tells_the_lowest_level_alone() -> None:
    assert levels(20) == [30]
    assert levels(0) == [0]
    assert levels(90, 20) == [None, 30]


def test_a_level_is_told_again_only_after_it_was_really_left() -> None:
    assert levels(59, 61, 59, 65.9, 59) == [60, None, None, None, None]
    assert levels(59, 67, 59) == [60, None, 60]
    assert levels(29, 40, 29) == [30, None, 30], "back to the level above is silent"


def test_a_rate_that_rises_lowers_the_minutes() -> None:
    g = gauge()
    assert g.update(100 * MINUTE, reserved=True) is None
    for _ in range(300):
        g.measured(RATE // 8 * 2, NS)
    assert g.update(100 * MINUTE, reserved=True) == 60
    assert g.minutes_left == 50


@given(st.lists(st.floats(0, 200), max_size=40))
def test_a_told_level_is_always_below_its_minutes_and_never_repeated_within_the_band(minutes: list[float]) -> None:
    g = gauge()
    told: int | None = None
    highest_since = 0.0
    for m in minutes:
        level = g.update(int(m * MINUTE), reserved=True)
        highest_since = max(highest_since, m)
        if level is None:
            continue
        assert m < max(level, 1)
        if told is not None and level >= told:
            assert highest_since >= (told or (30 + SHORTEST_S) / 60) * HYSTERESIS - 0.001
        told, highest_since = level, m


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_full_flash_refuses() -> None:
    """Invariant 8: what is there is not overwritten; a press finds out why."""
    needed = RATE // 8 * (30 + SHORTEST_S)
    g = gauge()
    g.update(needed, reserved=True)
    assert g.refusal == ""
    assert g.update(needed - 1, reserved=True) == 0
    assert g.refusal == "the flash is full"
    g.update(int(needed * 1.05), reserved=True)
    assert g.refusal, "not yet: it would flicker"
    g.update(int(needed * 1.2), reserved=True)
    assert g.refusal == ""


def test_without_the_reserve_nothing_is_begun() -> None:
    """Invariant 12: a recording that could not be closed in order is not opened."""
    g = gauge()
    assert g.update(1000 * MINUTE, reserved=False) == 0
    assert "close" in g.refusal
    assert g.update(1000 * MINUTE, reserved=True) is None
    assert g.refusal == ""
