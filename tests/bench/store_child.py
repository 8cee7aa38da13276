"""A process of the benchmark `tests.bench.store`: puts a folder's files into a store, and prints its peak of memory."""

from __future__ import annotations

import base64
import datetime
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from bwvd.store.body import file_body

Putter = Callable[[Path, int, bytes], Awaitable[None]]  # the file, its bytes, its SHA-256


def peak_mb() -> float:
    """The most memory that this process had so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


async def main(who: str, address: str, files: list[tuple[Path, int, bytes]], at_once: int) -> None:
    put, close = _ours(address) if who == "ours" else _httpx(address)
    waiting = iter(files)

    async def worker() -> None:
        for path, size, digest in waiting:
            await put(path, size, digest)

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(worker)
    await close()
    print(peak_mb())


def _digest(path: Path) -> bytes:
    """The file's SHA-256. On a camera it is in the manifest, so that here somebody has written it down before."""
    return bytes.fromhex((path.parent.with_name("digests") / path.name).read_text())


def _ours(address: str) -> tuple[Putter, Callable[[], Awaitable[None]]]:
    from bwvd.store.open import BucketAccess, open_store

    store = open_store(address, BucketAccess(os.environ["ENDPOINT"], credentials=os.environ["CREDENTIALS"]))

    async def put(path: Path, size: int, digest: bytes) -> None:
        await store.put(f"devices/A/recordings/R/{path.name}", file_body(path), size=size, sha256=digest)

    return put, store.aclose


def _httpx(address: str) -> tuple[Putter, Callable[[], Awaitable[None]]]:
    import httpx

    from bwvd.store.s3.credentials import read_credentials
    from bwvd.store.s3.sigv4 import encoded_path, signed

    endpoint, key = os.environ["ENDPOINT"], read_credentials(os.environ["CREDENTIALS"]).key
    client = httpx.AsyncClient(base_url=endpoint, timeout=60)

    async def put(path: Path, size: int, digest: bytes) -> None:
        target = encoded_path("/" + address.removeprefix("s3://") + f"/devices/A/recordings/R/{path.name}")
        headers = {
            "host": endpoint.removeprefix("http://"),
            "content-length": str(size),
            "if-none-match": "*",
            "x-amz-checksum-sha256": base64.b64encode(digest).decode(),
        }
        headers = signed(
            "PUT", target, "", headers,
            body_sha256=digest.hex(), key=key, region="us-east-1", at=datetime.datetime.now(datetime.UTC),
        )  # fmt: skip
        async with file_body(path)() as pieces:
            answer = await client.put(target, headers=headers, content=pieces)
        answer.raise_for_status()

    return put, client.aclose


if __name__ == "__main__":
    found = [(path, path.stat().st_size, _digest(path)) for path in sorted(Path(sys.argv[3]).iterdir())]
    trio.run(main, sys.argv[1], sys.argv[2], found, int(sys.argv[4]))
