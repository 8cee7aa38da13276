"""`bwvd release`: hand the camera the receipts for its recordings; it judges them, and deletes what they cover."""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from pathlib import Path

import click

from bwvd.cli.options import NAME, Failure, config_option, find_recording, load_config, request
from bwvd.cli.printing import warn
from bwvd.config.schema import Config
from bwvd.evidence.format.layout import ARCHIVE, RECORDINGS, is_litter
from bwvd.text import clean, foreign_encoding

ANSWER_S = 600  # a recording of hours is read before it is let go of
TURNS = 60  # how often a request that the socket's pace has refused is made anew
TURN_S = 2.0

_RECEIPT_BYTES = 1_048_576
_RECEIPTS = "*.json"


@click.command()
@config_option
@click.argument("rec", type=NAME, required=False)
@click.option("--receipt", type=NAME, metavar="FILE", help="The signed receipt for this recording.")
@click.option(
    "--receipts", type=NAME, metavar="DIR", help="All receipts in a folder (*.json), each for the recording it names."
)
def release(config_path: str, rec: str | None, receipt: str | None, receipts: str | None) -> None:
    """Delete recordings that their agency has acknowledged; a signature may lie beside each receipt as FILE.sig.

    REC may be an archive of the journal as well: journal-000001.jsonl.
    """
    config = load_config(config_path)
    if receipts and not (rec or receipt):
        sys.exit(_release_all(config_path, config, Path(receipts)))
    if receipts or not rec or not receipt:
        raise click.UsageError("give REC --receipt FILE, or --receipts DIR")
    name = rec if ARCHIVE.fullmatch(rec) else find_recording(config_path, rec).name
    try:
        text, signature = _read(Path(receipt))
    except OSError as error:
        raise Failure(f"{error.filename or receipt}: {error.strerror}", 2) from None
    except UnicodeError as error:
        raise Failure(f"{receipt}: {error}", 2) from None
    said, good = _release(config_path, name, text, signature)
    if not good:
        raise Failure(said, 1)
    click.echo(clean(said))


def _release_all(config_path: str, config: Config, folder: Path) -> int:
    """Hand in every receipt of a folder; what is refused is a line, and the others go on. Returns the exit code."""
    from bwvd.evidence.release.receipt import ArchiveReceipt, ReceiptBad, read_receipt

    try:
        paths = sorted(path for path in folder.iterdir() if path.match(_RECEIPTS) and not is_litter(path.name))
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}", 2) from None
    there = _recordings(config)
    known = cache(lambda: _released(config))  # read once, and only where a receipt's recording is not there
    refused = mine = 0
    others: list[str] = []
    received = []
    for path in paths:
        try:
            text, signature = _read(path)
            receipt = read_receipt(text.encode(), signature.encode() if signature else None)
        except (OSError, UnicodeError, ReceiptBad) as error:
            refused += 1
            warn(f"{path}: {error.strerror if isinstance(error, OSError) else error}")
            continue
        name = receipt.journal if isinstance(receipt, ArchiveReceipt) else receipt.recording
        # An archive of the journal goes behind the recordings that it tells of, and the oldest first.
        received.append((isinstance(receipt, ArchiveReceipt), name, path, text, signature, receipt.device))
    for is_archive, recording, path, text, signature, device in sorted(received, key=lambda one: one[:3]):
        if device != config.device.id:
            others.append(device)
            continue
        mine += 1
        if is_archive or recording in there:
            said, good = _release(config_path, recording, text, signature)
        elif recording in known():
            said, good = f"{recording} has been released before", True
        else:
            said, good = f"{recording} is not here, and the journal knows of no release", False
        if good:
            click.echo(clean(said))
        else:
            refused += 1
            warn(f"{path}: {said}")
    if others:
        names = ", ".join(sorted({clean(name, 40) for name in others}))
        warn(f"{len(others)} receipt{'s' if len(others) > 1 else ''} for other devices: {names}")
    if not mine:
        warn(f"{folder}: no receipt ({_RECEIPTS}) for {config.device.id}")
    return 1 if refused or not mine else 0


def _release(config_path: str, recording: str, text: str, signature: str | None) -> tuple[str, bool]:
    """Ask the daemon to let go of one recording; what it says, and whether the recording is gone.

    Each release leaves a line in the journal, so the socket has a pace: who comes too soon waits, and asks again.
    """
    kind = "journal" if ARCHIVE.fullmatch(recording) else "recording"
    payload = {"cmd": "release", kind: recording, "receipt": text, "signature": signature}
    for turn in range(TURNS):
        if turn:
            time.sleep(TURN_S)
        answer = request(config_path, payload, timeout_s=ANSWER_S)
        if not answer.get("retry"):
            break
    return str(answer.get("text") or answer.get("error") or "refused"), bool(answer["ok"])


def _read(path: Path) -> tuple[str, str | None]:
    """A receipt and what lies beside it. Raises: OSError; UnicodeError."""
    beside = path.with_name(path.name + ".sig")
    return _text(path), _text(beside) if os.path.lexists(beside) else None


def _text(path: Path) -> str:
    from bwvd.evidence.flash.regular_file import read_regular

    data = read_regular(path, _RECEIPT_BYTES, follow=True)
    if encoding := foreign_encoding(data):
        raise UnicodeError(f"{path.name} {encoding}")
    return data.decode("utf-8")


def _recordings(config: Config) -> frozenset[str]:
    folder = Path(config.storage.path) / RECORDINGS
    try:
        return frozenset(path.name for path in folder.iterdir())
    except OSError as error:
        raise Failure(f"storage.path: {folder}: {error.strerror}", 2) from None


def _released(config: Config) -> frozenset[str]:
    """The recordings whose release the journal has, in all of its files."""
    from bwvd.evidence.keys.own_key import own_key
    from bwvd.evidence.verify.folder import DirectoryFolder
    from bwvd.evidence.verify.journal import check_journal
    from bwvd.evidence.verify.report import Report

    try:
        with DirectoryFolder(config.storage.path) as folder:
            signers = own_key(config.keys.signing, config.device.id)
            return frozenset(check_journal(folder, Report(folder.path, "storage"), signers).released)
    except OSError as error:
        raise Failure(f"storage.path: {config.storage.path}: {error.strerror}", 2) from None
