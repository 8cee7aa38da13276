"""A PostgreSQL of a test's own: a cluster in a temporary folder, on a Unix socket, run by somebody who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.stock import need

_USER = "postgres"  # PostgreSQL refuses root; Debian's package makes this user


def a_database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, gone with the test."""
    tools = _tools()
    folder = Path(tempfile.mkdtemp(prefix="bwvd-pg-"))  # a socket's path has 107 bytes at most
    request.addfinalizer(lambda: shutil.rmtree(folder, ignore_errors=True))
    if os.geteuid() == 0:
        user = pwd.getpwnam(_USER)
        os.chown(folder, user.pw_uid, user.pw_gid)
    data = folder / "data"
    _run(tools / "initdb", "-D", data, "-U", "bwvd", "-A", "trust", "-N")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    _run(tools / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")
    request.addfinalizer(lambda: _run(tools / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"))
    return f"postgresql://bwvd@/postgres?host={folder}"


def _tools() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found else Path(need("initdb")).parent


def _run(*command: str | Path) -> None:
    """Run one of PostgreSQL's tools; as root, in the name of its own user."""
    started = [str(part) for part in command]
    if os.geteuid() == 0:
        started = [need("setpriv"), f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", *started]
    subprocess.run(started, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
