"""Release of a recording for which a receipt is held: the only code that deletes one (invariant 8).

The recording must be ended, and be to the byte what its manifest says, and its manifest what the receipt says; then
come the journal's `released` entry (`handing_in`), then the files, the manifest last. Only files that the manifest
names are ever removed, and only beside the very manifest that was released.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bwvd import hashing
from bwvd.clock import Clock
from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.flash.pieces import pieces
from bwvd.evidence.flash.steps import STEP_BYTES, STEP_NAMES, Steps, at_once, digest_steps
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE
from bwvd.evidence.format.chain_tail import ending_steps
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS, SUMS, SUMS_SIGNATURE, is_convenience, is_litter
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.format.sums import read_sums
from bwvd.evidence.format.totals import Contents
from bwvd.evidence.journal.journal import Journal
from bwvd.evidence.journal.totals import Detail
from bwvd.evidence.release.handing_in import AlreadyReleased, HandingIn, ReleaseRefused
from bwvd.evidence.release.receipt import Accepted, Receipt

STEP_FILES = 64  # read or removed in one step


@dataclass(slots=True)
class _Released(Contents):
    """What belongs to a recording."""

    found: dict[str, records.Found] = field(default_factory=dict)  # by file

    def take(self, record: records.Record | Unknown) -> None:
        Contents.take(self, record)
        if isinstance(record, records.Recovered):
            self.found = {found.where: found for found in record.found if found.where != MANIFEST}

    def names(self, name: str) -> bool:
        """Whether a file of this name belongs to the recording."""
        named = name in self.files or is_convenience(name) or name == MANIFEST
        found = self.found_as(name)
        return named or (found is not None and found.what == "file_without_line")

    def found_as(self, name: str) -> records.Found | None:
        """What recovery has said about a file of this name."""
        return self.found.get(harmless(name))


class Release(HandingIn[Receipt]):
    """The release of one recording.

    Args:
        in_progress: the id of the recording that is being written, "" if none is; asked in every step.
        More, and **Synchronization:** as `HandingIn`.
    """

    EVENT = "released"

    def __init__(
        self,
        volume: Volume,
        journal: Journal,
        accepted: Accepted[Receipt],
        *,
        device: str,
        clock: Clock,
        in_progress: Callable[[], str] = lambda: "",
    ) -> None:
        super().__init__(volume, journal, accepted, device=device, clock=clock)
        self._in_progress = in_progress
        self._recording = self._receipt.recording
        self._folder = f"{RECORDINGS}/{self._recording}"

    def _judge(self) -> Steps[Detail]:
        serial = self._known()
        contents = yield from self._check_manifest()
        yield from self._check_files(contents)
        yield from self._check_manifest()
        return {
            "recording": self._recording,
            "serial": serial,
            "manifest_sha512": self._receipt.manifest_sha512,
        }

    def _remove(self) -> Steps[None]:
        yield from _removal(self._volume, self._recording, self._receipt.manifest_sha512)

    def _known(self) -> int:
        """The serial number, if the receipt is for a recording that lies here."""
        serial = serial_of(self._recording)
        if serial is None or "/" in self._recording:
            raise ReleaseRefused(f"the receipt is for {self._recording[:80]!r}, which is no recording's id")
        self._require_own()
        if f"{self._recording}/" not in self._volume.names(RECORDINGS):
            if self._recording in self._journal.released:
                raise AlreadyReleased(f"{self._recording} is not here any more: it has been released")
            raise ReleaseRefused(f"{self._recording} is not here")
        return serial

    def _check_manifest(self) -> Steps[_Released]:
        """The recording is ended, and its manifest is whole and the one that the receipt names."""
        if self._in_progress() == self._recording:
            raise ReleaseRefused(f"{self._recording} is in progress")
        if MANIFEST not in self._volume.names(self._folder):
            raise ReleaseRefused(f"{self._recording} has no manifest")
        path = f"{self._folder}/{MANIFEST}"
        ending, contents = yield from ending_steps(self._volume, path, MANIFEST, MANIFEST_NAMESPACE, _Released)
        yield
        if not contents.ended:
            raise ReleaseRefused(f"{self._recording} has no end: it is in progress, or not recovered yet")
        if ending.problems or ending.torn is not None:
            raise ReleaseRefused(f"{self._recording} has been altered: its manifest does not verify; it stays")
        if contents.open is not None and contents.open.recording != self._recording:
            raise ReleaseRefused(f"{self._recording} holds the manifest of {contents.open.recording[:80]!r}; it stays")
        sha512 = yield from digest_steps(hashing.sha512(), self._volume, path)
        if sha512 != self._receipt.manifest_sha512:
            raise ReleaseRefused(f"the receipt is for another manifest than the one {self._recording} has")
        return contents

    def _check_files(self, contents: _Released) -> Steps[None]:
        """Every file is what the manifest says, and there is no other."""
        there = self._volume.names(self._folder)
        for name in sorted(contents.files.keys() - set(there)):
            raise ReleaseRefused(f"{self._recording} has been altered: {harmless(name)} is missing; it stays")
        listed = self._listed(there)
        read = 0
        for number, name in enumerate(there, start=1):
            if number % STEP_FILES == 0:
                yield
            if is_litter(name):
                continue
            if not contents.names(name):
                what = f"no record names {harmless(name)}"
                raise ReleaseRefused(f"{self._recording} has been altered: {what}; it stays")
            if name in (MANIFEST, SUMS, SUMS_SIGNATURE):
                continue
            sha256 = hashing.sha256()
            for piece in pieces(self._volume, f"{self._folder}/{name}"):
                sha256.update(piece)
                read += len(piece)
                if read >= STEP_BYTES:
                    read = 0
                    yield
            actual = sha256.hexdigest()
            stored = contents.files.get(name)
            expected = listed.get(name) if stored is None else stored.sha256
            found = None if stored is not None else contents.found_as(name)
            if actual != expected and (found is None or found.sha256 != actual):
                what = f"{harmless(name)} is not what was recorded"
                raise ReleaseRefused(f"{self._recording} has been altered: {what}; it stays")

    def _listed(self, there: list[str]) -> dict[str, str]:
        """What SHA256SUMS says; it vouches for the playlist and the init segments."""
        if SUMS not in there or SUMS_SIGNATURE not in there:
            raise ReleaseRefused(f"{self._recording} has no {SUMS} or no signature of it; the next start makes them")
        try:
            return read_sums(self._volume, self._folder)
        except (SignatureBad, ValueError) as error:
            raise ReleaseRefused(f"{self._recording} has been altered: {SUMS}: {error}; it stays") from None


def finish_releases(volume: Volume, journal: Journal, folders: Iterable[str] | None = None) -> list[str]:
    """At start-up, before recovery: remove what the journal says is released and a power cut has kept here.

    Args:
        folders: the names in `recordings/`, where they are at hand.

    Returns a line for each that could not be: it stays as it is, and the next start tries again. Blocking. Raises
    OSError if `recordings/` can't be read.
    """
    released = journal.released
    if not released:
        return []
    complaints = []
    names = volume.names(RECORDINGS) if folders is None else folders
    there = {name.rstrip("/") for name in names if name.endswith("/")}
    for recording, detail in released.items():
        if recording not in there or serial_of(recording) is None:
            continue
        try:
            at_once(_removal(volume, recording, str(detail.get("manifest_sha512"))))
        except (ReleaseRefused, OSError) as error:
            complaints.append(f"{recording} is released, but not removed: {error}")
    return complaints


def _removal(volume: Volume, recording: str, manifest_sha512: str) -> Steps[None]:
    """Remove the files that the manifest names, then the manifest, then the folder; in steps. With them goes what a
    desktop has left between them: it would keep the folder."""
    folder = f"{RECORDINGS}/{recording}"
    path = f"{folder}/{MANIFEST}"
    names = volume.names(folder)
    for name in filter(is_litter, names):
        _sweep(volume, f"{folder}/{name}")
    names = [name for name in names if not is_litter(name)]
    if MANIFEST in names:
        sha512 = yield from digest_steps(hashing.sha512(), volume, path)
        if sha512 != manifest_sha512:
            raise ReleaseRefused(f"{recording} holds another manifest than the one that was released; it stays")
        _, contents = yield from ending_steps(volume, path, MANIFEST, MANIFEST_NAMESPACE, _Released)
        for number, name in enumerate(names, start=1):
            if not contents.names(name):
                raise ReleaseRefused(f"{recording} holds {harmless(name)}, which its manifest does not name; it stays")
            if number % STEP_NAMES == 0:
                yield
        yield
        for number, name in enumerate(names, start=1):
            if name != MANIFEST:
                volume.remove(f"{folder}/{name}")
            if number % STEP_FILES == 0:
                yield
        # The manifest is what tells, after a power cut, that the rest may go: it must be the last.
        volume.sync_dir(folder)
        volume.remove(path)
        volume.sync_dir(folder)
    elif names:
        raise ReleaseRefused(f"{recording} holds {harmless(names[0])}, but no manifest; it stays")
    volume.remove(folder)
    volume.sync_dir(RECORDINGS)
    yield


def _sweep(volume: Volume, path: str, deeper: int = 4) -> None:
    """Remove a file, or a folder and what is in it. Raises OSError, also where it is deeper than a desktop's are."""
    if path.endswith("/"):
        path = path.rstrip("/")
        for name in volume.names(path) if deeper else ():
            _sweep(volume, f"{path}/{name}", deeper - 1)
    volume.remove(path)
