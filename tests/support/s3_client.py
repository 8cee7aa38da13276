"""Whoever else has an access key: any request to a real engine, also what our own store has no call for."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from bwvd.store.body import bytes_body
from bwvd.store.s3 import http
from bwvd.store.s3.sigv4 import AccessKey, encoded_path, encoded_query, signed
from tests.support.seaweed import SECRETS, Engine


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, whole."""

    status: int
    body: bytes


class Client:
    """Signs with `key` and sends what it is told to, once."""

    def __init__(self, engine: Engine, key: str) -> None:
        host, _, port = engine.endpoint.removeprefix("http://").partition(":")
        self._server = http.Server(host, int(port), None)
        self._key = AccessKey(key, SECRETS[key])

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        content: bytes = b"",
    ) -> Answered:
        """`path` is whole, with the bucket, and not encoded."""
        sent = {"host": self._server.authority, "content-length": str(len(content)), **(headers or {})}
        target, asked = encoded_path(path), encoded_query((query or {}).items())
        all_headers = signed(
            method, target, asked, sent,
            body_sha256=hashlib.sha256(content).hexdigest(), key=self._key, region="us-east-1",
            at=datetime.datetime.now(datetime.UTC),
        )  # fmt: skip
        client = http.Client(self._server)
        try:
            whole = f"{target}?{asked}" if asked else target
            async with client.request(method, whole, all_headers, bytes_body(content)) as answer:
                return Answered(answer.status, b"".join([piece async for piece in answer.pieces]))
        finally:
            await client.aclose()

    async def retain(self, path: str, version: str, mode: str, until: datetime.datetime | None) -> Answered:
        """Ask for another retention of a version; none with `mode` ""."""
        inner = f"<Mode>{mode}</Mode><RetainUntilDate>{until:%Y-%m-%dT%H:%M:%SZ}</RetainUntilDate>" if until else ""
        content = f'<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</Retention>'.encode()
        headers = {"x-amz-bypass-governance-retention": "true"}
        return await self.ask("PUT", path, {"retention": "", "versionId": version}, headers, content=content)
