"""Stamping: what is closed on the flash, and the journal as far as it goes, gets a time from authorities outside.

A recording's own clock is the device's word, and whoever has the device's key can write any time into it. A token over
the digest of its manifest says that it existed before a moment that the authority vouches for.

What is to be stamped stands on the flash and nowhere else: each closed recording whose digest is in no list that an
authority has stamped. So nothing is lost while there is no network, or when the power goes: the next round finds it.
One list holds the digests of all of them, and the journal's head; each authority stamps the same list. What comes back
goes to the recorder, which puts it beside the evidence; from there the carrier takes it to the store.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from bwvd.clock import NS, Clock
from bwvd.controls import client
from bwvd.controls.client import Unreachable
from bwvd.evidence.flash.pieces import PIECE_BYTES
from bwvd.evidence.format.digest_list import (
    LIST_BYTES,
    MOST_MANIFESTS,
    WITNESS_BYTES,
    DigestList,
    Head,
    is_list,
    list_name,
    parse_list,
    token_of,
)
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS, WITNESS
from bwvd.evidence.keys.rfc3161 import Token, TokenBad
from bwvd.log import get_logger
from bwvd.offload.authority import Authority, utc_of
from bwvd.offload.book import Closed
from bwvd.offload.faults import Faults
from bwvd.offload.flash import Flash, FlashReader
from bwvd.offload.parts import head_part, look
from bwvd.service.backoff import Backoff
from bwvd.store import names
from bwvd.store.errors import NameRefused

LOOK_EVERY_S = 30.0  # at the flash, for what has been closed
HEAD_EVERY_S = 21_600.0  # the journal alone, where nothing was closed: 4 tokens a day
AGAIN = Backoff(first_s=30.0, limit_s=3600.0)
ANSWER_S = 60.0  # of the recorder
NEARLY_FULL = WITNESS_BYTES * 7 // 8  # told months before the recorder takes no more: a person has to copy the folder

_log = get_logger("offload")

Keep = Callable[[bytes, str, bytes], Awaitable[dict[str, Any]]]
"""Give the recorder a list, the authority's label and its answer; the recorder's answer. Raises Unreachable."""


@dataclass(slots=True)
class _Asked:
    """How one authority stands."""

    authority: Authority
    tries: int = 0  # in vain, since the last token
    next_ns: int = 0
    trouble: str = ""
    head_ns: int | None = None  # when it has stamped the journal's head
    head_of: int = 0  # bytes of the journal's file then


@dataclass(slots=True)
class _OnFlash:
    """What there is to be stamped, and what was."""

    manifests: dict[str, str] = field(default_factory=dict)  # by recording, SHA-512
    journal: int = 0  # bytes of the file that grows
    stamped: dict[str, set[str]] = field(default_factory=dict)  # by an authority's label, SHA-512
    tokens: int = 0
    bytes: int = 0  # of all lists and tokens


@dataclass(frozen=True, slots=True)
class Stamped:
    """How things stand, for the state file."""

    authorities: int
    waiting: int  # recordings that not every authority has stamped
    tokens: int  # on the flash
    last_utc: str  # what the newest token says that came since the process began; "" = none has
    last_by: str


@dataclass(slots=True)
class Stamping:
    """One device's tokens.

    Args:
        keep: gives a token to the recorder.
        changed: called whenever something is to be told anew; never blocks.

    **Synchronization:** one task calls `round`.
    """

    device: str
    authorities: Sequence[Authority]
    reader: FlashReader
    clock: Clock
    faults: Faults
    keep: Keep
    changed: Callable[[], None] = lambda: None
    told: Stamped = Stamped(0, 0, 0, "", "")
    complete: bool = False  # as of the last round: every authority has stamped everything closed
    _asked: list[_Asked] = field(init=False)
    _closed: dict[str, Closed] = field(default_factory=dict)
    _digests: dict[str, tuple[int, str]] = field(default_factory=dict)  # by recording: the manifest's bytes, SHA-512
    _lists: dict[str, DigestList | None] = field(default_factory=dict)  # by name; None = it is none
    _last: tuple[str, str] = ("", "")
    _kept: str = ""  # why the recorder did not take a token

    def __post_init__(self) -> None:
        self._asked = [_Asked(authority) for authority in self.authorities]

    async def round(self) -> None:
        """Ask every authority that is due for what it has not stamped.

        **Cancellation:** at any checkpoint; a token that was not given to the recorder yet is asked for again.
        """
        found = await self._look()
        if found is None:
            self.complete = False
            return
        await self._stamp(found)
        self._tell(found)

    async def _stamp(self, found: _OnFlash) -> None:
        while True:
            due = [one for one in self._asked if one.next_ns <= self.clock.monotonic_ns()]
            # One list for all of them: what one of them has stamped already costs a line.
            asking = [one for one in due if self._missing(found, one) or self._head_due(one, found)]
            wanted = {sha512 for one in asking for sha512 in self._missing(found, one)}
            head = await self._head() if asking else None
            if not wanted and head is None:
                return
            listed = DigestList(frozenset(sorted(wanted)[:MOST_MANIFESTS]), head).encode()
            self._kept = ""
            async with trio.open_nursery() as nursery:  # one that does not answer holds up none of the others
                for one in asking:
                    nursery.start_soon(self._ask, one, listed, found)
            if self._kept:
                return

    async def _ask(self, one: _Asked, listed: bytes, found: _OnFlash) -> None:
        label = one.authority.label
        try:
            answer, token = await one.authority.stamp(listed)
        except TokenBad as error:
            self._later(one, str(error))
            return
        if refused := await self._give(listed, label, answer):
            self._kept = refused
            self._later(one, "")
            return
        one.tries, one.trouble = 0, ""
        self._took(one, listed, token, found)

    def _took(self, one: _Asked, listed: bytes, token: Token, found: _OnFlash) -> None:
        parsed = parse_list(listed)
        found.stamped.setdefault(one.authority.label, set()).update(parsed.manifests)
        found.tokens += 1
        self._lists[list_name(listed)] = parsed
        if parsed.head is not None:
            one.head_of, one.head_ns = found.journal, self.clock.monotonic_ns()
        self._last = (utc_of(token), token.by)
        _log.info("stamped", authority=one.authority.label, recordings=len(parsed.manifests), at=self._last[0])
        self.changed()

    def _later(self, one: _Asked, trouble: str) -> None:
        one.tries += 1
        one.trouble = trouble
        one.next_ns = self.clock.monotonic_ns() + round(AGAIN.delay_s(one.tries) * NS)

    async def _give(self, listed: bytes, label: str, answer: bytes) -> str:
        """Why the recorder did not take it; "" = it has."""
        try:
            said = await self.keep(listed, label, answer)
        except Unreachable as error:
            return str(error)
        return "" if said.get("ok") else str(said.get("error") or "refused")

    def _missing(self, found: _OnFlash, one: _Asked) -> set[str]:
        return set(found.manifests.values()) - found.stamped.get(one.authority.label, set())

    def _head_due(self, one: _Asked, found: _OnFlash) -> bool:
        if found.journal == one.head_of:
            return False
        return one.head_ns is None or self.clock.monotonic_ns() - one.head_ns >= HEAD_EVERY_S * NS

    # --- the flash ---

    async def _look(self) -> _OnFlash | None:
        try:
            found = await self.reader.run(self._read)
        except OSError as error:
            self.faults.report("offload:storage", True, f"{error.filename or 'the storage'}: {error.strerror}")
            return None
        self.faults.report("offload:storage", False)
        return found

    def _read(self, flash: Flash) -> _OnFlash:
        """In the reader's thread, for which this task waits."""
        on_flash = look(flash, self.device, self._closed)
        self._closed = on_flash.closed
        found = _OnFlash(journal=on_flash.journal)
        for recording in self._closed:
            sha512 = self._manifest(flash, recording)
            if sha512:
                found.manifests[recording] = sha512
        self._digests = {name: digest for name, digest in self._digests.items() if name in self._closed}
        there = flash.names(WITNESS) if f"{WITNESS}/" in flash.names("") else []
        found.bytes = sum(flash.sizes(WITNESS).values()) if there else 0
        for name in there:
            if is_list(name) and name not in self._lists:
                self._lists[name] = _parsed(flash, name)
        for name in there:
            token = token_of(name)
            listed = self._lists.get(token[0]) if token is not None and token[0] in there else None
            if token is not None and listed is not None:
                found.stamped.setdefault(token[1], set()).update(listed.manifests)
                found.tokens += 1
        return found

    def _manifest(self, flash: Flash, recording: str) -> str:
        """The SHA-512 of a recording's manifest; "" if it is gone meanwhile."""
        path = f"{RECORDINGS}/{recording}/{MANIFEST}"
        try:
            size = flash.size(path)
            known = self._digests.get(recording)
            if known is None or known[0] != size:
                sha512, at = hashlib.sha512(), 0
                while piece := flash.read(path, at, PIECE_BYTES):
                    sha512.update(piece)
                    at += len(piece)
                self._digests[recording] = known = (at, sha512.hexdigest())
        except FileNotFoundError:
            self._closed.pop(recording, None)
            return ""
        return known[1]

    async def _head(self) -> Head | None:
        """The journal as far as it goes now; None if it can't be told, which the carrier says."""
        try:
            part = await self.reader.run(lambda flash: head_part(flash, self.device))
        except (NameRefused, OSError):
            return None
        named = names.parsed(part.name) if part is not None else None
        if not isinstance(named, names.JournalHead):
            return None
        return Head(named.sha512, named.size, named.number, named.storage)

    # --- what is told ---

    def _tell(self, found: _OnFlash) -> None:
        waiting = {
            recording
            for recording, sha512 in found.manifests.items()
            if any(sha512 in self._missing(found, one) for one in self._asked)
        }
        troubles = [one.trouble for one in self._asked if one.trouble]
        more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
        self.faults.report("offload:tsa", bool(troubles), f"{troubles[0]}{more}" if troubles else "")
        nearly = _nearly_full(found.bytes) if found.bytes >= NEARLY_FULL else ""
        self.faults.report("offload:token", bool(self._kept or nearly), self._kept or nearly)
        self.complete = not waiting and not troubles and not self._kept
        self.told = Stamped(len(self._asked), len(waiting), found.tokens, *self._last)
        self.changed()


def _nearly_full(size: int) -> str:
    return (
        f"{WITNESS}/ has {size >> 20} of {WITNESS_BYTES >> 20} MiB: copy it to where it is kept, then empty it (no "
        "receipt is for time-stamps, so nothing else may)"
    )


def _parsed(flash: Flash, name: str) -> DigestList | None:
    text = flash.read(f"{WITNESS}/{name}", 0, LIST_BYTES + 1)
    try:
        return parse_list(text) if list_name(text) == name else None
    except ValueError:
        return None


def socket_keep(path: str) -> Keep:
    """Gives tokens to the recorder by its control socket."""

    async def keep(listed: bytes, label: str, answer: bytes) -> dict[str, Any]:
        token = base64.b64encode(answer).decode()
        payload = {"cmd": "keep_token", "digests": listed.decode(), "authority": label, "token": token}
        ask = partial(client.request, path, payload, ANSWER_S)
        return await trio.to_thread.run_sync(ask, abandon_on_cancel=True)

    return keep
