"""Private texts of a recording (officers' ids, markers' labels), in the clear or opened with an identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bwvd.evidence.errors import IdentityUnusable
from bwvd.evidence.format import records
from bwvd.evidence.verify.folder import Folder, read_file

SEALED = "sealed"  # there is a text, and nothing was given that opens it
NOT_OPENED = "sealed, and opened by none of the identities"
CHANGED = "its text is not what was recorded"

_BYTES = 1_048_576  # of a sealed file; the text of a marker is far shorter


@dataclass(frozen=True, slots=True)
class PrivateText:
    """A text as it was given, with whatever characters; or why it is not known."""

    text: str = ""
    unknown: str = ""  # a few words; "" where the text is known

    @property
    def sealed(self) -> bool:
        return self.unknown in (SEALED, NOT_OPENED)


Reader = Callable[[records.Mark | records.Officer], PrivateText]


def reader(folder: Folder, identities: Sequence[Any] = ()) -> Reader:
    """A function that reads the text of a marker or of an officer's record in `folder`."""

    def read(record: records.Mark | records.Officer) -> PrivateText:
        if record.sealed is None:
            return PrivateText(record.label if isinstance(record, records.Mark) else record.officer)
        return _opened(folder, record.sealed, "label" if isinstance(record, records.Mark) else "officer", identities)

    return read


def _opened(folder: Folder, sealed: records.Sealed, key: str, identities: Sequence[Any]) -> PrivateText:
    if not identities:
        return PrivateText(unknown=SEALED)
    from bwvd.evidence.keys.age import open_sealed  # here: who has no identity needs no cryptography

    try:
        data = read_file(folder, sealed.file, _BYTES)
        if hashlib.sha256(data).hexdigest() != sealed.sha256:
            return PrivateText(unknown=CHANGED)
        plain = open_sealed(data, identities)
    except IdentityUnusable:
        return PrivateText(unknown=NOT_OPENED)
    except OSError as error:
        return PrivateText(unknown=f"its file can't be read: {error.strerror}")
    if hashlib.sha256(plain).hexdigest() != sealed.plain_sha256:
        return PrivateText(unknown=CHANGED)
    try:
        text = json.loads(plain)[key]
    except (ValueError, LookupError, TypeError):
        return PrivateText(unknown=CHANGED)
    return PrivateText(text) if isinstance(text, str) else PrivateText(unknown=CHANGED)
