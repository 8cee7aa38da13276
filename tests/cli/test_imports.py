"""What a command costs before it does anything: modules that it imports, memory at its peak, processor time.

A board's `bwvd status` and `bwvd list` are asked for all day, by people and by scripts: they import neither the log nor
cryptography. `pytest -s` prints the figures.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.evidence_folder import make_recording, make_storage

STATUS = {
    "state": "standby",
    "device": "BWV-0001",
    "uptime_s": 1.0,
    "loop": {"seconds": 30.0, "capacity_s": 30, "bytes": 15_000_000},
    "recording": None,
    "video": {"source": "v4l2:/dev/video0", "encoder": "libx264", "frames": 1, "dropped": 0},
    "audio": None,
    "storage": {"free_bytes": 1, "minutes_left": None, "backlog_bytes": 0},
    "faults": [],
    "controls": [],
}

MOST_MODULES = {"status": 150, "list": 180}
MOST_MB = {"status": 24, "list": 26}
# Libraries and rooms that no such command has a use for.
HEAVY = {"trio", "av", "structlog", "asyncio", "rich", "cryptography", "pyrage", "gpiod", "evdev", "serial"}

# What a plain recording's verification or export has no use for either, where there is no configuration.
NOT_FOR_THIS = {
    *("av", "trio", "rich", "pyrage", "zipfile", "socket", "bwvd.config.schema"),
    "cryptography.hazmat.primitives.serialization",
}

RUN = "from bwvd.cli.main import main; main()"
# The kernel's own mark of this program alone: that of a child's usage holds what its parent had at the fork.
WEIGHED = f"""
import atexit, os, sys
def weigh():
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
    times = os.times()
    print(peak, times.user + times.system, file=sys.stderr)
atexit.register(weigh)
{RUN}
"""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """A configuration whose socket answers every request with a status, and whose storage is empty."""
    path = tmp_path / "bwvd.toml"
    path.write_text(f'[socket]\npath = "{tmp_path}/socket"\n[storage]\npath = "{tmp_path}/evidence"\n')
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/socket")
        listening.listen()

        def answer() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with client:
                    client.recv(65_536)
                    client.sendall(json.dumps({"ok": True, "status": STATUS}).encode() + b"\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield path
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("command", ["status", "list"])
def test_a_command_that_only_asks_costs_little(command: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [sys.executable, "-X", "importtime", "-c", RUN, command, "--config", str(config)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    names = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    modules = set(names[1:])  # the first is the head of the table

    words = [sys.executable, "-c", WEIGHED, command, "--config", str(config)]
    weighed = subprocess.run(words, capture_output=True, text=True, check=True).stderr.split()
    peak_mb, cpu_s = int(weighed[-2]) / 1024, float(weighed[-1])
    with capsys.disabled():
        print(f"\nbwvd {command}: {len(modules)} modules, {peak_mb:.1f} MiB at the peak, {cpu_s:.2f} s of CPU")
    assert {name.split(".")[0] for name in modules} & HEAVY == set()
    assert len(modules) <= MOST_MODULES[command]
    assert peak_mb <= MOST_MB[command]


def test_what_list_and_show_need_checks_no_signature() -> None:
    """Records are decoded apart from the checking of signatures."""
    code = (
        "import sys; import bwvd.cli.list, bwvd.cli.show, bwvd.cli.evidence_printing, bwvd.evidence.export.catalogue; "
        "import bwvd.evidence.export.describe; print(*sorted({name.split('.')[0] for name in sys.modules} & {HEAVY}))"
    ).replace("{HEAVY}", repr(HEAVY))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_recorder_imports_nothing_for_the_network(tmp_path: Path) -> None:
    """What libraries bring along is put off: it is a tenth of a start, and 3 MB for as long as the camera is worn."""
    words = [sys.executable, "-X", "importtime", "-c", RUN, "run", "--config", str(tmp_path / "none.toml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert {"trio", "structlog", "av", "bwvd.daemon.daemon"} <= names
    assert names & {"ssl", "_ssl", "asyncio", "asyncio.events", "idna", "idna.core"} == set()
    # Nor what this configuration has no use for: a second OpenSSL, encryption to others, audio without a microphone.
    assert names & {"hashlib", "_hashlib", "hmac", "secrets", "pyrage"} == set()
    assert names & {"greenlet._greenlet", "ctypes.util", "shutil"} == set()
    assert "bwvd.capture.audio.transcode" not in names


def test_what_was_put_off_is_there_for_whoever_touches_it() -> None:
    code = """
from bwvd.service.put_off import import_lightly, put_off
import_lightly()
import sys
assert not {"ssl", "asyncio", "idna"} & set(sys.modules)
import trio, structlog
assert trio.run(trio.socket.getaddrinfo, "localhost", 80)
held = trio._ssl._stdlib_ssl
assert held.SSLError.__name__ == "SSLError" and "_ssl" in sys.modules
import ssl, asyncio
assert held is not ssl and held.SSLError is ssl.SSLError
assert structlog.stdlib.asyncio.get_running_loop is asyncio.get_running_loop
with put_off("ssl", "zipfile"):
    import ssl as again, zipfile
assert again is ssl and "zipfile" not in sys.modules and zipfile.ZipFile.__name__ == "ZipFile"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("command", ["verify", "export"])
def test_what_decodes_nothing_loads_no_libav(command: str, tmp_path: Path) -> None:
    """It is most of what a short export, or a verification, would wait for."""
    folder = str(make_recording(make_storage(tmp_path / "storage")))
    arguments = [command, folder, *(["-o", str(tmp_path / "out.mp4")] if command == "export" else [])]
    told = f"import atexit, sys; atexit.register(lambda: print(sorted({NOT_FOR_THIS!r} & set(sys.modules))))"
    done = subprocess.run(
        [sys.executable, "-c", f"{told}; {RUN}", *arguments], check=False, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert len(done.stdout.splitlines()) > 1
