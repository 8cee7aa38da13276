"""`bwvd verify`: a verdict for everything at the paths."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bwvd.cli.options import (
    NAME,
    config_option,
    identity_option,
    json_option,
    load_config,
    log_access,
    print_json,
    signers_option,
    tsa_certs_option,
)
from bwvd.cli.printing import warn
from bwvd.cli.progress import progress_bar, size_of
from bwvd.cli.store_options import store_options, verify_in_store
from bwvd.cli.verify_printing import print_reports
from bwvd.cli.vouching import vouching
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.verify.existence import date_reports
from bwvd.evidence.verify.paths import verify_paths
from bwvd.evidence.verify.report import Report
from bwvd.store.address import is_address

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@click.command()
@config_option
@json_option
@signers_option()
@identity_option("Decrypt, and decode every frame.")
@tsa_certs_option
@store_options
@click.option("-v", "--verbose", is_flag=True, help="Also what follows from a problem, every place, and the notes.")
@click.argument("paths", type=NAME, nargs=-1, metavar="PATH…")
def verify(
    config_path: str,
    as_json: bool,
    signers: str | None,
    identities: tuple[str, ...],
    tsa_certs: str | None,
    verbose: bool,
    paths: tuple[str, ...],
    **access: str,
) -> None:
    """Verify recordings, storages, segment files or proofs; without PATH the whole storage of this device.

    A PATH may also be in a store: s3://BUCKET[/PREFIX] or file:/FOLDER, and behind that devices/ID[/recordings/REC].
    """
    where = list(paths) or [load_config(config_path).storage.path]
    code = _verify(config_path, where, signers, list(identities), tsa_certs, access, as_json=as_json, verbose=verbose)
    for path in [path for path in where if not is_address(path)]:
        log_access(config_path, "verified", Path(path), "good" if code == 0 else "not good")
    sys.exit(code)


def _verify(
    config_path: str,
    paths: Sequence[str],
    signers: str | None,
    identities: Sequence[str],
    tsa_certs: str | None,
    access: Mapping[str, str],
    *,
    as_json: bool,
    verbose: bool,
) -> int:
    """Print a verdict for everything at `paths`; returns the exit code."""
    try:
        allowed = vouching(config_path, signers)
        keys: Sequence[Any] = ()
        if identities:
            from bwvd.evidence.keys.age import load_identities  # here: verifying needs no key

            keys = load_identities(identities)
        roots: Sequence[Certificate] | None = None
        if tsa_certs is not None:
            from bwvd.evidence.keys.rfc3161 import load_certificates, require_library

            require_library()
            roots = load_certificates(tsa_certs)
    except EvidenceError as error:
        warn(str(error))
        return 2
    reports: list[Report] = []
    on_disk = [path for path in paths if not is_address(path)]
    with progress_bar(size_of(on_disk), "verify", quiet=as_json) as progress:
        for path in paths:
            if is_address(path):
                reports += verify_in_store(path, access, allowed, keys, roots)
            else:
                found = verify_paths([path], allowed, keys, decode=bool(keys), progress=progress)
                date_reports(found, roots, time.time())
                reports += found
    if as_json:
        print_json([report.as_dict() for report in reports])
    else:
        print_reports(reports, verbose=verbose)
    return 0 if reports and all(report.good for report in reports) else 1
