"""One time-stamp authority over HTTP (RFC 3161, section 3.4): a question, an answer within bounds, judged."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import trio

from bwvd.clock import NS, Clock
from bwvd.evidence.keys.rfc3161 import ANSWER_TYPE, REQUEST_TYPE, TOKEN_BYTES, Token, TokenBad, new_request, read_token
from bwvd.store.errors import StoreError
from bwvd.text import address_label, one_line

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

ANSWER_WITHIN_S = 30.0  # from the connection to the last byte: one that hangs is asked again later
MOST_OFF_S = 300.0  # between an authority's clock and ours, where ours is synchronised


class Authority(Protocol):
    """Who is asked for a token. Real: `HttpAuthority`."""

    label: str  # of its files

    async def stamp(self, data: bytes) -> tuple[bytes, Token]:
        """A token over `data`: the answer as it came, and what it says.

        Raises: TokenBad, one line that names why there is none. **Cancellation:** at any checkpoint.
        """
        ...


class HttpAuthority:
    """The authority at a URL.

    Args:
        roots: whose certificates count; None = that is left to who verifies.
        clock: what the authority's time is held against, where it is synchronised.

    **Synchronization:** trio's thread.
    """

    def __init__(self, url: str, roots: Sequence[Certificate] | None, clock: Clock) -> None:
        self.url = url
        self.label = address_label(url)
        self._roots = roots
        self._clock = clock

    async def stamp(self, data: bytes) -> tuple[bytes, Token]:
        request = new_request(data)
        try:
            with trio.fail_after(ANSWER_WITHIN_S):
                answer = await self._ask(request.der)
        except trio.TooSlowError:
            raise TokenBad(f"{self.label}: no answer within {ANSWER_WITHIN_S:.0f} s") from None
        except (StoreError, OSError) as error:
            raise TokenBad(f"{self.label}: {one_line(error)}") from None
        try:
            token = read_token(answer, data, roots=self._roots, nonce=request.nonce)
        except TokenBad as error:
            raise TokenBad(f"{self.label}: {error}") from None
        self._require_time(token)
        return answer, token

    def _require_time(self, token: Token) -> None:
        """A clock that nobody has set, or that runs free, is no measure: then it is for who verifies to compare."""
        reading = self._clock.read()
        if reading.quality != "synchronised":
            return
        off_s = token.at.timestamp() - reading.utc_ns / NS
        if abs(off_s) > MOST_OFF_S:
            says = f"{token.at:%Y-%m-%dT%H:%M:%SZ}"
            raise TokenBad(
                f"{self.label}: it says {says}, {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} us"
            )

    async def _ask(self, question: bytes) -> bytes:
        # here: what speaks HTTP is of an extra, and takes half a second to load on a small board
        from bwvd.store.s3.http import Client, Server

        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        context = await trio.to_thread.run_sync(ssl.create_default_context) if secure else None
        server = Server(parts.hostname or "", parts.port or (443 if secure else 80), context)
        client = Client(server)
        headers = {"host": server.authority, "content-type": REQUEST_TYPE, "content-length": str(len(question))}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

        async def pieces() -> AsyncGenerator[bytes]:
            yield question

        @asynccontextmanager
        async def body() -> AsyncIterator[AsyncIterator[bytes]]:
            async with aclosing(pieces()) as opened:
                yield opened

        try:
            async with client.request("POST", target, headers, body) as answer:
                if answer.status != 200:
                    raise StoreError(f"answers with status {answer.status}")
                kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                if kind != ANSWER_TYPE:
                    raise StoreError(f"answers {one_line(kind)[:80] or 'something'} instead of a time-stamp")
                text = bytearray()
                async for piece in answer.pieces:
                    text += piece
                    if len(text) > TOKEN_BYTES:
                        raise StoreError(f"answers more than {TOKEN_BYTES} bytes")
                return bytes(text)
        finally:
            await client.aclose()


def utc_of(token: Token) -> str:
    """For a person and for the state file."""
    return token.at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
