"""The document of `bwvd status --json`, with types: for those who read it, here and elsewhere.

The first group of fields of each part is the contract; the rest has defaults, so that a reader of this version
understands an older daemon, and ignores what a newer one says besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class StatusUnreadable(Exception):
    """The document is not a status. One line that names the field."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the document."""


class Quantiles(Part, frozen=True, kw_only=True):
    """Of the last few hundred values, in milliseconds."""

    p50: float
    p99: float


class LoopStatus(Part, frozen=True, kw_only=True):
    seconds: float  # held now
    capacity_s: float
    bytes: int


class RecordingStatus(Part, frozen=True, kw_only=True):
    id: str
    seconds: float
    segments: int  # on flash
    committed_s: float  # on flash


class VideoStatus(Part, frozen=True, kw_only=True):
    source: str
    encoder: str
    frames: int  # since the start
    dropped: int
    preset: str = ""  # that the encoder works with, where it has presets
    width: int = 0
    height: int = 0


class AudioStatus(Part, frozen=True, kw_only=True):
    source: str = ""
    up: bool = False
    muted: bool = False
    pre_event: bool = False


class StorageStatus(Part, frozen=True, kw_only=True):
    free_bytes: int
    minutes_left: float | None  # None = not known yet
    backlog_bytes: int
    total_bytes: int = 0
    backlog_peak_bytes: int = 0
    commits: int = 0
    errors: int = 0
    refuses: str = ""  # why a recording can't begin
    commit_ms: Quantiles | None = None
    press_to_commit_ms: Quantiles | None = None
    journal_lost: int = 0


class ClockStatus(Part, frozen=True, kw_only=True):
    utc: str = ""
    quality: str = ""
    uncertainty_us: int | None = None


class PowerStatus(Part, frozen=True, kw_only=True):
    percent: int | None = None
    supply: str = "unknown"
    flags: list[str] = []


class FaultDetail(Part, frozen=True, kw_only=True):
    detail: str = ""
    since_s: float = 0.0


class Status(Part, frozen=True, kw_only=True):
    """A daemon at one moment."""

    state: str
    device: str
    uptime_s: float
    loop: LoopStatus
    recording: RecordingStatus | None
    video: VideoStatus
    audio: AudioStatus | None
    storage: StorageStatus
    faults: list[str]
    controls: list[str]
    version: str = ""
    boot: str = ""
    stop_asked: bool = False
    officer_assigned: bool = False
    clock: ClockStatus = ClockStatus()
    power: PowerStatus | None = None
    fault_details: dict[str, FaultDetail] = {}


def read_status(document: Mapping[str, Any]) -> Status:
    """The document as values. Raises StatusUnreadable."""
    try:
        return msgspec.convert(document, Status)
    except msgspec.ValidationError as error:
        raise StatusUnreadable(f"not a status: {error}") from error


def status_dict(status: Status) -> dict[str, Any]:
    """The values as a document again."""
    document = msgspec.to_builtins(status)
    assert isinstance(document, dict)  # noqa: S101 - of a Struct it always is; tells mypy so
    return document
