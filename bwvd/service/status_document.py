"""The status document of `bwvd status --json`, with types: what a daemon says of itself, and what readers get.

Fields without a default are the contract; the rest has defaults, so that a reader of this version understands an older
daemon. What a newer one says besides is ignored.
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
    preset: str = ""  # that the encoder works with, where it has presets
    width: int = 0
    height: int = 0
    transport: str = ""  # of a network camera's packets: "tcp" or "udp"
    frames: int  # since the start
    dropped: int


class AudioStatus(Part, frozen=True, kw_only=True):
    source: str = ""
    up: bool = False
    muted: bool = False
    pre_event: bool = False
    samples_put_in: int = 0  # by the resampler, because the microphone runs slow; since the start
    samples_left_out: int = 0  # because it runs fast
    gaps: int = 0
    gap_s: float = 0.0


class StorageStatus(Part, frozen=True, kw_only=True):
    free_bytes: int
    total_bytes: int = 0
    minutes_left: float | None  # None = not known yet
    reserved: bool = False  # the room to close in order is held
    free_files: int | None = None  # that can still be made; None = this file system does not count them
    refuses: str = ""  # why a recording can't begin
    strays: list[str] = []  # what lay beside the evidence at the start and is none, the first of it
    journal_waiting: int = 0
    journal_lost: int = 0
    backlog_bytes: int
    backlog_peak_bytes: int = 0
    commits: int = 0
    errors: int = 0
    commit_ms: Quantiles | None = None
    press_to_commit_ms: Quantiles | None = None


class ClockStatus(Part, frozen=True, kw_only=True):
    utc: str = ""
    quality: str = ""
    uncertainty_us: int | None = None
    by: str = ""  # what keeps it: "chrony" | "systemd-timesyncd" | "none" | "unknown"; "" = nobody has looked yet
    reference: str = ""  # what that follows, where it says so
    services: list[str] = []  # that set clocks, and run


class PowerStatus(Part, frozen=True, kw_only=True):
    percent: int | None = None
    supply: str = "unknown"
    flags: list[str] = []


class PositionStatus(Part, frozen=True, kw_only=True):
    """What is known of the position, and nothing of where: a status is for everybody who may ask."""

    source: str = ""
    receiver: str = ""  # "answers" | "lost"
    mode: int = 0  # 2 or 3 dimensions; 0 = there is no position
    satellites: int | None = None  # used
    error_m: float | None = None
    age_s: float | None = None  # of the last fix, where it is a position still


class FaultDetail(Part, frozen=True, kw_only=True):
    detail: str = ""
    since_s: float = 0.0


class Status(Part, frozen=True, kw_only=True):
    """A daemon at one moment."""

    state: str
    device: str
    version: str = ""
    boot: str = ""
    uptime_s: float
    loop: LoopStatus
    recording: RecordingStatus | None
    stop_asked: bool = False
    video: VideoStatus
    audio: AudioStatus | None
    storage: StorageStatus
    clock: ClockStatus = ClockStatus()
    power: PowerStatus | None = None
    position: PositionStatus | None = None  # None = no receiver is configured
    officer_assigned: bool = False
    faults: list[str]
    fault_details: dict[str, FaultDetail] = {}
    controls: list[str]

    def document(self) -> dict[str, Any]:
        """What goes out as JSON."""
        document = msgspec.to_builtins(self)
        assert isinstance(document, dict)  # noqa: S101 - of a Struct it always is; tells mypy so
        return document


def read_status(document: Mapping[str, Any]) -> Status:
    """The document as values. Raises StatusUnreadable."""
    try:
        return msgspec.convert(document, Status)
    except msgspec.ValidationError as error:
        raise StatusUnreadable(f"not a status: {error}") from error
