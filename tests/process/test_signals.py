"""Signals to a whole process: none of them kills it while it starts, or while the flash takes the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.recording import verify_recording
from bwvd.service.signals_held import HELD
from tests.support.process import Process
from tests.support.process_levers import Levers
from tests.support.source_tree import ROOT

TEXT = """\
[video]
source = "lavfi:testsrc2=size=160x90:rate=15"
size = "160x90"
rate = 15
keyframe_s = 0.4
[loop]
seconds = 2
[recording]
post_roll_s = 0
[power]
supply = "none"
"""


def test_what_comes_before_anybody_listens_is_held() -> None:
    """The process that starts: it hears of each, in the handlers that it has when it lets them in."""
    script = """
import os, signal
from bwvd.service.signals_held import HELD, hold_signals, let_signals_in
hold_signals()
for number in HELD:
    os.kill(os.getpid(), number)
heard = []
for number in HELD:
    signal.signal(number, lambda number, _: heard.append(number))
let_signals_in()
assert sorted(heard) == sorted(HELD), heard
hold_signals()
os.kill(os.getpid(), signal.SIGTERM)
let_signals_in()
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def _holds(process: subprocess.Popen[bytes]) -> bool:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


def test_an_end_that_is_asked_for_during_the_start_is_an_end_in_order(tmp_path: Path) -> None:
    with Process(tmp_path, TEXT) as bwvd:
        until_s = time.monotonic() + 20
        while not _holds(bwvd.process):
            assert time.monotonic() < until_s, bwvd.log()
            time.sleep(0.001)
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGUSR1, signal.SIGTERM):
            os.kill(bwvd.process.pid, number)
        assert bwvd.process.wait(30) == 0, bwvd.log()
        assert "SIGTERM" in bwvd.log()
    journal = (tmp_path / "evidence" / "journal.jsonl").read_text()
    assert '"source":"signal:USR1"' in journal
    assert '"source":"signal:USR2"' in journal


def test_no_signal_cuts_the_drain_short(tmp_path: Path) -> None:
    """An impatient second Ctrl-C, a reload or a press while a slow flash takes the end of the recording."""
    levers = Levers(tmp_path / "levers")
    levers.threads = -1
    with Process(tmp_path, TEXT, ("tests.support.process_levers", str(tmp_path / "levers"))) as bwvd:
        bwvd.wait_for_loop(2)
        assert bwvd.ask(cmd="press")["ok"]
        time.sleep(1)
        levers.hold_until_s = time.monotonic() + 4
        time.sleep(1)
        bwvd.process.send_signal(signal.SIGTERM)
        time.sleep(0.7)  # the recorder has handed on its last; the flash still takes nothing
        for number in sorted(HELD):
            bwvd.process.send_signal(number)
            time.sleep(0.1)
        answer = bwvd.ask(cmd="press")
        assert (answer["ok"], answer["error"]) == (False, "ending")
        assert bwvd.process.poll() is None
        assert bwvd.process.wait(30) == 0, bwvd.log()
    (recording,) = (tmp_path / "evidence" / "recordings").iterdir()
    report = verify_recording(recording, AllowedSigners.load(tmp_path / "keys" / "allowed_signers"))
    assert (report.verdict, report.end) == ("authentic", "shutdown")
