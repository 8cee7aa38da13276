"""Sessions: who has come in by the address that the terminal shows, what they call themselves, and why they look."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from bwvd.text import readable

MOST_SESSIONS = 256
MOST_CHARACTERS = 200  # of a name, or of a reason


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
        self.renewed: Callable[[], None] = lambda: None  # called when a ticket was used, and there is another
        self._open: dict[str, Session] = {}
        self._proxied: dict[tuple[str, str], Session] = {}

    def enter(self, ticket: str) -> Session | None:
        """A new session for who has the ticket, which is good for one; None for anybody else."""
        if not secrets.compare_digest(ticket.encode(), self.ticket.encode()):
            return None
        self.ticket = secrets.token_urlsafe(32)
        session = Session(secrets.token_urlsafe(32))
        while len(self._open) >= MOST_SESSIONS:
            del self._open[next(iter(self._open))]  # the oldest
        self._open[session.id] = session
        self.renewed()
        return session

    def of(self, cookie: str) -> Session | None:
        return self._open.get(cookie)

    def of_proxy(self, name: str, header: str) -> Session:
        """The session of a person whom a proxy names in `header`; a new one for a name that is new."""
        key = header, said(name)
        if key not in self._proxied:
            while len(self._proxied) >= MOST_SESSIONS:
                del self._proxied[next(iter(self._proxied))]
            self._proxied[key] = Session(secrets.token_urlsafe(32), name=key[1], by=header)
        return self._proxied[key]


def said(text: str) -> str:
    """What a person has typed, for the log and for pages: one line, readable, cut."""
    return readable(" ".join(text.split())[:MOST_CHARACTERS])
