"""From a press to an empty card, on real parts: daemon, carrier, store, custodian, and the receipt's way back.

The carrier and the daemon are killed in the middle of it, as a camera that is taken off its dock with an empty battery.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bwvd.store import names
from tests.support.custody_store import CUSTODIAN, custodian_line
from tests.support.evidence_keys import write_key
from tests.support.process import DEVICE, Process
from tests.support.source_tree import ROOT

pytestmark = pytest.mark.slow

SOURCE = """\
[video]
source = "lavfi:testsrc2=size=320x240:rate=10"
encoder = "libx264"
bitrate = 2_000_000
[loop]
seconds = 5
[recording]
post_roll_s = 0.5
"""


def configuration(folder: Path, max_mbit: float) -> str:
    keys = f'[keys]\nsigning = "{folder}/keys/device_key"\nrelease = ["{folder}/receipt_signers"]\n'
    return f'{SOURCE}{keys}[offload]\nstore = "file:{folder}/store"\nmax_mbit = {max_mbit}\n'


def bwvd(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bwvd", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def record(daemon: Process) -> None:
    daemon.ask(cmd="record")
    daemon.wait_until(lambda status: bool(status["recording"] and status["recording"]["committed_s"] > 2))
    daemon.ask(cmd="stop")
    daemon.wait_until(lambda status: status["state"] == "standby" and status["recording"] is None)


def test_recordings_are_carried_away_taken_over_and_let_go(tmp_path: Path) -> None:
    """Invariants 8 and 16: what is let go is whole in the store, authentic, and has its receipt."""
    recordings, store = tmp_path / "evidence/recordings", tmp_path / "store"
    store.mkdir()
    write_key(tmp_path / "custody_key", 40)
    (tmp_path / "receipt_signers").write_text(custodian_line(CUSTODIAN, "evidence-server"))
    with Process(tmp_path, configuration(tmp_path, 2)) as daemon:
        daemon.wait_for_loop(2)
        for _ in range(3):
            record(daemon)
        made = sorted(path.name for path in recordings.iterdir())
        assert len(made) == 3
        last = store / names.recording_file(DEVICE, made[-1], "SHA256SUMS.sig")
        with subprocess.Popen(
            [sys.executable, "-m", "bwvd", "offload", "-c", str(daemon.config), "--once"], cwd=ROOT
        ) as carrier:
            until_s = time.monotonic() + 60
            while len(list(store.rglob("*.m4s"))) < 2:
                assert time.monotonic() < until_s
                assert carrier.poll() is None
                time.sleep(0.02)
            carrier.kill()
        daemon.kill()
        assert not last.exists()

    custody = [
        *("custody", f"file:{store}", "--once", "--index", tmp_path / "index"),
        *("--signers", tmp_path / "keys/allowed_signers", "--key", tmp_path / "custody_key", "--by", "evidence-server"),
    ]
    with Process(tmp_path, configuration(tmp_path, 0)) as daemon:
        daemon.wait_for_loop(1)
        sent = bwvd("offload", "-c", daemon.config, "--once", "--json")
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert last.exists()
        assert sorted(path.name for path in recordings.iterdir()) == made  # a store's answer deletes nothing

        taken = bwvd(*custody, "--json")
        assert taken.returncode == 0, taken.stdout + taken.stderr
        assert (document(taken)["received"], document(taken)["findings"]) == (3, [])

        back = bwvd("offload", "-c", daemon.config, "--once", "--json")
        assert back.returncode == 0, back.stdout + back.stderr
        until_s = time.monotonic() + 30
        while list(recordings.iterdir()):
            assert time.monotonic() < until_s, back.stdout
            time.sleep(0.05)
        again = bwvd("offload", "-c", daemon.config, "--once")  # the journal, which says that they were let go
        assert again.returncode == 0, again.stdout + again.stderr
    assert bwvd(*custody).returncode == 0
    verified = bwvd("verify", "--signers", tmp_path / "keys/allowed_signers", "--json", f"file:{store}")
    assert verified.returncode == 0, verified.stdout
    reports = document(verified)
    assert [report["id"] for report in reports if report["kind"] == "recording"] == made
    assert {report["verdict"] for report in reports} == {"authentic"}
