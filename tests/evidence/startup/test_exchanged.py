"""A recording's end that was exchanged for another one: the device tells it at each start, and signs nothing over it.

Invariants 7 and 13: the journal remembers the end that it was, and what lies in the folder must be that recording.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, Chain
from bwvd.evidence.format.decode import decode
from bwvd.evidence.format.records import Record
from bwvd.evidence.startup.outcome import evidence_missing
from bwvd.evidence.verify.storage import verify_storage
from tests.evidence.startup.test_evidence_missing import enter, start
from tests.support.desk import SIGNERS
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

SUMS = ("SHA256SUMS", "SHA256SUMS.sig")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def remove_sums(folder: Path) -> None:
    for name in SUMS:
        (folder / name).unlink()


def told_and_left(storage: Path, folder: Path) -> None:
    """Two starts tell it, and nothing in the folder is another than before."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for boot in ("boot-2", "boot-3"):
        (result,) = start(storage, boot)
        assert result.reason == "told"
        assert evidence_missing(result)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    verdicts = [report.verdict for report in verify_storage(storage, SIGNERS)]
    assert "altered" in verdicts


@pytest.mark.parametrize("sums", [True, False])
def test_another_recording_in_its_place(storage: Path, sums: bool) -> None:
    """Each file of it holds, by the device's own key; what was here is gone."""
    folder, other = make_recording(storage), make_recording(storage, serial=2)
    start(storage)
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    if not sums:
        remove_sums(folder)
    told_and_left(storage, folder)


@pytest.mark.parametrize("newline", [True, False])
def test_a_manifest_that_another_key_has_signed_in_the_devices_name(storage: Path, newline: bool) -> None:
    """Without sums it is not taken for one whose finishing was cut, also where no journal is left to ask."""
    folder = make_recording(storage)
    chain, lines = Chain(fixed_signer(7), MANIFEST_NAMESPACE), b""
    for line in (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)[::2]:
        record = decode(line)
        assert isinstance(record, Record)
        lines += chain.line(record)
    (folder / "manifest.jsonl").write_bytes(lines if newline else lines[:-1])
    remove_sums(folder)
    told_and_left(storage, folder)


def test_an_end_that_is_not_the_one_in_the_journal(storage: Path) -> None:
    """Two ends of one recording, both signed by the device, as of a card that was copied: the journal knows which."""
    folder = make_recording(storage)
    detail: dict[str, str | int | float | bool | None] = {"recording": folder.name, "serial": 1}
    enter(storage, ("opened", detail), ("closed", {**detail, "segments": 4, "manifest_sha512": "0" * 128}))
    remove_sums(folder)
    told_and_left(storage, folder)


def test_a_segment_that_was_cut_short_behind_the_end_stays_told(storage: Path) -> None:
    """Where the sums are gone too, new ones would say at the next start that every file is there."""
    folder = make_recording(storage)
    (folder / "000002.m4s").write_bytes(b"")
    (folder / "SHA256SUMS.sig").unlink()
    for boot in ("boot-2", "boot-3"):
        (result,) = start(storage, boot)
        assert result.missing is not None
        assert result.missing.segments == 1
        assert not (folder / "SHA256SUMS.sig").exists()
