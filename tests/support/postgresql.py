"""A PostgreSQL of a test's own: a cluster in a temporary folder, on a Unix socket, run by somebody who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.stock import need

_USER = "postgres"  # PostgreSQL refuses root; Debian's package makes this user


@contextmanager
def a_database() -> Iterator[str]:
    """The URL of an empty database; it is gone at the end."""
    tools = _tools()
    folder = Path(tempfile.mkdtemp(prefix="bwvd-pg-"))  # a socket's path has 107 bytes at most
    data = folder / "data"
    try:
        if os.geteuid() == 0:
            user = pwd.getpwnam(_USER)
            os.chown(folder, user.pw_uid, user.pw_gid)
        _run(tools / "initdb", "-D", data, "-U", "bwvd", "-A", "trust", "-N")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        _run(tools / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")
        try:
            yield f"postgresql://bwvd@/postgres?host={folder}"
        finally:
            _run(tools / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tools() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found else Path(need("initdb")).parent


def _run(*command: str | Path) -> None:
    """Run one of PostgreSQL's tools; as root, in the name of its own user."""
    started = [str(part) for part in command]
    if os.geteuid() == 0:
        started = [need("setpriv"), f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", *started]
    subprocess.run(started, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
