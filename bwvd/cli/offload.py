"""`bwvd offload`: carry what is closed to the store; as a service, or once through with a row for each recording."""

from __future__ import annotations

import sys

import click

from bwvd.cli.offload_state import stamped_text
from bwvd.cli.options import Failure, config_option, json_option, load_config, print_json
from bwvd.cli.printing import warn
from bwvd.text import clean, counted


@click.command()
@config_option
@json_option
@click.option("--once", is_flag=True, help="Do all there is to do now, print a row for each recording, and end.")
def offload(config_path: str, as_json: bool, once: bool) -> None:
    """Carry recordings to the store of the configuration, and receipts from there to the recorder; get time-stamps."""
    if as_json and not once:
        raise click.UsageError("--json belongs to --once: a service has its log and bwvd status")
    if not once:
        from bwvd.service.signals_held import hold_signals

        hold_signals()  # before what takes a second to import: a signal to a process that starts waits for its handler
    config = load_config(config_path)
    if not config.offload.store and not config.witness.tsa:
        raise Failure(f'{config_path}: offload.store = "", witness.tsa = []: nothing says where to', 2)
    from bwvd.evidence.keys.rfc3161 import CertificatesUnusable
    from bwvd.offload import process
    from bwvd.store.errors import AddressWrong

    try:
        if not once:
            sys.exit(process.run_forever(config))
        outcome = process.run_once(config)
    except AddressWrong as error:
        raise Failure(f"{config_path}: offload: {error}", 2) from None
    except CertificatesUnusable as error:
        raise Failure(f"{config_path}: witness.certs: {error}", 2) from None
    if as_json:
        print_json(
            {
                "recordings": outcome.rows,
                "journal": outcome.journal,
                "witness": outcome.witness,
                "faults": outcome.faults,
                "complete": outcome.complete,
            }
        )
    else:
        for row in outcome.rows:
            told = f"  {row['detail']}" if row["detail"] else ""
            size = f"{counted(row['files'], 'file')}, {row['bytes'] / 1e6:.1f} MB"
            click.echo(clean(f"{row['recording']}  {row['standing']:8}  {size}{told}"))
        if outcome.witness is not None:
            click.echo(clean(stamped_text(outcome.witness)))
        for name, detail in outcome.faults.items():
            warn(f"{name}: {detail}")
    sys.exit(0 if outcome.complete else 1)
