"""A forger's proofs against the commands of the genuine README: each is found by the step that is there for it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pyrage
import pytest

from bwvd.evidence.keys.age import AgeSealer
from tests.support.desk import export_proof
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.proofs import good, run_readme, unpack
from tests.support.stock import need

IDENTITY = pyrage.x25519.Identity.generate()
GENUINE, HIS = fixed_signer(), fixed_signer(2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A genuine proof of an encrypted recording, unpacked, with the identity that opens it."""
    return genuine(tmp_path)


def genuine(tmp_path: Path, **options: Any) -> Path:
    need("age")
    sealer = AgeSealer([str(IDENTITY.to_public())])
    recording = make_recording(make_storage(tmp_path / "storage"), sealer=sealer, **options)
    export_proof(recording, tmp_path / "proof.zip")
    folder = unpack(tmp_path / "proof.zip", tmp_path / "x")
    (folder / "identity.txt").write_text(f"{IDENTITY}\n")
    return folder


def recording_of(folder: Path) -> Path:
    return next((folder / "recordings").iterdir())


def forged(tmp_path: Path) -> Path:
    """His own recording of the same name, by a key of his own."""
    sealer = AgeSealer([str(IDENTITY.to_public())])
    return make_recording(make_storage(tmp_path / "forged", HIS), signer=HIS, sealer=sealer)


def exchange(folder: Path, tmp_path: Path) -> None:
    """His recording in the place of the genuine one, and the README's numbers are those of his."""
    recording = recording_of(folder)
    shutil.rmtree(recording)
    shutil.copytree(forged(tmp_path), recording)
    his_at = sum(map(len, (recording / "manifest.jsonl").read_bytes().splitlines(keepends=True)[:-1]))
    text = (folder / "README.txt").read_text()
    found = re.search(r"head -c (\d+) ", text)
    assert found
    text = text.replace(found[1], str(his_at)).replace(f"+{int(found[1]) + 1} ", f"+{his_at + 1} ")
    (folder / "README.txt").write_text(text)


def said_no(folder: Path) -> str:
    done = run_readme(folder)
    assert done.returncode != 0, done.stdout
    return done.stdout


def test_the_genuine_one_passes(folder: Path) -> None:
    done = run_readme(folder)
    assert good(done), done
    assert done.stdout.count("sealed-000001.json.age: OK") == 2  # by the manifest, and by the sums
    assert '"a door"' in done.stdout


def test_another_recording_and_a_list_that_vouches_for_it(folder: Path, tmp_path: Path) -> None:
    """Invariant 7: a genuine device_key.pub, and a list with another key in it."""
    exchange(folder, tmp_path)
    for name in ("allowed_signers", "trusted_signers"):
        (folder / name).write_text(HIS.allowed_signers("BWV-0001"))
    said = said_no(folder)
    assert GENUINE.key.fingerprint in said
    assert "Good" not in said


@pytest.mark.parametrize(
    "text",
    [
        "{his}\n",
        "{his}\n{genuine}\n",
        "{genuine}\n{his}\n",
        "# {genuine}\n{his}\n",
        'x="{genuine}" {his}\n',
        "BWV-0001\t{his_tabs} {genuine}\n",
        "{genuine}\rBWV-0001 {his}\n",
        "{genuine}\n\nBWV-0001\t{his_tabs}\n",
        "",
    ],
)
def test_another_key_in_the_keys_file(folder: Path, tmp_path: Path, text: str) -> None:
    """Invariant 7: with his recording, whatever he writes into device_key.pub."""
    exchange(folder, tmp_path)
    his = HIS.public_key
    words = {"his": his, "his_tabs": his.replace(" ", "\t"), "genuine": GENUINE.public_key}
    (folder / "device_key.pub").write_text(text.format(**words))
    assert "Good" not in said_no(folder)


@pytest.mark.parametrize("name", ["000002.m4s.age", "sealed-000001.json.age"])
def test_a_segment_or_a_text_of_his_own(folder: Path, tmp_path: Path, name: str) -> None:
    (recording_of(folder) / name).write_bytes((forged(tmp_path) / name).read_bytes())
    assert f"{name}: FAILED" in said_no(folder)


def test_sums_of_his_own(folder: Path, tmp_path: Path) -> None:
    his = forged(tmp_path)
    for name in ("SHA256SUMS", "SHA256SUMS.sig"):
        (recording_of(folder) / name).write_bytes((his / name).read_bytes())
    said = said_no(folder)
    assert 'Good "bwvd-manifest"' in said
    assert 'Good "bwvd-sums"' not in said


@pytest.mark.parametrize("name", ["extra", ".hidden", "SHA256SUMSxsig", "000005.m4s.age"])
def test_a_file_of_his_own(folder: Path, name: str) -> None:
    (recording_of(folder) / name).touch()
    assert f"> {name}" in said_no(folder)


def test_an_end_that_he_cut_off(tmp_path: Path) -> None:
    """What is left holds; the last record says that it is no end."""
    done = run_readme(genuine(tmp_path, close=""))
    assert good(done), done
    assert '{"type":"segment"' in done.stdout.splitlines()
