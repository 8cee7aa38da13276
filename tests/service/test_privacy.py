"""Privacy measures, on real processes."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bwvd.service.privacy import core_handler, lock_memory, swap

PROTECT = """
import ctypes, dataclasses, json, os, resource, sys
from bwvd.service.privacy import protect
if len(sys.argv) > 1:                # here and not before: the interpreter may lie where only root may go
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
def locked_kb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmLck"))
measures = [dataclasses.asdict(one) for one in protect()]
before_kb = locked_kb()
held = bytearray(8 << 20)
for at in range(0, len(held), 4096): held[at] = 1
after_kb = locked_kb()
print(json.dumps(dict(
    measures=measures, before_kb=before_kb, after_kb=after_kb,
    dumpable=ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), core=resource.getrlimit(resource.RLIMIT_CORE),
)))
sys.stdout.flush()
"""
CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGABRT)"


def limit(memlock: int | None, core: int | None) -> None:
    if memlock is not None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (memlock, memlock))
    if core is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (core, core))


def run(
    code: str, *arguments: str, cwd: Path, memlock: int | None = None, core: int | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        preexec_fn=lambda: limit(memlock, core),
        timeout=60,
    )


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to lock memory and to change users")


@needs_root
def test_a_process_with_the_right_is_locked_and_not_dumpable(tmp_path: Path) -> None:
    """Invariant 1: not to swap, not to a core dump."""
    done = run(PROTECT, cwd=tmp_path)
    told = json.loads(done.stdout)
    by_name = {one["name"]: one for one in told["measures"]}
    assert by_name["privacy:memory"]["in_force"], by_name
    assert by_name["privacy:dumpable"]["in_force"]
    assert by_name["privacy:core"]["in_force"]
    assert told["before_kb"] > 0
    assert told["after_kb"] - told["before_kb"] >= 8 << 10  # what is allocated after the call is locked as well
    assert told["dumpable"] == 0
    assert told["core"] == [0, 0]


def test_a_process_without_the_right_works_and_says_so(tmp_path: Path) -> None:
    """A developer's shell: 8 MiB may be locked, and nothing breaks."""
    root = os.geteuid() == 0
    done = run(PROTECT, *(["nobody"] if root else []), memlock=8 << 20 if root else None, cwd=tmp_path)
    told = json.loads(done.stdout)
    memory = next(one for one in told["measures"] if one["name"] == "privacy:memory")
    if root:
        assert not memory["in_force"]
    if not memory["in_force"]:  # a developer's shell may also have the right
        assert "LimitMEMLOCK" in memory["detail"]
        assert told["after_kb"] == 0
    assert told["dumpable"] == 0


@needs_root
def test_a_crash_leaves_no_core_where_it_otherwise_would(tmp_path: Path) -> None:
    """Invariant 1: a crash writes nothing. The same crash unprotected shows that the test can see a core."""
    if Path("/proc/sys/kernel/core_pattern").read_text().strip() != "core":
        pytest.skip("core_pattern is not «core» here: a core would not be found")
    plain = run(CRASH, core=resource.RLIM_INFINITY, cwd=tmp_path)
    assert plain.returncode == -signal.SIGABRT
    cores = list(tmp_path.iterdir())
    assert len(cores) == 1
    cores[0].unlink()
    done = run(PROTECT + CRASH, core=resource.RLIM_INFINITY, cwd=tmp_path)
    assert done.returncode == -signal.SIGABRT
    assert list(tmp_path.iterdir()) == []
    only_dumpable = "from bwvd.service.privacy import forbid_dumps; assert forbid_dumps().in_force;" + CRASH
    assert run(only_dumpable, core=resource.RLIM_INFINITY, cwd=tmp_path).returncode == -signal.SIGABRT
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_another_process_of_the_same_user_can_not_read_the_memory(tmp_path: Path) -> None:
    code = """
import ctypes, os, subprocess
from bwvd.service.privacy import forbid_dumps
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)      # what a service that was started as this user would have
look = ["head", "-c", "0", f"/proc/{os.getpid()}/mem"]
print(subprocess.run(look, capture_output=True).returncode)
assert forbid_dumps().in_force
print(subprocess.run(look, capture_output=True).returncode)
"""
    assert run(code, cwd=tmp_path).stdout.split() == ["0", "1"]


@pytest.mark.parametrize(
    ("swaps", "in_force"),
    [
        ("", True),
        ("/dev/zram0 partition 1048576 0 100\n", True),
        ("/dev/mmcblk0p3 partition 1048576 0 -2\n", False),
        ("/dev/zram0 partition 1 0 100\n/var/swap file 102396 0 -2\n", False),
    ],
)
def test_swap_on_storage_is_told(tmp_path: Path, swaps: str, in_force: bool) -> None:
    (tmp_path / "swaps").write_text("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" + swaps)
    measure = swap(tmp_path)
    assert measure.in_force is in_force
    assert "zram" not in measure.detail


def test_what_can_not_be_read_is_not_taken_for_good(tmp_path: Path) -> None:
    assert not swap(tmp_path).in_force
    assert not core_handler(tmp_path, dumpable=True).in_force
    assert core_handler(tmp_path, dumpable=False).in_force  # whatever the pattern is, it gets nothing


@pytest.mark.parametrize(
    ("pattern", "dumpable", "in_force"),
    [
        ("core", True, True),
        ("|/usr/lib/systemd/systemd-coredump %P %u", True, False),
        ("|/usr/lib/systemd/systemd-coredump %P %u", False, True),
    ],
)
def test_a_program_that_takes_crashes_is_told(tmp_path: Path, pattern: str, dumpable: bool, in_force: bool) -> None:
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/core_pattern").write_text(pattern + "\n")
    measure = core_handler(tmp_path, dumpable=dumpable)
    assert measure.in_force is in_force
    assert "%P" not in measure.detail


@pytest.mark.parametrize("status", ["", "CapEff:\n", "CapEff:\tzz\n", "CapEff:\t0000000000000000\n"])
def test_a_limit_without_the_capability_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """mlockall under a limit may succeed now and fail an allocation later, in the middle of a recording."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8 << 20, 8 << 20))
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(status)
    measure = lock_memory(tmp_path)
    assert not measure.in_force
    assert "LimitMEMLOCK" in measure.detail
