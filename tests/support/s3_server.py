"""An S3 server on the loopback interface for tests, which checks signatures and digests, and can be made to fail.

It speaks what `bwvd.store.s3` uses, as AWS' API reference describes it. The conformance suite runs on it and, with the
marker `engines`, on SeaweedFS: what passes here and not there shows that this is not what a store does.
"""

from __future__ import annotations

import base64
import datetime
import enum
import hashlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

import h11
import trio

from bwvd.store.s3.sigv4 import AccessKey, encoded_path, encoded_query, signed
from bwvd.testing.store import page_of

KEY = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TEMPORARY = AccessKey("ASIATEMPORARY", "secret-of-an-hour", "its-token")
BUCKET = "evidence"
REGION = "us-east-1"
MOST_SKEW = datetime.timedelta(minutes=15)


class Does(enum.Enum):
    """What the server does with a request instead of what it was asked for."""

    FAIL = "answers 500, and does nothing"
    BUSY = "answers 503 SlowDown, and does nothing"
    HANG_UP = "closes the connection without an answer, and does nothing"
    LOSE = "does it, and closes the connection without an answer"
    HANG_UP_AFTER = "does it, answers, and closes the connection without having said so"
    EARLY = "answers 412 after the head of the request, and reads no more"
    SILENT = "never answers"
    TORN = "does it, answers with half of the body and closes the connection"


class Lock(enum.Enum):
    """What it makes of a retention."""

    KEPT = "kept"
    NONE = "refused: the bucket has no lock"
    CLAIMED = "taken without a word and forgotten; ?retention gives the object"
    SHORTENED = "kept for an hour only"
    GOVERNANCE = "kept in governance mode"


@dataclass(slots=True)
class Stored:
    """An object."""

    content: bytes
    retention: str = ""


@dataclass(slots=True)
class Asked:
    """A request."""

    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass(slots=True)
class S3Server:
    """What it holds, how it is set, what it was asked, and what it does next instead."""

    port: int = 0
    objects: dict[str, Stored] = field(default_factory=dict)
    lock: Lock = Lock.KEPT
    vouches: bool = True  # tells the SHA-256 of objects
    may_read: bool = True  # these credentials may look at objects
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)
    asked: list[Asked] = field(default_factory=list)
    does: deque[Does] = field(default_factory=deque)
    answers: deque[bytes] = field(default_factory=deque)  # bodies, with 200, instead of what it would say
    refuses: str = ""  # a code, with 400
    key: AccessKey = KEY  # the one that counts
    expired: set[str] = field(default_factory=set)  # ids of temporary keys

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        if self.refuses:
            return _error(400, self.refuses)
        if self.answers:
            return 200, {}, self.answers.popleft()
        if asked.key:
            if asked.method == "PUT":
                return self._put(asked)
            return self._get(asked)
        if "object-lock" in asked.query:
            if self.lock is Lock.NONE:
                return _error(404, "ObjectLockConfigurationNotFoundError")
            body = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
            return 200, {}, body.encode()
        if "versions" in asked.query:
            return 200, {}, self._versions(asked.query)
        return 200, {}, self._list(asked.query)

    def _put(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        digest = hashlib.sha256(asked.body)
        if digest.hexdigest() != asked.headers["x-amz-content-sha256"]:
            return _error(400, "XAmzContentSHA256Mismatch")
        if asked.headers.get("if-none-match") == "*" and asked.key in self.objects:
            return _error(412, "PreconditionFailed")
        retention = asked.headers.get("x-amz-object-lock-retain-until-date", "")
        if retention and self.lock is Lock.NONE:
            return _error(400, "InvalidRequest")
        if self.lock is Lock.SHORTENED:
            retention = f"{self.now() + datetime.timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        self.objects[asked.key] = Stored(asked.body, retention if self.lock is not Lock.CLAIMED else "")
        return 200, self._vouch(asked.body), b""

    def _get(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        found = self.objects.get(asked.key)
        if not self.may_read:
            return _error(403, "AccessDenied")
        if found is None:
            return _error(404, "NoSuchKey")
        mode = "GOVERNANCE" if self.lock is Lock.GOVERNANCE else "COMPLIANCE"
        if "retention" in asked.query and self.lock is not Lock.CLAIMED:
            if not found.retention:
                return _error(404, "NoSuchObjectLockConfiguration")
            body = f"<Retention><Mode>{mode}</Mode><RetainUntilDate>{found.retention}</RetainUntilDate></Retention>"
            return 200, {}, body.encode()
        headers = self._vouch(found.content) if "range" not in asked.headers else {}
        if found.retention:
            headers |= {"x-amz-object-lock-mode": mode, "x-amz-object-lock-retain-until-date": found.retention}
        if "range" not in asked.headers:
            return 200, headers, found.content
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        if int(first) >= len(found.content):
            return _error(416, "InvalidRange")
        return 206, headers, found.content[int(first) : int(last) + 1 if last else None]

    def _list(self, query: dict[str, str]) -> bytes:
        sizes = {key: len(stored.content) for key, stored in self.objects.items()}
        prefix = query.get("prefix", "")
        inner = {key.removeprefix(prefix): size for key, size in sizes.items() if key.startswith(prefix)}
        after = query.get("start-after", "").removeprefix(prefix)
        page = page_of(inner, "", after, query.get("continuation-token", ""), "delimiter" in query, all_names=True)
        entries = "".join(
            f"<Contents><Key>{_xml_url(prefix + one.name)}</Key><Size>{one.size}</Size></Contents>"
            for one in page.objects
        )
        entries += "".join(
            f"<CommonPrefixes><Prefix>{_xml_url(prefix + one)}</Prefix></CommonPrefixes>" for one in page.folders
        )
        more = f"<NextContinuationToken>{escape(page.cursor)}</NextContinuationToken>" if page.cursor else ""
        truncated = str(bool(page.cursor)).lower()
        return (
            f'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{truncated}</IsTruncated>{more}{entries}</ListBucketResult>"
        ).encode()

    def _versions(self, query: dict[str, str]) -> bytes:
        """A bucket that keeps none: one of each object."""
        prefix, after = query.get("prefix", ""), query.get("key-marker", "")
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        page, more = keys[:1000], len(keys) > 1000
        entries = "".join(
            f"<Version><Key>{_xml_url(key)}</Key><VersionId>null</VersionId><IsLatest>true</IsLatest>"
            f"<Size>{len(self.objects[key].content)}</Size></Version>"
            for key in page
        )
        marker = f"<NextKeyMarker>{_xml_url(page[-1])}</NextKeyMarker>" if more else ""
        return (
            f"<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{marker}{entries}</ListVersionsResult>"
        ).encode()

    def _vouch(self, content: bytes) -> dict[str, str]:
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        return {"x-amz-checksum-sha256": digest} if self.vouches else {}

    def refusal(self, asked: Asked, path: str) -> tuple[int, dict[str, str], bytes] | None:
        """Why the request is not taken: whose signature, how old."""
        stamp = asked.headers.get("x-amz-date", "")
        if not stamp:
            return _error(403, "AccessDenied")
        at = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        if abs(at - self.now()) > MOST_SKEW:
            return _error(403, "RequestTimeTooSkewed")
        if any(f"Credential={one}/" in asked.headers.get("authorization", "") for one in self.expired):
            return _error(400, "ExpiredToken")
        if f"Credential={self.key.id}/" not in asked.headers.get("authorization", ""):
            return _error(403, "InvalidAccessKeyId")
        names = asked.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        again = signed(
            asked.method, path, encoded_query(asked.query.items()),
            {name: asked.headers[name] for name in names if name not in ("x-amz-date", "x-amz-content-sha256")},
            body_sha256=asked.headers["x-amz-content-sha256"], key=self.key, region=REGION, at=at,
        )  # fmt: skip
        return (
            None if again["authorization"] == asked.headers["authorization"] else _error(403, "SignatureDoesNotMatch")
        )

    async def accept(self, nursery: trio.Nursery, listener: trio.abc.Listener[trio.abc.Stream]) -> None:
        async with listener:
            while True:
                stream = await listener.accept()
                nursery.start_soon(self.serve, stream)

    async def serve(self, stream: trio.abc.Stream) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while await self._one(stream, connection):
                connection.start_next_cycle()
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _one(self, stream: trio.abc.Stream, connection: h11.Connection) -> bool:
        """Answer one request; False if the connection is to be closed."""
        head = await _event(stream, connection)
        if not isinstance(head, h11.Request):
            return False
        path, _, query = head.target.decode().partition("?")
        bucket, _, key = unquote(path.removeprefix("/"), errors="surrogateescape").partition("/")
        headers = {name.decode(): value.decode() for name, value in head.headers}
        pairs = dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
        asked = Asked(head.method.decode(), key, pairs, headers)
        self.asked.append(asked)
        does = self.does.popleft() if self.does else None
        if does is Does.SILENT:
            await trio.sleep_forever()
        if does is not Does.EARLY:
            body = bytearray()
            while isinstance(event := await _event(stream, connection), h11.Data):
                body += event.data
            asked.body = bytes(body)
        if does is Does.HANG_UP:
            return False
        refused = self.refusal(asked, encoded_path(f"/{bucket}/{key}"))
        if bucket != BUCKET:
            refused = _error(404, "NoSuchBucket")
        status, more, content = refused or _instead(does) or self.answer(asked)
        if does is Does.LOSE:
            return False
        more |= {"content-length": str(len(content)), "date": f"{self.now():%a, %d %b %Y %H:%M:%S GMT}"}
        await stream.send_all(_sent(connection, h11.Response(status_code=status, headers=list(more.items()))))
        if asked.method != "HEAD":
            content = content[: len(content) // 2] if does is Does.TORN else content
            await stream.send_all(_sent(connection, h11.Data(data=content)))
        if does in (Does.TORN, Does.EARLY):
            await trio.sleep(
                0.05 if does is Does.EARLY else 0
            )  # what came meanwhile is not read: let the answer go first
            return False
        await stream.send_all(_sent(connection, h11.EndOfMessage()))
        return does is not Does.HANG_UP_AFTER and connection.our_state is h11.DONE


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[S3Server]:
    """A server while the body runs."""
    server = S3Server()
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server.port = listeners[0].socket.getsockname()[1]
        for one in listeners:
            listener = trio.SSLListener(one, tls, https_compatible=True) if tls else one
            nursery.start_soon(server.accept, nursery, listener)
        yield server
        nursery.cancel_scope.cancel()


def write_credentials(path: Path, key: AccessKey) -> None:
    """A file in AWS' shared format."""
    token = f"aws_session_token = {key.token}\n" if key.token else ""
    path.write_text(f"[default]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n{token}")
    path.chmod(0o600)


async def _event(stream: trio.abc.Stream, connection: h11.Connection) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(bytes(await stream.receive_some(65_536)))
    return event


async def _closed(stream: trio.abc.Stream) -> None:
    """Read nothing more than the end of the connection shows."""
    with trio.move_on_after(5):
        while await stream.receive_some(65_536):
            pass


def _sent(connection: h11.Connection, event: h11.Event) -> bytes:
    return connection.send(event) or b""


def _instead(does: Does | None) -> tuple[int, dict[str, str], bytes] | None:
    match does:
        case Does.FAIL:
            return _error(500, "InternalError")
        case Does.BUSY:
            return _error(503, "SlowDown")
        case Does.EARLY:
            return _error(412, "PreconditionFailed")
    return None


def _error(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    return status, {}, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>\x7f</Message></Error>".encode()


def _xml_url(key: str) -> str:
    return quote(key, safe="/", errors="surrogateescape")
