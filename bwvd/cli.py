"""The command line: one short function a command. What is heavy is imported where it is used, because `bwvd status`
must answer at once on a small board.

Exit codes: 0 good · 1 the answer is no · 2 usage or configuration, one line naming the key or the file · 3 the daemon
can't be reached.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bwvd import __version__
from bwvd.config import Config, ConfigError, load

DEFAULT_CONFIG = "/etc/bwvd/bwvd.toml"

Command = TypeVar("Command", bound=Callable[..., Any])


class Failure(click.ClickException):
    """One line on stderr and an exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: Any = None) -> None:
        click.echo(f"bwvd: {self.message}", err=True, file=file)


def _config_option(command: Command) -> Command:
    return click.option(
        "-c",
        "--config",
        "config_path",
        default=DEFAULT_CONFIG,
        show_default=True,
        help="Configuration file.",
        metavar="FILE",
    )(command)


def _json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else.")(
        command
    )


def _load(path: str) -> Config:
    try:
        return load(Path(path))
    except ConfigError as error:
        raise Failure(str(error), 2) from None


def _request(config_path: str, payload: dict[str, Any], timeout_s: float = 15.0) -> dict[str, Any]:
    """One request to the daemon and its reply, whatever it says; an unreachable daemon is exit 3."""
    from bwvd.controls.client import Unreachable, request

    config = _load(config_path)
    try:
        return request(config.socket.path, payload, timeout_s)
    except Unreachable as error:
        raise Failure(str(error), 3) from None


def _ask(config_path: str, payload: dict[str, Any], timeout_s: float = 15.0) -> dict[str, Any]:
    """The same; a refusal is exit 1."""
    answer = _request(config_path, payload, timeout_s)
    if not answer["ok"]:
        raise Failure(str(answer.get("error") or answer.get("text") or "refused"), 1)
    return answer


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bwvd")
def main() -> None:
    """Body-worn video: a rolling loop in RAM, and recordings on flash that hold up."""


# --- the daemon ------------------------------------------------------------------------------------------------------


@main.command()
@_config_option
def run(config_path: str) -> None:
    """Run the daemon."""
    from bwvd.main import run_forever

    sys.exit(run_forever(_load(config_path), Path(config_path)))


@main.command()
@click.option("--headless", is_flag=True, help="No keyboard: loop, press, recording, stop, verification, one MP4.")
@click.option("--loop", "loop_s", default=30.0, show_default=True, help="Length of the loop in seconds.")
@click.option("--record", "record_s", default=5.0, show_default=True, help="With --headless: seconds to record.")
@click.option("--source", default="", help="A video source instead of the synthetic camera, e.g. v4l2:/dev/video0.")
@click.option(
    "--keep", "folder", default="", metavar="DIR", help="Where the evidence goes; default: a temporary folder."
)
def demo(headless: bool, loop_s: float, record_s: float, source: str, folder: str) -> None:
    """Try it: a synthetic camera and microphone, no configuration, no root."""
    from bwvd.demo import run_demo

    sys.exit(run_demo(headless=headless, loop_s=loop_s, record_s=record_s, source=source, folder=folder))


@main.command()
@_config_option
@_json_option
def check(config_path: str, as_json: bool) -> None:
    """Validate configuration, devices, keys and storage."""
    from bwvd.check import check_all, print_findings

    findings = check_all(_load(config_path))
    if as_json:
        _print_json([finding.as_dict() for finding in findings])
    else:
        print_findings(findings)
    sys.exit(0 if all(finding.ok for finding in findings) else 2)


# --- orders to the daemon --------------------------------------------------------------------------------------------


@main.command()
@_config_option
@_json_option
@click.option("--watch", is_flag=True, help="A live view; with --json a document a line.")
def status(config_path: str, as_json: bool, watch: bool) -> None:
    """What the daemon does now."""
    if watch:
        _watch(_load(config_path).socket.path, as_json=as_json)
        return
    answer = _ask(config_path, {"cmd": "status"})["status"]
    if as_json:
        _print_json(answer)
    else:
        from bwvd.reports import print_status

        print_status(answer)


def _watch(path: str, *, as_json: bool) -> None:
    """A live view for a terminal; into a pipe the same lines as without it, or one JSON document a line."""
    from bwvd.controls.client import Unreachable, watch

    try:
        statuses = (reply["status"] for reply in watch(path))
        if as_json:
            for status in statuses:
                click.echo(json.dumps(status, ensure_ascii=False))
        elif sys.stdout.isatty():
            from bwvd.service.watch import show

            show(statuses)
        else:
            from bwvd.reports import print_status

            for status in statuses:
                print_status(status)
                click.echo()
    except Unreachable as error:
        raise Failure(str(error), 3) from None
    except KeyboardInterrupt:
        return


def _order(config_path: str, as_json: bool, payload: dict[str, Any]) -> None:
    if as_json:
        answer = _request(config_path, payload)
        _print_json(answer)
        sys.exit(0 if answer["ok"] else 1)
    answer = _ask(config_path, payload)
    click.echo(answer.get("recording") or answer.get("text", ""))


@main.command()
@_config_option
@_json_option
def record(config_path: str, as_json: bool) -> None:
    """Ensure that a recording runs; prints its id."""
    _order(config_path, as_json, {"cmd": "record"})


@main.command()
@_config_option
@_json_option
def stop(config_path: str, as_json: bool) -> None:
    """Ask to stop and confirm in one; the post-roll follows. Prints the recording's id."""
    _order(config_path, as_json, {"cmd": "stop"})


@main.command()
@_config_option
@_json_option
@click.argument("label", default="")
def mark(config_path: str, as_json: bool, label: str) -> None:
    """Set a marker in the recording in progress; prints its id."""
    _order(config_path, as_json, {"cmd": "mark", "label": label})


@main.command()
@_config_option
@_json_option
def sleep(config_path: str, as_json: bool) -> None:
    """Close camera and microphone and wipe the loop."""
    _order(config_path, as_json, {"cmd": "sleep"})


@main.command()
@_config_option
@_json_option
def wake(config_path: str, as_json: bool) -> None:
    """Open camera and microphone: the loop turns again."""
    _order(config_path, as_json, {"cmd": "wake"})


@main.command()
@_config_option
@_json_option
@click.option("--off", is_flag=True, help="Sound on again.")
def mute(config_path: str, as_json: bool, off: bool) -> None:
    """Switch the sound off (or on) until the next such order."""
    _order(config_path, as_json, {"cmd": "unmute" if off else "mute"})


@main.command()
@_config_option
@_json_option
@click.option("--none", "clear", is_flag=True, help="Nobody wears the device.")
@click.argument("officer", default="")
def assign(config_path: str, as_json: bool, clear: bool, officer: str) -> None:
    """Say who wears the device; kept over restarts, and in recordings only where it is encrypted or nothing is."""
    if clear == bool(officer):
        raise click.UsageError("give an id, or --none")
    _order(config_path, as_json, {"cmd": "assign", "officer": officer})


# --- evidence --------------------------------------------------------------------------------------------------------


def _find(config: Config, name: str) -> Path:
    from bwvd.evidence.catalogue import NoSuchRecording, find
    from bwvd.evidence.errors import EvidenceError

    try:
        return find(Path(config.storage.path), name)
    except NoSuchRecording as error:
        raise Failure(str(error), 1) from None
    except EvidenceError as error:
        raise Failure(str(error), 2) from None


def _config_or_default(config_path: str) -> Config:
    """For commands on files, which work without a configuration: on an agency's desk there is none."""
    if config_path == DEFAULT_CONFIG and not Path(config_path).exists():
        return Config()
    return _load(config_path)


@main.command("list")
@_config_option
@_json_option
def list_(config_path: str, as_json: bool) -> None:
    """List the recordings on this device."""
    from bwvd.evidence.catalogue import catalogue
    from bwvd.evidence.errors import EvidenceError
    from bwvd.reports import print_list

    try:
        entries = catalogue(Path(_load(config_path).storage.path))
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    if as_json:
        _print_json([entry.as_dict() for entry in entries])
    else:
        print_list(entries)


@main.command()
@_config_option
@_json_option
@click.argument("rec")
def show(config_path: str, as_json: bool, rec: str) -> None:
    """Show one recording: REC is an id, a serial number, "last", or a folder."""
    from bwvd.evidence.errors import EvidenceError
    from bwvd.reports import describe, print_recording

    try:
        document = describe(_find(_config_or_default(config_path), rec))
    except (EvidenceError, OSError) as error:
        raise Failure(str(error), 1) from None
    if as_json:
        _print_json(document)
    else:
        print_recording(document)


@main.command()
@_config_option
@_json_option
@click.option("--signers", metavar="FILE", help="allowed_signers file: only these keys count.")
@click.option("--identity", "identities", multiple=True, metavar="FILE", help="Decrypt, and decode every frame.")
@click.argument("paths", nargs=-1, metavar="PATH…")
def verify(
    config_path: str, as_json: bool, signers: str | None, identities: tuple[str, ...], paths: tuple[str, ...]
) -> None:
    """Verify recordings, storages, segment files or proofs; without PATH the whole storage of this device."""
    from bwvd import desk

    where = list(paths) or [_load(config_path).storage.path]
    code = desk.verify(where, signers, list(identities), as_json=as_json)
    for path in where:
        _tell(config_path, "verified", Path(path), "good" if code == 0 else "not good")
    sys.exit(code)


@main.command()
@_config_option
@click.argument("rec")
@click.option("-o", "--output", required=True, metavar="FILE", help="The MP4 to write; must not exist.")
@click.option(
    "--identity", "identities", multiple=True, metavar="FILE", help="age identity or SSH key to decrypt with."
)
@click.option("--signers", metavar="FILE", help="allowed_signers file: only these keys count.")
@click.option("--from", "from_s", type=float, metavar="S", help="Begin at the key frame at or before S seconds.")
@click.option("--to", "to_s", type=float, metavar="S", help="End at S seconds.")
@click.option("--proof", metavar="FILE.zip", help="Also write the untouched recording with all that proves it.")
@click.option("--force", is_flag=True, help="Export also what does not verify.")
def export(
    config_path: str,
    rec: str,
    output: str,
    identities: tuple[str, ...],
    signers: str | None,
    from_s: float | None,
    to_s: float | None,
    proof: str | None,
    force: bool,
) -> None:
    """Write one recording as one MP4, without re-encoding."""
    from bwvd import desk

    folder = _find(_config_or_default(config_path), rec)
    code = desk.export(
        folder, output, list(identities), signers=signers, from_s=from_s, to_s=to_s, proof=proof, force=force
    )
    _tell(config_path, "exported", folder, "done" if code == 0 else "refused")
    sys.exit(code)


def _tell(config_path: str, what: str, path: Path, outcome: str) -> None:
    """Let the device's journal say that its evidence was read; nothing to tell where no daemon holds that storage."""
    from bwvd.controls.client import Unreachable, request

    if not Path(config_path).exists():
        return
    config = _load(config_path)
    if Path(config.storage.path).resolve() not in (path.resolve(), *path.resolve().parents):
        return
    with contextlib.suppress(Unreachable):
        request(config.socket.path, {"cmd": "did", "what": what, "where": path.name, "outcome": outcome}, 5)


@main.command()
@_config_option
@_json_option
def journal(config_path: str, as_json: bool) -> None:
    """Print the device's journal."""
    from bwvd import desk

    sys.exit(desk.journal(Path(_load(config_path).storage.path), as_json=as_json))


@main.command()
@_config_option
@click.argument("rec")
@click.option("--receipt", required=True, metavar="FILE", help="The agency's signed receipt for this recording.")
def release(config_path: str, rec: str, receipt: str) -> None:
    """Delete one recording that its agency has acknowledged; a signature may lie beside the receipt as FILE.sig."""
    config = _load(config_path)
    name = _find(config, rec).name
    beside = Path(f"{receipt}.sig")
    try:
        text = Path(receipt).read_text(encoding="utf-8")
        signature = beside.read_text(encoding="utf-8") if beside.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{receipt}: {error}", 2) from None
    payload = {"cmd": "release", "recording": name, "receipt": text, "signature": signature}
    click.echo(_ask(config_path, payload, timeout_s=600)["text"])


@main.command()
@click.argument("folder", metavar="DIR")
@click.option("--device", default="bwvd", show_default=True, help="The device's id: its principal in allowed_signers.")
def keygen(folder: str, device: str) -> None:
    """Make a signing key in DIR: device_key, device_key.pub, allowed_signers."""
    from bwvd.evidence.errors import EvidenceError
    from bwvd.evidence.sign import keygen as make_key

    try:
        made = make_key(Path(folder), device)
    except (EvidenceError, OSError) as error:
        raise Failure(str(error), 2) from None
    for path in made:
        click.echo(path)


@main.command()
@_json_option
def devices(as_json: bool) -> None:
    """List cameras, microphones, GPIO lines, keys and serial ports, each with what to write in the configuration."""
    from bwvd.reports import found_devices, print_devices

    found = found_devices()
    if as_json:
        _print_json(found)
    else:
        print_devices(found)


@main.command()
@click.option("--root", default="/", show_default=True, metavar="DIR", help="Where the file system begins.")
@click.option("--drop-in", "drop_ins", multiple=True, metavar="NAME", help="hardware-encoder, network-camera.")
def install(root: str, drop_ins: tuple[str, ...]) -> None:
    """Put units, rules, users and a commented configuration in place."""
    from bwvd.service.install import InstallError
    from bwvd.service.install import install as put

    try:
        for line in put(Path(root), drop_ins=drop_ins):
            click.echo(line)
    except (InstallError, OSError) as error:
        raise Failure(str(error), 2) from None
