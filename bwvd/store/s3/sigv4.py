"""AWS Signature Version 4, for S3: the path is encoded once and the body's SHA-256 is always signed. Pure.

From "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk" in AWS' S3 API
reference; its four examples are the tests.

The body is signed, not UNSIGNED-PAYLOAD: its SHA-256 is known before it is sent (the manifest has it), so that it costs
the camera nothing; the store refuses what was damaged on its way; and where there is no TLS (a box in the same room)
nobody on the network can exchange it.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

EMPTY_SHA256 = hashlib.sha256().hexdigest()

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "s3"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Whom a store knows. The secret is in no text that this shows."""

    id: str
    secret: str
    token: str = ""  # of a temporary key

    def __repr__(self) -> str:
        return f"AccessKey({self.id!r})"


def encoded_path(path: str) -> str:
    """The path of a request as it is sent and signed: each byte but A-Z a-z 0-9 - . _ ~ and / as %XX."""
    return quote(path, safe="/~", errors="surrogateescape")


def encoded_query(query: Iterable[tuple[str, str]]) -> str:
    """The query of a request as it is sent and signed: encoded, in the order of the names."""
    pairs = sorted((_encoded(name), _encoded(value)) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def signed(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    body_sha256: str,
    key: AccessKey,
    region: str,
    at: datetime.datetime,
) -> dict[str, str]:
    """`headers` (with `host`; names in small letters) and those that sign the request.

    `path` and `query` are encoded; `body_sha256` is in hex; `at` is UTC.
    """
    stamp = f"{at:%Y%m%dT%H%M%SZ}"
    all_headers = {**headers, "x-amz-content-sha256": body_sha256, "x-amz-date": stamp}
    if key.token:
        all_headers["x-amz-security-token"] = key.token
    names = ";".join(sorted(all_headers))
    canonical = "\n".join(
        [
            method,
            path,
            query,
            *(f"{name}:{' '.join(all_headers[name].split())}" for name in sorted(all_headers)),
            "",
            names,
            body_sha256,
        ]
    )
    scope = f"{at:%Y%m%d}/{region}/{_SERVICE}/aws4_request"
    to_sign = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    secret = f"AWS4{key.secret}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, to_sign.encode(), "sha256").hex()
    all_headers["authorization"] = (
        f"{_ALGORITHM} Credential={key.id}/{scope},SignedHeaders={names},Signature={signature}"
    )
    return all_headers


def _encoded(text: str) -> str:
    return quote(text, safe="~", errors="surrogateescape")
