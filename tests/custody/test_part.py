"""Parts: each device has one custodian, and who comes or goes moves his own share alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bwvd.custody.part import takes

INSTANCES = st.sets(st.text("abcdef/0123", min_size=1, max_size=8), min_size=1, max_size=6)


@given(INSTANCES, st.text(max_size=20))
def test_each_device_is_taken_by_one(instances: set[str], device: str) -> None:
    assert sum(takes(one, device, instances) for one in instances) == 1


@given(INSTANCES, st.text(max_size=20), st.text("xyz", min_size=1, max_size=4))
def test_who_comes_takes_devices_and_moves_no_other(instances: set[str], device: str, newcomer: str) -> None:
    before = [one for one in instances if takes(one, device, instances)]
    now = {*instances, newcomer}
    after = [one for one in now if takes(one, device, now)]
    assert after in (before, [newcomer])


def test_the_shares_are_about_even() -> None:
    instances = {f"desk/{number}" for number in range(4)}
    shares = [sum(takes(one, f"BWV-{n:05d}", instances) for n in range(4000)) for one in instances]
    assert sum(shares) == 4000
    assert min(shares) > 850


def test_who_knows_of_nobody_takes_all() -> None:
    assert takes("desk/1", "BWV-0001", [])
