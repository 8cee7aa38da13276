"""The last act of `bwvd run`: nothing is torn down under a thread that is still inside a driver or a library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bwvd.capture.device.device_thread import THREAD_NAME
from tests.support.source_tree import ROOT

PROGRAM = """
import atexit, threading, time
from bwvd.daemon.process import leave
from bwvd.log import configure, get_logger
atexit.register(print, "torn down", flush=True)
configure()
threading.Thread(target=time.sleep, args=({seconds},), name={name!r}, daemon=True).start()
time.sleep(0.2)
get_logger("main").info("the last line")
leave({code})
"""


@pytest.mark.parametrize("code", [0, 1, 2])
@pytest.mark.parametrize(
    ("name", "seconds", "torn"),
    [(f"{THREAD_NAME}camera", 60, False), (f"{THREAD_NAME}camera", 0, True), ("x", 60, True)],
)
def test_the_interpreter_is_torn_down_only_where_no_device_thread_lives(
    code: int, name: str, seconds: int, torn: bool
) -> None:
    """Invariant 12."""
    program = PROGRAM.format(name=name, seconds=seconds, code=code)
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == code
    assert "the last line" in ended.stdout + ended.stderr
    assert ("torn down" in ended.stdout) is torn
