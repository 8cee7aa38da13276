"""Whether this host can run the machine, and the image that it is made from: built once, kept in a folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD_LIMIT_S = 1800.0
TOOLS = ("qemu-system-x86_64", "qemu-img", "qemu-io", "nbdkit", "debootstrap", "mkfs.ext4", "ssh", "tar")

# Debian's names of what they are in.
PACKAGES = "debootstrap qemu-system-x86 qemu-utils nbdkit e2fsprogs openssh-client"


def cache() -> Path:
    """Where images and the machines' disks lie: $BWVD_MACHINE_DIR, or the user's cache."""
    if given := os.environ.get("BWVD_MACHINE_DIR"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bwvd" / "machine"


def why_not() -> str:
    """Why no machine can be built or run here; "" where it can."""
    if os.uname().machine != "x86_64":
        return "the machine is an x86-64 one, and this is none"
    if os.geteuid() != 0:
        return "not root: building the image takes mount, chroot and device nodes"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"not installed: {', '.join(missing)} (Debian: {PACKAGES})"
    return _forbidden()


def _forbidden() -> str:
    """What a container may forbid even to root: tried, with a tree that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="bwvd-probe-") as name:
        trial = f"""set -e; cd {name}; mkdir -p low up work m
            mknod node c 1 3; echo x >node
            mount -t overlay overlay -o lowerdir=low,upperdir=up,workdir=work m; trap 'umount m' EXIT
            mkdir m/proc; mount -t proc proc m/proc; umount m/proc"""
        done = subprocess.run(["bash", "-c", trial], check=False, capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            done = subprocess.run(["chroot", "/", "true"], check=False, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else f"root may not do it here: {done.stderr.strip().splitlines()[-1]}"


def built() -> Path:
    """The folder of the image, built first where it is not as it should be; minutes. Two at a time wait for each other.

    Raises RuntimeError with the end of what the build said.
    """
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [str(HERE / "image.sh"), str(folder)],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=BUILD_LIMIT_S,
            env={**os.environ, "PYTHON": sys.executable},
        )
    if done.returncode:
        raise RuntimeError(f"the image can't be built: {done.stderr[-3000:]}")
    return folder
