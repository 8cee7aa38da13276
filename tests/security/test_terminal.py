"""What a person reads on a terminal never steers it, whoever wrote the label, the journal or the device's name."""

from __future__ import annotations

import io
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest
from click.testing import CliRunner

from bwvd import log
from bwvd.cli.devices import print_devices
from bwvd.cli.main import main
from bwvd.cli.options import Failure, print_json
from bwvd.cli.printing import print_status
from bwvd.controls.discovery import list_controls
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, MANIFEST_NAMESPACE, Chain
from tests.support.desk import export_mp4
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

# Clears the screen, sets the title, rings, C1's CSI, turns the writing round, goes to the line's beginning, deletes.
EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eGNP\r\x7f\u2028\x00"
# What a terminal or a reader of lines obeys: C0, DEL, C1, direction marks, separators of lines.
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    assert not OBEYED.search(text), OBEYED.findall(text)
    return text


def hostile(value: Any) -> Any:
    """Every text in a record made evil, but for those that lead to files and segments."""
    if isinstance(value, msgspec.Struct):
        kept = {"file", "sha256", "plain_sha256", "init", "signer", "recording", "kind", "track", "recipients"}
        changed = {name: hostile(getattr(value, name)) for name in value.__struct_fields__ if name not in kept}
        return msgspec.structs.replace(value, **changed)
    if isinstance(value, list):
        return [hostile(entry) for entry in value]
    if isinstance(value, dict):
        return {f"{EVIL}{name}": hostile(entry) for name, entry in value.items()}
    return EVIL + value if isinstance(value, str) else value


def rewritten(path: Path, namespace: str, kind: Any, more: list[records.Record]) -> None:
    chain = Chain(fixed_signer(), namespace)
    lines = path.read_bytes().splitlines(keepends=True)[::2]
    made = b"".join(chain.line(hostile(msgspec.json.decode(line, type=kind))) for line in lines)
    path.write_bytes(made + b"".join(chain.line(msgspec.structs.replace(record, n=chain.n)) for record in more))


STAMP = records.Stamp(mono_ns=0, utc=EVIL, quality=EVIL)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed by the device's own key, and every text in it hostile."""
    place = make_storage(tmp_path_factory.mktemp("hostile") / "storage")
    folder = make_recording(place, close="", label=EVIL)
    rewritten(
        folder / "manifest.jsonl",
        MANIFEST_NAMESPACE,
        records.ManifestRecord,
        [
            records.Fault(n=0, name=EVIL, active=True, at_ns=0, detail=EVIL),
            records.Gap(n=0, track=EVIL, from_ns=0, to_ns=1, cause=EVIL),
            records.Officer(n=0, at_ns=0, officer=EVIL),
            records.State(n=0, state=EVIL, at_ns=0, source=EVIL),
        ],
    )
    (folder / f"evil{EVIL}".replace("\0", "")).touch()
    (place / "recordings" / f"x{EVIL}".replace("\0", "")).mkdir()
    chain = Chain(fixed_signer(), JOURNAL_NAMESPACE)
    first = records.Journal(
        n=0, format=1, device=EVIL, signer=fixed_signer().public_key, file_number=1, last_serial=0, previous=None
    )
    entry = records.Entry(n=1, event=EVIL, stamp=STAMP, detail={EVIL: EVIL, "where": EVIL})
    (place / "journal.jsonl").write_bytes(chain.line(first) + chain.line(entry))
    (place.parent / "bwvd.toml").write_text(
        f'[storage]\npath = "{place}"\n[socket]\npath = "{place.parent / "none.sock"}"\n'
    )
    return place


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("command", ["list", "show", "journal", "verify", "check"])
def test_commands_on_evidence(storage: Path, command: str, as_json: bool) -> None:
    words = [command, "-c", str(storage.parent / "bwvd.toml"), *(["--json"] if as_json else [])]
    if command == "show":
        words.append("1")
    done = CliRunner().invoke(main, words)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "owned" in harmless(done.stdout) + harmless(done.stderr) or command == "check"
    if as_json:
        msgspec.json.decode(done.stdout)


@pytest.mark.parametrize("option", ["-o", "--sheet", "--proof"])
def test_exports(storage: Path, tmp_path: Path, option: str) -> None:
    out = tmp_path / {"-o": "out.mp4", "--sheet": "out.html", "--proof": "out.zip"}[option]
    done = CliRunner().invoke(
        main, ["export", "1", "-c", str(storage.parent / "bwvd.toml"), "--force", option, str(out)]
    )
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert option == "--proof" or out.exists()
    harmless(done.stdout + done.stderr)


def test_subtitles_of_an_export(storage: Path, tmp_path: Path) -> None:
    [folder] = storage.glob("recordings/2026*")
    [file] = export_mp4(folder, tmp_path / "out.mp4", force=True).files
    with av.open(file.path) as container:
        texts = [bytes(packet)[2:].decode() for packet in container.demux(container.streams.subtitles[0])]
    assert any("owned" in harmless(text) for text in texts)


def test_status(capsys: pytest.CaptureFixture[str]) -> None:
    status = {
        "state": EVIL,
        "device": EVIL,
        "uptime_s": 1.0,
        "loop": {"seconds": 1.0, "capacity_s": 30.0, "bytes": 1},
        "video": {"source": EVIL, "encoder": EVIL, "frames": 1, "dropped": 0},
        "storage": {"free_bytes": 1, "minutes_left": None, "backlog_bytes": 0},
        "recording": {"id": EVIL, "seconds": 1.0, "segments": 1, "committed_s": 1.0},
        "faults": [EVIL],
        "fault_details": {EVIL: {"detail": EVIL}},
        "controls": [EVIL],
    }
    print_status(status)
    print_json(status)
    assert harmless(capsys.readouterr().out).count("owned") >= 14


def test_devices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A USB device says what it is called."""
    device = tmp_path / "sys/class/input/event0/device"
    (device / "capabilities").mkdir(parents=True)
    (device / "name").write_text(EVIL)
    (device / "capabilities/key").write_text("80000000000000 0 0 0")
    (device / "capabilities/sw").write_text("0")
    links = tmp_path / "dev/input/by-id"
    links.mkdir(parents=True)
    (tmp_path / "dev/input/event0").touch()
    (links / f"usb-{EVIL}".replace("\0", "")).symlink_to("../event0")
    found = [asdict(control) for control in list_controls(tmp_path)]
    assert found
    print_devices([*found, {"kind": "camera", "where": EVIL, "what": EVIL, "problem": EVIL, "toml": EVIL}])
    print_json(found)
    assert "owned" in harmless(capsys.readouterr().out)


def test_errors(capsys: pytest.CaptureFixture[str]) -> None:
    Failure(f"{EVIL}: no such recording", 1).show()
    assert harmless(capsys.readouterr().err).startswith("bwvd: ")


def test_logs() -> None:
    """Fields, names of fields, errors: a log is read on a terminal as well."""
    stream = io.StringIO()
    log.configure(stream=stream)
    try:
        logger = log.get_logger("test")
        logger.warning("device_lost", where=EVIL, error=OSError(5, EVIL), **{EVIL: EVIL})
        logger.warning("state_changed", detail=[EVIL, {EVIL: EVIL}])
        log.close()
        assert stream.getvalue().count("owned") >= 4
        harmless(stream.getvalue())
    finally:
        log.close()
        log.unconfigured()
