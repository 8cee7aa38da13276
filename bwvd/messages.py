"""The vocabulary that crosses between actors. Imports nothing of ours, neither trio nor av.

All times are integers in nanoseconds. Media times are CLOCK_MONOTONIC (`*_ns`); wall-clock times are Unix time
(`*_utc_ns`) and only ever annotate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

Kind = Literal["video", "audio"]

_ZEROS = memoryview(bytes(1 << 16))


def overwrite(view: memoryview) -> None:
    """Fill a view of bytes with zeros. Takes no memory, however large it is: half a megabyte of new zeros a second,
    each page of them faulted in, cost more than the copying.
    """
    size, step = len(view), len(_ZEROS)
    for at in range(0, size, step):
        end = min(at + step, size)
        view[at:end] = _ZEROS[: end - at]


class Sample(NamedTuple):
    """One access unit (video) or one coded frame (audio) inside its batch's buffer."""

    offset: int  # bytes from the start of Batch.data
    size: int  # bytes
    pts_ns: int
    dts_ns: int
    duration_ns: int
    key: bool


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """What a decoder must know before the first sample. Compared by identity: a new object is a new track epoch.

    `init` is a fragmented-MP4 init segment (ftyp + moov) that holds this one track; samples are in the form that MP4
    stores (length-prefixed NAL units, raw AAC frames), with parameter sets in `init`.
    """

    kind: Kind
    codec: str  # libav's decoder name: "h264", "hevc", "aac"
    timescale: int  # ticks per second in the MP4 track: 90000 for video, the sampling rate for audio
    init: bytes
    source: str  # as configured: "v4l2:/dev/video0"
    encoder: str  # "libx264", "h264_v4l2m2m", "copy", "aac"
    width: int = 0
    height: int = 0
    rate: float = 0.0  # nominal frames (video) or samples (audio) per second
    channels: int = 0
    stamped: bool = False  # time and device are drawn into the pictures
    preset: str = ""  # of the encoder, where it has presets: how much work it puts into a picture

    def continues(self, other: Track) -> bool:
        """Whether samples of this track may follow those of another one in the same epoch of a recording."""
        return self is other or (self.init == other.init and self.encoder == other.encoder)


@dataclass(slots=True, eq=False)
class Batch:
    """Samples of one track in decode order, and the one buffer that we own and can wipe.

    A video batch is one closed group of pictures: its first sample, and no other, is a key frame; its last sample's
    duration reaches to the next group's first dts when that was known. An audio batch is the sound since the last one.

    The loop and the writer's backlog share batches: each holds one while it needs it, and the last to let go wipes it.
    """

    track: Track
    samples: tuple[Sample, ...]  # never empty
    data: bytearray
    stretched: int = 0  # samples of sound put in (+) or left out (-) since the last batch, so that it follows the clock
    _holds: int = field(default=0, repr=False)

    @property
    def start_ns(self) -> int:
        """Presentation time of the first sample."""
        return self.samples[0].pts_ns

    @property
    def end_ns(self) -> int:
        """Where the next batch's first presentation time is expected."""
        first, last = self.samples[0], self.samples[-1]
        return first.pts_ns + (last.dts_ns + last.duration_ns - first.dts_ns)

    def hold(self) -> None:
        """Say that one more owner needs the buffer."""
        self._holds += 1

    def release(self) -> None:
        """Let go; the last owner's release overwrites the buffer."""
        self._holds -= 1
        if self._holds == 0:
            self.wipe()

    def wipe(self) -> None:
        """Overwrite the samples with zeros; the buffer keeps its size (a packet may still point into it)."""
        overwrite(memoryview(self.data))


@dataclass(frozen=True, slots=True, eq=False)
class Gop:
    """One group of pictures with the sound of the same span: the unit of the loop and of everything after it.

    While the camera is gone and the microphone is not, a unit has sound alone.
    """

    video: Batch | None
    audio: Batch | None = None

    @property
    def batches(self) -> tuple[Batch, ...]:
        return tuple(batch for batch in (self.video, self.audio) if batch is not None)

    @property
    def start_ns(self) -> int:
        return self.batches[0].start_ns

    @property
    def end_ns(self) -> int:
        return self.batches[0].end_ns

    @property
    def frames(self) -> int:
        return len(self.video.samples) if self.video else 0

    @property
    def size(self) -> int:
        """Bytes of media held."""
        return sum(len(batch.data) for batch in self.batches)

    def hold(self) -> Gop:
        for batch in self.batches:
            batch.hold()
        return self

    def release(self) -> None:
        for batch in self.batches:
            batch.release()

    def without_audio(self) -> Gop:
        """The same pictures without their sound; shares the buffer."""
        return Gop(self.video)


# --- capture to recorder ---------------------------------------------------------------------------------------------

Device = Literal["camera", "microphone"]


@dataclass(frozen=True, slots=True)
class SourceUp:
    """A device delivers: sent before its first batch, and again after each reopening."""

    device: Device
    track: Track


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
    cause: str  # "dropped_by_device", "encoder_slow", "corrupt", "timestamps", "queue_full", ...
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
    ASSIGN = "assign"  # the wearer's id, in `text`; empty clears it


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
class OpenRecording:
    """Begin a recording; the GOP that follows in the queue is its first."""

    recording: str  # its id
    serial: int
    press_source: str
    press_ns: int
    handled_ns: int
    asked_ns: int  # pre-event part: asked, got, and why less
    got_ns: int
    short_because: str
    video: Track
    audio: Track | None  # a microphone that may come to sound during the recording
    pre_event_audio: bool
    officer: str


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
class SoundSwitched:
    """Sound went on or off inside a recording."""

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
    """Sound was switched off (`muted`) or on by a command or by policy."""

    muted: bool
    at_ns: int
    source: str


@dataclass(frozen=True, slots=True)
class Assigned:
    """The wearer's id changed; it is private: it goes only into sealed records."""

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
    | LowStorage
    | ClockStepped
    | Muted
    | Assigned
)


MediaEvent = Batch | SourceUp | SourceDown | MediaGap | FaultChanged
"""What capture sends to the recorder."""

Note = Marked | GapSeen | SoundSwitched | PowerRead | Stage | FaultChanged | ClockStepped | Assigned
"""What a manifest says between its segments."""

WriterMessage = OpenRecording | Gop | Note | CloseRecording
