"""Whose signatures count where no list is given: this machine's own lists, and on the device its key."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bwvd.cli import vouching
from bwvd.cli.main import main
from bwvd.cli.options import Failure
from bwvd.cli.vouching import default_lists
from bwvd.evidence.errors import SignersUnusable
from bwvd.evidence.keys.sshsig import KeySigner, keygen
from tests.support.desk import verify_recording
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import certify, fixed_signer, stock_key, write_key


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any list: where a person's own would lie."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(vouching, "SYSTEM_LIST", tmp_path / "etc" / "allowed_signers")
    monkeypatch.setattr("bwvd.cli.vouching.DEFAULT_CONFIG", str(tmp_path / "etc" / "bwvd.toml"))
    (tmp_path / "home" / "bwvd").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    return tmp_path


def verdict(home: Path, config: Path | None = None, given: Path | None = None) -> str:
    storage = home / "storage"
    folder = storage / "recordings" / "20261122T071505Z-BWV-0001-000001"
    if not folder.exists():
        make_recording(make_storage(storage))
    path = str(config or home / "etc" / "bwvd.toml")
    return verify_recording(folder, vouching.vouching(path, str(given) if given else None)).verdict


def write_config(path: Path, key: Path, device: str = "BWV-0001") -> Path:
    path.write_text(f'[device]\nid = "{device}"\n[keys]\nsigning = "{key}"\n')
    return path


def write_list(path: Path, seed: int = 1) -> Path:
    path.write_text(fixed_signer(seed).allowed_signers("BWV-0001"))
    return path


def test_nobody(home: Path) -> None:
    """Invariant 7: the list that lies on the card is not asked."""
    assert verdict(home) == "unvouched"


def test_a_persons_list_or_the_machines(home: Path) -> None:
    system = write_list(home / "etc" / "allowed_signers")
    assert verdict(home) == "authentic"
    write_list(home / "home" / "bwvd" / "allowed_signers", 2)
    assert verdict(home) == "authentic"  # both count
    write_list(system, 3)
    assert verdict(home) == "unvouched"


def test_a_list_that_is_given_counts_alone(home: Path) -> None:
    write_list(home / "etc" / "allowed_signers")
    assert verdict(home, given=write_list(home / "given", 2)) == "unvouched"
    write_list(home / "etc" / "allowed_signers", 2)
    assert verdict(home, given=write_list(home / "given")) == "authentic"


def test_a_list_that_can_not_be_used_is_said(home: Path) -> None:
    (home / "etc" / "allowed_signers").write_text("nonsense\n")
    with pytest.raises(SignersUnusable, match="allowed_signers line 1"):
        verdict(home)


@pytest.mark.parametrize("given", [True, False])
def test_on_the_device_its_key(home: Path, given: bool) -> None:
    """By a configuration that is named, or by the default one."""
    key = write_key(home / "etc" / "key")
    config = write_config(home / ("given.toml" if given else "etc/bwvd.toml"), key)
    assert verdict(home, config if given else None) == "authentic"
    key.unlink()
    assert verdict(home, config if given else None) == "unvouched"
    (home / "etc" / "key.pub").write_text(f"{fixed_signer().public_key} BWV-0001\n")
    assert verdict(home, config if given else None) == "authentic"
    write_config(config, key, "BWV-0002")  # it has another id by now, and the same key
    assert verdict(home, config if given else None) == "authentic"


def test_another_key_of_the_device(home: Path) -> None:
    keygen(home / "keys", "BWV-0001")
    assert verdict(home, write_config(home / "bwvd.toml", home / "keys" / "device_key")) == "unvouched"


def test_a_certificate_of_a_fleet(home: Path) -> None:
    """The device's key, or its public half, and the certificate beside it."""
    key, authority = write_key(home / "key"), stock_key(home / "ca")
    (home / "key.pub").write_text(f"{fixed_signer().public_key}\n")
    certify(authority, key, "-n", "BWV-0001")
    signer = KeySigner.load(key)
    folder = make_recording(make_storage(home / "certified", signer), signer=signer)
    config = str(write_config(home / "bwvd.toml", key))
    assert verify_recording(folder, vouching.vouching(config, None)).verdict == "authentic"
    key.unlink()
    assert verify_recording(folder, vouching.vouching(config, None)).verdict == "authentic"


def test_with_a_fleet_the_key_that_signed_is_named_and_not_its_authoritys_alone(home: Path) -> None:
    """Invariant 14: who compares the fingerprint with the camera's finds the camera's."""
    key, authority = write_key(home / "key"), stock_key(home / "ca")
    (home / "key.pub").write_text(f"{fixed_signer().public_key}\n")
    certify(authority, key, "-n", "BWV-0001")
    signer = KeySigner.load(key)
    certificate = signer.certificate
    assert certificate is not None
    own, fleet = signer.key.fingerprint, certificate.authority.fingerprint
    storage = make_storage(home / "certified", signer)
    folder = make_recording(storage, signer=signer)
    (home / "list").write_text(signer.allowed_signers("BWV-0001"))
    trusted = ["--signers", str(home / "list")]
    alone = CliRunner().invoke(main, ["verify", *trusted, str(folder)])
    assert f"signed by {own}, certified by {fleet} (trusted)\n" in alone.stdout
    together = CliRunner().invoke(main, ["verify", *trusted, str(storage)])
    assert f"signed by keys certified by {fleet} (trusted): " in together.stdout
    CliRunner().invoke(main, ["export", str(folder), "--sheet", str(home / "sheet.html"), *trusted])
    assert (
        f"signed by the key {own}, certified by {fleet}, vouched for as BWV-0001" in (home / "sheet.html").read_text()
    )
    (home / "list").write_text(fixed_signer(2).allowed_signers("BWV-0001"))
    stranger = CliRunner().invoke(main, ["verify", *trusted, str(folder)])
    assert f"signed by the key {own}, certified by {fleet}, for which nobody vouches" in stranger.stdout


def test_a_configuration_that_can_not_be_used_is_said(home: Path) -> None:
    (home / "bwvd.toml").write_text("nonsense")
    with pytest.raises(Failure):
        verdict(home, home / "bwvd.toml")


def test_where_the_lists_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    for configured in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", configured)
        monkeypatch.setenv("HOME", "/somewhere")
        person, system = map(str, default_lists())
        assert person == "/somewhere/.config/bwvd/allowed_signers"
        assert system == "/etc/bwvd/allowed_signers"
