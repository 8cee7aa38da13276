"""Verification of what lies in a store, as of what lies on a card: `bwvd verify s3://BUCKET/devices/ID/recordings/REC`.

A device stands for its journals and all its recordings; a store for all its devices. What has not come whole yet is
told, and is `not_closed`. The custodian's receipts have no part in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from bwvd.custody import dated, journals, shelf
from bwvd.custody.bridge import Bridge, StoreFolder, in_thread
from bwvd.custody.findings import ABOUT_A_DEVICE
from bwvd.custody.journals import CheckedJournal
from bwvd.custody.judge import head_of
from bwvd.custody.shelf import JournalShelf
from bwvd.evidence.format.layout import RECORDINGS, SUMS_SIGNATURE
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.existence import Tokens, date_recording, read_tokens
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report, unreadable
from bwvd.evidence.verify.storage import compare_end
from bwvd.evidence.verify.trust import Trust
from bwvd.store import names
from bwvd.store.names import DEVICES
from bwvd.store.ports import EveryPage, Store

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

T = TypeVar("T")


def parted(address: str) -> tuple[str, str]:
    """The store in an address, and what in it is meant: `s3://B/P/devices/ID` is `s3://B/P` and `devices/ID`."""
    at = f"{address.rstrip('/')}/".rfind(f"/{DEVICES}")
    return (address.rstrip("/"), "") if at < 0 else (address[:at], address[at + 1 :].rstrip("/"))


class StoreVerifier:
    """Verifies in one store.

    Args:
        signers: whose signatures count; None = nobody's.
        identities: decrypt with, and decode every frame.
        roots: of the time-stamp authorities that count; None = no time-stamp is judged.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self,
        store: Store,
        signers: AllowedSigners | None,
        identities: Sequence[Any] = (),
        roots: Sequence[Certificate] | None = None,
        *,
        address: str,
        progress: Progress | None = None,
    ) -> None:
        self._store = store
        self._signers = signers
        self._identities = identities
        self._roots = roots
        self._address = address
        self._progress = progress

    async def verify(self, path: str) -> list[Report]:
        """Reports on what `path` means, as of `parted`. Raises: StoreError."""
        match path.split("/"):
            case [""] | ["devices"]:
                return await self._all()
            case ["devices", device] | ["devices", device, "recordings"] if names.is_name(device):
                return await self._device(device)
            case ["devices", device, "recordings", recording] if names.is_name(recording):
                report = (await self._recording(device, recording)).report
                return self._dated([report], await self._tokens(device))
        return [unreadable(f"{self._address}/{path}", f"not {DEVICES}ID, nor {DEVICES}ID/{RECORDINGS}/REC")]

    async def _all(self) -> list[Report]:
        reports = []
        async for page in EveryPage(self._store, DEVICES, folders=True):
            for device in shelf.devices_of(page):
                reports += await self._device(device)
        return reports or [unreadable(self._address, f"there is no device in it: nothing lies under {DEVICES}")]

    async def _device(self, device: str) -> list[Report]:
        ids, rest = await shelf.recordings(self._store, device)
        found, strange = await shelf.journals(self._store, device)
        if not ids and not found:
            return [unreadable(f"{self._address}/{DEVICES}{device}", "nothing lies there")]
        checks = {one: await self._recording(device, one) for one in ids}
        heads = [head for check in checks.values() if (head := head_of(check)) is not None]
        tokens = await self._tokens(device)
        checked = [await self._check(device, one, [*heads, *dated.wanted(tokens, one.storage)]) for one in found]
        there = {name: check.report.serial for name, check in checks.items() if check.end is not None}
        reports = [self._journal(device, one, there, ids) for one in checked]
        for report, one, files in zip(reports, checked, found, strict=True):
            dated.date_journal(report, one, files, tokens, judged=self._roots is not None)
        dated.note_strange(reports, checked, tokens)
        told = Report(f"{self._address}/{DEVICES}{device}", "storage", device, device)
        for name in [*rest.strange, *strange, *(name for one in found for name in one.strange)]:
            told.altered(name, ABOUT_A_DEVICE["stranger"])
        for name, check in checks.items():
            head = head_of(check)
            journal = journals.holder(checked, head, name)
            if head is not None and (journal is None or head not in journal.facts.seen):
                check.report.altered("journal", f"names a journal of {head[0]} bytes that is not in the store")
            elif journal is not None:
                compare_end(name, check, journal.facts)
        recordings = self._dated([check.report for check in checks.values()], tokens)
        return [*([told] if told.findings else []), *reports, *recordings]

    def _dated(self, reports: list[Report], tokens: Tokens) -> list[Report]:
        """The reports on recordings, with what the device's time-stamps in the store say of them."""
        for report in reports:
            date_recording(report, tokens, judged=self._roots is not None)
        return reports

    async def _tokens(self, device: str) -> Tokens:
        """The device's time-stamps in the store. Raises: StoreError."""
        files = await shelf.folder(self._store, names.witness_folder(device), shelf.MOST_FILES)
        path = f"{self._address}/{names.witness_folder(device).rstrip('/')}"

        def read(bridge: Bridge) -> Tokens:
            folder = StoreFolder(bridge, files.files, path, tuple(files.strange))
            return read_tokens(folder, self._roots, time.time())

        return await self._in_thread(read)

    async def _check(self, device: str, found: JournalShelf, heads: list[tuple[int, str]]) -> CheckedJournal:
        return await self._in_thread(lambda bridge: journals.check(bridge, device, found, self._signers, None, heads))

    def _journal(self, device: str, one: CheckedJournal, there: dict[str, int | None], ids: list[str]) -> Report:
        """The report on a journal, with what it says that is not so."""
        report = one.report
        report.path = f"{self._address}/{report.path}"
        report.id = f"{device}/{one.storage[:8]}"
        found = [each for each in one.findings if each.kind in ("rollback", "fork")]
        if not report.findings:
            found += journals.missing(device, one, there, ids)
        for each in found:
            report.altered(ABOUT_A_DEVICE[each.kind], each.detail)
        return report

    async def _recording(self, device: str, recording: str) -> Verification:
        files = await shelf.recording(self._store, device, recording)
        prefix = f"{self._address}/{names.recording_folder(device, recording).rstrip('/')}"

        def verify(bridge: Bridge) -> Verification:
            check = Verification(
                StoreFolder(bridge, files.files, prefix, tuple(files.strange)),
                Trust(self._signers),
                identities=self._identities,
                decode=bool(self._identities),
                name=recording,
                progress=self._progress,
            )
            check.run()
            if SUMS_SIGNATURE not in files.files:
                check.report.unfinished(SUMS_SIGNATURE, "is not there: the recording has not come whole")
            return check

        return await self._in_thread(verify)

    async def _in_thread(self, job: Callable[[Bridge], T]) -> T:
        return await in_thread(self._store, job)
