"""Content Credentials (C2PA) of an export, read by C2PA's own reader: valid, trusted with its anchors, or neither."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import c2pa
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bwvd.cli.main import main
from bwvd.evidence.export.mp4 import export_mp4
from bwvd.evidence.flash.whole_file import left_beside
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.verify.copy import verify_copy
from tests.support.certificates import Chain, make_chain
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.time_authority import time_server


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    (tmp_path / "signers").write_text(fixed_signer().allowed_signers("*"))
    return make_storage(tmp_path / "storage")


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return make_chain(tmp_path / "pki")


def export(storage: Path, chain: Chain | None, *words: object) -> Result:
    signers = ("--signers", str(storage.parent / "signers"))
    credentials = ("--c2pa", str(chain.certs), "--c2pa-key", str(chain.key)) if chain is not None else ()
    return CliRunner().invoke(main, ["export", *map(str, words), *signers, *credentials])


def reader(path: Path, chain: Chain | None = None) -> Any:
    if chain is None:
        return c2pa.Reader(path)
    return c2pa.Reader(path, context=c2pa.Context.from_dict({"trust": {"trust_anchors": chain.anchors.read_text()}}))


def actions(manifest: dict[str, Any]) -> list[str]:
    [found] = [each for each in manifest["assertions"] if each["label"].startswith("c2pa.actions")]
    return [action["action"] for action in found["data"]["actions"]]


def claims(manifest: dict[str, Any]) -> dict[str, Any]:
    return assertion(manifest, "bwvd.recording")


def assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    """The one of our own; the other must not be there."""
    [(found, data)] = [(each["label"], each["data"]) for each in manifest["assertions"] if "bwvd." in each["label"]]
    assert found == label
    return dict(data)


KEYS: dict[str, Callable[[], Any]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("kind", KEYS)
def test_an_export_is_valid_and_with_its_anchors_trusted(storage: Path, tmp_path: Path, kind: str) -> None:
    chain = make_chain(tmp_path / "pki", KEYS[kind]())
    folder = make_recording(storage)
    done = export(storage, chain, folder, "-o", tmp_path / "out.mp4")
    assert (done.exit_code, done.stderr) == (0, "")
    assert reader(tmp_path / "out.mp4").get_validation_state() == "Valid"
    assert reader(tmp_path / "out.mp4", chain).get_validation_state() == "Trusted"
    stranger = make_chain(tmp_path / "others")
    assert reader(tmp_path / "out.mp4", stranger).get_validation_state() == "Valid"


def test_what_it_says(storage: Path, tmp_path: Path, chain: Chain) -> None:
    folder = make_recording(storage)
    export(storage, chain, folder, "-o", tmp_path / "out.mp4")
    manifest = reader(tmp_path / "out.mp4", chain).get_active_manifest()
    said = claims(manifest)
    digest = hashlib.sha512((folder / MANIFEST).read_bytes()).hexdigest()
    assert said["manifest_sha512"] == digest
    assert (said["recording"], said["device"], said["serial"]) == (folder.name, "BWV-0001", 1)
    assert (said["verdict"], said["press_by"]) == ("authentic", "gpio:record")
    assert said["pre_event_s"] == pytest.approx(said["press_s"])
    assert (said["from_s"], said["to_s"]) == (0, pytest.approx(4, abs=0.05))
    assert said["signer"] == fixed_signer().key.fingerprint
    [original] = manifest["ingredients"]
    assert (original["title"], original["relationship"]) == (folder.name, "parentOf")
    assert digest in original["description"]
    assert manifest["title"] == "out.mp4"
    assert actions(manifest) == ["c2pa.opened", "c2pa.repackaged"]


def test_a_clip_says_that_it_was_trimmed(storage: Path, tmp_path: Path, chain: Chain) -> None:
    folder = make_recording(storage)
    export(storage, chain, folder, "-o", tmp_path / "out.mp4", "--from", "1", "--to", "3")
    manifest = reader(tmp_path / "out.mp4", chain).get_active_manifest()
    assert actions(manifest) == ["c2pa.opened", "c2pa.trimmed", "c2pa.repackaged"]
    assert (claims(manifest)["from_s"], claims(manifest)["to_s"]) == (1, pytest.approx(3, abs=0.05))


@pytest.mark.parametrize("where", ["index", "first frame", "last byte"])
def test_a_byte_that_was_changed(storage: Path, tmp_path: Path, chain: Chain, where: str) -> None:
    export(storage, chain, make_recording(storage), "-o", tmp_path / "out.mp4")
    data = bytearray((tmp_path / "out.mp4").read_bytes())
    at = {"index": data.index(b"stsz") + 20, "first frame": data.index(b"mdat") + 40, "last byte": len(data) - 1}[where]
    data[at] ^= 1
    (tmp_path / "out.mp4").write_bytes(data)
    found = reader(tmp_path / "out.mp4", chain)
    assert found.get_validation_state() == "Invalid"
    assert "assertion.bmffHash.mismatch" in str(found.get_validation_results()["activeManifest"]["failure"])


def test_frames_captions_and_chapters_are_those_of_an_export_without(
    storage: Path, tmp_path: Path, chain: Chain
) -> None:
    """Invariants 4 and 15: the credentials go between the head and the index; no frame is moved, none is missing."""
    folder = make_recording(storage)
    export(storage, None, folder, "-o", tmp_path / "plain.mp4")
    export(storage, chain, folder, "-o", tmp_path / "signed.mp4")
    plain, signed = (_packets(tmp_path / name) for name in ("plain.mp4", "signed.mp4"))
    assert plain == signed
    assert len(plain) > 100
    assert pictures(tmp_path / "plain.mp4") == pictures(tmp_path / "signed.mp4")
    read = [_probed(tmp_path / name) for name in ("plain.mp4", "signed.mp4")]
    assert read[0] == read[1]


def _packets(path: Path) -> list[tuple[int, int | None, int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.stream.index, packet.pts, packet.dts, bytes(packet)) for packet in container.demux()]


def _probed(path: Path) -> bytes:
    words = ["ffprobe", "-v", "error", "-show_chapters", "-show_entries", "format_tags", str(path)]
    return subprocess.run(words, capture_output=True, check=True).stdout


def test_the_clip_of_a_clip_keeps_its_history(storage: Path, tmp_path: Path, chain: Chain) -> None:
    folder = make_recording(storage, label="a door")
    first, second = tmp_path / "clip.mp4", tmp_path / "clip of clip.mp4"
    export(storage, chain, folder, "-o", first, "--from", "1")
    done = export(storage, chain, first, "-o", second, "--from", "1", "--to", "2")
    assert (done.exit_code, done.stderr) == (0, "")
    found = reader(second, chain)
    assert found.get_validation_state() == "Trusted"
    newest = found.get_active_manifest()
    assert actions(newest) == ["c2pa.opened", "c2pa.trimmed", "c2pa.repackaged"]
    [parent] = newest["ingredients"]
    assert (parent["title"], parent["relationship"]) == ("clip.mp4", "parentOf")
    before = found.get_manifest(parent["active_manifest"])
    taken = assertion(newest, "bwvd.copy")
    assert claims(before)["recording"] == taken["recording"] == folder.name
    assert claims(before)["manifest_sha512"] == taken["manifest_sha512"]
    assert [each["title"] for each in before["ingredients"]] == [folder.name]
    # 1 s of the clip is 2 s of the recording, to the frame.
    assert float(taken["from_s"]) == 2
    export_mp4(folder, tmp_path / "whole.mp4")
    whole = pictures(tmp_path / "whole.mp4")
    assert pictures(second) == whole[len(whole) // 2 : len(whole) * 3 // 4]
    tags = verify_copy(second).claims
    assert tags is not None
    assert float(tags["from_s"]) == 2


def pictures(path: Path) -> list[str]:
    """A digest of each decoded frame."""
    with av.open(str(path)) as container:
        return [
            hashlib.sha256(b"".join(bytes(plane) for plane in frame.planes)).hexdigest()
            for frame in container.decode(video=0)
        ]


def test_a_clip_of_what_was_changed_carries_that_on(storage: Path, tmp_path: Path, chain: Chain) -> None:
    """A clip can't wash a changed copy clean: its history says that the copy did not hold."""
    first = tmp_path / "clip.mp4"
    export(storage, chain, make_recording(storage), "-o", first)
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    export(storage, chain, first, "-o", tmp_path / "second.mp4", "--to", "2")
    found = reader(tmp_path / "second.mp4", chain).json()
    assert "assertion.bmffHash.mismatch" in found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda chain: chain.certs.write_text("no"), "certs.pem: holds no certificate in PEM"),
        (lambda chain: chain.key.write_text("no"), "desk.key: is no private key in PEM"),
        (lambda chain: chain.key.unlink(), "desk.key: No such file or directory"),
        (lambda chain: make_chain(chain.certs.parent / "o").key.replace(chain.key), "is not the key of the first"),
        (
            lambda chain: arranged(chain, 1, 0),
            "certs.pem: its certificates are out of order: the signer's is number 2, not 1",
        ),
        (
            lambda chain: arranged(make_chain(chain.certs.parent, between=True), 0, 2, 1),
            "certs.pem: its certificates are out of order: number 2 does not vouch for number 1",
        ),
        (
            lambda chain: arranged(make_chain(chain.certs.parent, between=True), 0, 2),
            "number 2 does not vouch for number 1",
        ),
        (lambda chain: make_chain(chain.certs.parent, days=(-9, -3)), "which is not today"),
        (lambda chain: make_chain(chain.certs.parent, days=(3, 9)), "which is not today"),
        (lambda chain: make_chain(chain.certs.parent, ec.generate_private_key(ec.SECP256K1())), "C2PA takes"),
        (lambda chain: make_chain(chain.certs.parent, weak_rsa()), "C2PA takes"),
        (lambda chain: make_chain(chain.certs.parent, usage=None), "with an extended key usage"),
        (lambda chain: with_passphrase(chain.key), "desk.key: has a passphrase"),
        (lambda chain: chain.key.chmod(0o644), "desk.key: mode 0644 lets others at the key; chmod 600 it"),
        (lambda chain: fifo(chain.key), "desk.key: a FIFO, not a regular file"),
        (lambda chain: fifo(chain.certs), "certs.pem: a FIFO, not a regular file"),
    ],
)
def test_a_chain_or_key_that_can_not_be_used(
    storage: Path, tmp_path: Path, chain: Chain, change: Callable[[Chain], object], said: str
) -> None:
    change(chain)
    done = export(storage, chain, make_recording(storage), "-o", tmp_path / "out.mp4")
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("out.mp4*"))


def arranged(chain: Chain, *order: int) -> None:
    """Put the chain's certificates into another order."""
    end = "-----END CERTIFICATE-----\n"
    found = [f"{one}{end}" for one in chain.certs.read_text().split(end) if one]
    chain.certs.write_text("".join(found[number] for number in order))


def test_a_chain_with_an_authority_between_is_trusted(storage: Path, tmp_path: Path) -> None:
    """With or without the root at its end, which a reader has among its anchors."""
    folder = make_recording(storage)
    for name, order in (("whole", (0, 1, 2)), ("short", (0, 1))):
        chain = make_chain(tmp_path / name, between=True)
        arranged(chain, *order)
        done = export(storage, chain, folder, "-o", tmp_path / f"{name}.mp4")
        assert (done.exit_code, done.stderr) == (0, "")
        assert reader(tmp_path / f"{name}.mp4", chain).get_validation_state() == "Trusted"


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def weak_rsa() -> Any:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is what must be refused


def with_passphrase(path: Path) -> None:
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))


def test_a_full_disk_leaves_nothing(
    storage: Path, tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("c2pa.Builder.sign", full)
    done = export(storage, chain, make_recording(storage), "-o", tmp_path / "out.mp4")
    assert done.exit_code == 1
    assert "No space left on device" in done.stderr
    assert not list(tmp_path.glob("out.mp4*"))


def test_what_a_kill_leaves_of_signing_is_named_by_the_next_export(
    storage: Path, tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def look(builder: object, *_: object) -> None:
        seen.append(sorted(path.name for path in tmp_path.glob("out.mp4*")))
        raise OSError(5, "stopped")

    monkeypatch.setattr("c2pa.Builder.sign", look)
    export(storage, chain, make_recording(storage), "-o", tmp_path / "out.mp4")
    [names] = seen
    assert len(names) == 2
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert sorted(path.name for path in left_beside(tmp_path / "out.mp4")) == names


def test_a_copy_without_credentials_is_not_exported(storage: Path, tmp_path: Path, chain: Chain) -> None:
    export(storage, chain, make_recording(storage), "-o", tmp_path / "out.mp4")
    done = export(storage, None, tmp_path / "out.mp4", "-o", tmp_path / "again.mp4")
    assert done.exit_code == 2
    assert "is a copy" in done.stderr
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0")
    done = export(storage, chain, tmp_path / "film.mp4", "-o", tmp_path / "again.mp4")
    assert (done.exit_code, "not an MP4" in done.stderr) == (1, True)


def test_verify_says_that_there_are_credentials(storage: Path, tmp_path: Path, chain: Chain) -> None:
    folder = make_recording(storage)
    export(storage, chain, folder, "-o", tmp_path / "out.mp4")
    export_mp4(folder, tmp_path / "plain.mp4")
    assert "C2PA" in " ".join(verify_copy(tmp_path / "out.mp4").sentences)
    assert "nothing in the file is signed" not in " ".join(verify_copy(tmp_path / "out.mp4").sentences)
    assert "nothing in the file is signed" in " ".join(verify_copy(tmp_path / "plain.mp4").sentences)


# --- what it must not do ---------------------------------------------------------------------------------------------


def test_an_mp4_that_names_an_address_for_its_history_is_not_asked_for_there(
    storage: Path, tmp_path: Path, chain: Chain
) -> None:
    """Whoever wrote the MP4 would learn who cuts it and when, and have the desk ask what only the desk can reach."""
    export(storage, None, make_recording(storage), "-o", tmp_path / "film.mp4")
    with time_server(lambda _: (404, "text/plain", b"")) as server:
        with (tmp_path / "film.mp4").open("ab") as film:
            film.write(provenance(f"{server.url}/history.c2pa"))
        done = export(storage, chain, tmp_path / "film.mp4", "-o", tmp_path / "clip.mp4", "--to", "2")
    assert (done.exit_code, done.stderr) == (0, "")
    assert server.gets == []
    assert reader(tmp_path / "clip.mp4", chain).get_validation_state() == "Trusted"


def provenance(url: str) -> bytes:
    """A box of XMP that says where a file's C2PA manifest is to be had."""
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" '
        f'dcterms:provenance="{url}"/></rdf:RDF></x:xmpmeta>'
    ).encode()
    kind = b"uuid" + bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    return (4 + len(kind) + len(xmp)).to_bytes(4, "big") + kind + xmp


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_is_signed_ends_the_command_and_leaves_nothing(
    storage: Path, tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Of several recordings too: what the signal raises must not be lost between the library's calls back to us."""
    for serial in (1, 2, 3):
        make_recording(storage, serial)
    signed: list[int] = []

    def sign(data: bytes) -> bytes:
        signed.append(len(data))
        os.kill(os.getpid(), number)
        time.sleep(0.2)  # the library is busy when the signal comes
        return bytes(64)

    monkeypatch.setattr("bwvd.evidence.export.credentials._signing", lambda *_: ("ES256", sign))
    done = export(storage, chain, storage, "--all", "-o", tmp_path / "films")
    assert done.exit_code == (1 if number == signal.SIGINT else 128 + number)
    assert len(signed) == 1
    assert "Traceback" not in done.stderr
    assert "credentials" not in done.stderr
    assert not list((tmp_path / "films").iterdir())


def test_a_clip_does_not_vouch_for_what_the_metadata_of_a_stranger_s_mp4_says(
    storage: Path, tmp_path: Path, chain: Chain
) -> None:
    """Invariant 14: or anybody could have a film of his own signed as an authentic recording by the desk."""
    export(storage, None, make_recording(storage), "-o", tmp_path / "film.mp4")
    tagged(tmp_path / "film.mp4", tmp_path / "stranger.mp4", bwvd_device="\x1b[31m" + "A" * 1_000_000)
    done = export(storage, chain, tmp_path / "stranger.mp4", "-o", tmp_path / "clip.mp4", "--to", "2")
    assert (done.exit_code, done.stderr) == (0, "")
    manifest = reader(tmp_path / "clip.mp4", chain).get_active_manifest()
    said = assertion(manifest, "bwvd.copy")
    assert said["verdict"] == "authentic"  # as the film says
    assert len(said["device"]) <= 210
    assert said["device"].isprintable()
    [parent] = manifest["ingredients"]
    assert "active_manifest" not in parent


@pytest.mark.parametrize("said", ["nan", "inf", "-1", "1e30", "a door"])
def test_a_clip_of_what_begins_at_no_time(storage: Path, tmp_path: Path, chain: Chain, said: str) -> None:
    export(storage, None, make_recording(storage), "-o", tmp_path / "film.mp4")
    tagged(tmp_path / "film.mp4", tmp_path / "stranger.mp4", bwvd_from_s=said)
    done = export(storage, chain, tmp_path / "stranger.mp4", "-o", tmp_path / "clip.mp4", "--from", "1")
    assert done.exit_code == 1
    assert f"says that it begins {said} s into its recording" in done.stderr
    assert not list(tmp_path.glob("clip.mp4*"))


def tagged(source: Path, out: Path, **tags: str) -> None:
    """The film of `source` with other metadata."""
    with av.open(str(source)) as film, av.open(str(out), "w", options={"movflags": "use_metadata_tags"}) as made:
        track = film.streams.video[0]
        copied = made.add_stream_from_template(track)
        made.metadata.update({**film.metadata, **tags})
        for packet in film.demux(track):
            if packet.dts is not None:
                packet.stream = copied
                made.mux(packet)
