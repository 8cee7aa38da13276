"""A journal that another key has signed: nothing is done on its word, it is kept as it is, and named.

Whoever holds the card can write any journal that he likes and sign it with a key of his own. The device acts on what
its own key has signed, and on nothing else.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from bwvd.clock import Reading
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, Chain
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.format.layout import JOURNAL, NEW_JOURNAL
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import Detail
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.medium import Tree
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.desk import verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.rig import Rig
from tests.support.storage_recording import SIGNER as KEY
from tests.support.storage_recording import new_volume, recording_id, write_recording

DEVICE = "BWV-0001"
STRANGER = fixed_signer(66)
READING = Reading(5_000_000_000, 1_795_331_703_250_000_000, "synchronised", 500)
STAMP = records.Stamp(mono_ns=0, utc="2026-11-22T07:15:03.000Z", quality="free")
ARCHIVE = "journal-000001.jsonl"


def begin(chain: Chain, last_serial: int = 0) -> bytes:
    """The first line of a journal by a stranger, who says that it is this device's."""
    return chain.line(
        records.Journal(
            n=chain.n,
            format=records.FORMAT,
            device=DEVICE,
            signer=STRANGER.public_key,
            file_number=1,
            last_serial=last_serial,
            previous=None,
        )
    )


def released(chain: Chain, manifest: bytes, serial: int = 1) -> bytes:
    digest = hashlib.sha512(manifest).hexdigest()
    detail: Detail = {"recording": recording_id(serial), "serial": serial, "manifest_sha512": digest}
    return chain.line(records.Entry(n=chain.n, event="released", stamp=STAMP, detail=detail))


def with_a_recording() -> tuple[Tree, bytes]:
    """A storage with one finished recording, and that one's manifest."""
    volume = new_volume()
    write_recording(volume, 1)
    manifest = volume.read(f"recordings/{recording_id(1)}/manifest.jsonl")
    return volume.tree(), manifest


def of_a_stranger(manifest: bytes) -> bytes:
    """The whole journal is his."""
    chain = Chain(STRANGER, JOURNAL_NAMESPACE)
    return begin(chain) + released(chain, manifest)


def behind_ours(manifest: bytes) -> bytes:
    """The device's own journal, with his line appended."""
    volume = VirtualVolume()
    opened(volume).append([Draft("boot", {"boot": "boot-0"}, READING)])
    ours = volume.read(JOURNAL)
    chain = Chain(STRANGER, JOURNAL_NAMESPACE)
    chain.absorb(ours, 2)
    return ours + released(chain, manifest)


def before_ours(manifest: bytes) -> bytes:
    """His journal, which a device that did not look at keys went on with."""
    theirs = of_a_stranger(manifest)
    chain = Chain(KEY, JOURNAL_NAMESPACE)
    chain.absorb(theirs, 2)
    return theirs + chain.line(records.Entry(n=2, event="boot", stamp=STAMP, detail={"boot": "boot-0"}))


def opened(volume: VirtualVolume, limit: int = 1_000_000) -> Journal:
    return Journal.open(volume, KEY, device=DEVICE, limit_bytes=limit)


def rig_on(tree: Tree) -> Rig:
    rig = Rig(volume=VirtualVolume.from_state(tree), signer=KEY)
    rig.camera = VirtualCamera(rig.clock, rate=10, gop_frames=10)
    return rig


def signed(data: bytes) -> list[records.Record]:
    """The records of a journal file that is without a fault and by the device's key alone."""
    reader = ChainReader(io.BytesIO(data), JOURNAL, JOURNAL_NAMESPACE)
    found = list(reader)
    assert reader.problems == []
    assert {one.key.line for one in found} == {KEY.public_key}
    return [one.record for one in found if isinstance(one.record, records.Record)]


class Liar:
    """Signs with a key of his own, and puts the device's into the signature."""

    public_key = KEY.public_key

    def sign(self, sha512: bytes, namespace: str) -> bytes:
        """The blob, in which the key is exchanged."""
        return STRANGER.sign(sha512, namespace).replace(STRANGER.key.blob, KEY.key.blob)

    def allowed_signers(self, principal: str) -> str:
        return KEY.allowed_signers(principal)


def carrying_our_key(manifest: bytes) -> bytes:
    """Its signatures name the device's key, which has not made them."""
    chain = Chain(Liar(), JOURNAL_NAMESPACE)
    return begin(chain) + released(chain, manifest)


HOSTILE = [of_a_stranger, behind_ours, before_ours, carrying_our_key]


@pytest.mark.parametrize("journal", HOSTILE)
@pytest.mark.parametrize("name", [JOURNAL, NEW_JOURNAL, ARCHIVE])
async def test_a_release_that_a_stranger_signed_removes_nothing(
    autojump_clock: trio.testing.MockClock, journal: Callable[[bytes], bytes], name: str
) -> None:
    """Invariant 8: the key of a release's entry is the device's own, wherever in the journal's files it stands."""
    tree, manifest = with_a_recording()
    hostile = journal(manifest)
    rig = rig_on({**tree, name: hostile})
    async with rig.running():
        await trio.sleep(1)
    after = rig.volume
    assert isinstance(after, VirtualVolume)
    assert {path: content for path, content in after.tree().items() if path in tree} == tree
    assert rig.recordings() == [recording_id(1)]
    if journal is not carrying_our_key or name != NEW_JOURNAL:  # a torn beginning is no evidence
        assert hostile in [content for path, content in after.tree().items() if path.startswith("journal-")]


async def test_a_recording_that_a_stranger_calls_released_gets_its_end(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 8: what is being released is left out of the recovery, by the device's own word only."""
    volume = new_volume()
    write_recording(volume, 1, close=False)
    manifest = volume.read(f"recordings/{recording_id(1)}/manifest.jsonl")
    rig = rig_on({**volume.tree(), JOURNAL: of_a_stranger(manifest)})
    async with rig.running():
        await trio.sleep(1)
    assert "SHA256SUMS.sig" in rig.volume.names(f"recordings/{recording_id(1)}")


@pytest.mark.parametrize("last_serial", [999, 10**12, 2**63 - 1])
async def test_a_number_that_a_stranger_signed_is_not_counted(
    autojump_clock: trio.testing.MockClock, last_serial: int
) -> None:
    """Invariant 7: numbers without a hole show what is missing; no hole is made on anybody's word."""
    tree, _ = with_a_recording()
    rig = rig_on({**tree, JOURNAL: begin(Chain(STRANGER, JOURNAL_NAMESPACE), last_serial)})
    async with rig.running():
        await trio.sleep(5)
        answer = await rig.press()
        await trio.sleep(2)
    assert answer.recording is not None
    assert answer.recording.endswith(f"-{DEVICE}-000002")


@pytest.mark.parametrize("journal", [of_a_stranger, behind_ours, before_ours])
async def test_it_is_set_aside_as_it_is_and_named(
    autojump_clock: trio.testing.MockClock, journal: Callable[[bytes], bytes]
) -> None:
    """Invariant 7: a new journal by the device's own key says how many bytes were another's, and from where on."""
    tree, manifest = with_a_recording()
    hostile = journal(manifest)
    rig = rig_on({**tree, JOURNAL: hostile})
    async with rig.running():
        await trio.sleep(1)
    assert rig.volume.read(ARCHIVE) == hostile
    first, torn, *entries = signed(rig.volume.read(JOURNAL))
    assert isinstance(first, records.Journal)
    whole = records.JournalHead(file=ARCHIVE, bytes=len(hostile), sha512=hashlib.sha512(hostile).hexdigest())
    assert first.previous == whole
    offset = hostile.index(b'{"type":"entry","n":2') if journal is behind_ours else 0
    digest = hashlib.sha256(hostile[offset:]).hexdigest()
    found = records.Found(what="other_key", where=ARCHIVE, offset=offset, bytes=len(hostile) - offset, sha256=digest)
    assert isinstance(torn, records.TornTail)
    assert torn.found == found
    said = [
        entry.detail for entry in entries if isinstance(entry, records.Entry) and entry.event == "journal_set_aside"
    ]
    assert said == [{"file": ARCHIVE, "what": "other_key", "offset": found.offset, "bytes": found.bytes}]


def test_our_own_lines_in_it_still_count() -> None:
    """Invariant 8: what the device signed itself holds, whatever a stranger wrote behind it."""
    volume = new_volume()
    write_recording(volume, 1)
    detail: Detail = {"recording": recording_id(1), "serial": 41}
    opened(volume).append([Draft("released", detail, READING)])
    ours = volume.read(JOURNAL)
    chain = Chain(STRANGER, JOURNAL_NAMESPACE)
    chain.absorb(ours, 2)
    journal = opened(VirtualVolume.from_state({**volume.tree(), JOURNAL: ours + released(chain, b"", serial=99)}))
    assert journal.last_serial == 41
    assert journal.released == {recording_id(1): detail}


@pytest.mark.parametrize("newest", [b"", b"x" * 9000, of_a_stranger(b"")])
def test_the_numbers_are_found_behind_archives_that_are_not_ours(newest: bytes) -> None:
    """Invariant 7: a stranger's file in the newest place does not hide the device's own one before it."""
    volume = VirtualVolume()
    opened(volume).append([Draft("opened", {"recording": "r", "serial": 41}, READING)])
    tree: Tree = {"recordings": None, ARCHIVE: volume.read(JOURNAL), "journal-000002.jsonl": newest}
    assert opened(VirtualVolume.from_state(tree)).last_serial == 41
    assert opened(VirtualVolume.from_state({**tree, JOURNAL: of_a_stranger(b"")})).last_serial == 41


def test_a_power_cut_while_it_is_set_aside_loses_nothing() -> None:
    hostile = of_a_stranger(b"")
    volume = VirtualVolume.from_state({"recordings": None, JOURNAL: hostile}, trace=True)
    opened(volume).append([Draft("boot", {"boot": "boot-1"}, READING)])
    states = crash_states(volume.moments)
    assert len(states) > 5
    for state in states:
        after = VirtualVolume.from_state(state.tree)
        opened(after).append([Draft("boot", {"boot": "boot-2"}, READING)])
        assert after.read(ARCHIVE) == hostile
        assert isinstance(signed(after.read(JOURNAL))[1], records.TornTail)


def test_after_a_change_of_the_key_the_old_journal_is_vouched_for_by_the_list(tmp_path: Path) -> None:
    """Invariant 7: the device itself trusts its present key alone; whoever verifies has a list that knows both."""
    old, storage = fixed_signer(2), make_storage(tmp_path / "storage", fixed_signer(2))
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, old, device=DEVICE, limit_bytes=1_000_000)
        make_recording(storage, 1, signer=old, journal=journal.head())
        detail: Detail = {"recording": recording_id(1), "serial": 1}
        journal.append([Draft("opened", detail, READING)])
        with (storage / "allowed_signers").open("a") as file:
            file.write(KEY.allowed_signers(DEVICE))
        opened_again = Journal.open(volume, KEY, device=DEVICE, limit_bytes=1_000_000)
        opened_again.append([Draft("opened", detail, READING)])
    reports = verify_storage(storage, AllowedSigners.load(storage / "allowed_signers"))
    assert [finding for report in reports for finding in report.findings] == []
    assert {report.verdict for report in reports} == {"authentic"}
    ours = AllowedSigners.parse(KEY.allowed_signers(DEVICE).encode(), "given")
    (finding,) = verify_storage(storage, ours)[0].findings
    assert finding.where.startswith(ARCHIVE)
    assert old.key.fingerprint in finding.what
