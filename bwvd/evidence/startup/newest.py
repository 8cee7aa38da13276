"""The newest recording as a start finds it: what the next one names as the one before it. Blocking; reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from bwvd import hashing
from bwvd.evidence.flash.pieces import digest, pieces
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE
from bwvd.evidence.format.chain_tail import read_ending
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS
from bwvd.evidence.format.recording_id import device_of, serial_of
from bwvd.evidence.format.totals import Totals
from bwvd.evidence.journal.totals import BEGUN, Detail

Said = Callable[[str, int], records.Removed | None]  # a recording and its number to what the journal says of it


class Recovered(Protocol):
    """What became of a recording at this start: `recovery.RecoveryResult`."""

    @property
    def recording(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def serial(self) -> int: ...

    @property
    def segments(self) -> int: ...

    @property
    def manifest_sha512(self) -> str: ...


def newest(
    volume: Volume, device: str, serial: int, recovered: Iterable[Recovered], entered: records.Before | None
) -> records.Before:
    """The recording of the largest number, `serial`, and how it ended.

    entered: what the journal says of the newest that has an end. Where that is an earlier one (the power went before
    the entry), the manifest itself is read.
    """
    for one in recovered:
        if one.serial == serial and one.manifest_sha512:
            return records.Before(serial, one.recording, "recovered", one.segments, one.manifest_sha512)
    if entered is not None and entered.serial == serial:
        return entered
    return on_the_flash(volume, device, serial)


def ends_not_entered(
    volume: Volume, device: str, folders: Iterable[str], recovered: Iterable[Recovered], said: Said
) -> list[tuple[str, Detail]]:
    """Entries for ends that the journal does not know of, though it says that the recording was opened.

    The power may go between an end and its entry. Without one nobody would miss the end if it were taken away.

    folders: what a start looks at; what became of one of them is told by `recovered`, but where only files that are
    made from an end were missing.
    """
    told = {one.recording for one in recovered if one.reason != "finished"}
    found: list[tuple[str, Detail]] = []
    for folder in folders:
        recording, serial = folder.rstrip("/"), serial_of(folder)
        if serial is None or device_of(recording) != device or recording in told:
            continue
        known = said(recording, serial)
        if known is None or known.event not in BEGUN:
            continue
        end = _end_of(volume, recording, serial)
        if end.manifest_sha512:
            detail: Detail = {"recording": recording, "serial": serial, "reason": "unknown", "found": "at_start"}
            found.append((end.event, {**detail, "segments": end.segments, "manifest_sha512": end.manifest_sha512}))
    return found


def on_the_flash(volume: Volume, device: str, serial: int) -> records.Before:
    """A recording by its number, with what its manifest says of its end; its id is "" if it is not here."""
    found = [name for name in volume.names(RECORDINGS) if serial_of(name) == serial and device_of(name) == device]
    return _end_of(volume, found[0].rstrip("/"), serial) if found else records.Before(serial)


def _end_of(volume: Volume, recording: str, serial: int) -> records.Before:
    """What a recording's manifest says of its end."""
    path = f"{RECORDINGS}/{recording}/{MANIFEST}"
    try:
        ending, totals = read_ending(volume, path, MANIFEST, MANIFEST_NAMESPACE, Totals)
        if totals.end is None or ending.newline_missing:
            return records.Before(serial, recording, "begun")
        sha512 = digest(hashing.sha512(), pieces(volume, path, 0, ending.end))
    except OSError:  # recovery names what can't be read
        return records.Before(serial, recording)
    event = "closed" if isinstance(totals.end, records.Close) else "recovered"
    return records.Before(serial, recording, event, totals.segments, sha512)
