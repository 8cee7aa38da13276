"""Credentials in AWS' shared format: what is read, and what is said of a file that can't be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from bwvd.store.errors import AddressWrong
from bwvd.store.s3.credentials import read_credentials

GOOD = "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = a%b/c+d=#e\n"


def _file(folder: Path, text: str, mode: int = 0o640) -> str:
    path = folder / "credentials"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_file(tmp_path: Path) -> None:
    path = _file(tmp_path, f"# ours\n{GOOD}ca_bundle = /etc/ca.pem\n[other]\naws_access_key_id = AKIA2\n"
                           "aws_secret_access_key=s2\naws_session_token = t2\n")  # fmt: skip
    found = read_credentials(path, {})
    assert (found.key.id, found.key.secret, found.key.token) == ("AKIA1", "a%b/c+d=#e", "")
    assert found.ca_bundle == "/etc/ca.pem"
    found = read_credentials(path, {"AWS_PROFILE": "other"})
    assert (found.key.id, found.key.secret, found.key.token, found.ca_bundle) == ("AKIA2", "s2", "t2", "")


def test_the_environment() -> None:
    found = read_credentials("", {"AWS_ACCESS_KEY_ID": "AKIA3", "AWS_SECRET_ACCESS_KEY": "s3"})
    assert (found.key.id, found.key.secret) == ("AKIA3", "s3")
    with pytest.raises(AddressWrong, match="no AWS_ACCESS_KEY_ID"):
        read_credentials("", {})


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (GOOD, 0o644, "everybody may read"),
        ("", 0o600, r"no profile \[default\]"),
        ("aws_secret_access_key = SECRET\n", 0o600, "shared format, line 1"),
        ("[default]\naws_secret_access_key SECRET\n", 0o600, "line"),
        ("[default]\n" + 2 * "aws_secret_access_key = SECRET\n", 0o600, "line 3"),
        ("[default]\naws_access_key_id = A\n", 0o600, "no aws_secret_access_key"),
        ("[default]\naws_access_key_id = A\naws_secret_access_key = SECRET x\n", 0o600, "printable"),
        ("[default]\naws_access_key_id = A\naws_secret_access_key = SECRET\n  x\n", 0o600, "printable"),
        ("[default]\naws_access_key_id = \u00e4\naws_secret_access_key = SECRET\n", 0o600, "printable"),
        (GOOD + 70_000 * "#", 0o600, "larger than"),
    ],
)
def test_a_file_that_can_not_be_used_is_said_in_a_line_without_the_secret(
    text: str, mode: int, says: str, tmp_path: Path
) -> None:
    with pytest.raises(AddressWrong, match=says) as raised:
        read_credentials(_file(tmp_path, text, mode), {})
    assert str(raised.value).isprintable()
    assert "SECRET" not in str(raised.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(AddressWrong, match="No such file"):
        read_credentials(str(tmp_path / "none"), {})
    (tmp_path / "raw").write_bytes(b"\xff\xfe")
    (tmp_path / "raw").chmod(0o600)
    with pytest.raises(AddressWrong, match="not UTF-8"):
        read_credentials(str(tmp_path / "raw"), {})
    with pytest.raises(AddressWrong, match="folder"):
        read_credentials(str(tmp_path), {})
