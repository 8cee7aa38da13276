"""Stores as a source: what carriers have brought, as it lies there, with no index.

A listing of a store has names alone. Everything else about a recording is in its manifest, which is read when its row
is looked at: so a search finds in a store what it knows by then, and says how many it has not read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from bwvd.custody import shelf
from bwvd.custody.bridge import Bridge, StoreFolder, in_thread, read_small
from bwvd.custody.verify_store import StoreVerifier
from bwvd.desk.facts import Facts, Memory, Row, Rows, facts_or_none, matches
from bwvd.desk.query import Query
from bwvd.desk.receipts import Taken, judged
from bwvd.desk.source import Found, Key, NotThere
from bwvd.evidence.format.recording_id import began
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.release.receipt import RECEIPT_BYTES
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.folder import Folder
from bwvd.evidence.verify.report import Report
from bwvd.store import names
from bwvd.store.ports import EveryPage, Store
from bwvd.text import printable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

T = TypeVar("T")

MOST_LISTED = 200_000  # recordings: more need an index
THREADS = 4
FRESH_S = 30.0  # for so long a listing counts as what is there


class StoreSource:
    """What lies in a store, all of it or one device's.

    Args:
        roots: of the time-stamp authorities that count; None = no time-stamp is judged.
        device: only this one's; "" = every.
        number: of the source among all.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self,
        store: Store,
        address: str,
        signers: AllowedSigners | None = None,
        identities: Sequence[Any] = (),
        *,
        roots: Sequence[Certificate] | None = None,
        device: str = "",
        number: int = 1,
    ) -> None:
        self.name = printable(address)
        self.number = number
        self._store = store
        self.address = address
        self._signers = signers
        self._identities = identities
        self._roots = roots
        self._device = device
        self._listed: list[tuple[str, str]] = []
        self._listed_at = -FRESH_S
        self._receipts: dict[Key, Taken] = {}
        self._threads = trio.CapacityLimiter(THREADS)
        self._verifying = trio.CapacityLimiter(1)

    # --- the list ----------------------------------------------------------------------------------------------------

    async def rows(self, query: Query, first: int, most: int, memory: Memory) -> Rows:
        """Raises: StoreError."""
        result = Rows()
        narrowed = query.wanted.texts or bool(query.text)
        for device, recording in await self._listing():
            found = self._found(device, recording)
            facts = memory.facts.get(found.key)
            result.unread += narrowed and facts is None
            row = Row(
                found,
                facts or Facts(device=device, started=began(recording)),
                memory.verdict(found.key),
                receipt=self._receipts.get(found.key),
            )
            if matches(row, query, result.unsure):
                result.rows.append(row)
        return result.paged(first, most)

    async def _listing(self) -> list[tuple[str, str]]:
        """Device and id of each recording that has come. Raises: StoreError."""
        if trio.current_time() - self._listed_at < FRESH_S:
            return self._listed
        found: list[tuple[str, str]] = []
        for device in [self._device] if self._device else await self._devices():
            ids, _ = await shelf.recordings(self._store, device)
            found += [(device, one) for one in ids[: MOST_LISTED - len(found)]]
        self._listed, self._listed_at = found, trio.current_time()
        return found

    async def _devices(self) -> list[str]:
        found: list[str] = []
        async for page in EveryPage(self._store, names.DEVICES, folders=True):
            found += [one for one in shelf.devices_of(page) if names.is_name(one)]
            if len(found) > MOST_LISTED:
                break
        return found

    async def complete(self, found: Found) -> Facts | None:
        device, recording = self._parts(found.key)
        name = names.receipt(device, recording)
        if (data := await read_small(self._store, name, RECEIPT_BYTES)) is not None:
            signature = await read_small(self._store, f"{name}.sig", RECEIPT_BYTES)
            if (said := judged(data, signature, self._signers)) is not None and said[0] == recording:
                self._receipts[found.key] = said[1]
        return await self.read(found, lambda folder: facts_or_none(folder, self._identities))

    def said(self) -> list[str]:
        return []  # the custodian holds a store's journals against what is there

    # --- one recording -----------------------------------------------------------------------------------------------

    async def find(self, key: Key) -> Found | None:
        """Raises: StoreError."""
        recording = key.name_in(self.number)
        if not recording or not names.is_name(key.device) or (self._device and key.device != self._device):
            return None
        found = self._found(key.device, recording)
        if found.key != key or not names.is_name(recording):
            return None
        page = await self._store.page(names.recording_folder(key.device, recording))
        return found if page.objects else None

    def _found(self, device: str, recording: str) -> Found:
        where = f"{self.address}/{names.recording_folder(device, recording).rstrip('/')}"
        return Found(Key.of(recording, where, number=self.number), recording, where, self)

    def _parts(self, key: Key) -> tuple[str, str]:
        recording = key.name_in(self.number)
        if not recording:
            raise NotThere("not of this store")
        return key.device, recording

    async def read(self, found: Found, job: Callable[[Folder], T]) -> T:
        device, recording = self._parts(found.key)
        files = await shelf.recording(self._store, device, recording)

        def run(bridge: Bridge) -> T:
            return job(StoreFolder(bridge, files.files, found.where, tuple(files.strange)))

        return await in_thread(self._store, run, self._threads)

    async def verify(self, found: Found, progress: Progress | None = None) -> Report:
        device, recording = self._parts(found.key)
        verifier = StoreVerifier(self._store, self._signers, (), self._roots, address=self.address, progress=progress)
        async with self._verifying:
            return (await verifier.verify(names.recording_folder(device, recording).rstrip("/")))[0]

    async def aclose(self) -> None:
        await self._store.aclose()
