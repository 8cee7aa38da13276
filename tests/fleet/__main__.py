"""Shift change: `python -m tests.fleet --devices 200 --recordings 20 [--store seaweed] [--index postgresql]`.

Cameras bring their recordings to a store at once, as their carriers would, while two custodians (`bwvd custody`, with
one index) are at work. Told are recordings and megabytes a second from the first recording that is whole to the last
receipt, the time from each recording's last object to its receipt, and the custodians' memory. Everything is on one
machine, which the cameras, the store, the database and the custodians share. Exit code 1 if a receipt is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import trio

from bwvd.custody.bridge import read_small
from bwvd.evidence.format.layout import SUMS_SIGNATURE
from bwvd.store import names
from bwvd.store.body import file_body
from bwvd.store.open import BucketAccess, open_store
from bwvd.store.ports import EveryPage, Store
from tests.fleet.cameras import Load, bring
from tests.support import seaweed
from tests.support.evidence_keys import fixed_signer, write_key
from tests.support.postgresql import a_database
from tests.support.s3_client import Client
from tests.support.source_tree import ROOT

DOCKS = 16  # cameras that send at once
LIMIT_S = 3600.0
POLL_S = 5.0  # one listing for each device that is not done: asking for each receipt was a load of its own


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=200, metavar="N")
    parser.add_argument("--recordings", type=int, default=20, metavar="N", help="of each device")
    parser.add_argument("--segments", type=int, default=4, metavar="N", help="of each recording")
    parser.add_argument("--segment-kb", type=int, default=100, metavar="N")
    parser.add_argument("--store", choices=("file", "seaweed"), default="file")
    parser.add_argument("--index", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--custodians", type=int, default=2, metavar="N")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="as `bwvd custody --jobs`")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bwvd-fleet-"))
    try:
        told = _measure(folder, given)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        print(json.dumps(told, indent=2))
    else:
        for name, value in told.items():
            print(f"{name:28} {value}")
    return 0 if told["receipts"] == given.devices * given.recordings else 1


def _measure(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    load = Load(given.recordings, given.segments, given.segment_kb * 1000)
    brought = [bring(f"BWV-{number:04d}", load, folder / "docks") for number in range(1, given.devices + 1)]
    size = sum(path.stat().st_size for objects in brought for path in objects.values())
    (folder / "signers").write_text(fixed_signer().allowed_signers("*"))
    write_key(folder / "key", 40)
    with contextlib.ExitStack() as stack:
        address, options, engine = stack.enter_context(_store(folder, given.store))
        index = stack.enter_context(a_database()) if given.index == "postgresql" else str(folder / "index.sqlite")
        words = ["--index", index, "--jobs", str(given.jobs)]
        custodians = [stack.enter_context(_custodian(folder, address, options, words)) for _ in range(given.custodians)]
        before_s = time.process_time()
        whole, received = trio.run(_shift_change, address, BucketAccess(**options), brought, custodians)
        cameras_s = time.process_time() - before_s
        memory = [_peak_mb(one.pid) for one in custodians]
        processor = [_processor_s(one.pid) for one in custodians]
        store_s = _processor_s(engine) if engine else 0.0
    waits = sorted(received[name] - at for name, at in whole.items() if name in received)
    brought_s = max(whole.values()) - min(whole.values())
    took_s = max(received.values()) - min(whole.values())
    return {
        "devices": given.devices,
        "receipts": len(received),
        "store, index": f"{given.store}, {given.index}",
        "megabytes": round(size / 1e6),
        "seconds": round(took_s, 1),
        "brought in s": round(brought_s, 1),
        "recordings a second": round(len(received) / took_s, 1),
        "megabytes a second": round(size / 1e6 / took_s, 1),
        "last object to receipt p50 s": round(statistics.median(waits), 2),
        "last object to receipt p99 s": round(waits[int(len(waits) * 0.99)], 2),
        "custodians' memory MB": memory,
        "custodians' processor s": processor,
        "store's processor s": store_s,
        "cameras' processor s": round(cameras_s, 1),
    }


@contextlib.contextmanager
def _store(folder: Path, kind: str) -> Iterator[tuple[str, dict[str, str], int]]:
    """Its address, how to reach it, and the process that it is; 0 for a folder."""
    if kind == "file":
        (folder / "store").mkdir()
        yield f"file:{folder / 'store'}", {}, 0
        return
    if why := seaweed.why_not():
        raise SystemExit(why)
    with seaweed.running(folder / "weed") as engine:
        options = {"endpoint": engine.endpoint, "credentials": str(engine.credentials(seaweed.ADMIN))}
        trio.run(_make_bucket, engine)
        yield f"s3://{seaweed.BUCKET}", options, engine.pid


async def _make_bucket(engine: seaweed.Engine) -> None:
    client = Client(engine, seaweed.ADMIN)
    await client.ask("PUT", f"/{seaweed.BUCKET}", headers={"x-amz-bucket-object-lock-enabled": "true"})


@contextlib.contextmanager
def _custodian(
    folder: Path, address: str, options: dict[str, str], words: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    more = [word for name, value in options.items() for word in (f"--{name}", value)]
    command = [sys.executable, "-m", "bwvd", "custody", address, "--signers", str(folder / "signers"), *more]
    command += ["--key", str(folder / "key"), "--by", "evidence-server", *words]
    with (folder / "custody.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is not None:
            print((folder / "custody.log").read_text(), file=sys.stderr)
        process.terminate()
        process.wait()


async def _shift_change(
    address: str, access: BucketAccess, brought: list[dict[str, Path]], custodians: Sequence[subprocess.Popen[bytes]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Put everything, and wait for the receipts; by recording when it was whole, and when it was received."""
    store = open_store(address, access)
    whole: dict[str, float] = {}
    docks = trio.CapacityLimiter(DOCKS)

    async def send(objects: dict[str, Path]) -> None:
        async with docks:
            for name, path in objects.items():
                data = path.read_bytes()
                await store.put(name, file_body(path), size=len(data), sha256=hashlib.sha256(data).digest())
                if name.endswith(SUMS_SIGNATURE):
                    whole[name.rpartition("/")[0]] = time.time()

    try:
        async with trio.open_nursery() as nursery:
            for objects in brought:
                nursery.start_soon(send, objects)
        received: dict[str, float] = {}
        with trio.move_on_after(LIMIT_S):
            while len(received) < len(whole):
                for device in sorted({folder.split("/")[1] for folder in whole.keys() - received.keys()}):
                    received |= await _received(store, device, received)
                if any(one.poll() is not None for one in custodians):
                    raise SystemExit("a custodian has ended")
                await trio.sleep(POLL_S)
        return whole, received
    finally:
        await store.aclose()


async def _received(store: Store, device: str, known: Collection[str]) -> dict[str, float]:
    """A device's recordings that have a receipt which was not `known`, and when they were received."""
    found = {}
    async for page in EveryPage(store, f"{names.device_folder(device)}receipts/"):
        for one in page.objects:
            parsed = names.parsed(one.name)
            assert isinstance(parsed, names.ReceiptFile)
            folder = names.recording_folder(device, parsed.about).rstrip("/")
            if folder in known:
                continue
            data = await read_small(store, one.name, 65_536)
            assert data is not None
            utc = msgspec.json.decode(data.partition(b"\n")[0])["received_utc"]
            found[folder] = datetime.fromisoformat(utc).timestamp()
    return found


def _peak_mb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return round(int(text.partition("VmHWM:")[2].split()[0]) / 1000)


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 1)


if __name__ == "__main__":
    sys.exit(main())
