"""Private texts of a recording: officers' ids and markers' labels, as far as they are known. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bwvd.evidence.format import records

SEALED = "sealed"  # there is a text, and nothing was given that opens it
NOT_OPENED = "sealed, and opened by none of the identities"
CHANGED = "its text is not what was recorded"


@dataclass(frozen=True, slots=True)
class PrivateText:
    """A text as it was given, with whatever characters; or why it is not known."""

    text: str = ""
    unknown: str = ""  # a few words; "" where the text is known

    @property
    def sealed(self) -> bool:
        """Whether another identity, or one at all, would open it."""
        return self.unknown in (SEALED, NOT_OPENED)


Reader = Callable[[records.Mark | records.Officer], PrivateText]
"""The text of a marker or of an officer's record."""


def unopened(record: records.Mark | records.Officer) -> PrivateText:
    """What stands in the clear; of what is sealed, that it is."""
    if record.sealed is not None:
        return PrivateText(unknown=SEALED)
    return PrivateText(record.label if isinstance(record, records.Mark) else record.officer)
