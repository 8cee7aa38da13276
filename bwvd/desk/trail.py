"""Trail: the desk's own signed log. What is looked at, searched for or handed out is entered first, and then given."""

from __future__ import annotations

import json

from bwvd.custody.log import Act, CustodyLog, Detail, LogBroken
from bwvd.desk.session import Session
from bwvd.desk.source import Found
from bwvd.evidence.errors import EvidenceError
from bwvd.store.errors import StoreError
from bwvd.text import readable

MOST_CHARACTERS = 1000  # of one value in an entry


class TrailLost(EvidenceError):
    """The log can't be written. One line."""


class Trail:
    """Enters what is done at one desk.

    Args:
        user: the system user who runs it.

    **Synchronization:** trio's thread; any number of calls at once.
    """

    def __init__(self, log: CustodyLog, user: str) -> None:
        self._log = log
        self._user = user

    async def enter(self, session: Session, event: str, detail: Detail) -> None:
        """Enter what a session does; durable when this returns. Raises: TrailLost, and then it must not be done."""
        who: Detail = {"user": self._user, "name": session.name, "reason": session.reason}
        if session.by:
            who["name_from"] = session.by
        texts: Detail = {
            name: readable(value)[:MOST_CHARACTERS] if isinstance(value, str) else value
            for name, value in {**who, **detail}.items()
        }
        try:
            await self._log.enter(Act(event, texts))
        except (StoreError, LogBroken) as error:
            raise TrailLost(str(error)) from None

    async def once(self, session: Session, event: str, detail: Detail) -> None:
        """The same for what a session does again and again without anything new: it is entered once."""
        what = json.dumps([event, detail], sort_keys=True)
        if what not in session.seen:
            await self.enter(session, event, detail)
            session.seen.add(what)

    async def viewed(self, session: Session, found: Found) -> None:
        """Before anything of a recording is shown: its page, its frames, its records. Raises: TrailLost."""
        await self.once(session, "viewed", about(found))


def about(found: Found) -> Detail:
    """What names a recording in an entry."""
    return {"recording": found.name, "where": found.where}
