"""Faults of the virtual flash's operations, and the count of them all."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from dataclasses import dataclass, field

LOOKING = frozenset({"append", "read", "size", "sizes", "names", "close", "free", "total"})
CHANGING = frozenset({"create", "write", "sync", "make_dir", "sync_dir", "rename", "remove", "reserve"})


class PowerCut(Exception):
    """The power is gone, and so is every operation from here on."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call that reached the volume. `index` counts from 1 over all kinds.

    Kinds: those of CHANGING, and those of LOOKING ("append" is an opening; "free" and "total" have the path "").
    """

    index: int
    kind: str
    path: str
    bytes: int = 0
    target: str = ""  # of a rename: the new name


@dataclass(slots=True, kw_only=True)
class Fault:
    """An error or a delay that strikes the `nth` operation (from 1, since it was set) and the `times - 1` after it.

    Only operations of this `kind` ("" = any) on paths that end in `path` count; `times=math.inf` is for ever.
    """

    error: int = 0  # an errno; 0 = none, only the delay
    kind: str = ""
    path: str = ""
    nth: int = 1
    times: float = 1
    delay_s: float = 0.0
    partial: int = 0  # bytes of a failing write that reach the file before the error

    def strikes(self, operation: Operation) -> bool:
        if self.kind not in ("", operation.kind) or not operation.path.endswith(self.path):
            return False
        self.nth -= 1
        if self.nth > 0 or self.times <= 0:
            return False
        self.times -= 1
        return True


@dataclass(slots=True)
class Latency:
    """How long operations take, in seconds of virtual time."""

    per_operation: dict[str, float] = field(default_factory=dict)  # by kind
    bytes_per_s: float = math.inf  # of writing

    def of(self, operation: Operation) -> float:
        return self.per_operation.get(operation.kind, 0.0) + operation.bytes / self.bytes_per_s


class Gate:
    """Every operation of a virtual volume passes here: counted, logged, timed, and struck.

    `omit`: syncs for which this says True are taken for done without being done, the bug that tests must notice.
    """

    def __init__(self, omit: Callable[[Operation], bool] | None = None) -> None:
        self.latency = Latency()
        self.log: list[Operation] = []
        self.elapsed_s = 0.0  # of operations that nobody has waited for yet
        self.dead = False
        self._omit = omit
        self._faults: list[Fault] = []
        self._read_only_from = math.inf
        self._cut_at = math.inf

    @property
    def count(self) -> int:
        """Operations so far."""
        return len(self.log)

    @property
    def cutting(self) -> bool:
        """The power goes during the newest operation."""
        return self.count >= self._cut_at

    def set(self, fault: Fault) -> None:
        self._faults.append(fault)

    def read_only_from(self, nth: int) -> None:
        self._read_only_from = self.count + nth

    def power_cut_at(self, nth: int) -> None:
        self._cut_at = self.count + nth

    def heal(self) -> None:
        self._faults.clear()
        self._read_only_from = math.inf

    def omits(self, operation: Operation) -> bool:
        """Whether this sync does nothing: on purpose, or because the power goes during it."""
        return self.cutting or (self._omit is not None and self._omit(operation))

    def enter(self, kind: str, path: str, size: int = 0, target: str = "") -> tuple[Operation, Fault | None]:
        """Count an operation; the fault that strikes it, if one with an error does. Raises PowerCut."""
        if self.dead:
            raise PowerCut
        operation = Operation(self.count + 1, kind, path, size, target)
        self.log.append(operation)
        self.elapsed_s += self.latency.of(operation)
        if self.cutting and kind not in CHANGING:
            self.leave()
        struck = None
        for fault in self._faults:
            if fault.strikes(operation):
                self.elapsed_s += fault.delay_s
                if fault.error and struck is None:
                    struck = fault
        if struck is None and kind in CHANGING and operation.index >= self._read_only_from:
            struck = Fault(error=errno.EROFS)
        return operation, struck

    def leave(self) -> None:
        """The operation has had its effect on the cache. Raises PowerCut if the power went during it."""
        if self.cutting:
            self.dead = True
            raise PowerCut
