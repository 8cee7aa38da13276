"""Commands that the documents tell people to type, and a sandbox in which they can be typed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.support.documents import DOCS, README
from tests.support.source_tree import PACKAGE, ROOT

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
RECORDING = re.compile(r"\b(?:\d{8}T\d{6}Z-BWV-0001-\d{6}|REC)\b")
# A span of code that begins so, and goes on, is something to type.
PROGRAMS = (
    *("sudo", "bwvd", "python", "python3", "pytest", "pydoc", "apt", "systemctl", "journalctl", "systemd-analyze"),
    *("ssh-keygen", "age", "age-keygen", "sha256sum", "udevadm", "nano"),
)


@dataclass(frozen=True, slots=True)
class Typed:
    """A simple command in a document."""

    page: str  # "README", "install"
    command: str
    inline: bool  # inside a sentence or a table, not in a block of its own


def documents() -> list[Path]:
    """Every document that people read."""
    more = [PACKAGE / "evidence/format/FORMAT.md", ROOT / "tests/README.md", ROOT / "tests/machine/README.md"]
    return [README, *sorted(DOCS.glob("*.md")), *more]


def name_of(document: Path) -> str:
    """`README`, `install`, `tests/machine/README`."""
    if document.parent in (DOCS, ROOT) or not document.is_relative_to(ROOT):
        return document.stem
    return str(document.relative_to(ROOT).with_suffix(""))


def typed(document: Path) -> Iterator[Typed]:
    """The commands of a document in the order in which they stand there, those of its blocks first."""
    text, page = document.read_text(encoding="utf-8"), name_of(document)
    for language, block in FENCED.findall(text):
        if language in ("sh", "bash", "console"):
            for line in block.splitlines():
                yield from (Typed(page, command, inline=False) for command in _simple(line))
    for span in SPAN.findall(FENCED.sub("", text)):
        command = " ".join(span.split())
        first, _, rest = command.partition(" ")
        if rest and (first in PROGRAMS or first.startswith(".venv/bin/")):
            yield Typed(page, command, inline=True)


def _simple(line: str) -> list[str]:
    """The commands of a line that `&&` joins, without its comment."""
    told = line.removeprefix("$ ").split("   #")[0].strip()
    return [part.strip() for part in told.split(" && ") if part.strip() and not part.startswith("#")]


def blocks(document: Path, language: str) -> list[str]:
    """The text of the fenced blocks of a language."""
    return [block for found, block in FENCED.findall(document.read_text(encoding="utf-8")) if found == language]


class Sandbox:
    """A folder that stands for a machine: what the documents call /etc/bwvd, /mnt/card or a home lies in it.

    `sudo` does as it is told without becoming root, `bwvd` is the one of this tree and looks for its configuration in
    the sandbox, and a question for a passphrase is answered with none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recording = ""  # stands for the recording that the documents name
        self.work = root / "home"
        self.running = ExitStack()  # what goes on beside the commands
        short = tempfile.mkdtemp(prefix="bwvd-")  # a socket's path has 107 bytes, and pytest's folders are deep
        weakref.finalize(self, shutil.rmtree, short, ignore_errors=True)
        for folder in ("home", "bin", "etc/bwvd", "mnt/card", "media/card"):
            (root / folder).mkdir(parents=True)
        self.configuration = root / "etc/bwvd/bwvd.toml"
        start = f"import bwvd.cli.options as options; options.DEFAULT_CONFIG = {str(self.configuration)!r}"
        self._script("bwvd", f'exec {shlex.quote(sys.executable)} -c "{start}; {_MAIN}" "$@"')
        self._script("sudo", 'exec "$@"')
        self._script("askpass", "echo")
        self._script("python", f'exec {shlex.quote(sys.executable)} "$@"')
        self._script("pydoc", f'exec {shlex.quote(sys.executable)} -m pydoc "$@"')
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"},
            "PATH": f"{root}/bin:{os.environ['PATH']}",
            "HOME": str(self.work),
            "TMPDIR": short,
            "PYTHONPATH": str(ROOT),
            "SSH_ASKPASS": str(root / "bin/askpass"),
            "SSH_ASKPASS_REQUIRE": "force",
            "PAGER": "cat",
        }

    def _script(self, name: str, line: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def here(self, command: str) -> str:
        """The command with the sandbox's paths and recording in the place of those of the document."""
        for place in ("/etc/bwvd", "/mnt/card", "/media/card"):
            command = re.sub(rf"(?<!\S)(file:|){place}", r"\1" + str(self.root / place[1:]), command)
        command = command.replace(".venv/bin/", f"{self.root}/bin/")
        return RECORDING.sub(self.recording, command) if self.recording else command

    def run(self, command: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Type a command; without a terminal."""
        return subprocess.run(
            ["sh", "-c", self.here(command)],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            start_new_session=True,
            check=False,
        )


_MAIN = "from bwvd.cli.main import main; main(prog_name='bwvd')"
