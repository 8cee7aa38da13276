"""Nonsense in every file that people or cards hand us: a verdict or one clear line, never a traceback, never a hang."""

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE
from bwvd.evidence.keys.age import load_identities, load_recipients
from bwvd.evidence.keys.sshsig import KeySigner, keygen
from tests.support.desk import export_mp4, export_proof, verify_recording, verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

VERDICTS = {"authentic", "not_closed", "recovered", "altered", "unreadable"}
REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

# Values of every JSON type where another was meant; integers beyond 64 bits, and names that leave the folder.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["../../etc/passwd", "/dev/zero", ".", "", "a\0b", "000001.m4s", "manifest.jsonl", "\udcff"]),
    st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59+00:00", "2026-11-22", "2026-11-22T07:15:03-23:59"]),
    st.sampled_from([2**62, -(2**62), 2**63 - 1, 0, -1]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_recording(make_storage(tmp_path_factory.mktemp("fuzz") / "storage"), seconds=2)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / whole.name)


def signed(lines: list[dict[str, object]]) -> bytes:
    """Any JSON, signed as if it were a manifest: what whoever has a key can make."""
    data = b""
    for line in lines:
        text = msgspec.json.encode(line, order=None) if _encodable(line) else b"{}"
        data += text + b"\n"
        blob = fixed_signer().sign(hashlib.sha512(data).digest(), MANIFEST_NAMESPACE)
        data += b'{"sig":"' + base64.b64encode(blob) + b'"}\n'
    return data


def _encodable(line: object) -> bool:
    try:
        msgspec.json.encode(line)
    except (UnicodeEncodeError, OverflowError, ValueError):
        return False
    return True


def its_records(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "manifest.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line) for line in lines if not line.startswith(b'{"sig"')]


@REUSED
@given(st.data())
def test_signed_nonsense_is_a_verdict(folder: Path, data: st.DataObject) -> None:
    """A key holder may sign what no device writes: other types, other numbers, names outside the folder."""
    lines = its_records(folder)
    for _ in range(data.draw(st.integers(1, 4))):
        inside = data.draw(st.sampled_from(lines))
        while True:
            name = data.draw(st.sampled_from([name for name in inside if name != "type"]))
            deeper = inside[name]
            if not isinstance(deeper, dict) or not deeper or data.draw(st.booleans()):
                break
            inside = deeper
        inside[name] = data.draw(VALUES)
    if data.draw(st.booleans()):
        lines = data.draw(st.permutations(lines))
    original = (folder / "manifest.jsonl").read_bytes()
    try:
        (folder / "manifest.jsonl").write_bytes(signed(list(lines)))
        report = verify_recording(folder, decode=data.draw(st.booleans()))
        assert report.verdict in VERDICTS
        msgspec.json.encode(report.as_dict())
        for export in (export_mp4, export_proof):
            out = folder.parent / "out"
            try:
                export(folder, out, force=data.draw(st.booleans()))
            except EvidenceError as error:
                assert "\n" not in str(error)  # noqa: PT017  some exports succeed
            out.unlink(missing_ok=True)
    finally:
        (folder / "manifest.jsonl").write_bytes(original)


@REUSED
@given(
    st.sampled_from(["manifest.jsonl", "SHA256SUMS", "SHA256SUMS.sig", "index.m3u8", "init.mp4", "000001.m4s"]),
    st.binary(max_size=300),
)
def test_nonsense_in_any_file_is_a_verdict(folder: Path, name: str, nonsense: bytes) -> None:
    original = (folder / name).read_bytes()
    try:
        (folder / name).write_bytes(nonsense)
        assert not verify_recording(folder, decode=True).good
    finally:
        (folder / name).write_bytes(original)


@REUSED
@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: f'{{"type":"journal","n":0,{text}'.encode()))
def test_nonsense_in_the_journal_is_a_verdict(tmp_path: Path, nonsense: bytes) -> None:
    (tmp_path / "recordings").mkdir(exist_ok=True)
    for name in ("journal.jsonl", "journal-000001.jsonl", "allowed_signers"):
        (tmp_path / name).write_bytes(nonsense)
        assert all(report.verdict in VERDICTS for report in verify_storage(tmp_path))


def _mutated(data: bytes) -> st.SearchStrategy[bytes]:
    cut = st.integers(0, len(data)).map(lambda size: data[:size])
    changed = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)).map(
        lambda change: data[: change[0]] + bytes([change[1]]) + data[change[0] + 1 :]
    )
    return st.binary(max_size=200) | cut | changed


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keygen(tmp_path_factory.mktemp("keys"))[0]


@REUSED
@given(st.data())
def test_a_key_file_of_nonsense_is_one_line(key_file: Path, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "key"
    path.write_bytes(data.draw(_mutated(key_file.read_bytes())))
    path.chmod(0o600)
    loads = (lambda: KeySigner.load(path), lambda: load_identities([path]), lambda: load_recipients([str(path)]))
    for load in loads:
        try:
            load()
        except EvidenceError as error:
            assert "\n" not in str(error)  # noqa: PT017  a change in the comment leaves a key
            assert str(path) in str(error)  # noqa: PT017  as above


def test_every_record_type_is_known_to_the_reader() -> None:
    """A record type that is added to the format is also read, judged and told."""
    from bwvd.evidence.format.decode import _KNOWN

    named = {str(kind.__struct_config__.tag) for kind in records.Record.__subclasses__()}
    assert named == _KNOWN
