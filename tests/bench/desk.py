"""`python -m tests.bench.desk [--rows N] [--recordings N] [--rounds N] [--json FILE]`: how soon the list answers.

The application is asked as a browser asks it, without a socket: a custodian's index in SQLite with so many rows, and a
folder with so many recordings, cold (nothing of it was read before) and again. Each address is asked again and again;
the slowest answer counts. The page is whole when the time is over, but for verdicts, which it never waits for.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import trio
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

from bwvd.custody import schema
from bwvd.custody.index import Index
from bwvd.custody.texts import Kind, texts_of
from bwvd.desk.facts import Listed
from bwvd.desk.folder_source import FolderSource
from bwvd.desk.index_source import IndexSource
from bwvd.desk.store_source import StoreSource
from bwvd.testing.store import VirtualStore
from tests.support.desk import SIGNERS
from tests.support.desk_page import a_desk, browser, come_in
from tests.support.evidence_folder import make_recording, make_storage

INDEX_GOAL_S = 0.2
FOLDER_GOAL_S = 2.0
STORE = "s3://evidence"
BATCH = 5000
LABELS = ("a door", "Tür", "knife", "arrest", "witness", "car")

OF_INDEX = (
    "/",
    "/?page=50",
    "/?page=900",
    "/?begin=2026-03-01&end=2026-03-02",
    "/?begin=2026-03-01T12:00:00Z&end=2026-03-01T12:10:00Z",
    "/?device=BWV-0042",
    "/?officer=4711",
    "/?marker=KNIFE",
    "/?marker=t%C3%BCr",
    "/?text=000123",
    "/?text=bwv",
    "/?text=r",
    "/?text=2026&marker=knife",
    "/?any_marker=1",
    "/?verdict=altered",
    "/?receipt=no",
    "/?marker=knife&officer=4711&begin=2026-01-01",
    "/?text=nothing+that+is+there",
)
OF_FOLDER = ("/", "/?page=3", "/?marker=door", "/?officer=4711", "/?text=000123", "/?begin=2026-11-22")


@dataclass(frozen=True, slots=True)
class Answered:
    """What one address took, in seconds."""

    where: str
    address: str
    rows: int  # on the page
    median_s: float
    slowest_s: float
    cpu_s: float  # the median of the processor's time, which a machine with other work stretches
    goal_s: float


def fill(index: Index, rows: int) -> None:
    """An index of so many recordings in a year of a fleet of a hundred cameras."""
    chance = random.Random(7)
    for first in range(0, rows, BATCH):
        recordings, markers, officers, receipts = [], [], [], []
        found_by = {}
        for number in range(first, min(first + BATCH, rows)):
            device = f"BWV-{number % 100:04d}"
            at = 1_767_225_600 + number * 315
            utc = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
            recording = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}-{device}-{number // 100 + 1:06d}"
            key = {"device": device, "recording": recording}
            verdict = "altered" if number % 997 == 0 else "recovered" if number % 53 == 0 else "authentic"
            recordings.append(
                {
                    **key,
                    "serial": number // 100 + 1,
                    "started_utc": utc,
                    "press_utc": utc,
                    "duration_s": chance.uniform(20, 3600),
                    "segments": 600,
                    "frames": 18_000,
                    "bytes": 300_000_000,
                    "encrypted": True,
                    "ended": "stop",
                    "signer": "SHA256:0",
                    "manifest_sha512": "0" * 128,
                    "verdict": verdict,
                    "state": "received" if verdict != "altered" else "finding",
                    "since_utc": utc,
                    "signers": "0" * 64,
                }
            )
            labels = [chance.choice(LABELS) for _ in range(chance.randint(0, 3))]
            for marker, label in enumerate(labels):
                markers.append(
                    {**key, "marker": marker + 1, "at_ns": marker, "utc": utc, "label": label, "sealed": False}
                )
            officer = str(4700 + number % 40)
            officers.append({**key, "at_ns": 0, "officer": officer})
            said = [(Kind.OFFICER, officer), *((Kind.MARKER, label) for label in labels)]
            found_by[utc, recording, device] = texts_of(device, said)
            if verdict != "altered":
                receipt = {
                    "manifest_sha512": "0" * 128,
                    "received_utc": utc,
                    "by": "evidence-server",
                    "key": "SHA256:1",
                }
                receipts.append({**key, **receipt})
        with index.begin() as connection:
            for table, made in (
                (schema.RECORDINGS, recordings),
                (schema.MARKERS, markers),
                (schema.OFFICERS, officers),
                (schema.RECEIPTS, receipts),
            ):
                if made:
                    connection.execute(insert(table), made)
            schema.enter_texts(connection, found_by)


def copies(root: Path, count: int) -> None:
    """So many recordings on a card: one, and copies of it under other numbers."""
    first = make_recording(make_storage(root), 1)
    for serial in range(2, count + 1):
        other = first.with_name(first.name.replace("000001", f"{serial:06d}"))
        other.mkdir()
        for file in first.iterdir():
            os.link(file, other / file.name)


async def asked(where: str, source: Listed, addresses: Iterable[str], rounds: int, goal_s: float) -> list[Answered]:
    """Ask each address; the first answer of the first one is what a desk shows after its start."""
    desk = a_desk([source], VirtualStore())
    found = []
    async with browser(desk) as client:
        await come_in(desk, client)
        cold, cpu, rows = await _once(client, "/")
        found.append(Answered(where, "/ (cold)", rows, cold, cold, cpu, goal_s))
        for address in addresses:
            answers = [await _once(client, address) for _ in range(rounds)]
            times = [seconds for seconds, _, _ in answers]
            cpu = statistics.median(one for _, one, _ in answers)
            found.append(Answered(where, address, answers[0][2], statistics.median(times), max(times), cpu, goal_s))
    await desk.aclose()
    return found


async def _once(client: httpx.AsyncClient, address: str) -> tuple[float, float, int]:
    """Seconds by the clock and of the processor, and the rows on the page."""
    begun, cpu = time.perf_counter(), time.process_time()
    answer = await client.get(address, timeout=None)
    taken = time.perf_counter() - begun, time.process_time() - cpu
    answer.raise_for_status()
    return *taken, answer.text.count("<tr data-key=")


async def measured(folder: Path, rows: int, recordings: int, rounds: int) -> list[Answered]:
    """All that is measured."""
    path = folder / "index.sqlite"
    index = Index.open(str(path), STORE)
    fill(index, rows)
    index.close()
    store = StoreSource(VirtualStore(), STORE, SIGNERS)
    reading = IndexSource(Index.reading(str(path)), "index", store)
    found = await asked(f"{rows:,} rows of an index", reading, OF_INDEX, rounds, INDEX_GOAL_S)
    copies(folder / "card", recordings)
    source = FolderSource(folder / "card", SIGNERS)
    return found + await asked(f"{recordings:,} in a folder", source, OF_FOLDER, rounds, FOLDER_GOAL_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 0, also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.desk", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="in the index (default: 100000)")
    parser.add_argument("--recordings", type=int, default=1000, help="in the folder (default: 1000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each address is asked (default: 5)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write each answer as JSON too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bwvd-bench-desk-") as folder:
        found = trio.run(measured, Path(folder), options.rows, options.recordings, options.rounds)
    table = Table(title="How soon the list answers", title_justify="left")
    for name in ("where", "address", "rows", "median", "slowest", "processor", "goal"):
        table.add_column(name, justify="left" if name in ("where", "address") else "right")
    for one in found:
        colour = "" if one.slowest_s <= one.goal_s else "[red]"
        times = (f"{colour}{seconds * 1000:.0f} ms" for seconds in (one.median_s, one.slowest_s))
        cpu = f"{one.cpu_s * 1000:.0f} ms"
        table.add_row(one.where, one.address, str(one.rows), *times, cpu, f"{one.goal_s * 1000:.0f} ms")
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
