"""Strangers beside the devices: what lies in the folder of all devices, and has no device's name.

Told, and never opened. They are findings about no device, so that nothing of any device waits for them.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from bwvd.custody import index as at
from bwvd.custody import shelf
from bwvd.custody.findings import Finding, act_of, finding
from bwvd.custody.index import SEEN, Index
from bwvd.custody.log import Act, CustodyLog
from bwvd.store import names
from bwvd.store.ports import EveryPage, Page, Store

NOWHERE = ""  # the device of such a finding


def in_page(page: Page) -> list[str]:
    """What is strange in a page of the listing of `names.DEVICES`, by folders: printable."""
    return [*(names.shown(one.name) for one in page.objects), *(one.shown for one in page.hostile)]


async def enter(store: Store, index: Index, log: CustodyLog, strange: Iterable[str]) -> list[Finding]:
    """Enter what was listed and is new, if it is there at a second reading, and what is there no more; the new ones.

    Raises: StoreError, IndexLost, LogBroken.
    """
    found = {_finding(one) for one in strange}

    def known(connection: Connection) -> tuple[list[Finding], list[str]]:
        now = {one.id for one in found}
        over = [id_ for id_ in at.open_findings(connection, NOWHERE) if id_ not in now]
        return at.bounded(connection, NOWHERE, [one for one in found if not at.is_known(connection, one)]), over

    new, over = await index.run(known)
    if new:
        again = set()
        async for page in EveryPage(store, names.DEVICES, folders=True):
            again |= {_finding(one) for one in in_page(page)[: shelf.MOST_STRANGE]}
        new = sorted((one for one in new if one in again), key=lambda one: one.detail)
    acts = [Act("finding", act_of(one)) for one in new]
    acts += [Act("resolved", {"finding": one, "why": SEEN}) for one in over]
    utc = await log.enter(*acts)

    def put(connection: Connection) -> None:
        for one in new:
            at.add_finding(connection, one, utc)
        at.resolve(connection, over, utc, SEEN)

    if acts:
        await index.run(put)
    return new


def _finding(shown: str) -> Finding:
    return finding(NOWHERE, "stranger", f"{shown}: no camera has such a name")
