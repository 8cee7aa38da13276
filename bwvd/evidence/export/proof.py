"""A recording with all that proves it in one ZIP: for people who have none of our software.

The folder is in it byte for byte, as `recordings/ID/`; beside it the key that signed it, the time-stamps of it, a
summary for people, and a README with the commands of stock tools that check everything. No list of allowed signers is
in it: whoever can make an archive can put any list there.
"""

from __future__ import annotations

import re
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bwvd.clock import NS
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.mp4 import admit
from bwvd.evidence.export.proof_facts import Facts
from bwvd.evidence.export.proof_text import chain_text, readme_text
from bwvd.evidence.export.proof_time import token_files, tokens_of
from bwvd.evidence.flash.whole_file import new_files
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import AUTHORITY_KEY, CHAIN, PUBLIC_KEY, README, RECORDINGS
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.excerpt import DECLARATION, Declared
from bwvd.evidence.verify.files import Progress
from bwvd.evidence.verify.folder import CHUNK, Folder, Where, folder_at, path_at
from bwvd.evidence.verify.neighbours import NEXT, check_next, recording_after, told
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.trust import Trust
from bwvd.text import printable

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in the archive: the same recording gives the same bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """What was written, and of what."""

    path: str
    files: int
    bytes: int
    report: Report


def export_proof(
    folder: Where,
    out: str | Path,
    *,
    from_s: float | None = None,
    to_s: float | None = None,
    signers: AllowedSigners | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Proof:
    """Verify the recording in `folder`, then write it to `out` as a ZIP. Blocking. No identity is needed.

    Args:
        from_s, to_s: seconds since the first frame: an excerpt, of the segments that hold any of what lies between; the
            whole recording is verified all the same. None = from the beginning, to the end.
        signers: whose keys count; None = nobody's. What nobody vouches for is packed, and CHAIN.txt says so.
        force: pack also what does not verify.
        progress: counts the bytes that are read for verifying.

    Raises: ExportRefused, naming why; then no file is left behind and none has been changed.
    """
    with ExitStack() as opened:
        try:
            source = opened.enter_context(folder_at(folder))
        except OSError as error:
            raise ExportRefused(f"{path_at(folder)}: {error.strerror}") from None
        stretch = (0 if from_s is None else round(from_s * NS), None if to_s is None else round(to_s * NS))
        place = Path(path_at(folder)).resolve()
        return _export(source, place, Path(out), stretch, signers, force=force, progress=progress)


def _export(
    source: Folder,
    place: Path,
    out: Path,
    stretch: tuple[int, int | None],
    signers: AllowedSigners | None,
    *,
    force: bool,
    progress: Progress | None,
) -> Proof:
    check = Verification(source, Trust(signers), name=place.name, progress=progress)
    report = check.run()
    told(check)
    following = recording_after(place, report)
    if following.pair:
        check_next(following.pair, check, signers)
    admit(report, force=force)
    if not _PLAIN.fullmatch(report.id):
        # It becomes a part of paths and of commands that people run.
        raise ExportRefused(f"{printable(report.id)} is no recording's id: letters, digits, dots and hyphens only")
    with new_files([out]) as (temporary,):
        facts = Facts.read(source, report, check.before, following)
        facts.choose(*stretch)
        tokens = tokens_of(place, report.manifest_sha512)
        root = {
            README: readme_text(facts, tokens).encode(),
            CHAIN: chain_text(facts).encode(),
            PUBLIC_KEY: f"{facts.public_key} {printable(facts.principal)}\n".encode(),
        }
        if facts.certified:
            root[AUTHORITY_KEY] = f"{facts.vouching_key}\n".encode()
        if following.pair:
            root[NEXT] = following.pair
        if facts.chosen is not None:
            root[DECLARATION] = _declaration(facts, check.manifest_sha512)
        root |= dict(token_files(place, tokens))
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, data in root.items():
                archive.writestr(_member(name, len(data)), data)
            names = sorted(name for name, odd in source.names().items() if not odd and facts.holds(name))
            for name in names:
                _add(archive, source, name, f"{RECORDINGS}/{report.id}/{harmless(name)}")
        size = temporary.stat().st_size
    return Proof(str(out), len(names) + len(root), size, report)


def _declaration(facts: Facts, manifest_sha512: str) -> bytes:
    assert facts.chosen is not None  # noqa: S101  asked before
    declared = Declared(
        format=1,
        recording=facts.report.id,
        manifest_sha512=manifest_sha512,
        first=facts.chosen.first,
        last=facts.chosen.last,
        of=facts.report.segments,
    )
    return msgspec.json.encode(declared) + b"\n"


def _add(archive: zipfile.ZipFile, source: Folder, name: str, member: str) -> None:
    with source.open(name) as file, archive.open(_member(member, source.size(name)), "w") as target:
        while data := file.read(CHUNK):
            target.write(data)


def _member(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o100644 << 16
    info.file_size = size
    return info
