"""The daemon as a process of a 64-bit ARM whose instructions are counted while it runs: QEMU's user mode with a plugin.

Dependencies come from the package for ARM, Python and the system's libraries from a Debian root, bwvd from this tree:
what was just changed is counted without building anything.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("insn_count.c")
SITE = "opt/bwvd/venv/lib/site-packages"  # in the package
PYTHON = "usr/bin/python3"  # in the root
# A Raspberry Pi Zero 2 W's: a Cortex-A53 whose maker left the instructions for AES and SHA out. QEMU's model has them,
# so that OpenSSL is told what to find (1: NEON alone).
PROCESSOR = ("-cpu", "cortex-a53")
WITHOUT_CRYPTO = {"OPENSSL_armcap": "1"}

_PAIR = struct.Struct("=QQ")  # insn_count.c


class Missing(Exception):
    """Nothing can be counted here. One line: what is missing, and where it comes from."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """Everything that is needed; `command` and `environment` are for a program of the root's Python."""

    qemu: Path
    plugin: Path
    root: Path
    folder: Path  # the package's dependencies, and byte code

    def command(self, counts: Path) -> list[str]:
        """Python of the root; its threads' instructions are counted into `counts`."""
        plugin = ("-plugin", f"{self.plugin},out={counts}")
        return [str(self.qemu), *PROCESSOR, *plugin, "-L", str(self.root), str(self.root / PYTHON)]

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        python = {"PYTHONPATH": str(self.folder / SITE), "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode")}
        return kept | WITHOUT_CRYPTO | python


def emulator(root: Path, package: Path, qemu: str, folder: Path) -> Emulator:
    """Look for everything, compile the plugin and unpack the package's dependencies into `folder`.

    Raises: Missing.
    """
    found = shutil.which(qemu)
    if found is None:
        raise Missing(f"no {qemu} here: `.ci/qemu FOLDER` makes one that takes plugins, --qemu names it")
    options = subprocess.run([found, "-help"], capture_output=True, text=True, check=False).stdout
    if "-plugin" not in options.split():
        raise Missing(
            f"{found} takes no plugins, as Debian's does not: `.ci/qemu FOLDER` makes one that does, --qemu names it"
        )
    if not (root / PYTHON).exists():
        raise Missing(f"no Python in {root}: `.ci/arm FOLDER` makes a Debian root for ARM in FOLDER")
    if not package.is_file():
        raise Missing(f"no {package}: `.ci/deb arm64` makes the package, --package names it")
    if shutil.which("dpkg-deb") is None:
        raise Missing("no dpkg-deb to unpack the package with: install dpkg")
    plugin = _compiled(Path(found).resolve(), folder)
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
    return Emulator(Path(found), plugin, root, folder)


def _compiled(qemu: Path, folder: Path) -> Path:
    """The plugin for this QEMU, against the header that is installed beside it."""
    include = qemu.parent.parent / "include"
    if not (include / "qemu-plugin.h").is_file():
        raise Missing(f"no qemu-plugin.h in {include}, where {qemu} has it if it was installed with its header")
    for tool, package in (("cc", "gcc"), ("pkg-config", "pkg-config")):
        if shutil.which(tool) is None:
            raise Missing(f"no {tool} to compile the plugin with: install {package}")
    glib = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], capture_output=True, text=True, check=False)
    if glib.returncode:
        raise Missing("no headers of GLib, which qemu-plugin.h includes: install libglib2.0-dev")
    plugin = folder / "insn_count.so"
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{include}", *glib.stdout.split()]
    subprocess.run(["cc", *options, "-o", str(plugin), str(SOURCE)], check=True)
    return plugin


def threads_in(counts: bytes) -> Iterator[tuple[int, int]]:
    """Thread ids and their instructions, of what the plugin writes. An id may come twice: the kernel uses it again."""
    return ((thread, instructions) for thread, instructions in _PAIR.iter_unpack(counts) if thread)


def by_part(counts: bytes, names: dict[int, str], main: int) -> Counter[str]:
    """Instructions of the main thread, of the camera's, and of all others, those that have ended among them.

    names: of the threads that run, by id, as the kernel has them. A number is the main thread's if it is the process's.
    """
    parts: Counter[str] = Counter()
    for thread, instructions in threads_in(counts):
        capture = names.get(thread, "").startswith("capture")
        parts["main" if thread == main else "capture" if capture else "others"] += instructions
    return parts
