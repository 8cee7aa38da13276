"""Verification of a statement: who says that a file was made from a recording, and whether both are what he says.

It is its signer's word. No camera has signed what somebody made of its recording, and none is held to vouch for it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from bwvd.evidence.errors import SignatureBad
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.format.signed_document import read_signed, signature_path
from bwvd.evidence.format.statement import (
    STATEMENT_NAMESPACE,
    STATEMENT_SUFFIX,
    Original,
    Statement,
)
from bwvd.evidence.format.utc import unix_s
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.named_signer import check_named_signer, vouching_key
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.verify.folder import DirectoryFolder, digest
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.trust import signatory_of
from bwvd.text import one_line, printable


def statement_beside(path: Path) -> Path:
    """Where the statement of a derived file lies."""
    return path.with_name(path.name + STATEMENT_SUFFIX)


def verify_statement(path: Path, signers: AllowedSigners | None, *, derived: Path | None = None) -> Report:
    """Verify the statement at `path`, and the files that it is about, beside it. Blocking.

    Args:
        signers: whose word counts; None = nobody's. A line must name `bwvd-statement`.
        derived: the file that is asked about, whatever it is called by now; by default what the statement's own name
            says, or else what it says inside.

    The original may be elsewhere: a redaction is handed out without it. The derived file must be here.
    """
    report = Report(str(path), "statement", (derived or path).name)
    beside = signature_path(path)
    try:
        text, key = read_signed(path, STATEMENT_NAMESPACE)
        statement = msgspec.json.decode(text, type=Statement)
        report.statement = msgspec.json.decode(text)  # with the fields that are not known
    except OSError as error:
        where = Path(str(error.filename or path))
        if where == beside and isinstance(error, FileNotFoundError):
            report.altered(where.name, "is missing: nobody has signed the statement")
        else:
            report.unreadable(where.name, error.strerror or str(error))
        return report
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        report.unreadable(path.name, f"not a statement: {one_line(error)}")
        return report
    except SignatureBad as error:
        report.altered(beside.name, f"does not hold: {error}")
        return report
    vouched = _judge(statement, key, signers, report, path.name)
    who = statement.by if vouched else f"Somebody who signs as {statement.by}"
    made = f"{statement.derived.name} was made from {statement.original.text}"
    report.sentences.append(printable(f"{who} states on {statement.made_utc}: {made}. What was done: {statement.note}"))
    _check_files(path, statement, derived, report)
    report.sentences.append("This is the word of who signed it, not the camera's: a camera vouches for its recording.")
    return report


def _judge(
    statement: Statement, key: PublicKey | Certificate, signers: AllowedSigners | None, report: Report, where: str
) -> bool:
    """Whether somebody vouches for the signer, at the time that the statement gives."""
    vouching = vouching_key(key)
    lists = [signers] if signers is not None else []
    try:  # a statement without a time is none of before any line ended: now is when it is held against the list
        check_named_signer(key, STATEMENT_NAMESPACE, statement.by, lists, unix_s(statement.made_utc) or time.time())
    except SignatureBad as error:
        reason = str(error).removeprefix(vouching.fingerprint).lstrip(": ")
        report.signer = signatory_of(key)
        report.unvouched(where, f"signed by the key {report.signer.signed_by}, for which nobody vouches ({reason})")
        return False
    report.signer = signatory_of(key, statement.by)
    return True


def _check_files(path: Path, statement: Statement, derived: Path | None, report: Report) -> None:
    original = statement.original
    report.bytes = statement.derived.bytes
    try:
        with DirectoryFolder((derived or path).parent) as folder:
            name = derived.name if derived is not None else _derived_name(path, statement, folder)
            called = "" if name == statement.derived.name else f" (there called {statement.derived.name})"
            size, sha256 = digest(folder, name)
            if sha256 == statement.derived.sha256:
                report.sentences.append(printable(f"{name}{called} is here and unchanged since: SHA-256 {sha256}."))
            else:
                report.altered(name, f"is not the file that the statement is about: {size} bytes, SHA-256 {sha256}")
    except OSError as error:
        report.unreadable(str(error.filename or statement.derived.name), error.strerror or str(error))
    _check_original(path.parent, original, report)


def _derived_name(path: Path, statement: Statement, folder: DirectoryFolder) -> str:
    own = path.name.removesuffix(STATEMENT_SUFFIX)
    return own if own in folder.names() else statement.derived.name


def _check_original(where: Path, original: Original, report: Report) -> None:
    """Only names in this folder are looked for: a statement says what it likes."""
    try:
        with DirectoryFolder(where) as here:
            if original.name not in here.names():
                report.sentences.append(printable(f"{original.name} is not here: it was not compared."))
                return
            if original.kind == "recording":
                with DirectoryFolder(where / original.name) as folder:
                    _, sha256 = digest(folder, MANIFEST)
            else:
                _, sha256 = digest(here, original.name)
    except OSError as error:
        report.unreadable(original.name, error.strerror or str(error))
        return
    of = "its manifest" if original.kind == "recording" else "it"
    if sha256 != original.sha256:
        report.altered(original.name, f"is not what the statement names as the original: {of} has SHA-256 {sha256}")
        return
    report.sentences.append(printable(f"{original.name} is here, and {of} is unchanged since."))


def is_statement(path: Path) -> bool:
    """Whether a file has the name of a statement."""
    return path.name.endswith(STATEMENT_SUFFIX)


def has_statement(path: Path) -> bool:
    """Whether a statement lies beside a file."""
    return os.path.lexists(statement_beside(path))
