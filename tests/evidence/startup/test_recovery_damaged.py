"""Any damage of any file of the card: the daemon starts, a press records, and nothing that was whole is lost.

The plain run makes 250 seeded damages; `pytest -m complete` makes 20,000.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import random
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from bwvd.clock import NS
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format import records
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.format.sums_text import parse_sums
from bwvd.evidence.journal import journal
from bwvd.evidence.startup.admission import StorageRefused, open_storage
from bwvd.evidence.startup.outcome import evidence_missing
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.trust import Trust
from bwvd.messages import Answer, Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.desk import SIGNERS
from tests.support.rig import KEY, Rig, configuration
from tests.support.storage_recording import TreeFolder

Card = dict[str, bytes | None]

DEVICE = "BWV-0001"
# What the device writes anew in its own time, or renames; all else stays to the byte.
CHANGES = ("allowed_signers", ".reserve", ".wearer", "journal.jsonl", "journal.jsonl.new")
MADE = ("SHA256SUMS", "SHA256SUMS.sig", "index.m3u8", "init.mp4", "init-2.mp4")
NONSENSE: tuple[object, ...] = (None, -1, 2**63 - 1, "", "\0x", "é", "\n", [], {}, 1e300, "../../x", True)


def rig(volume: VirtualVolume, start_s: int) -> Rig:
    clock = VirtualClock(mono_ns=start_s * NS)
    config = configuration(loop={"seconds": 3}, recording={"post_roll_s": 1})
    camera = VirtualCamera(clock, rate=4, gop_frames=4)
    return Rig(config=config, clock=clock, camera=camera, volume=volume, boot=f"boot-{start_s}")


def run(life: Callable[[], object]) -> None:
    trio.run(life, clock=trio.testing.MockClock(autojump_threshold=0))  # type: ignore[arg-type]  # a coroutine function


@functools.cache
def cards() -> tuple[Card, ...]:
    """A card whose recording has no end, with a change of camera and a marker in it, and the same after its end."""
    found: list[Card] = []
    device = rig(VirtualVolume(), 1000)

    async def life() -> None:
        async with device.running():
            await trio.sleep(5)
            await device.press()
            await trio.sleep(2)
            await device.order(Order.MARK, text="a door")
            camera = device.camera
            assert camera is not None
            camera.unplug()
            camera.change(96, 64)
            await trio.sleep(1)
            camera.plug()
            await trio.sleep(3)
            found.append(state(device.volume))
            await device.stop()
            await device.closed()
            found.append(state(device.volume))

    run(life)
    return tuple(found)


def state(volume: object) -> Card:
    assert isinstance(volume, VirtualVolume)
    return {path: None if content is None else bytes(content) for path, content in volume.tree().items()}


@pytest.fixture(autouse=True)
def one_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """One id for all: with another one every signature is another, and what a seed damages is not the same twice."""
    monkeypatch.setattr(journal, "new_storage_id", lambda: "5" * 32)


# --- damage ----------------------------------------------------------------------------------------------------------


def damaged(rng: random.Random) -> Card:
    """One of the cards with one to four damages; the manifest is hit more often than its size would have it."""
    card = dict(rng.choice(cards()))
    for _ in range(rng.choice((1, 1, 2, 4))):
        files = [path for path, content in card.items() if content]
        manifests = [path for path in files if path.endswith("manifest.jsonl")]
        path = rng.choice(manifests if manifests and rng.random() < 0.5 else files)
        kind = rng.choice((flip, cut_out, put_in, shuffle, double_a_line, nonsense, zeros, end_early, gone))
        content = card[path]
        assert content is not None
        changed = kind(rng, content)
        if changed is None:
            del card[path]
        else:
            card[path] = changed
    return card


def flip(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def cut_out(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + content[at + rng.randrange(1, 200) :]


def put_in(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + rng.randbytes(rng.randrange(1, 50)) + content[at:]


def zeros(rng: random.Random, content: bytes) -> bytes:
    """A block that the medium lost."""
    at, size = rng.randrange(len(content)) & ~511, rng.choice((512, 4096))
    return content[:at] + bytes(len(content[at : at + size])) + content[at + size :]


def end_early(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def shuffle(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def double_a_line(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return b"\n".join(lines)


def nonsense(rng: random.Random, content: bytes) -> bytes:
    """Another value for one member of one line, where there is such a line."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    with suppress(ValueError):
        found = json.loads(lines[at])
        if isinstance(found, dict):
            found[rng.choice(list(found))] = rng.choice(NONSENSE)
            lines[at] = json.dumps(found).encode()
    return b"\n".join(lines)


def gone(_: random.Random, __: bytes) -> None:
    return None


# --- what comes of it ------------------------------------------------------------------------------------------------


def refusal(card: Card, folder: Path) -> str:
    """Why the daemon does not take the card; "" if it does. Only the top of the card is looked at."""
    for path, content in card.items():
        if "/" not in path and content is not None:
            (folder / path).write_bytes(content)
    try:
        open_storage(folder, device=DEVICE).close()
    except StorageRefused as error:
        return str(error)
    return ""


def held(content: bytes) -> list[records.Record]:
    """The records of a manifest whose signatures hold."""
    signed = [one.record for one in ChainReader(io.BytesIO(content), "manifest.jsonl")]
    return [record for record in signed if isinstance(record, records.Record)]


def check_kept(before: Card, after: Card) -> None:
    for path, content in before.items():
        name = path.rpartition("/")[2]
        if content is None or name in CHANGES or ("/" in path and name in MADE):
            continue
        kept = after.get(path)
        assert kept is not None, f"{path} is gone"
        if name != "manifest.jsonl":
            assert kept == content, f"{path} was changed"
            continue
        assert kept.startswith(content), f"{path} was changed"
        records_before, records_after = held(content), held(kept)
        assert records_after[: len(records_before)] == records_before, f"{path} lost records"


def untouched(path: str, card: Card) -> bool:
    return any(path in whole and whole[path] == card.get(path) for whole in cards())


def finished(folder: str, card: Card) -> bool:
    """Whether the recording's last file is as it was made: a start looks no further, a verifier finds the rest."""
    return all(untouched(f"recordings/{folder}/{name}", card) for name in ("SHA256SUMS", "SHA256SUMS.sig"))


def check_covered(folder: str, card: Card, after: Card, *, told: bool) -> None:
    """The recording has its end, and every file of it is named, with its digest, by what is signed.

    told: as one that has lost something. Its sums may stay as they were found: new ones would be over what is left.
    """
    prefix = f"recordings/{folder}/"
    ended = held(after[prefix + "manifest.jsonl"] or b"")[-1]
    assert isinstance(ended, records.Close | records.Recovered)
    if told and all(after.get(prefix + name) == card.get(prefix + name) for name in ("SHA256SUMS", "SHA256SUMS.sig")):
        return
    listed = parse_sums(after[prefix + "SHA256SUMS"] or b"")
    for path, content in after.items():
        name = path.removeprefix(prefix)
        if path.startswith(prefix) and content is not None and not name.startswith("SHA256SUMS"):
            # A committed file that is damaged keeps the digest that it was committed with.
            committed = path in card and not untouched(path, card)
            assert listed[name] == hashlib.sha256(content).hexdigest() or committed, f"{name} is not covered"


def survives(card: Card) -> None:
    """The card in the device: a start and a press; and the start after that has nothing left to do."""
    old = [path.removeprefix("recordings/") for path in card if path.count("/") == 1 and path.startswith("recordings/")]
    device = rig(VirtualVolume.from_state(card), 2000)
    pressed: list[Answer] = []

    async def life() -> None:
        async with device.running():
            await trio.sleep(4)
            pressed.append(await device.press())
            await trio.sleep(1)
            await device.stop()
            await device.closed()

    run(life)
    (answer,) = pressed
    assert answer.ok, answer
    assert answer.recording is not None
    assert serial_of(answer.recording) == 1 + max(serial_of(name) or 0 for name in old)
    after = state(device.volume)
    check_kept(card, after)
    assert (
        Verification(TreeFolder(after, f"recordings/{answer.recording}"), Trust(SIGNERS)).run().verdict == "authentic"
    )
    again = recover(device.volume, KEY, device.clock, "boot-3", reserve=Reserve(0))
    assert all(one.reason in ("finished", "told") and evidence_missing(one) for one in again)  # told at each start
    told = {one.recording for one in again}
    for folder in old:
        if not finished(folder, card):
            check_covered(folder, card, after, told=folder in told)


def test_damaged_sums_of_what_is_cut_short_stay_as_they_are() -> None:
    """Invariant 13: new ones would be over what somebody has made of it; that it is so is told at each start."""
    card = dict(cards()[1])
    (sums,) = [path for path in card if path.endswith("SHA256SUMS")]
    (last,) = [path for path in card if path.endswith("000008.m4s")]
    card[sums] = b"19dac4ba" + (card[sums] or b"")
    card[last] = (card[last] or b"")[:-9]
    survives(card)


@pytest.mark.slow
@pytest.mark.parametrize("damages", [250, pytest.param(20_000, marks=pytest.mark.complete)])
def test_any_damage_of_any_file(damages: int) -> None:
    """Invariants 5, 6 and 8: the daemon starts, a press records, and what was acknowledged and is whole is kept."""
    refused = 0
    for seed in range(damages):
        card = damaged(random.Random(seed))
        with tempfile.TemporaryDirectory() as folder:
            if said := refusal(card, Path(folder)):
                assert "\n" not in said
                refused += 1
                continue
        try:
            survives(card)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert refused < damages / 10
