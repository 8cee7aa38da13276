"""What all commands share: a configuration that is not there, or is not one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bwvd.cli.main import main


@pytest.mark.parametrize("command", ["run", "status", "check", "record"])
def test_where_there_is_no_configuration_the_error_says_what_helps(command: str, tmp_path: Path) -> None:
    path = tmp_path / "bwvd.toml"
    done = CliRunner().invoke(main, [command, "-c", str(path)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        f"bwvd: {path}: there is no such file; name another with -c FILE, or put one in place with: bwvd install\n"
    )


def test_one_that_is_there_and_wrong_is_told_as_before(tmp_path: Path) -> None:
    path = tmp_path / "bwvd.toml"
    path.write_text("[devise]\n")
    done = CliRunner().invoke(main, ["status", "-c", str(path)])
    assert done.exit_code == 2
    assert "did you mean device?" in done.stderr
    assert "bwvd install" not in done.stderr
