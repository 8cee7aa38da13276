"""The vocabulary that crosses between actors. Imports nothing of ours, neither trio nor av.

All times are integers in nanoseconds. Media times are CLOCK_MONOTONIC (`*_ns`); wall-clock times are Unix time
(`*_utc_ns`) and only ever annotate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from bwvd.media.samples import Batch, Gop, Kind, Track

# --- capture to recorder ---------------------------------------------------------------------------------------------

Device = Literal["camera", "microphone"]


@dataclass(frozen=True, slots=True)
class SourceUp:
    """A device delivers: sent before its first batch, and again after each reopening."""

    device: Device
    track: Track
    on_trial: bool = False  # it was refused before: its fault is over when it comes again without this


@dataclass(frozen=True, slots=True)
class SourceDown:
    """A device stopped delivering (unplugged, wedged, ended, put to sleep); batches before it are all sent."""

    device: Device
    at_ns: int
    reason: str  # one line for the journal and the manifest
    final: bool = False  # nobody will try to reopen it: a file that has ended
    asked: bool = False  # it was closed for sleep: no fault


@dataclass(frozen=True, slots=True)
class MediaGap:
    """Samples that the device or capture lost while it went on delivering."""

    kind: Kind
    from_ns: int
    to_ns: int
    cause: str  # "dropped_by_device", "packets_lost", "encoder_slow", "corrupt", "timestamps", ...
    frames: int  # how many are missing, as far as known; 0 = unknown


# `MediaEvent`, what capture sends, is at the end: a fault of capture is an event like any other.


# --- people to recorder ----------------------------------------------------------------------------------------------


class Order(StrEnum):
    """What a person, or a thing on behalf of one, can ask for."""

    PRESS = "press"  # the record button: record, or resume, or confirm a stop, or set a marker; never the end by itself
    RECORD = "record"  # ensure that a recording is running
    STOP = "stop"  # ask to stop
    MARK = "mark"
    MUTE = "mute"
    UNMUTE = "unmute"
    SLEEP = "sleep"
    WAKE = "wake"
    ASSIGN = "assign"  # the officer's id, in `text`; empty clears it


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command."""

    ok: bool
    text: str  # one line: what is in force now, or why it was refused
    recording: str | None = None  # its id where there is one


@dataclass(frozen=True, slots=True)
class Command:
    """One order with where it came from and when the hand moved."""

    order: Order
    source: str  # "gpio:record", "serial:/dev/ttyS1", "socket:uid=1000,pid=77", "signal:USR1"
    at_ns: int  # CLOCK_MONOTONIC of the press itself, the kernel's where it gives one
    text: str = ""  # MARK's label, ASSIGN's id
    confirmed: bool = False  # a STOP that asks and confirms in one
    reply: Callable[[Answer], None] | None = field(default=None, compare=False)

    def answer(self, answer: Answer) -> None:
        """Tell the sender, if it wants to know. Never blocks, never raises."""
        if self.reply is not None:
            self.reply(answer)

    def refuse(self, reason: str, now_ns: int) -> Pressed:
        """Tell the sender that it is not obeyed; returns the event that tells everybody else (invariant 5)."""
        self.answer(Answer(False, reason))
        return Pressed(self.order, self.source, self.at_ns, now_ns, "refused", reason)


# --- recorder to writer ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PreEvent:
    """How much a recording holds from before its press."""

    asked_ns: int
    got_ns: int  # from the first frame to the press; 0 when there is none
    reason: str  # why less than asked, see bwvd.evidence.format.records.PreEvent; "" when it is not


@dataclass(frozen=True, slots=True)
class OpenRecording:
    """Begin a recording; the GOP that follows in the queue is its first."""

    recording: str  # its id
    serial: int
    press_source: str
    press_ns: int
    handled_ns: int
    pre_event: PreEvent
    video: Track
    audio: Track | None  # a microphone that may come to deliver during the recording
    pre_event_audio: bool
    officer: str
    located: Located | None = None  # as it was known when the press was handled; None = there is no receiver


@dataclass(frozen=True, slots=True)
class Marked:
    at_ns: int
    source: str
    label: str


@dataclass(frozen=True, slots=True)
class GapSeen:
    """Between the two times the recording has no media of this track."""

    track: Literal["video", "audio", "both"]
    from_ns: int
    to_ns: int
    cause: str
    frames: int  # missing, 0 = unknown


@dataclass(frozen=True, slots=True)
class AudioSwitched:
    """Audio went on or off inside a recording."""

    on: bool
    at_ns: int
    reason: str  # "press", "mute", "unmute", "microphone lost", ...


@dataclass(frozen=True, slots=True)
class PowerRead:
    at_ns: int
    percent: int | None
    supply: str  # "battery" | "charging" | "full" | "external" | "unknown"
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fix:
    """One position, as a satellite receiver gave it: degrees by WGS 84, north and east positive; metres."""

    at_ns: int  # when it came
    utc: str  # the receiver's time of it, ISO 8601 with Z; "" = it gave none
    latitude: float
    longitude: float
    altitude_m: float | None  # above mean sea level; None in two dimensions
    error_m: float | None  # horizontal, as the receiver estimates it
    mode: int  # 2 = two dimensions, 3 = three
    satellites: int | None  # used


@dataclass(frozen=True, slots=True)
class Located:
    """Where the camera is; None = that is not known any more."""

    at_ns: int
    fix: Fix | None


@dataclass(frozen=True, slots=True)
class TimeSource:
    """What keeps the system's clock."""

    at_ns: int
    by: str  # "chrony" | "systemd-timesyncd" | "none": by the kernel nobody does | "unknown"
    reference: str = ""  # "refclock PPS", a name of chrony's configuration | "network"; "" = not known
    stratum: int | None = None
    services: tuple[str, ...] = ()  # that set clocks, and run


@dataclass(frozen=True, slots=True)
class Stage:
    """A step on the way to the end of a recording: stop_asked, stop_lapsed, post_roll, resumed."""

    stage: str
    at_ns: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class CloseRecording:
    reason: str
    at_ns: int


# --- recorder to everybody -------------------------------------------------------------------------------------------


class State(StrEnum):
    ASLEEP = "asleep"
    STANDBY = "standby"
    RECORDING = "recording"
    POST_ROLL = "post_roll"


@dataclass(frozen=True, slots=True)
class StateChanged:
    state: State
    before: State
    at_ns: int
    cause: str  # the command's source, "post_roll_over", "start", "max_s", "storage_full", ...
    recording: str | None = None


@dataclass(frozen=True, slots=True)
class Pressed:
    """A command was received; `outcome` says in a word what it did."""

    order: Order
    source: str
    at_ns: int  # of the press
    handled_ns: int
    outcome: str  # "recording", "marker", "stop_asked", "post_roll", "resumed", "refused", "already", ...
    reason: str = ""  # for "refused": why
    recording: str | None = None


@dataclass(frozen=True, slots=True)
class StopAsked:
    """A hold asked to stop: a press before `until_ns` confirms."""

    at_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class StopNotConfirmed:
    """The time to confirm ran out; the recording goes on."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class Reminder:
    """Still recording: every `recording.reminder_s`."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class FaultChanged:
    """A fault began (`active`) or ended.

    Names: "camera", "audio", "encoder" (it failed, another has taken its place), "encoder_slow" (frames are left out),
    "storage", "recovery" (a recording that broke off has no end yet), "backlog" (the flash stalls, frames are left
    out), "clock", "power", "control:…".
    """

    name: str
    active: bool
    at_ns: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording was opened, or closed, on flash: the commit has returned."""

    recording: str
    serial: int
    at_ns: int
    closed: bool
    reason: str = ""  # of closing: "stop", "shutdown", "max_s", "storage_full", "camera_lost", ...
    segments: int = 0
    manifest_sha512: str = ""  # of a closed one: hex, of the whole manifest


@dataclass(frozen=True, slots=True)
class Progressed:
    """A recording that goes on has come so far on flash: the commit has returned."""

    recording: str
    serial: int
    at_ns: int
    segments: int
    duration_ns: int  # media time of the end of the last one
    manifest_bytes: int
    manifest_sha512: str  # of these bytes, hex


@dataclass(frozen=True, slots=True)
class LowStorage:
    """Minutes left fell below a warning level (60, 30), or the flash is full (0)."""

    minutes: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """The wall clock jumped against CLOCK_MONOTONIC."""

    at_ns: int
    step_ns: int
    quality: str


@dataclass(frozen=True, slots=True)
class Muted:
    """Audio was switched off (`muted`) or on by a command or by policy."""

    muted: bool
    at_ns: int
    source: str


@dataclass(frozen=True, slots=True)
class Assigned:
    """The officer's id changed; it is private: it goes only into sealed records."""

    officer: str
    at_ns: int
    source: str


Event = (
    StateChanged
    | Pressed
    | StopAsked
    | StopNotConfirmed
    | Reminder
    | FaultChanged
    | Recorded
    | Progressed
    | LowStorage
    | ClockStepped
    | Muted
    | Assigned
)

MediaEvent = Batch | SourceUp | SourceDown | MediaGap | FaultChanged
"""What capture sends to the recorder."""

Note = (
    Marked | GapSeen | AudioSwitched | PowerRead | Located | TimeSource | Stage | FaultChanged | ClockStepped | Assigned
)
"""What a manifest says between its segments."""

LastKnown = PowerRead | Located | TimeSource
"""What a recording says at its beginning and end, as it was known last."""

Annotation = FaultChanged | ClockStepped | LastKnown
"""What other actors let the recording in progress say."""

WriterMessage = OpenRecording | Gop | Note | CloseRecording
