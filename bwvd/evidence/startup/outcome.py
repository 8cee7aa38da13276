"""Outcome of a look at one recording: what was found and done, and how the journal says it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bwvd.clock import NS, Reading
from bwvd.evidence.format import records
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import PROGRESS, ROLLED_BACK, UNKNOWN, Detail
from bwvd.evidence.journal.witness import Remembered
from bwvd.text import counted


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """What became of one recording that was not as it should be."""

    recording: str
    serial: int
    # "power_cut", "killed", "unknown"; "finished": it had its end, and only the conveniences were missing; "told":
    # nothing was done, and what it has lost is told
    reason: str
    segments: int = 0
    found: tuple[records.Found, ...] = ()
    missing: records.Missing | None = None
    end_removed: records.Removed | None = None
    changed: bool = False  # it has an end, and its manifest is not the one that this device's sums are over
    manifest_sha512: str = ""
    error: str = ""  # why it could not be brought to an end; the next start tries again


def drafts_of(results: Sequence[RecoveryResult], reading: Reading) -> list[Draft]:
    """The journal's entries about a recovery."""
    made = []
    for result in results:
        event = "recovered" if result.reason != "finished" and not result.error else "recovery"
        detail: dict[str, str | int | float | bool | None] = {
            "recording": harmless(result.recording),
            "serial": result.serial,
            "reason": result.reason,
            "segments": result.segments,
            "found": ", ".join(sorted({found.what for found in result.found})),
        }
        if result.error:
            detail["error"] = result.error
        if result.manifest_sha512:
            detail["manifest_sha512"] = result.manifest_sha512
        if result.reason != "told":
            made.append(Draft(event, detail, reading))
        if tells := evidence_missing(result):
            detail = {"recording": harmless(result.recording), "serial": result.serial, "what": tells}
            made.append(Draft("evidence_missing", detail, reading))
    return made


def evidence_missing(result: RecoveryResult) -> str:
    """What a recording has lost that was acknowledged, in one line; "" if nothing is known to be gone."""
    told: list[str] = []
    if (missing := result.missing) is not None:
        span = f"between {missing.from_ns / NS:.1f} s and {missing.to_ns / NS:.1f} s" if missing.segments else ""
        texts = counted(missing.texts, "sealed text") if missing.texts else ""
        segments = f"{counted(missing.segments, 'acknowledged segment')} {span}" if missing.segments else ""
        verb = "is" if missing.segments + missing.texts == 1 else "are"
        told.append(" and ".join(part for part in (segments, texts) if part) + f" {verb} gone or cut short")
    if (removed := result.end_removed) is not None:
        held = counted(removed.segments, "segment")
        was = "had" if removed.event == PROGRESS else f"was {removed.event} with"
        gone = "it has no end, and the file of the journal that told of it is gone, or is not what it was"
        told.append(gone if removed.event == UNKNOWN else f"it {was} {held}, and its manifest holds that no more")
    if result.changed:
        told.append("its manifest is not the one that was signed at its end")
    return "; ".join(told)


def not_remembered(storages: Sequence[Remembered], reading: Reading) -> Draft:
    """The journal's entry of a storage that is not new, and that a witness which remembers others has no word of."""
    return Draft("storage_not_remembered", {"remembered": len(storages)}, reading)


def rollback(gone: Remembered, journal: Journal, reading: Reading) -> tuple[str, Draft]:
    """A storage that is not as it was left: in one line, and for the journal, with both heads."""
    now = journal.head()
    told: Detail = {
        "remembered_file": gone.number,
        "remembered_bytes": gone.bytes,
        "remembered_sha512": gone.sha512,
        "last_serial": gone.last_serial,
        "last_closed": gone.last_closed,
        "bytes": now.bytes if now is not None else 0,
        "sha512": now.sha512 if now is not None else "",
    }
    return (
        f"the journal does not go on from where this device left it: {gone.bytes} bytes of file {gone.number}, "
        f"recording number {gone.last_serial} the last"
    ), Draft(ROLLED_BACK, told, reading)
