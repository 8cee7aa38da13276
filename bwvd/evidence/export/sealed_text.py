"""Sealed texts of a recording, opened with the agency's identities."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from typing import Any

from bwvd import hashing
from bwvd.evidence.errors import IdentityUnusable
from bwvd.evidence.export.private_text import CHANGED, NOT_OPENED, PrivateText, Reader, unopened
from bwvd.evidence.format import records
from bwvd.evidence.keys.age import open_sealed
from bwvd.evidence.verify.folder import DirectoryFolder, Folder, read_file
from bwvd.evidence.verify.gather import Place
from bwvd.evidence.verify.zip_folder import ZipFolder

_BYTES = 1_048_576  # of a sealed file; the text of a marker is far shorter


def reader(folder: Folder, identities: Sequence[Any]) -> Reader:
    """Reads the texts of a recording's records, those that are sealed with `identities`; without any they stay so."""

    def read(record: records.Mark | records.Officer) -> PrivateText:
        if record.sealed is None or not identities:
            return unopened(record)
        return _opened(folder, record.sealed, "label" if isinstance(record, records.Mark) else "officer", identities)

    return read


def reader_at(place: Place, identities: Sequence[Any]) -> Reader:
    """The same for one that opens the recording's folder only when a text is sealed."""

    def read(record: records.Mark | records.Officer) -> PrivateText:
        if record.sealed is None or not identities:
            return unopened(record)
        try:
            if place.inside:
                with zipfile.ZipFile(place.path) as archive:
                    return reader(ZipFolder(archive, place.inside, str(place)), identities)(record)
            with DirectoryFolder(place.path) as folder:
                return reader(folder, identities)(record)
        except (OSError, zipfile.BadZipFile) as error:
            return PrivateText(unknown=f"its file can't be read: {error}")

    return read


def _opened(folder: Folder, sealed: records.Sealed, key: str, identities: Sequence[Any]) -> PrivateText:
    try:
        data = read_file(folder, sealed.file, _BYTES)
        if hashing.sha256(data).hexdigest() != sealed.sha256:
            return PrivateText(unknown=CHANGED)
        plain = open_sealed(data, identities)
    except IdentityUnusable:
        return PrivateText(unknown=NOT_OPENED)
    except OSError as error:
        return PrivateText(unknown=f"its file can't be read: {error.strerror}")
    if hashing.sha256(plain).hexdigest() != sealed.plain_sha256:
        return PrivateText(unknown=CHANGED)
    try:
        text = json.loads(plain)[key]
    except (ValueError, LookupError, TypeError):
        return PrivateText(unknown=CHANGED)
    return PrivateText(text) if isinstance(text, str) else PrivateText(unknown=CHANGED)
