"""What was known last of battery, clock and position: a recording says it at its beginning and end. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bwvd.messages import Fix, LastKnown, Located, PowerRead, TimeSource


class Known:
    """The newest of each kind. **Synchronization:** trio's thread."""

    def __init__(self) -> None:
        self.power: PowerRead | None = None
        self.time: TimeSource | None = None
        self.located: Located | None = None  # None: there is no receiver

    def take(self, note: LastKnown) -> None:
        """Something newer of its kind."""
        if isinstance(note, Located):
            self.located = note
        elif isinstance(note, TimeSource):
            self.time = note
        else:
            self.power = note

    @property
    def fix(self) -> Fix | None:
        """The newest position; None while it is not known."""
        return self.located.fix if self.located is not None else None

    def tell(self, note: Callable[[LastKnown], None], now_ns: int) -> None:
        """Hand all of it to `note`, as of now."""
        for one in (self.power, self.time, self.located):
            if one is not None:
                note(replace(one, at_ns=now_ns))
