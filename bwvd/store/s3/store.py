"""A bucket as a store.

Each object is put once (`If-None-Match: *`) in one request: segments have some megabytes, and one put takes 5 GiB.
The store checks the SHA-256 of what came (it is signed, and sent as `x-amz-checksum-sha256`); a retention is asked for
by header and read back. Whoever asks for no lock gets the bucket's default.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import random
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import trio

from bwvd.service.backoff import Backoff
from bwvd.store.address import BucketAddress
from bwvd.store.errors import (
    AddressWrong,
    BodyDiffers,
    LockMissing,
    ObjectDiffers,
    ObjectMissing,
    StoreMisbehaved,
    StoreRefused,
    StoreUnreachable,
)
from bwvd.store.names import check_folder, check_name, is_folder, is_name, shown
from bwvd.store.ports import (
    PAGE_OBJECTS,
    Body,
    HostileName,
    Lock,
    Page,
    Put,
    StoredObject,
    StoredVersion,
    StoreFacts,
    VersionPage,
)
from bwvd.store.s3 import answers
from bwvd.store.s3.http import Answer, BodySizeWrong, Client, Server
from bwvd.store.s3.refusals import error_of, is_about_key, is_busy, put_error
from bwvd.store.s3.sigv4 import EMPTY_SHA256, AccessKey, encoded_path, encoded_query, signed
from bwvd.text import one_line

MOST_PUT_BYTES = 5 * 1024**3  # of one request
TRIES = 4  # of a request: a busy server has about two seconds
PATIENCE_S = 10.0  # what was silent for longer is no busy server
AGAIN = Backoff(first_s=0.2, factor=3.0, limit_s=5.0)
_MOST_REFUSAL_BYTES = 65_536
_BETWEEN = "\0"  # a key and a version, in a cursor

_ENDPOINT = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/?", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)

pause = trio.sleep  # before another try

Query = tuple[tuple[str, str], ...]


class S3Store:
    """`bwvd.store.ports.Store` on a bucket."""

    def __init__(
        self,
        address: BucketAddress,
        server: Server,
        key: AccessKey,
        *,
        region: str,
        path_style: bool,
        renew: Callable[[], AccessKey] | None = None,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        """A bucket at a server.

        Args:
            path_style: the bucket is the first part of the path; otherwise it is part of the server's name.
            renew: reads the key anew, where the store refuses the one in use. Blocking. Raises AddressWrong.
        """
        self._address = address
        self._client = Client(server)
        self._key, self._region, self._renew, self._now = key, region, renew, now
        self._base = f"/{address.bucket}/" if path_style else "/"
        self._where = f"{address} at {server.authority}" if path_style else f"{address}"

    async def put(
        self, name: str, body: Body, *, size: int, sha256: bytes, retain_until: datetime.datetime | None = None
    ) -> Put:
        check_name(name)
        if size > MOST_PUT_BYTES:
            raise StoreRefused(f"{name}: {size} bytes, and one put takes {MOST_PUT_BYTES}")
        headers = {
            "content-length": str(size),
            "content-type": "application/octet-stream",
            "if-none-match": "*",
            "x-amz-checksum-sha256": base64.b64encode(sha256).decode(),
        }
        if retain_until is not None:
            until = _whole_second(retain_until)
            headers["x-amz-object-lock-mode"] = "COMPLIANCE"
            headers["x-amz-object-lock-retain-until-date"] = f"{until:%Y-%m-%dT%H:%M:%SZ}"
        try:
            status, said, vouched = await self._put(name, headers, sha256.hex(), body)
        except BodySizeWrong:
            raise BodyDiffers(name, f"{name}: what was read is not the {size} bytes that were announced") from None
        if status == 412:
            outcome = await self._compare(name, size, sha256)
        elif said is not None:
            raise put_error(said, name, self._where, self._now(), lock=retain_until is not None)
        else:
            outcome = Put.NEW
            if vouched and vouched != headers["x-amz-checksum-sha256"]:
                raise StoreMisbehaved(f"{name}: stored, but {self._where} vouches for another SHA-256")
        if retain_until is not None:
            await self._check_lock(name, retain_until if outcome is Put.NEW else self._now())
        return outcome

    async def head(self, name: str) -> StoredObject | None:
        check_name(name)
        key: AccessKey | None = None
        while key != self._key:
            key = self._key
            async with self._asked("HEAD", name, headers={"x-amz-checksum-mode": "ENABLED"}) as (answer, _):
                if answer.status == 404:
                    return None
                if answer.status == 200:
                    return _told(name, answer.headers)
            # The answer to HEAD has no body that would say why; that to GET of one byte has. Where that was the key,
            # it is another one now.
            async with self._asked("GET", name, headers={"range": "bytes=0-0"}) as (answer, said):
                if said is not None and said.status == 404 and said.code != "NoSuchBucket":
                    return None
                if said is not None:
                    raise error_of(said, self._where, self._now())
        raise StoreMisbehaved(f"{self._where}: gives {shown(name)}, and says nothing of it")

    @asynccontextmanager
    async def get(
        self, name: str, start: int = 0, end: int | None = None, *, version: str = ""
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        check_name(name)
        query: Query = (("versionId", version),) if version else ()
        nothing = end is not None and end <= start
        headers = {"range": f"bytes={start}-{'' if end is None else end - 1}"} if (start or end) and not nothing else {}
        async with self._asked("HEAD" if nothing else "GET", name, query, headers) as (answer, said):
            if answer.status in (404, 405) and (said is None or said.code != "NoSuchBucket"):  # 405: a delete marker
                raise ObjectMissing(name, f"{name}: not in {self._where}")
            nothing = nothing or answer.status == 416  # behind its end
            if said is not None and not nothing:
                raise error_of(said, self._where, self._now())
            if start and not nothing and answer.status != 206:
                raise StoreMisbehaved(f"{self._where}: was asked for a part of {shown(name)}, and gives all of it")
            most = 0 if nothing else None if end is None else end - start
            async with aclosing(_bounded(answer.pieces, most)) as pieces:
                yield pieces

    async def page(self, prefix: str, *, after: str = "", cursor: str = "", folders: bool = False) -> Page:
        check_folder(prefix)
        ours = self._address.prefix
        query = [
            ("list-type", "2"),
            ("encoding-type", "url"),  # XML can't hold every name
            ("max-keys", str(PAGE_OBJECTS)),
            ("prefix", ours + prefix),
        ]
        if cursor:
            query.append(("continuation-token", cursor))
        elif after:
            query.append(("start-after", ours + after))
        if folders:
            query.append(("delimiter", "/"))
        found = answers.listing(await self._whole(tuple(query)))
        if len(found.objects) + len(found.folders) > PAGE_OBJECTS:
            raise StoreMisbehaved(f"{self._where}: lists more at once than it was asked for")
        objects, folder_names, hostile = [], [], []
        for key, size in found.objects:
            name = key.removeprefix(ours)
            if key.startswith(ours + prefix) and is_name(name):
                if name > after:
                    objects.append(StoredObject(name, size))
            elif key != ours + prefix:  # a folder's own object, as some programs make them
                hostile.append(HostileName(shown(key)))
        for key in found.folders:
            name = key.removeprefix(ours)
            if key.startswith(ours + prefix) and name.endswith("/") and is_folder(name):
                if name > after:
                    folder_names.append(name)
            else:
                hostile.append(HostileName(shown(key)))
        return Page(tuple(objects), tuple(folder_names), tuple(hostile), found.token)

    async def versions(self, prefix: str, *, cursor: str = "") -> VersionPage:
        check_folder(prefix)
        ours = self._address.prefix
        query = [
            ("versions", ""), ("encoding-type", "url"), ("max-keys", str(PAGE_OBJECTS)), ("prefix", ours + prefix)
        ]  # fmt: skip
        if cursor:
            key_marker, _, version_marker = cursor.partition(_BETWEEN)
            query += [("key-marker", key_marker), *([("version-id-marker", version_marker)] if version_marker else [])]
        found = answers.version_listing(await self._whole(tuple(query)))
        if len(found.versions) > PAGE_OBJECTS:
            raise StoreMisbehaved(f"{self._where}: lists more at once than it was asked for")
        versions, hostile = [], []
        for key, version, size, etag, hides in found.versions:
            name = key.removeprefix(ours)
            if key.startswith(ours + prefix) and is_name(name):
                versions.append(StoredVersion(name, version, size, etag, hides))
            elif not key.endswith("/"):  # a folder's own object, as some programs make them
                hostile.append(HostileName(shown(key)))
        more = f"{found.key_marker}{_BETWEEN}{found.version_marker}" if found.key_marker else ""
        return VersionPage(tuple(versions), tuple(hostile), more)

    async def facts(self) -> StoreFacts:
        async with self._asked("GET", "", (("object-lock", ""),)) as (answer, said):
            content = b"" if said else await _read(answer, answers.MOST_BYTES)
        if said is not None and said.code in ("ObjectLockConfigurationNotFoundError", "NotImplemented"):
            return StoreFacts(self._where, Lock.NONE, detail="the bucket has no object lock")
        if said is not None and said.code == "AccessDenied":
            return StoreFacts(self._where, Lock.UNREADABLE, detail="these credentials may not ask about object lock")
        if said is not None:
            raise error_of(said, self._where, self._now())
        found = answers.lock_configuration(content)
        if not found.on:
            return StoreFacts(self._where, Lock.NONE, detail="the bucket has no object lock")
        if found.default is not None and not found.compliance:
            detail = "the bucket's default is governance: who may bypass it can delete"
            return StoreFacts(self._where, Lock.OFFERED, detail=detail)
        return StoreFacts(self._where, Lock.OFFERED, found.default)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _put(
        self, name: str, headers: dict[str, str], sha256: str, body: Body
    ) -> tuple[int, answers.Refusal | None, str]:
        async with self._asked("PUT", name, headers=headers, body_sha256=sha256, body=body) as (answer, said):
            if said is None:
                await _read(answer, _MOST_REFUSAL_BYTES)
            return answer.status, said, answer.headers.get("x-amz-checksum-sha256", "")

    async def _compare(self, name: str, size: int, sha256: bytes) -> Put:
        """Whether what has the name is the same. Raises: ObjectDiffers."""
        try:
            there = await self.head(name)
            if there is None:
                raise StoreUnreachable(f"{name}: {self._where} has it, and has it not")
            same = there.size == size
            if same and there.sha256 is not None:
                same = there.sha256 == sha256
            elif same:
                digest = hashlib.sha256()
                async with self.get(name) as pieces:
                    async for piece in pieces:
                        digest.update(piece)
                same = digest.digest() == sha256
        except StoreRefused:
            return Put.UNSEEN
        if not same:
            raise ObjectDiffers(name, f"{name}: is in {self._where} already, with another content")
        return Put.SAME

    async def _check_lock(self, name: str, until: datetime.datetime) -> None:
        """Read the lock back. Raises: LockMissing."""
        async with self._asked("GET", name, (("retention", ""),)) as (answer, said):
            # What answers with the object itself knows nothing of retention: little of it is read.
            content = b"" if said else await _read(answer, _MOST_REFUSAL_BYTES, cut=True)
        if said is not None and said.status == 403:
            return  # these credentials may not look
        if said is not None and is_busy(said):
            raise error_of(said, self._where, self._now())
        found = answers.retention(content)
        if found is None:
            why = "takes a retention, and keeps none: reading it back shows no lock"
        elif not found.compliance:
            why = "locks in governance mode only, which who may bypass it can take back"
        elif found.until < _whole_second(until) - datetime.timedelta(seconds=1):
            why = f"locks until {found.until:%Y-%m-%d %H:%M:%S} UTC only"
        else:
            return
        raise LockMissing(name, f"{name}: stored, but {self._where} {why}", stored=True)

    async def _whole(self, query: Query) -> bytes:
        """The answer to a question about the bucket."""
        async with self._asked("GET", "", query) as (answer, said):
            if said is not None:
                raise error_of(said, self._where, self._now())
            return await _read(answer, answers.MOST_BYTES)

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        name: str,
        query: Query = (),
        headers: dict[str, str] | None = None,
        *,
        body_sha256: str = EMPTY_SHA256,
        body: Body | None = None,
    ) -> AsyncIterator[tuple[Answer, answers.Refusal | None]]:
        """An answer, and what it says if it is an error's.

        Tries again while the store is busy or does not answer, and with a new key where there is one.
        """
        path = encoded_path(self._base + self._address.prefix + name) if name else encoded_path(self._base)
        asked = encoded_query(query)
        patience = trio.current_time() + PATIENCE_S
        for losses in range(1, TRIES + 1):
            key = self._key
            async with AsyncExitStack() as stack:
                try:
                    signed_headers = signed(
                        method, path, asked, {"host": self._client.server.authority, **(headers or {})},
                        body_sha256=body_sha256, key=key, region=self._region, at=self._now(),
                    )  # fmt: skip
                    target = f"{path}?{asked}" if asked else path
                    answer = await stack.enter_async_context(self._client.request(method, target, signed_headers, body))
                    said = None
                    if answer.status >= 300 and method != "HEAD":
                        content = await _read(answer, _MOST_REFUSAL_BYTES, cut=True)
                        said = answers.refusal(answer.status, content, answer.headers.get("date", ""))
                    busy = is_busy(said or answers.Refusal(answer.status, ""))
                except StoreUnreachable:
                    if losses == TRIES or trio.current_time() > patience:
                        raise
                else:
                    if said is not None and is_about_key(said) and losses < TRIES and await self._renewed(key):
                        continue
                    if losses == TRIES or not busy:
                        yield answer, said
                        return
            # Many cameras come to one store at the same time, so they come back at different times.
            await pause(AGAIN.delay_s(losses) * random.uniform(0.5, 1.0))  # noqa: S311 - nothing is secret here

    async def _renewed(self, refused: AccessKey) -> bool:
        """Whether there is another key than the one that was refused: temporary keys end, and others are put there."""
        if self._key == refused and self._renew is not None:
            try:
                self._key = await trio.to_thread.run_sync(self._renew, abandon_on_cancel=True)
            except AddressWrong:  # it may be written at this moment: the next request looks again
                return False
        return self._key != refused


def server_of(address: BucketAddress, endpoint: str, region: str, ca_file: str) -> tuple[Server, bool]:
    """Where a bucket is, and whether its name is part of the path there. Blocking.

    Raises: AddressWrong; StoreRefused if `ca_file` can't be used.
    """
    if endpoint and not _ENDPOINT.fullmatch(endpoint):
        raise AddressWrong(f"{one_line(endpoint)}: must be https://HOST[:PORT], or http:// in a network of one's own")
    if not _REGION.fullmatch(region):
        raise AddressWrong(f"{one_line(region)}: not the name of a region")
    host = f"s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    scheme, _, authority = endpoint.rstrip("/").partition("://") if endpoint else ("https", "", host)
    path_style = bool(endpoint) or "." in address.bucket  # AWS' certificate is for names without a dot
    if not path_style:
        authority = f"{address.bucket}.{authority}"
    tls = None
    if scheme == "https":
        try:
            tls = ssl.create_default_context(cafile=ca_file or None)
        except OSError as error:
            raise StoreRefused(f"{ca_file}: no certificates: {error.strerror or 'not in PEM format'}") from None
    bare, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        bare, port = authority, "443" if tls else "80"
    return Server(bare.strip("[]"), int(port), tls), path_style


def _told(name: str, headers: dict[str, str]) -> StoredObject:
    try:
        size = int(headers.get("content-length", ""))
        sha256 = base64.b64decode(headers.get("x-amz-checksum-sha256", ""), validate=True)
    except (ValueError, binascii.Error):
        raise StoreMisbehaved(f"{name}: the store does not say how large it is") from None
    locked = headers.get("x-amz-object-lock-mode") == "COMPLIANCE"
    until = answers.iso_date(headers.get("x-amz-object-lock-retain-until-date", "")) if locked else None
    return StoredObject(
        name, size, sha256 if len(sha256) == 32 else None, until, headers.get("x-amz-version-id", "")[:1024]
    )


def _whole_second(at: datetime.datetime) -> datetime.datetime:
    """Not before `at`: in whole seconds a retention is asked for."""
    up = at.astimezone(datetime.UTC) + datetime.timedelta(microseconds=999_999)
    return up.replace(microsecond=0)


async def _read(answer: Answer, limit: int, *, cut: bool = False) -> bytes:
    """The body of an answer. Raises: StoreMisbehaved if it is longer, unless it may be `cut`."""
    parts, left = [], limit
    async for piece in answer.pieces:
        parts.append(piece[:left])
        if len(piece) > left:
            if cut:
                break
            raise StoreMisbehaved("the store answers without an end")
        left -= len(piece)
    return b"".join(parts)


async def _bounded(pieces: AsyncIterator[bytes], most: int | None) -> AsyncGenerator[bytes]:
    """No more than was asked for."""
    left = most
    while left is None or left > 0:
        piece = await anext(pieces, b"")
        if not piece:
            return
        yield piece if left is None else piece[:left]
        left = None if left is None else left - len(piece)
