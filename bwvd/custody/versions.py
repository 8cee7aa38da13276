"""Versions: what was put in front of an object, where a bucket keeps all that a name has ever had.

Each name is put once by us, so that a second version, or a mark that hides the first, is of somebody who uses the
credentials of a camera, or a custodian's, with another client. What was put first is still there, for as long as it is
locked. The same bytes put again are nothing: a bucket without `If-None-Match` does that when an answer is lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from bwvd.custody.findings import Finding, finding
from bwvd.log import get_logger
from bwvd.store import names
from bwvd.store.errors import ClockSkewed, StoreRefused
from bwvd.store.ports import EveryVersion, Store, StoredVersion
from bwvd.text import counted

MOST_TOLD = 1_000  # recordings and journals of one listing

_log = get_logger("custody")


@dataclass(slots=True)
class _Name:
    """One name's versions, as they are listed."""

    newest: StoredVersion
    oldest: StoredVersion
    count: int = 1
    other: bool = False  # they are not all the same

    def add(self, one: StoredVersion) -> None:
        """One behind those that were listed."""
        same = (one.size, one.etag, one.hides) == (self.oldest.size, self.oldest.etag, self.oldest.hides)
        self.other = self.other or not same or not one.etag
        self.oldest = one
        self.count += 1


async def look(store: Store, device: str, recordings: Iterable[str], *, everything: bool) -> list[Finding]:
    """What was put in front of objects of these recordings, or of any of the device's. Raises: as `replaced`."""
    folders = [names.recording_folder(device, one) for one in recordings]
    if everything:
        folders = [names.device_folder(device)]
    return [one for folder in folders for one in await replaced(store, device, folder)]


async def replaced(store: Store, device: str, prefix: str) -> list[Finding]:
    """A finding for each recording, and for each other object, below `prefix` that has more than what was put first.

    At most MOST_TOLD. Raises: StoreError. Where these credentials may not list versions none is found, and the log
    says so.
    """
    first: dict[tuple[str, str], _Name] = {}
    more: dict[tuple[str, str], int] = {}
    try:
        async for one in _names(store, prefix):
            if one.other or one.newest.hides:
                recording = _recording(one.newest.name)
                about = recording, "" if recording else one.newest.name
                if about in first:
                    more[about] = more.get(about, 0) + 1
                elif len(first) < MOST_TOLD:
                    first[about] = one
    except ClockSkewed:
        raise
    except StoreRefused as error:
        _log.warning("versions_not_listed", error=str(error))
    return [_finding(device, one, about[0], more.get(about, 0)) for about, one in first.items()]


async def _names(store: Store, prefix: str) -> AsyncIterator[_Name]:
    current: _Name | None = None
    async for page in EveryVersion(store, prefix):
        for one in page.versions:
            if current is not None and current.newest.name == one.name:
                current.add(one)
                continue
            if current is not None:
                yield current
            current = _Name(one, one)
    if current is not None:
        yield current


def _recording(name: str) -> str:
    """The recording that an object belongs to, or is the receipt of; "" for all else."""
    match names.parsed(name):
        case names.RecordingFile(_, recording, _):
            return recording
        case names.ReceiptFile(_, about, ""):
            return about
    return ""


def _finding(device: str, one: _Name, recording: str, more: int) -> Finding:
    file = one.newest.name.removeprefix(names.device_folder(device))
    if recording:
        file = file.removeprefix(f"recordings/{recording}/")
    what = "hidden by a delete marker" if one.newest.hides else "put again with other bytes"
    first = f"what was put first is version {one.oldest.version}, {one.oldest.size} bytes"
    if one.oldest.hides:
        first = "nothing is behind it"
    others = f" (and {counted(more, 'more file')})" if more else ""
    kind = "replaced" if recording else "object_replaced"
    return finding(device, kind, f"{file}: {what}{others}; {first}", recording)
