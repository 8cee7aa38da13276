"""Verification of a proof: a zip file with an untouched recording and what proves it."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bwvd.evidence.format.layout import AUTHORITY_KEY, CHAIN, PUBLIC_KEY, README, RECORDINGS, WITNESS
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.excerpt import DECLARATION, Chosen, Declared, hold, read_declaration
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.neighbours import NEXT, check_next, read_next, told
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report, unreadable
from bwvd.evidence.verify.trust import Trust
from bwvd.evidence.verify.zip_folder import ZipFolder
from bwvd.text import one_line

PARTS = (README, CHAIN, PUBLIC_KEY, AUTHORITY_KEY, DECLARATION, NEXT)  # beside the recording
_FOLDERS = (f"{RECORDINGS}/", f"{WITNESS}/")  # of time-stamps none is evidence by itself: they are judged elsewhere


def verify_proof(
    path: str | Path,
    signers: AllowedSigners | None = None,
    identities: Sequence[Any] = (),
    *,
    decode: bool = False,
    progress: Progress | None = None,
) -> list[Report]:
    """Verify the recordings inside a proof, without unpacking it. Blocking.

    Without `signers` nobody vouches for the key: no list that lies in the archive counts.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            folders = sorted(
                {"/".join(name.split("/")[:2]) + "/" for name in names if name.startswith(f"{RECORDINGS}/")}
            )
            if not folders:
                return [unreadable(path, "not a proof: there is no recording in it")]
            reports = []
            root = ZipFolder(archive, "", str(path))
            declared = read_declaration(root)
            strangers = [name for name in names if name not in PARTS and not name.startswith(_FOLDERS)]
            chosen = Chosen(declared.first, declared.last) if isinstance(declared, Declared) else None
            for folder in folders:
                check = Verification(
                    ZipFolder(archive, folder, f"{path}/{folder.rstrip('/')}"),
                    Trust(signers),
                    identities=identities,
                    decode=decode,
                    excerpt=chosen if len(folders) == 1 else None,
                    name=folder.split("/")[1],
                    progress=progress,
                )
                reports.append(check.run())
                told(check)
                if strangers:
                    more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
                    check.report.note(f"{strangers[0]}{more}", "is no part of a proof: nobody has signed it")
                if isinstance(declared, str) or (declared is not None and len(folders) > 1):
                    why = declared if isinstance(declared, str) else "there is more than one recording"
                    check.report.altered(DECLARATION, f"declares no excerpt: {why}")
                elif declared is not None:
                    hold(declared, check.report, check.manifest_sha512)
                if len(folders) > 1:
                    check.report.note(NEXT, "is not looked at: it belongs to a proof of one recording")
                elif (following := read_next(root)) is not None:
                    check_next(following, check, signers)
                else:
                    what = "it was the newest when this was exported, or what came after was left out"
                    check.report.note("neighbours", f"no recording after this one is named: {what}")
            return reports
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        return [unreadable(path, f"not a readable ZIP: {one_line(error)}")]
