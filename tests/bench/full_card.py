"""How much more processor time a start takes with what has gathered on the card than with an empty one."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bwvd.clock import SystemClock
from bwvd.config.schema import Storage
from bwvd.controls.client import Unreachable
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format.layout import JOURNAL, MANIFEST, RECORDINGS
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import Detail
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.write.finalize import finish_recording
from tests.bench import accounting
from tests.bench.figures import Findings, Row, Spread, at_most
from tests.bench.pairing import Plan
from tests.bench.sources import Clip, Clips
from tests.bench.subjects import Bwvd, configuration
from tests.support.evidence_folder import make_recording
from tests.support.process import DEVICE, write_configuration

MORE_GOAL_S = 0.1
KEYFRAME_S = 0.2  # the first GOP is there before the look begins, a second after the start: it is not counted
LIMIT_S = 600  # of the first start, which remembers nothing
ONE_FILE_BYTES = 268_435_456  # of a journal that is configured to stay in one file
APPENDS = 120  # to a file until it is full; at most
ENTRY_BYTES = 500  # at least, with its signature
NEARLY = (0.8, 0.9)  # of its limit: the file in force is nearly as large as it gets, and stays so over the starts


@dataclass(frozen=True, slots=True)
class Card:
    """What has gathered on a card."""

    what: str
    recordings: int
    journal_bytes: int  # at least so many, over all files
    limit_bytes: int  # of one of these

    @property
    def one_file(self) -> bool:
        return self.limit_bytes == ONE_FILE_BYTES


def cards(plan: Plan) -> list[Card]:
    """Their names say what is measured for figures; to try the benchmark little has to do."""
    recordings, size = (40, 300_000) if plan.quick else (10_000, 30_000_000)
    return [
        Card(
            "10,000 recordings, 30 MB of journal", recordings, size, 65_536 if plan.quick else Storage().journal_bytes
        ),
        Card("30 MB of journal in one file", 0, size, ONE_FILE_BYTES),
    ]


def measure(group: str, ffmpeg: str, plan: Plan, folder: Path) -> Findings:
    """Start on each card in turn, again and again; the difference to the empty card is taken in each turn."""
    folder.mkdir()
    clip = Clips(folder, ffmpeg, KEYFRAME_S).h264("320x240", plan.clip_s)
    about = [Card("empty", 0, 0, Storage().journal_bytes), *cards(plan)]
    places = [folder / str(number) for number in range(len(about))]
    texts = [_configured(card, place, clip, plan) for card, place in zip(about, places, strict=True)]
    for card, place, text in zip(about, places, texts, strict=True):
        _gather(card, place, text)
        _started(place, text)  # the first one remembers nothing; what is measured are those behind it
    took: list[list[float]] = [[] for _ in about]
    for _ in range(2 * plan.starts - 1):
        for values, place, text in zip(took, places, texts, strict=True):
            values.append(_started(place, text))
    rows = [Row(group, "empty card: CPU to the loop turning", "s", Spread.of(took[0]))]
    for card, place, values in zip(about[1:], places[1:], took[1:], strict=True):
        more = [full - empty for full, empty in zip(values, took[0], strict=True)]
        sizes = [path.stat().st_size for path in (place / "evidence").glob("journal*.jsonl")]
        note = f"{len(sizes)} file(s), {(place / 'evidence' / JOURNAL).stat().st_size / 1e6:.1f} MB in force"
        goal = at_most(MORE_GOAL_S, "s")
        rows.append(Row(group, f"{card.what}: CPU more", "s", Spread.of(more), goal=goal, digits=3, note=note))
    return Findings(rows)


def _configured(card: Card, place: Path, clip: Clip, plan: Plan) -> str:
    text = configuration(clip, plan, encoder="copy")
    storage = f'path = "{place}/evidence"\nreserve_bytes = 1048576\njournal_bytes = {card.limit_bytes}\n'
    return f"{text}[storage]\n{storage}"


def _started(place: Path, text: str) -> float:
    """CPU seconds of a daemon from its start until its status says that the loop holds something."""
    with Bwvd(place, text) as bwvd:
        while True:
            assert time.monotonic() - bwvd.begun < LIMIT_S, bwvd.log()
            assert bwvd.process.poll() is None, bwvd.log()
            try:
                if bwvd.status()["loop"]["seconds"]:
                    return accounting.cpu_s(bwvd.pid)
            except Unreachable:
                pass
            time.sleep(0.02)


def _gather(card: Card, place: Path, text: str) -> None:
    """Closed recordings that are one and the same by hard links, and a journal that tells of them."""
    place.mkdir()
    write_configuration(place, text)
    storage = place / "evidence"
    (storage / RECORDINGS).mkdir()
    if not card.journal_bytes:
        return
    signer = KeySigner.load(place / "keys" / "device_key")
    names, segments, sha512 = _recordings(card.recordings, storage, signer)
    clock = SystemClock()
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, signer, device=DEVICE, limit_bytes=card.limit_bytes)
        entries, told = _entries(names, segments, sha512, card.journal_bytes)
        most = max(1, min(256, card.limit_bytes // ENTRY_BYTES // APPENDS))
        gathered = before = entered = 0
        while gathered < card.journal_bytes or entered < told or not (card.one_file or _nearly_full(before, card)):
            reading = clock.read()
            journal.append([Draft(event, detail, reading) for event, detail in itertools.islice(entries, most)])
            entered += most
            size = volume.size(JOURNAL)
            gathered += size - before if size > before else size
            before = size
        journal.close()


def _recordings(count: int, storage: Path, signer: KeySigner) -> tuple[list[str], int, str]:
    """Their ids, and of how many segments and which manifest each is."""
    if not count:
        return [], 0, ""
    model = make_recording(storage, 1, signer=signer, seconds=2)
    with PosixVolume(storage) as volume:
        finish_recording(volume, f"{RECORDINGS}/{model.name}", signer)
    names = [f"{model.name.removesuffix('000001')}{serial:06d}" for serial in range(1, count + 1)]
    files = [entry.name for entry in os.scandir(model)]
    for name in names[1:]:
        (model.parent / name).mkdir()
        for file in files:
            os.link(model / file, model.parent / name / file)
    segments = sum(file.endswith(".m4s") for file in files)
    return names, segments, hashlib.sha512((model / MANIFEST).read_bytes()).hexdigest()


def _nearly_full(size: int, card: Card) -> bool:
    least, most = NEARLY
    return least <= size / card.limit_bytes <= most


def _entries(names: list[str], segments: int, sha512: str, size: int) -> tuple[Iterator[tuple[str, Detail]], int]:
    """Beginning and end of each recording with presses between them, and presses for ever behind the last of them.

    Returns also how many entries tell of recordings, or stand between such.
    """
    presses = max(0, size // (ENTRY_BYTES * len(names)) - 1) if names else 0

    def entries() -> Iterator[tuple[str, Detail]]:
        press: Detail = {"order": "press", "source": "gpio:record", "outcome": "marker", "handled_mono_ns": size}
        for serial, name in enumerate(names, 1):
            detail: Detail = {"recording": name, "serial": serial}
            yield "opened", detail
            yield from itertools.repeat(("press", press), presses)
            yield "closed", {**detail, "reason": "stop", "segments": segments, "manifest_sha512": sha512}
        yield from itertools.repeat(("press", press))

    return entries(), (2 + presses) * len(names)
