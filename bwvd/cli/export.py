"""`bwvd export`: an MP4, a contact sheet, a proof; of one recording, or of all that lie in one place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from bwvd.cli.interrupts import ended_in_order
from bwvd.cli.moments import MOMENT
from bwvd.cli.options import (
    NAME,
    Failure,
    config_option,
    find_recording,
    identity_option,
    load_config,
    log_access,
    signers_option,
)
from bwvd.cli.printing import warn
from bwvd.cli.progress import progress_bar, size_of
from bwvd.cli.vouching import vouching
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.credentials import Credentials
from bwvd.evidence.export.mp4 import export_mp4
from bwvd.evidence.export.stretch import stretch
from bwvd.evidence.flash.whole_file import left_beside
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.format.moment import Given
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.copy import COPY_ENDINGS
from bwvd.evidence.verify.folder import DirectoryFolder, digest
from bwvd.evidence.verify.gather import gather
from bwvd.text import counted

ENDINGS = ("mp4", "html", "zip", "vtt")


class Outputs(NamedTuple):
    """The files to write; with `--all` the folders to write them into."""

    film: Path | None
    sheet: Path | None
    proof: Path | None
    text: Path | None  # the film's captions


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made of a recording, and how."""

    outputs: Outputs
    keys: Sequence[Any]  # identities
    signers: AllowedSigners | None
    begin: Given | None
    end: Given | None
    captions: bool
    credentials: Credentials | None
    located: bool  # the credentials say where
    force: bool


@click.command()
@config_option
@click.argument("recs", type=NAME, nargs=-1, metavar="REC")
@click.option("-o", "--output", type=NAME, metavar="FILE", help="The MP4 to write; must not exist.")
@click.option("--sheet", type=NAME, metavar="FILE.html", help="A contact sheet to write.")
@click.option(
    "--proof", type=NAME, metavar="FILE.zip", help="The untouched recording with all that proves it; needs no key."
)
@click.option(
    "--all", "everything", is_flag=True, help="All recordings at REC… or of this device; -o and the like name folders."
)
@identity_option("age identity or SSH key to decrypt with.")
@signers_option()
@click.option("--from", "begin", type=MOMENT, metavar="T", help="Begin at the key frame at or before T.")
@click.option("--to", "end", type=MOMENT, metavar="T", help="End at T: seconds, mm:ss, hh:mm:ss or UTC.")
@click.option("--captions", type=NAME, metavar="FILE.vtt", help="UTC and device as subtitles, beside the MP4.")
@click.option("--gpx", type=NAME, metavar="FILE.gpx", help="Its positions as a track; must not exist.")
@click.option("--no-captions", is_flag=True, help="No timed text where the frames carry no stamp.")
@click.option(
    "--c2pa", "certs", type=NAME, metavar="CERTS.pem", help="Sign the MP4 for readers of C2PA with this chain."
)
@click.option("--c2pa-key", "certs_key", type=NAME, metavar="KEY.pem", help="The key of its first certificate.")
@click.option("--c2pa-position", "located", is_flag=True, help="Say in what is signed so where it was recorded.")
@click.option("--force", is_flag=True, help="Export also what does not verify.")
def export(
    config_path: str,
    recs: tuple[str, ...],
    output: str | None,
    sheet: str | None,
    proof: str | None,
    everything: bool,
    identities: tuple[str, ...],
    signers: str | None,
    begin: Given | None,
    end: Given | None,
    captions: str | None,
    gpx: str | None,
    no_captions: bool,
    certs: str | None,
    certs_key: str | None,
    located: bool,
    force: bool,
) -> None:
    """Write one recording as one MP4 without re-encoding, as a contact sheet, as a proof; or each of many."""
    if not (output or sheet or proof or gpx):
        raise click.UsageError("give -o FILE.mp4, --sheet FILE.html, --proof FILE.zip or --gpx FILE.gpx")
    if gpx and everything:
        raise click.UsageError("--gpx is for one recording, not for --all")
    if captions and not output:
        raise click.UsageError("--captions FILE.vtt goes with -o FILE.mp4")
    if bool(certs) != bool(certs_key):
        raise click.UsageError("--c2pa CERTS.pem and --c2pa-key KEY.pem go together")
    if certs and not output:
        raise click.UsageError("--c2pa goes with -o FILE.mp4: no other file is signed so")
    if located and not certs:
        raise click.UsageError("--c2pa-position goes with --c2pa CERTS.pem")
    if not everything:
        _endings(output, proof, captions)
    if everything and (begin or end):
        raise click.UsageError("--from and --to are for one recording, not for --all")
    if not everything and len(recs) != 1:
        raise click.UsageError("give one recording (an id, a serial number, last, or a folder), or --all")
    try:
        if sheet and not everything:
            _require_page(Path(sheet))  # before an MP4 is written
        allowed = vouching(config_path, signers)
        keys = _identities(identities)
        credentials = Credentials(Path(certs), Path(certs_key)) if certs and certs_key else None
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}", 2) from None
    outputs = Outputs(*(Path(path) if path else None for path in (output, sheet, proof, captions)))
    order = Order(outputs, keys, allowed, begin, end, not no_captions, credentials, located, force)
    with ended_in_order():
        if everything:
            sys.exit(_all(config_path, recs, order))
        if _is_copy(recs[0]):
            sys.exit(0 if _clip(Path(recs[0]), order) else 1)
        folder = find_recording(config_path, recs[0])
        if gpx and not _gpx(folder, Path(gpx), order):
            sys.exit(1)
        if gpx and not (output or sheet or proof):
            sys.exit(0)
        sys.exit(0 if _one(config_path, folder, order) else 1)


def _identities(paths: Sequence[str]) -> Sequence[Any]:
    """Raises: IdentityUnusable."""
    if not paths:
        return ()
    from bwvd.evidence.keys.age import load_identities  # here, as all below: most exports need none of it

    return load_identities(paths)


def _require_page(sheet: Path) -> None:
    from bwvd.evidence.export.contact_sheet import require_page  # here: as below

    require_page(sheet)


def _endings(output: str | None, proof: str | None, captions: str | None) -> None:
    """Players and `bwvd verify` choose by a file's name how to read it. Raises: click.UsageError."""
    if output and Path(output).suffix.lower() not in COPY_ENDINGS:
        raise click.UsageError(f"-o {output}: an export is an MP4, so its name ends in .mp4")
    if proof and Path(proof).suffix.lower() != ".zip":
        raise click.UsageError(f"--proof {proof}: a proof is a ZIP, so its name ends in .zip")
    if captions and Path(captions).suffix.lower() != ".vtt":
        raise click.UsageError(f"--captions {captions}: they are WebVTT, so the name ends in .vtt")


def _is_copy(name: str) -> bool:
    return Path(name).suffix.lower() in COPY_ENDINGS and Path(name).is_file()


def _clip(source: Path, order: Order) -> bool:
    """A part of an MP4 that was exported before. Raises: click.UsageError."""
    if order.credentials is None or order.outputs.film is None or order.outputs.sheet or order.outputs.proof:
        raise click.UsageError(
            f"{source} is a copy: only a clip of it can be made, with credentials: -o CLIP.mp4 --c2pa --c2pa-key "
            "(all else is made of the recording)"
        )
    if order.located:
        raise click.UsageError(
            f"{source} is a copy, whose place nobody has verified: --c2pa-position is for a recording (a clip keeps in "
            "its history what the copy's credentials say)"
        )
    from bwvd.evidence.export.clip import export_clip

    try:
        click.echo(str(export_clip(source, order.outputs.film, order.credentials, order.begin, order.end)))
    except EvidenceError as error:
        warn(str(error))
        return False
    except OSError as error:
        warn(f"{error.filename or source}: {error.strerror or error}")
        return False
    return True


def _gpx(folder: Path, out: Path, order: Order) -> bool:
    from bwvd.evidence.export.gpx import export_gpx

    try:
        export_gpx(folder, out, identities=order.keys, signers=order.signers, force=order.force)
    except EvidenceError as error:
        warn(str(error))
        return False
    click.echo(str(out))
    return True


def _all(config_path: str, places: Sequence[str], order: Order) -> int:
    """Every recording at the places, each into files of its own; returns the exit code.

    One that can't be exported is named, and the others are exported.
    """
    where = places or [load_config(config_path).storage.path]
    try:
        found = [place for path in where for place in gather(Path(path))]
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    for folder in order.outputs:
        if folder is not None:
            try:
                folder.mkdir(mode=0o750, exist_ok=True)
            except OSError as error:
                raise Failure(f"{error.filename or folder}: {error.strerror}", 2) from None
    proofs = sorted({place.path for place in found if place.inside})
    found = [place for place in found if not place.inside]
    exported: dict[str, tuple[Path, str]] = {}  # by the name of what was made: of which folder, with which manifest
    left_out = 0
    for proof in proofs:
        warn(f"{proof}: left out: a proof, which is an export already (unpacked, its recording can be exported)")
    for place in found:
        if place.why:
            warn(f"{place}: {place.why.removeprefix(f'{place}: ')}")
            continue
        name = harmless(place.path.resolve().name)
        manifest = _manifest_of(place.path)
        if name in exported and exported[name][1] == manifest:
            warn(f"{place}: left out: a copy of {exported[name][0]}, which is exported")
            left_out += 1
            continue
        endings = zip(order.outputs, ENDINGS, strict=True)
        outputs = Outputs(*(folder / f"{name}.{ending}" if folder is not None else None for folder, ending in endings))
        if _one(config_path, place.path, replace(order, outputs=outputs)):
            exported[name] = place.path, manifest
    if not found:
        warn(f"there is no recording {'but those in proofs' if proofs else 'to export'}")
        return 1
    asked = len(found) - left_out
    click.echo(f"{len(exported)} of {counted(asked, 'recording')} exported")
    return 0 if len(exported) == asked else 1


def _manifest_of(folder: Path) -> str:
    """The SHA-256 of a recording's manifest, which names all of it by its digests; "" for what can't be read."""
    try:
        with DirectoryFolder(folder) as opened:
            return digest(opened, MANIFEST)[1]
    except OSError:
        return ""


def _one(config_path: str, folder: Path, order: Order) -> bool:
    """One recording; whether everything that was asked for was made. The device's journal is told."""
    for left in [left for path in order.outputs if path is not None for left in left_beside(path)]:
        warn(f"{left}: no export: one that was broken off has left it, or is writing it")
    made: list[str] = []  # printed at the end: an output that takes nothing is no fault of the export
    try:
        _export(folder, order, made)
        good = True
    except EvidenceError as error:
        warn(str(error))
        good = False
    except OSError as error:
        warn(f"{error.filename or folder}: {error.strerror or error}")
        good = False
    log_access(config_path, "exported", folder, "done" if good else "refused")
    for line in made:
        click.echo(line)
    return good


def _export(folder: Path, order: Order, made: list[str]) -> None:
    """`made` gets a line for each file that is there. Raises: EvidenceError, OSError."""
    part = stretch(folder, order.begin, order.end)
    for note in part.notes:
        warn(note)
    report = None  # of the verification, which is made once
    if order.outputs.film:
        with progress_bar((2 if order.force else 1) * size_of([str(folder)]), "export") as progress:
            done = export_mp4(
                folder,
                order.outputs.film,
                order.keys,
                from_s=part.from_s,
                to_s=part.to_s,
                signers=order.signers,
                captions=order.captions,
                vtt=order.outputs.text,
                credentials=order.credentials,
                located=order.located,
                force=order.force,
                progress=progress,
            )
        report = done.report
        for note in done.notes:
            warn(note)
        for file in done.files:
            added = f", {counted(file.added_frames, 'frame')} of silence put in" if file.added_frames else ""
            span = f"{file.from_s:.3f} s to {file.to_s:.3f} s"
            made.append(f"{file.path}: {counted(file.frames, 'frame')}, {span}{added}")
    if order.outputs.sheet:
        # Here: it loads libav, which is most of what a short export would wait for.
        from bwvd.evidence.export.contact_sheet import export_sheet

        with progress_bar(size_of([str(folder)]), "sheet", quiet=report is not None) as progress:
            sheet = export_sheet(
                folder,
                order.outputs.sheet,
                order.keys,
                from_s=part.from_s,
                to_s=part.to_s,
                signers=order.signers,
                force=order.force,
                report=report,
                progress=progress,
            )
        for note in sheet.notes:
            warn(note)
        made.append(f"{sheet.path}: {counted(sheet.pictures, 'picture')}")
    if order.outputs.proof:
        from bwvd.evidence.export.proof import export_proof

        packed = export_proof(
            folder,
            order.outputs.proof,
            from_s=part.from_s,
            to_s=part.to_s,
            signers=order.signers,
            force=order.force,
        )
        if report is None and packed.report.verdict not in ("authentic", "excerpt"):
            warn(f"the recording is {packed.report.standing}")
        kept = f": an excerpt, {packed.report.excerpt}" if packed.report.excerpt else ""
        made.append(f"{packed.path}{kept}")
