# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every witness of the journal: the file on the system's disk, a TPM's memory, the virtual one.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_witness(check): await check(make)

`make()` opens the same memory again each time, as a start of the device does; it is empty at first.
"""

from __future__ import annotations

from collections.abc import Callable

from bwvd.evidence.journal.witness import MOST_STORAGES, Remembered, Witness, remembering

Make = Callable[[], Witness]


def _one(storage: str, size: int = 8192) -> Remembered:
    return Remembered(
        storage=storage, signer="ssh-ed25519 A", number=1, bytes=size, sha512="ab" * 64, last_serial=7, last_closed="r"
    )


async def remembers_nothing_at_first(make: Make) -> None:
    assert await make().read() == []


async def remembers_over_a_restart(make: Make) -> None:
    await make().write([_one("a"), _one("b")])
    assert await make().read() == [_one("a"), _one("b")]


async def forgets_what_it_is_told_to(make: Make) -> None:
    witness = make()
    await witness.write([_one("a"), _one("b")])
    await witness.write([_one("b", 9000)])
    assert await make().read() == [_one("b", 9000)]


async def holds_as_many_storages_as_are_remembered(make: Make) -> None:
    storages: list[Remembered] = []
    for number in range(2 * MOST_STORAGES):
        storages = remembering(storages, _one(f"{number:032x}"))
    assert len(storages) == MOST_STORAGES
    await make().write(storages)
    assert await make().read() == storages


CHECKS = (
    remembers_nothing_at_first,
    remembers_over_a_restart,
    forgets_what_it_is_told_to,
    holds_as_many_storages_as_are_remembered,
)
