"""Archives of the journal: what a custodian has taken over may go, journalled, and the chain holds across it."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import Detail
from bwvd.evidence.journal.witness import Remembered
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner, armour
from bwvd.evidence.release.archive import ArchiveRelease, finish_archive_release
from bwvd.evidence.release.handing_in import AlreadyReleased, ReleaseRefused
from bwvd.evidence.release.receipt import (
    RECEIPT_NAMESPACE,
    Accepted,
    ArchiveReceipt,
    ReceiptBad,
    accept_archive_receipt,
    accept_receipt,
)
from bwvd.evidence.verify.report import Report
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.faults import Operation
from bwvd.testing.flash.medium import Tree
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.desk import verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.storage_recording import SIGNER, recording_id, virtual_clock

LIMIT = 65_536
FIRST, SECOND = "journal-000001.jsonl", "journal-000002.jsonl"


def opened(volume: VirtualVolume) -> Journal:
    return Journal.open(volume, SIGNER, device="BWV-0001", limit_bytes=LIMIT)


def fill(journal: Journal, archives: int = 1) -> None:
    """Entries until so many more files are archived."""
    for _ in range(archives):
        journal.append([Draft("x", {"text": "x" * 500}, virtual_clock().read())] * 80)
        journal.append([])


def enter(journal: Journal, event: str, serial: int) -> None:
    detail: Detail = {"recording": recording_id(serial), "serial": serial, "reason": "stop", "segments": 4}
    journal.append([Draft(event, detail, virtual_clock().read())])


@functools.cache
def storage() -> Tree:
    """Two archives; the one recording that the first tells of has been released."""
    volume = VirtualVolume.from_state({"recordings": None})
    journal = opened(volume)
    for event in ("opened", "closed", "released"):
        enter(journal, event, 1)
    fill(journal, 2)
    journal.close()
    assert {FIRST, SECOND, "journal.jsonl"} <= set(volume.names(""))
    return volume.tree()


def receipt_for(tree: Tree, name: str = FIRST, **changes: str) -> Accepted[ArchiveReceipt]:
    fields = {
        "journal": name,
        "device": "BWV-0001",
        "sha512": hashlib.sha512(tree.get(name) or b"").hexdigest(),
        "received_utc": "2026-11-22T19:02:11Z",
        "by": "evidence-server",
        **changes,
    }
    return Accepted(ArchiveReceipt(format=1, **fields), "aa" * 32, "SHA256:key")


def releasing(volume: VirtualVolume, accepted: Accepted[ArchiveReceipt]) -> ArchiveRelease:
    return ArchiveRelease(volume, opened(volume), accepted, device="BWV-0001", clock=virtual_clock())


def run(release: ArchiveRelease) -> None:
    while release.step():
        pass


def refusal(tree: Tree, accepted: Accepted[ArchiveReceipt]) -> str:
    """Why it is refused; nothing has changed then."""
    volume = VirtualVolume.from_state(tree)
    with pytest.raises(ReleaseRefused) as raised:
        run(releasing(volume, accepted))
    assert volume.tree() == tree
    assert "\n" not in str(raised.value)
    return str(raised.value)


def lay_out(tree: Tree, path: Path) -> Path:
    make_storage(path)
    for name, content in tree.items():
        if content is not None:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


def verified(tree: Tree, path: Path) -> Report:
    return verify_storage(lay_out(tree, path))[0]


def test_what_was_taken_over_is_removed_and_the_rest_holds(tmp_path: Path) -> None:
    volume = VirtualVolume.from_state(storage())
    accepted = receipt_for(storage())
    run(releasing(volume, accepted))
    assert FIRST not in volume.names("")
    assert {path for path in storage() if path != FIRST} == set(volume.tree())
    detail = opened(volume).latest("archive_released")
    assert detail is not None
    assert (detail["file"], detail["by"], detail["receipt_sha256"]) == (FIRST, "evidence-server", "aa" * 32)
    report = verified(volume.tree(), tmp_path / "a")
    assert (report.verdict, report.findings) == ("authentic", [])
    (note,) = [note for note in report.notes if note.where == FIRST]
    assert "taken over by evidence-server on 2026-11-22T19:02:11Z" in note.what


def test_one_after_the_other_and_over_rotations(tmp_path: Path) -> None:
    """The last entry speaks for all that came before it, and every later file repeats it."""
    volume = VirtualVolume.from_state(storage())
    for name in (FIRST, SECOND):
        run(releasing(volume, receipt_for(volume.tree(), name)))
    journal = opened(volume)
    fill(journal, 3)
    journal.close()
    archives = sorted(name for name in volume.names("") if re.fullmatch(r"journal-\d+\.jsonl", name))
    assert len(archives) >= 2
    assert FIRST not in archives
    assert SECOND not in archives
    assert verified(volume.tree(), tmp_path / "a").verdict == "authentic"
    run(releasing(volume, receipt_for(volume.tree(), archives[0])))
    assert verified(volume.tree(), tmp_path / "b").verdict == "authentic"
    assert opened(volume).last_serial == 1


def test_it_is_released_once() -> None:
    volume = VirtualVolume.from_state(storage())
    run(releasing(volume, receipt_for(storage())))
    with pytest.raises(AlreadyReleased):
        run(releasing(volume, receipt_for(storage())))


# --- what is refused -------------------------------------------------------------------------------------------------


def test_the_file_in_force() -> None:
    """Invariant 8."""
    assert "is in force" in refusal(storage(), receipt_for(storage(), "journal.jsonl"))


@pytest.mark.parametrize(
    "name", ["", "..", "../journal-000001.jsonl", "allowed_signers", "journal-1.jsonl", "recordings"]
)
def test_no_archives_name(name: str) -> None:
    assert "no archive of the journal" in refusal(storage(), receipt_for(storage(), name))


def test_one_that_is_not_here() -> None:
    assert "is not here" in refusal(storage(), receipt_for(storage(), "journal-000009.jsonl"))


def test_a_receipt_for_another_archive() -> None:
    """Invariant 8: who received the second has not received the first."""
    other = receipt_for(storage(), SECOND).receipt.sha512
    assert "for another file" in refusal(storage(), receipt_for(storage(), sha512=other))


def test_a_receipt_for_its_beginning() -> None:
    """Invariant 8."""
    begins = hashlib.sha512((storage()[FIRST] or b"")[:9000]).hexdigest()
    assert "for another file" in refusal(storage(), receipt_for(storage(), sha512=begins))


def test_another_devices_receipt() -> None:
    assert "BWV-0002" in refusal(storage(), receipt_for(storage(), device="BWV-0002"))


def test_one_with_an_older_one_before_it() -> None:
    """Invariant 7: what is left has no hole."""
    assert f"{FIRST} comes before {SECOND}" in refusal(storage(), receipt_for(storage(), SECOND))


def test_an_altered_archive_stays_though_the_receipt_is_for_it() -> None:
    """Invariant 7: what was done to it on the card would be gone with it."""
    tree = {**storage(), FIRST: (storage()[FIRST] or b"").replace(b'"x"', b'"y"', 1)}
    assert "has been altered" in refusal(tree, receipt_for(tree))
    cut = {**storage(), FIRST: (storage()[FIRST] or b"")[:9000]}
    assert "has been altered" in refusal(cut, receipt_for(cut))


def test_one_that_no_later_file_names() -> None:
    tree = {**storage(), "journal-000007.jsonl": storage()[FIRST]}
    assert "no later file" in refusal(tree, receipt_for(tree, "journal-000007.jsonl"))


def test_one_that_tells_of_a_recording_that_is_here() -> None:
    """Invariant 13: a recording is held against what the journal says of it."""
    folder = f"recordings/{recording_id(1)}"
    tree = {**storage(), folder: None, f"{folder}/manifest.jsonl": b"x"}
    assert "is still here" in refusal(tree, receipt_for(tree))


def test_one_in_whose_time_a_recording_that_is_here_began(tmp_path: Path) -> None:
    """Its entry came in the next file; what it names of the journal must stay to be found."""
    volume = VirtualVolume.from_state({"recordings": None})
    journal = opened(volume)
    journal.append([Draft("boot", {}, virtual_clock().read())])
    head = journal.head()
    assert head is not None
    fill(journal)
    for event in ("opened", "closed"):
        enter(journal, event, 1)
    fill(journal)
    journal.close()
    recording = make_recording(make_storage(tmp_path / "s"), 1, journal=head)
    tree = {**volume.tree(), f"recordings/{recording.name}": None}
    for path in recording.iterdir():
        tree[f"recordings/{recording.name}/{path.name}"] = path.read_bytes()
    assert f"began with {FIRST}" in refusal(tree, receipt_for(tree))
    assert [report.verdict for report in verify_storage(lay_out(tree, tmp_path / "a"))] == ["authentic", "authentic"]


# --- receipts --------------------------------------------------------------------------------------------------------

SERVER = fixed_signer(7)
LIST = AllowedSigners.parse(f'evidence-server namespaces="{RECEIPT_NAMESPACE}" {SERVER.public_key}\n'.encode(), "list")
FIELDS = {
    "type": "journal-receipt",
    "format": 1,
    "journal": FIRST,
    "device": "BWV-0001",
    "sha512": "ab" * 64,
    "received_utc": "2026-11-22T19:02:11Z",
    "by": "evidence-server",
}


def signed(
    fields: dict[str, object], signer: KeySigner = SERVER, namespace: str = RECEIPT_NAMESPACE
) -> tuple[bytes, bytes]:
    text = json.dumps(fields).encode()
    return text, armour(signer.sign(hashlib.sha512(text).digest(), namespace)).encode()


def judge(text: bytes, signature: bytes, *lists: AllowedSigners) -> Accepted[ArchiveReceipt]:
    own = AllowedSigners.parse(SIGNER.allowed_signers("BWV-0001").encode(), "own")
    return accept_archive_receipt(text, signature, lists or (LIST,), 1_795_331_703.0, device=own)


def test_a_receipt_that_the_custodian_signed() -> None:
    accepted = judge(*signed(FIELDS))
    assert (accepted.receipt.journal, accepted.fingerprint) == (FIRST, SERVER.key.fingerprint)


@pytest.mark.parametrize(
    "forged",
    [
        signed(FIELDS, fixed_signer(9)),
        signed(FIELDS, namespace="bwvd-journal"),
        signed(FIELDS, SIGNER),
        (signed(FIELDS)[0].replace(b"000001", b"000002"), signed(FIELDS)[1]),
        signed({**FIELDS, "by": "somebody"}),
        signed({**FIELDS, "type": "receipt"}),
        signed({**FIELDS, "format": 2}),
    ],
)
def test_a_forged_receipt(forged: tuple[bytes, bytes]) -> None:
    """Invariant 8."""
    with pytest.raises(ReceiptBad):
        judge(*forged)


def test_without_a_list_nobody_may() -> None:
    """Invariant 8."""
    with pytest.raises(ReceiptBad, match=r"keys\.release"):
        accept_archive_receipt(*signed(FIELDS), [], 1_795_331_703.0)


def test_it_is_no_receipt_for_a_recording() -> None:
    with pytest.raises(ReceiptBad, match="not a receipt"):
        accept_receipt(*signed(FIELDS), [LIST], 1_795_331_703.0)


# --- errors and power cuts -------------------------------------------------------------------------------------------


def wrong(tree: Tree, path: Path) -> str:
    """What a state and the start after it break of the promises; "" if nothing."""
    volume = VirtualVolume.from_state(tree)
    journal = opened(volume)
    complaints = finish_archive_release(volume, journal)
    entered = journal.latest("archive_released") is not None
    journal.close()
    if complaints:
        return str(complaints)
    if (FIRST in volume.names("")) == entered:
        return "the journal and the flash do not agree"
    report = verified(volume.tree(), path)
    return "" if report.good else str(report.findings)


def cuts(omit: Callable[[Operation], bool] | None = None) -> tuple[VirtualVolume, int]:
    volume = VirtualVolume.from_state(storage(), trace=True, omit=omit)
    release = releasing(volume, receipt_for(storage()))
    while not release.entered:
        release.step()
    entered_at = volume.gate.count
    run(release)
    return volume, entered_at


def test_a_power_cut_between_any_two_steps(tmp_path: Path) -> None:
    """Invariant 8: an archive that is whole, or one that the journal says was taken over."""
    volume, entered_at = cuts()
    states = crash_states(volume.moments)
    assert len(states) > 4
    for number, state in enumerate(states):
        assert wrong(state.tree, tmp_path / str(number)) == ""
        again = VirtualVolume.from_state(state.tree)
        assert state.last < entered_at or opened(again).latest("archive_released") is not None


def test_an_omitted_sync_of_the_entry_is_noticed(tmp_path: Path) -> None:
    volume, entered_at = cuts(lambda op: op.kind == "sync" and op.path == "journal.jsonl")
    lost = [
        state
        for state in crash_states(volume.moments)
        if state.last >= entered_at and opened(VirtualVolume.from_state(state.tree)).latest("archive_released") is None
    ]
    assert lost


def test_a_journal_that_cannot_be_written_keeps_the_archive() -> None:
    """Invariant 8."""
    volume = VirtualVolume.from_state(storage())
    release = releasing(volume, receipt_for(storage()))
    volume.fail(errno.ENOSPC, kind="write", path="journal.jsonl")
    with pytest.raises(OSError, match=r"journal\.jsonl"):
        run(release)
    assert not release.entered
    assert volume.tree()[FIRST] == storage()[FIRST]


def test_another_file_in_its_place_is_not_removed(tmp_path: Path) -> None:
    """The journal's word is for one file; a card may have been changed since."""
    volume = VirtualVolume.from_state(storage())
    run(releasing(volume, receipt_for(storage())))
    tree = {**volume.tree(), FIRST: b"put here\n"}
    after = VirtualVolume.from_state(tree)
    (complaint,) = finish_archive_release(after, opened(after))
    assert "another file" in complaint
    assert after.tree() == tree
    assert verified(tree, tmp_path / "a").verdict == "altered"


# --- what must still be told -----------------------------------------------------------------------------------------


def test_an_archive_that_goes_without_an_entry_is_missing(tmp_path: Path) -> None:
    """Invariant 7."""
    tree = {path: content for path, content in storage().items() if path != FIRST}
    assert verified(tree, tmp_path / "a").verdict == "altered"
    volume = VirtualVolume.from_state(storage())
    run(releasing(volume, receipt_for(storage())))
    both = {path: content for path, content in volume.tree().items() if path != SECOND}
    assert verified(both, tmp_path / "b").verdict == "altered"


def test_a_witness_of_an_archive_that_was_taken_over() -> None:
    """Invariant 13: no false alarm where the witness was not told for long, and an alarm where the chain breaks."""
    volume = VirtualVolume.from_state(storage())
    journal = opened(volume)
    content = storage()[FIRST] or b""
    told = journal.remembered()
    assert told is not None
    old = Remembered(
        storage=told.storage,
        signer=told.signer,
        number=1,
        bytes=len(content),
        sha512=hashlib.sha512(content).hexdigest(),
        last_serial=1,
    )
    assert journal.continues([old]) is None
    journal.close()
    run(releasing(volume, receipt_for(storage())))
    assert opened(volume).continues([old]) is None
    cut = {path: content for path, content in volume.tree().items() if path != SECOND}
    assert opened(VirtualVolume.from_state(cut)).continues([old]) is not None
