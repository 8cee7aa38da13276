"""The log as a reader sees it: JSON where a machine reads, columns where a person does."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bwvd import log
from bwvd.log.limit import Limiter
from bwvd.media.samples import Batch, Sample, Track

early = log.get_logger("early")  # made when the module is loaded, as everywhere in bwvd


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    yield
    log.close()
    log.unconfigured()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_how_bad_what_and_from_where(stream: io.StringIO) -> None:
    log.configure(stream=stream)
    log.get_logger("camera").warning("camera_lost", device="v4l2:/dev/video0", attempt=3)
    (line,) = lines(stream)
    assert list(line) == ["utc", "mono_ns", "level", "event", "device", "attempt", "logger"]
    assert line["level"] == "warning"
    assert line["event"] == "camera_lost"
    assert line["logger"] == "camera"
    assert line["utc"].endswith("Z")
    assert len(line["utc"]) == len("2026-11-22T07:15:03.250Z")
    assert isinstance(line["mono_ns"], int)


def test_loggers_made_before_the_log_is_configured_obey_it(stream: io.StringIO) -> None:
    early.info("before")
    log.configure("warning", stream)
    early.info("quiet")
    early.error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_media_and_escapes_do_not_get_through(stream: io.StringIO) -> None:
    """Invariant 1: nothing of the loop reaches a log."""
    secret = b"\x00SECRET\xff"
    track = Track("video", "h264", 90_000, secret, "lavfi:x", "libx264")
    batch = Batch(track, (Sample(0, 8, 0, 0, 1, True),), bytearray(secret))
    log.configure("debug", stream)
    logger = log.get_logger("t").bind(bound=batch)
    logger.debug("sample_taken", data=secret, batch=batch, text="\x1b]0;title\x07\n")
    try:
        fail(secret, batch.data)
    except ValueError as error:
        logger.exception("it_failed", error=error)
    assert len(lines(stream)) == 2
    assert "SECRET" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert "log/test_lines.py" in lines(stream)[1]["exception"]


def fail(*what: object) -> None:
    raise ValueError(*what)


def test_a_flood_ends_in_a_count(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [5.0]
    monkeypatch.setattr(log, "Limiter", partial(Limiter, monotonic_s=lambda: now_s[0]))
    log.configure(stream=stream)
    for _ in range(500):
        early.warning("frame_dropped", device="cam")
    now_s[0] += 61
    early.info("state_changed")
    found = lines(stream)
    assert [line["event"] for line in found] == ["frame_dropped"] * 10 + ["log_suppressed", "state_changed"]
    assert found[10] | {"utc": 0, "mono_ns": 0} == {
        "utc": 0, "mono_ns": 0, "level": "warning", "event": "log_suppressed", "suppressed_event": "frame_dropped",
        "lines": 490, "within_s": 61.0, "logger": "log",
    }  # fmt: skip


@pytest.mark.parametrize("no_color", [False, True])
def test_a_person_at_a_terminal_gets_columns(monkeypatch: pytest.MonkeyPatch, no_color: bool) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        log.configure(stream=stream)
        early.error("camera_lost", device="a b\x1b[2J")
        shown = os.read(controller, 4096).decode()
        log.close()
    os.close(controller)
    assert "camera_lost" in shown
    assert "{" not in shown
    assert "\x1b[2J" not in shown
    assert ("\x1b[" in shown) is not no_color


def test_a_file_gets_json_and_the_journal_a_priority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    with path.open("w") as stream:
        found = os.fstat(stream.fileno())
        log.configure(stream=stream)
        early.info("one")
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        log.configure(stream=stream)
        early.info("two")
        early.warning("three")
        early.error("four")
        log.close()
    assert [line.partition("{")[0] for line in path.read_text().splitlines()] == ["", "<6>", "<4>", "<3>"]


def test_any_field_name_can_be_logged(stream: io.StringIO) -> None:
    log.configure(stream=stream)
    early.info("fields", **{"a b\n": 1, "level": "not a level", "utc": "never", "": 0})
    (line,) = lines(stream)
    assert line["event"] == "fields"
    assert line["level"] == "info"
    assert line["utc"] != "never"
    assert line["a b\\n"] == 1


def test_a_command_that_is_no_daemon_logs_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """What is on stdout is the command's answer, and nothing else: it may be one JSON document."""
    log.get_logger("recovery").bind(recording="R").error("recording_not_recovered", error="\x1b[2Jno")
    log.get_logger("recovery").debug("nobody_wants_to_know")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: recovery: recording_not_recovered recording='R' error=")
    assert "\x1b" not in err
    assert err.count("\n") == 1


def test_the_daemon_starts_without_what_a_person_at_a_terminal_needs() -> None:
    """Start-up counts: no library that draws or parses source code."""
    code = (
        "import sys, bwvd.cli.main, bwvd.daemon.process; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"av", "structlog"} <= set(loaded)
    assert not {"rich", "pygments"} & set(loaded)
