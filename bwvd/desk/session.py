"""Sessions: who has come in by the address that the terminal shows, what they call themselves, and why they look."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

MOST_SESSIONS = 256


@dataclass(slots=True, eq=False)
class Session:
    """One browser. `name` and `reason` are what the person has said, any characters, cut."""

    id: str
    name: str = ""
    reason: str = ""
    by: str = ""  # the header that the name came in, where a proxy says who it is
    seen: set[str] = field(default_factory=set)  # what this session has an entry for in the log


class Sessions:
    """All there are, in memory alone.

    **Synchronization:** trio's thread.
    """

    def __init__(self) -> None:
        self.ticket = secrets.token_urlsafe(32)  # lets one browser in
        self._open: dict[str, Session] = {}

    def enter(self, ticket: str) -> Session | None:
        """A new session for who has the ticket, which is good for one; None for anybody else."""
        if not secrets.compare_digest(ticket.encode(), self.ticket.encode()):
            return None
        self.ticket = secrets.token_urlsafe(32)
        return self.new()

    def new(self) -> Session:
        while len(self._open) >= MOST_SESSIONS:
            del self._open[next(iter(self._open))]  # the oldest
        session = Session(secrets.token_urlsafe(32))
        self._open[session.id] = session
        return session

    def of(self, cookie: str) -> Session | None:
        return self._open.get(cookie)
