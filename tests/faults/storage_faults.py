"""The flash fails, fills, stalls, or loses its power, at any operation."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Sequence
from typing import Final

from bwvd.testing.flash.faults import CHANGING, Fault, Operation
from bwvd.testing.flash.storage import BLOCK
from tests.faults.kind import After, Kind, Reference
from tests.faults.shift import World


def operations(wanted: Callable[[Operation], bool] = lambda _: True) -> Callable[[Reference], Sequence[int]]:
    """The operations of a shift that a fault can strike."""
    return lambda reference: [operation.index for operation in reference.operations if wanted(operation)]


def changing(operation: Operation) -> bool:
    return operation.kind in CHANGING


def writing(operation: Operation) -> bool:
    return operation.kind == "write"


def at_operation(do: Callable[[World], None]) -> Callable[[World, int], None]:
    """Strike when the operation of this number begins."""

    def strike(world: World, nth: int) -> None:
        gate = world.volume.gate
        enter = gate.enter

        def counted(kind: str, path: str, size: int = 0, target: str = "") -> tuple[Operation, Fault | None]:
            if gate.count + 1 == nth:
                world.strike()
                do(world)
            return enter(kind, path, size, target)

        gate.enter = counted  # type: ignore[method-assign]  # every operation passes there

    return strike


def _error(number: int, times: float = 1, partial: int = 0) -> Callable[[World], None]:
    return lambda world: world.volume.fail(number, times=times, partial=partial)


def _short(number: int) -> Callable[[World], None]:
    """Half of what is written arrives (a sector, at the least), then the error."""
    return lambda world: world.volume.fail(number, kind="write", partial=512)


def _fill(world: World) -> None:
    """Somebody else takes all the room that is left."""
    world.volume.capacity = world.volume._used * BLOCK  # asking it would be an operation


def _stall(seconds: float) -> Callable[[World], None]:
    return lambda world: world.volume.stall(seconds)


def _cut(world: World) -> None:
    world.volume.power_cut_at(1)


KINDS: Final = [
    Kind("storage-eio", "one I/O error", operations(), at_operation(_error(errno.EIO)), has_sound=True),
    Kind(
        "storage-eio-20s",
        "I/O errors for 20 operations",
        operations(),
        at_operation(_error(errno.EIO, 20)),
        heals=False,
    ),
    Kind(
        "storage-eio-lasting",
        "I/O errors from here on",
        operations(),
        at_operation(_error(errno.EIO, math.inf)),
        heals=False,
    ),
    Kind("storage-enospc", "no room, once", operations(changing), at_operation(_error(errno.ENOSPC))),
    Kind("storage-full", "the flash is full from here on", operations(changing), at_operation(_fill), heals=False),
    Kind("storage-erofs", "read-only, once", operations(changing), at_operation(_error(errno.EROFS))),
    Kind(
        "storage-read-only",
        "remounted read-only from here on",
        operations(changing),
        at_operation(lambda world: world.volume.read_only_from(1)),
        heals=False,
    ),
    Kind("storage-short", "a short write, then an I/O error", operations(writing), at_operation(_short(errno.EIO))),
    Kind("storage-short-full", "a short write, then no room", operations(writing), at_operation(_short(errno.ENOSPC))),
    Kind("storage-stall-0.5s", "an operation takes 0.5 s", operations(), at_operation(_stall(0.5))),
    Kind("storage-stall-7s", "an operation takes 7 s", operations(), at_operation(_stall(7))),
    Kind("storage-stall-15s", "an operation takes 15 s", operations(), at_operation(_stall(15))),
    Kind("storage-stall-40s", "an operation takes 40 s", operations(), at_operation(_stall(40))),
    Kind("power-cut-lost", "power cut, nothing unsynced is left", operations(), at_operation(_cut), after=After.LEAST),
    Kind(
        "power-cut-kept", "power cut, all that was written is left", operations(), at_operation(_cut), after=After.MOST
    ),
    Kind(
        "power-cut-torn",
        "power cut, some of the unsynced is left",
        operations(),
        at_operation(_cut),
        after=After.TORN,
        has_sound=True,
    ),
]
