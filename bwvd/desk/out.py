"""What goes out: an MP4, a still, a contact sheet, a proof, an excerpt of one, a receipt; and how far each is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from bwvd.clock import SystemClock, utc_text
from bwvd.desk import address_number  # noqa: F401  registers `number` of addresses
from bwvd.desk.desk import Desk
from bwvd.desk.entrance import form
from bwvd.desk.jobs import Job, TooMany, Work
from bwvd.desk.page import page
from bwvd.desk.session import said
from bwvd.desk.source import Found, NotThere
from bwvd.evidence.errors import EvidenceError, ExportRefused
from bwvd.evidence.export.contact_sheet import export_sheet
from bwvd.evidence.export.mp4 import export_mp4
from bwvd.evidence.export.proof import export_proof
from bwvd.evidence.export.still import export_still
from bwvd.evidence.release.issue import Desk as ReceiptDesk
from bwvd.evidence.release.issue import issue, look
from bwvd.evidence.verify.folder import Folder
from bwvd.evidence.verify.recording import verify_recording
from bwvd.text import readable

PIECE_BYTES = 262_144
KINDS = ("mp4", "still", "sheet", "proof", "receipt")
ENDINGS = {"mp4": "mp4", "still": "png", "sheet": "html", "proof": "zip"}
TYPES = {".mp4": "video/mp4", ".png": "image/png", ".zip": "application/zip", ".json": "application/json"}
PASSES = {"mp4": 1.0, "still": 0.1, "sheet": 1.1, "proof": 2.0, "receipt": 1.0}
MOST_NAMES = 1000  # of one recording's exports in the folder

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,7}(\.[0-9]{1,9})?", re.ASCII)


class Wrong(EvidenceError):
    """What a form asks for can't be done. One line."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, in seconds since the recording's first frame."""

    what: str
    from_s: float | None = None
    to_s: float | None = None
    at_s: float | None = None

    @classmethod
    def of(cls, what: str, fields: dict[str, str]) -> Wanted:
        """Raises: Wrong."""
        if what not in KINDS:
            raise NotThere(f"there is no {readable(what[:40])} to hand out")
        found = cls(what, *(_seconds(name, fields.get(name, "")) for name in ("from", "to", "at")))
        if found.from_s is not None and found.to_s is not None and not found.from_s < found.to_s:
            raise Wrong(f"from {found.from_s:g} s to {found.to_s:g} s is no stretch of time")
        if what == "still" and found.at_s is None:
            raise Wrong("at: which frame?")
        return found

    @property
    def asked(self) -> dict[str, float]:
        times = {"from": self.from_s, "to": self.to_s, "at": self.at_s}
        return {name: value for name, value in times.items() if value is not None}

    @property
    def marks(self) -> str:
        """What a file's name says of it."""
        if self.what == "still":
            return f"-{self.at_s:.3f}s"
        if self.what == "receipt" or (self.from_s is None and self.to_s is None):
            return ""
        return f"-{self.from_s or 0:g}s-{'end' if self.to_s is None else f'{self.to_s:g}s'}"


def _seconds(name: str, text: str) -> float | None:
    text = text.strip()
    if not text:
        return None
    if not _SECONDS.fullmatch(text):
        raise Wrong(f"{name}: seconds since the first frame, not {readable(text[:40])!r}")
    return float(text)


async def order(request: Request) -> Response:
    """Begin a job."""
    desk: Desk = request.app.state.desk
    session = request.state.session
    fields = await form(request)
    found = await desk.find(request.path_params["device"], request.path_params["recording"])
    reason = said(fields.get("reason", "")) or session.reason
    wants_json = "application/json" in request.headers.get("accept", "")
    try:
        wanted = Wanted.of(request.path_params["what"], fields)
        work = _receipt(desk, found) if wanted.what == "receipt" else _export(desk, found, wanted)
        asked: dict[str, str | float] = {**wanted.asked, "reason": reason}
        job = Job(wanted.what, found, session, work, asked, PASSES[wanted.what])
        await desk.jobs.add(job)
    except (Wrong, TooMany) as error:
        if wants_json:
            return JSONResponse({"problem": str(error)}, 422)
        return page(request, "error.html", 422, what=str(error), kind="wrong")
    return JSONResponse(document(job)) if wants_json else RedirectResponse(f"/out#job-{job.id}", 303)


def _export(desk: Desk, found: Found, wanted: Wanted) -> Work:
    def make(folder: Folder) -> list[Path]:
        out = free_name(desk.out, f"{stem(found)}{wanted.marks}", ENDINGS[wanted.what])
        begin, end = wanted.from_s, wanted.to_s
        match wanted.what:
            case "mp4":
                done = export_mp4(folder, out, desk.identities, signers=desk.signers, from_s=begin, to_s=end)
                return [Path(file.path) for file in done.files]
            case "sheet":
                export_sheet(folder, out, desk.identities, signers=desk.signers, from_s=begin, to_s=end)
            case "proof":
                export_proof(folder, out, signers=desk.signers, from_s=begin, to_s=end)
            case _:
                export_still(folder, out, desk.identities, at_s=wanted.at_s or 0.0, signers=desk.signers)
        return [out]

    return make


def _receipt(desk: Desk, found: Found) -> Work:
    """Raises: Wrong."""
    if desk.receipts is None:
        raise Wrong("no receipt without a key that signs it: start the desk with --receipt-key FILE")
    if desk.signers is None:
        raise Wrong("nobody says whose recordings are good: start the desk with --signers FILE")
    if found.folder is None:
        raise Wrong("a receipt is for a copy in a folder; for what lies in a store the custodian gives it")
    signer, by = desk.receipts
    place = found.folder

    def make(folder: Folder) -> list[Path]:
        before = look(place)
        report = verify_recording(folder, desk.signers)
        received = utc_text(SystemClock().read().utc_ns)
        issued = issue(report, ReceiptDesk(signer, by, desk.out), received_utc=received, before=before)
        return [issued.path, issued.path.with_name(f"{issued.path.name}.sig")]

    return make


def stem(found: Found) -> str:
    """What the files made of a recording begin with: its id, where that is a plain name."""
    return found.name if _PLAIN.fullmatch(found.name) else f"recording-{found.key.recording}"


def free_name(folder: Path, name: str, ending: str) -> Path:
    """A name in the folder that nothing has yet; who takes it meanwhile keeps it. Blocking. Raises: ExportRefused."""
    for number in range(1, MOST_NAMES):
        path = folder / f"{name}{'' if number == 1 else f'-{number}'}.{ending}"
        if not path.exists() and not path.is_symlink():
            return path
    raise ExportRefused(f"{folder / name}.{ending} and {MOST_NAMES - 2} more are there")


# --- what is made, and how far it is ---------------------------------------------------------------------------------


async def out(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    jobs = desk.jobs.all()
    return page(request, "out.html", jobs=jobs, pending=any(not job.over for job in jobs), names=readable)


async def jobs_json(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    return JSONResponse({"jobs": [document(job) for job in desk.jobs.all()]})


def _job(request: Request) -> Job:
    desk: Desk = request.app.state.desk
    job = desk.jobs.get(request.path_params["job"])
    if job is None:
        raise NotThere("there is no such job")
    return job


async def job_json(request: Request) -> Response:
    return JSONResponse(document(_job(request)))


async def cancel(request: Request) -> Response:
    job = _job(request)
    job.cancel()
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse(document(job))
    return RedirectResponse(f"/out#job-{job.id}", 303)


async def download(request: Request) -> Response:
    """A file that was made: as it lies in the folder, for a browser that is on another machine."""
    desk: Desk = request.app.state.desk
    job = _job(request)
    number = request.path_params["number"]
    if not 0 < number <= len(job.files):
        raise NotThere("the job has made no such file")
    path = job.files[number - 1]
    detail = {"job": job.id, "file": str(path), "recording": job.found.name}
    await desk.trail.once(request.state.session, "downloaded", dict(detail))
    file = await trio.to_thread.run_sync(path.open, "rb")
    headers = {"content-disposition": f'attachment; filename="{path.name}"'}  # a plain name: `stem` has made it

    async def pieces() -> AsyncIterator[bytes]:
        with file:
            while piece := await trio.to_thread.run_sync(file.read, PIECE_BYTES):
                yield piece

    return StreamingResponse(pieces(), media_type=TYPES.get(path.suffix, "application/octet-stream"), headers=headers)


def document(job: Job) -> dict[str, object]:
    """A job for the page's modules."""
    return {
        "id": job.id,
        "what": job.what,
        "recording": readable(job.found.name),
        "state": job.state.value,
        "percent": job.percent,
        "problem": readable(job.problem),
        "files": [
            {"path": readable(str(path)), "name": path.name, "address": f"/out/jobs/{job.id}/file/{number}"}
            for number, path in enumerate(job.files, 1)
        ],
        "address": f"/out/jobs/{job.id}.json",
        "cancel": f"/out/jobs/{job.id}/cancel",
    }


def routes() -> list[BaseRoute]:
    """All below `/out`."""
    return [
        Route("/out", out, name="out"),
        Route("/out/jobs.json", jobs_json),
        Route("/out/jobs/{job}.json", job_json),
        Route("/out/jobs/{job}/cancel", cancel, methods=["POST"]),
        Route("/out/jobs/{job}/file/{number:number}", download),
        Route("/out/{device}/{recording}/{what}", order, methods=["POST"]),
    ]
