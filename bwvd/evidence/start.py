"""The evidence side, begun: recovery before anything is recorded, the journal, the next serial number, the reserve."""

from __future__ import annotations

import trio

from bwvd.clock import Clock
from bwvd.config import Config
from bwvd.evidence.chain import Signer
from bwvd.evidence.records import JournalHead
from bwvd.evidence.storage import Storage, Volume


class _Room:
    def spend(self, volume: Volume) -> None: ...

    def restore(self, volume: Volume) -> bool:
        return True


class Started:
    def __init__(self, next_serial: int) -> None:
        self.next_serial = next_serial
        self.room = _Room()

    def storage_status(self) -> dict[str, int | None]:
        return {"free_bytes": 0, "minutes_left": None}

    async def release(self, request: dict[str, object], source: str) -> dict[str, object]:
        return {"ok": False, "error": "not yet"}

    def refuse(self) -> str:
        return ""

    def journal_head(self) -> JournalHead | None:
        return None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    async def finish(self, reason: str) -> None:
        pass


async def start_evidence(
    storage: Storage, config: Config, signer: Signer, clock: Clock, boot: str, hub: object
) -> Started:
    def job(volume: Volume) -> int:
        if "recordings/" not in volume.names(""):
            volume.make_dir("recordings")
            volume.sync_dir("")
        serials = [int(name.rstrip("/")[-6:]) for name in volume.names("recordings")]
        return max(serials, default=0) + 1

    return Started(await storage.run(job))
