"""The log of a desk, for `bwvd journal`: every entry of it, and what does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bwvd.cli.evidence_printing import print_journal
from bwvd.cli.options import Failure, print_json
from bwvd.cli.printing import warn
from bwvd.cli.store_options import run_with_store
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.store.address import is_address

if TYPE_CHECKING:
    from bwvd.custody.log import Entered
    from bwvd.evidence.keys.ssh_keys import PublicKey

NOBODY = AllowedSigners([], "nobody")


def show_desk_log(log: str, signers: str | None, *, as_json: bool) -> int:
    """Every entry; returns the exit code (1 where something does not hold).

    Args:
        log: a folder or a store; "" = this user's own, whose key counts.
        signers: whose logs count beside that.

    Raises: Failure.
    """
    from bwvd.custody.log import DESK, read_logs

    found: list[Entered] = []
    try:
        own = None if log else _own_key()
        allowed = AllowedSigners.load(signers) if signers else NOBODY
        address = log if is_address(log) else f"file:{_folder(log).resolve()}"
        problems = run_with_store(address, {}, lambda store: read_logs(store, own, allowed, found.append, DESK))
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    rows = [{"desk": one.log, "event": one.event, "utc": one.utc, "detail": one.detail} for one in found]
    if as_json:
        print_json(rows)
    else:
        print_journal(rows)
    for problem in problems:
        warn(problem)
    return 1 if problems else 0


def _folder(log: str) -> Path:
    from bwvd.cli.desk import log_folder

    return Path(log) if log else log_folder()


def _own_key() -> PublicKey:
    """Raises: Failure, EvidenceError."""
    from bwvd.cli.desk import key_file
    from bwvd.evidence.keys.sshsig import KeySigner

    if not key_file().exists():
        raise Failure("this user has had no desk yet: name the log", 2)
    return KeySigner.load(key_file()).key
