"""`bwvd journal`: every entry of the device's log, oldest first."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import click

from bwvd.cli.evidence_printing import print_journal
from bwvd.cli.options import NAME, config_option, json_option, load_config, print_json, signers_option
from bwvd.cli.printing import warn
from bwvd.evidence.flash.regular_file import open_regular
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE
from bwvd.evidence.format.chain_reader import ChainReader


@click.command()
@config_option
@json_option
@click.option("--desk", is_flag=True, help="The log of this user's own bwvd desk.")
@signers_option("With LOG: whose logs count, by a line for bwvd-desk.")
@click.argument("log", type=NAME, required=False, metavar="[LOG]")
def journal(config_path: str, as_json: bool, desk: bool, signers: str | None, log: str | None) -> None:
    """Print the device's journal; or the log of a desk, in a folder or a store: who looked at what, when and why."""
    if desk or log:
        from bwvd.cli.desk_log import show_desk_log  # here: a device has none

        sys.exit(show_desk_log(log or "", signers, as_json=as_json))
    sys.exit(show_journal(Path(load_config(config_path).storage.path), as_json=as_json))


def show_journal(storage: Path, *, as_json: bool) -> int:
    """Every entry, oldest first; returns the exit code (1 where a line does not hold)."""
    files = [*sorted(storage.glob("journal-*.jsonl")), storage / "journal.jsonl"]
    entries: list[dict[str, Any]] = []
    good = True
    for path in files:
        try:
            file = io.BufferedReader(open_regular(path))
        except OSError as error:
            warn(f"{path}: {error.strerror}")
            return 1
        with file:
            reader = ChainReader(file, path.name, JOURNAL_NAMESPACE)
            for signed in reader:
                if isinstance(signed.record, records.Entry):
                    stamp = signed.record.stamp
                    entry = {"event": signed.record.event, "utc": stamp.utc, "mono_ns": stamp.mono_ns}
                    entries.append(entry | {"quality": stamp.quality, "detail": signed.record.detail})
        for problem in reader.problems:
            good = False
            warn(f"{problem.where}: {problem.what}")
    if as_json:
        print_json(entries)
    else:
        print_journal(entries)
    return 0 if good else 1
