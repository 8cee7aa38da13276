"""A real daemon whose card was put back to an earlier state while it was out of the camera.

Invariant 13: every signature on the card holds, and its journal matches; the folder on the other disk remembers more.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.process import Process

CAMERA = """
[video]
source = "lavfi:testsrc2=size=160x90:rate=30"
size = "160x90"
[loop]
seconds = 5
[recording]
post_roll_s = 0
[power]
supply = "none"
[storage]
path = "{path}"
reserve_bytes = 1048576
"""


def record(daemon: Process) -> None:
    daemon.wait_for_loop(1)
    daemon.ask(cmd="record")
    daemon.wait_until(lambda status: (status["recording"] or {}).get("segments", 0) > 1)
    daemon.ask(cmd="stop")
    daemon.wait_until(lambda status: status["recording"] is None)


def test_a_card_that_was_put_back_is_told(tmp_path: Path) -> None:
    """Invariant 13."""
    witness = tmp_path / "witness"
    witness.mkdir()
    folder = tmp_path / "camera"
    folder.mkdir()
    text = CAMERA.replace("{path}", f"{folder}/evidence") + f'witness = "{witness}"\n'
    with Process(folder, text) as daemon:
        record(daemon)
        assert daemon.status()["faults"] == []
        daemon.kill()
    shutil.copytree(folder / "evidence", tmp_path / "copy")
    with Process(folder, text) as daemon:
        record(daemon)
        assert daemon.status()["faults"] == []  # a kill is no rollback
    shutil.rmtree(folder / "evidence")
    shutil.copytree(tmp_path / "copy", folder / "evidence")
    with Process(folder, text) as daemon:
        daemon.wait_for_loop(1)
        assert daemon.status()["faults"] == ["storage_rolled_back"]
    signers = str(folder / "keys" / "allowed_signers")
    said = subprocess.run(
        [sys.executable, "-m", "bwvd", "verify", "--signers", signers, str(folder / "evidence")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert "not as it had left it" in said.stdout
