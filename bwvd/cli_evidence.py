"""The commands on evidence: list, show, verify, export, journal, release, keygen. What is heavy is imported where it is
used."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from bwvd.config import Config
from bwvd.invocation import DEFAULT_CONFIG, Failure, ask, config_option, json_option, load_config, print_json

_RECEIPT_BYTES = 1_048_576


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
    return load_config(config_path)


@click.command("list")
@config_option
@json_option
def list_(config_path: str, as_json: bool) -> None:
    """List the recordings on this device."""
    from bwvd.evidence.catalogue import catalogue
    from bwvd.evidence.errors import EvidenceError
    from bwvd.reports import print_list

    try:
        entries = catalogue(Path(load_config(config_path).storage.path))
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    if as_json:
        print_json([entry.as_dict() for entry in entries])
    else:
        print_list(entries)


@click.command()
@config_option
@json_option
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
        print_json(document)
    else:
        print_recording(document)


@click.command()
@config_option
@json_option
@click.option("--signers", metavar="FILE", help="allowed_signers file: only these keys count.")
@click.option("--identity", "identities", multiple=True, metavar="FILE", help="Decrypt, and decode every frame.")
@click.argument("paths", nargs=-1, metavar="PATH…")
def verify(
    config_path: str, as_json: bool, signers: str | None, identities: tuple[str, ...], paths: tuple[str, ...]
) -> None:
    """Verify recordings, storages, segment files or proofs; without PATH the whole storage of this device."""
    from bwvd import desk

    where = list(paths) or [load_config(config_path).storage.path]
    code = desk.verify(where, signers, list(identities), as_json=as_json)
    for path in where:
        _tell(config_path, "verified", Path(path), "good" if code == 0 else "not good")
    sys.exit(code)


@click.command()
@config_option
@click.argument("rec")
@click.option("-o", "--output", metavar="FILE", help="The MP4 to write; must not exist.")
@click.option("--sheet", metavar="FILE.png", help="A contact sheet to write, with or without an MP4.")
@click.option(
    "--identity", "identities", multiple=True, metavar="FILE", help="age identity or SSH key to decrypt with."
)
@click.option("--signers", metavar="FILE", help="allowed_signers file: only these keys count.")
@click.option("--from", "from_s", type=float, metavar="S", help="Begin at the key frame at or before S seconds.")
@click.option("--to", "to_s", type=float, metavar="S", help="End at S seconds.")
@click.option("--proof", metavar="FILE.zip", help="Also write the untouched recording with all that proves it.")
@click.option("--no-captions", is_flag=True, help="No timed text where the pictures carry no stamp.")
@click.option("--force", is_flag=True, help="Export also what does not verify.")
def export(
    config_path: str,
    rec: str,
    output: str | None,
    sheet: str | None,
    identities: tuple[str, ...],
    signers: str | None,
    from_s: float | None,
    to_s: float | None,
    proof: str | None,
    no_captions: bool,
    force: bool,
) -> None:
    """Write one recording as one MP4, without re-encoding, or as a contact sheet."""
    from bwvd import desk

    if not (output or sheet):
        raise click.UsageError("give -o FILE.mp4, or --sheet FILE.png, or both")
    folder = _find(_config_or_default(config_path), rec)
    code = desk.export(
        folder,
        output,
        list(identities),
        sheet=sheet,
        signers=signers,
        from_s=from_s,
        to_s=to_s,
        proof=proof,
        captions=not no_captions,
        force=force,
    )
    _tell(config_path, "exported", folder, "done" if code == 0 else "refused")
    sys.exit(code)


def _tell(config_path: str, what: str, path: Path, outcome: str) -> None:
    """Let the device's journal say that its evidence was read; nothing to tell where no daemon holds that storage."""
    from bwvd.controls.client import Unreachable, request

    if not Path(config_path).exists():
        return
    config = load_config(config_path)
    if Path(config.storage.path).resolve() not in (path.resolve(), *path.resolve().parents):
        return
    with contextlib.suppress(Unreachable):
        request(config.socket.path, {"cmd": "did", "what": what, "where": path.name, "outcome": outcome}, 5)


@click.command()
@config_option
@json_option
def journal(config_path: str, as_json: bool) -> None:
    """Print the device's journal."""
    from bwvd import desk

    sys.exit(desk.journal(Path(load_config(config_path).storage.path), as_json=as_json))


@click.command()
@config_option
@click.argument("rec")
@click.option("--receipt", required=True, metavar="FILE", help="The agency's signed receipt for this recording.")
def release(config_path: str, rec: str, receipt: str) -> None:
    """Delete one recording that its agency has acknowledged; a signature may lie beside the receipt as FILE.sig."""
    from bwvd.evidence.regular import read_regular

    config = load_config(config_path)
    name = _find(config, rec).name
    beside = Path(f"{receipt}.sig")
    try:
        text = read_regular(receipt, _RECEIPT_BYTES, follow=True).decode("utf-8")
        signature = read_regular(beside, _RECEIPT_BYTES, follow=True).decode("utf-8") if beside.exists() else None
    except OSError as error:
        raise Failure(f"{error.filename or receipt}: {error.strerror}", 2) from None
    except UnicodeDecodeError as error:
        raise Failure(f"{receipt}: {error}", 2) from None
    payload = {"cmd": "release", "recording": name, "receipt": text, "signature": signature}
    click.echo(ask(config_path, payload, timeout_s=600)["text"])


@click.command()
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


COMMANDS = (list_, show, verify, export, journal, release, keygen)
