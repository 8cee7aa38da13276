"""The records of a manifest and of the journal: what each line says. FORMAT.md describes them for strangers.

Every record carries `n`, its index in its file from 0, and `type`. Times called `pts_ns`, `from_ns`, `to_ns` and
`at_ns` in a manifest are media time: nanoseconds since the recording's first decode time, `open.origin_mono_ns` on the
device's CLOCK_MONOTONIC. `mono_ns` is that clock itself; `utc` is ISO 8601 with Z. A reader ignores fields that it does
not know.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

FIRST_BYTES = 8192  # f2fs returns from fdatasync of a file that is small enough to lie in its inode without a flush

FORMAT = 1  # changes when a reader of the last one would misread; new fields and record types do not change it

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What a reader in any language can hold; a line with a larger number is malformed, like one with a wrong type."""

PositionKnown = Literal["known", "sealed", "unknown"]
"""What a record says of where the camera was: in the clear, for who has an identity, or that nobody knew."""


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """Text that only a holder of an identity may read: a file beside the segments, one whole age file.

    Its plain text is one JSON object, with 16 random bytes as `salt` so that `plain_sha256` can't be guessed back.
    """

    file: str
    bytes: Int64
    sha256: str
    plain_sha256: str


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """The two clocks at one moment, and the trust in the second."""

    mono_ns: Int64
    utc: str
    quality: str
    uncertainty_us: Int64 | None = None


class TrackInfo(msgspec.Struct, frozen=True, kw_only=True):
    id: Int64  # the MP4 track id: 1 video, 2 audio
    kind: str
    codec: str
    encoder: str
    source: str
    timescale: Int64
    width: Int64 = 0
    height: Int64 = 0
    rate: float = 0.0
    channels: Int64 = 0
    stamped: bool = False  # time and device are drawn into the frames
    preset: str = ""  # of the encoder, where it has presets
    times: str = ""  # "arrival": the frames brought no time of their own


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """A position as the receiver gave it."""

    stamp: Stamp  # when it came, by the camera's clocks
    utc: str  # the receiver's time of it; "" = it gave none
    latitude: float
    longitude: float
    altitude_m: float | None
    error_m: float | None
    mode: Int64
    satellites: Int64 | None


class PressPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where the camera was at the press; neither `fix` nor `sealed` = that was not known."""

    fix: Fix | None
    sealed: str = ""  # Base64 of an age file with `fix` in it
    age_s: float | None = None  # of the fix at the press, in seconds; null where there is none

    @property
    def known(self) -> PositionKnown:
        """Whether there is a position, and who can read it."""
        return "sealed" if self.sealed else "known" if self.fix is not None else "unknown"


# omit_defaults: a press without a receiver is written as it was before there were positions.
class Press(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    source: str
    stamp: Stamp  # of the press: the kernel's edge time where it gives one
    handled_mono_ns: Int64
    position: PressPosition | None = None  # None: no receiver, or of a version that did not say it


class PreEvent(msgspec.Struct, frozen=True, kw_only=True):
    """How much was kept from before the press, and why less than asked if less."""

    asked_s: float
    got_s: float
    # "" | "started" | "asleep" | "memory" | "camera_gap" | "late_press" | "backlog_full" | "not_stored" | "continued"
    reason: str = ""
    audio: bool = False


class JournalHead(msgspec.Struct, frozen=True, kw_only=True):
    """Where the device's journal stood: its file's name, how many bytes, and the SHA-512 of those bytes (hex)."""

    file: str
    bytes: Int64
    sha512: str


class Before(msgspec.Struct, frozen=True):
    """The recording before this one in the row of a storage's serial numbers, as it was when this one began."""

    serial: Int64  # one less than this one's; 0: this one is the first
    recording: str = ""  # its id; "" where that is not known any more
    event: str = ""  # "closed" | "recovered" | "begun": it had no end yet | "": not known
    segments: Int64 = 0  # that it had at its end
    manifest_sha512: str = ""  # of its whole manifest at its end


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    n: Int64


class Open(Record, frozen=True, kw_only=True, tag="open"):
    format: Int64
    recording: str
    device: str
    serial: Int64
    software: str
    boot: str  # the kernel's boot id
    signer: str  # the device's public key, "ssh-ed25519 AAAA…"
    press: Press
    pre_event: PreEvent
    origin_mono_ns: Int64
    origin_utc: str
    segment_s: float
    tracks: list[TrackInfo]
    init: str  # the init segment, base64
    recipients: list[str]
    journal: JournalHead | None = None
    continues: str = ""  # the recording that this one goes on from, after a storage error
    before: Before | None = None  # None: of a version that did not say so
    pad: str = ""  # spaces, see `padded`


class Init(Record, frozen=True, kw_only=True, tag="init"):
    """The camera or encoder changed its parameters: the following segments belong to this epoch."""

    epoch: Int64  # counts from 1 (the `open` record's)
    at_ns: Int64
    reason: str
    tracks: list[TrackInfo]
    init: str


class Segment(Record, frozen=True, kw_only=True, tag="segment"):
    segment: Int64  # counts from 1 without a hole
    file: str
    bytes: Int64  # as stored
    sha256: str  # of the bytes as stored
    plain_bytes: Int64
    plain_sha256: str  # of the media segment before encryption; equal to sha256 without recipients
    epoch: Int64
    pts_ns: Int64  # first video presentation time
    duration_ns: Int64
    frames: Int64
    audio_frames: Int64  # coded ones, those of silence included
    gops: Int64
    stamp: Stamp  # of the first frame: its monotonic time, and its UTC by the wall clock as it stood at the commit
    silent_frames: Int64 = 0  # of `audio_frames`: put in where there was no audio


class Mark(Record, frozen=True, kw_only=True, tag="mark"):
    at_ns: Int64
    source: str
    stamp: Stamp
    label: str = ""
    sealed: Sealed | None = None  # the label, when there are recipients


class Officer(Record, frozen=True, kw_only=True, tag="officer"):
    """The officer who wears the device; in the clear only where there are no recipients."""

    at_ns: Int64
    officer: str = ""
    sealed: Sealed | None = None


class Gap(Record, frozen=True, kw_only=True, tag="gap"):
    """Between `from_ns` and `to_ns` there is no media of this track."""

    track: str  # "video" | "audio" | "both"
    from_ns: Int64
    to_ns: Int64
    cause: str
    frames: Int64 = 0  # missing, where known


class Fault(Record, frozen=True, kw_only=True, tag="fault"):
    name: str
    active: bool
    at_ns: Int64
    detail: str = ""


class Audio(Record, frozen=True, kw_only=True, tag="audio"):
    """Audio went on or off: the press, a mute, an unmute."""

    on: bool
    at_ns: Int64
    reason: str


class ClockStep(Record, frozen=True, kw_only=True, tag="clock"):
    at_ns: Int64
    step_ns: Int64
    stamp: Stamp  # after the step


class ClockSource(Record, frozen=True, kw_only=True, tag="clock_source"):
    """What keeps the device's clock from here on."""

    at_ns: Int64
    by: str  # "chrony", "systemd-timesyncd", "none": nobody does, "unknown"
    reference: str = ""  # "refclock PPS": by its name in chrony's configuration; "network"; "" = not known
    stratum: Int64 | None = None
    services: list[str] = []  # programs that set clocks, and ran


class Power(Record, frozen=True, kw_only=True, tag="power"):
    at_ns: Int64
    percent: Int64 | None
    supply: str  # "battery", "charging", "full", "external", "unknown"
    flags: list[str] = []


class Position(Record, frozen=True, kw_only=True, tag="position"):
    """Where the camera was; neither `fix` nor `sealed` = that was not known any more."""

    at_ns: Int64
    fix: Fix | None
    sealed: str = ""  # Base64 of an age file with `fix` in it


class State(Record, frozen=True, kw_only=True, tag="state"):
    """Stop asked, stop not confirmed, post-roll begun, resumed."""

    state: str
    at_ns: Int64
    source: str = ""


class Close(Record, frozen=True, kw_only=True, tag="close"):
    reason: str  # "stop" | "shutdown" | "max_s" | "storage_full" | "camera_lost" | "source_ended" | "battery" | …
    segments: Int64
    frames: Int64
    audio_frames: Int64
    bytes: Int64
    duration_ns: Int64
    gaps: Int64
    stamp: Stamp
    silent_frames: Int64 = 0


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that recovery found out of order."""

    what: str  # "torn_line" | "file_without_line" | "line_without_file" | "short_file" | "no_manifest" | …
    where: str  # the file's name, or "manifest.jsonl"
    offset: Int64 = 0
    bytes: Int64 = 0
    sha256: str = ""  # of those bytes, so that they are covered by this record's signature


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Acknowledged media whose files were gone or cut short at a start, or whose lines were.

    A line is only written behind its whole, durable file, and the journal speaks of a line only behind its sync: no
    power cut does that.
    """

    segments: Int64
    from_ns: Int64  # media time: from the first of them to the end of the last
    to_ns: Int64
    texts: Int64 = 0  # sealed texts


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What the device's journal says of a manifest that did not hold it any more at a start."""

    event: str  # "opened" | "progress" | "closed" | "recovered"; "unknown": a file that may have said more is not whole
    segments: Int64  # that it had, where the journal says so
    manifest_sha512: str = ""  # of the whole manifest then
    manifest_bytes: Int64 = 0  # of "progress": how many these were
    duration_ns: Int64 = 0  # of "progress": media time of the end of the last segment


class Recovered(Record, frozen=True, kw_only=True, tag="recovered"):
    """Written at start-up into a recording that has no end: what is there, and what was out of order."""

    reason: str  # "power_cut": the boot id differs; "killed": the same boot; "unknown": there is no `open` record
    boot: str
    segments: Int64
    frames: Int64
    audio_frames: Int64
    bytes: Int64
    duration_ns: Int64
    found: list[Found]
    stamp: Stamp
    silent_frames: Int64 = 0
    missing: Missing | None = None
    end_removed: Removed | None = None
    rolled_back: bool = False  # at this start the storage was not as the device had left it
    recording: str = ""  # the id, and
    before: Before | None = None  # what `open` would have said, where this is the first record
    pad: str = ""  # spaces, where this is the first record


class TornTail(Record, frozen=True, kw_only=True, tag="torn"):
    """Bytes of an unfinished append that the last power cut left before this line; covered by this signature."""

    found: Found


ManifestRecord = (
    Open
    | Init
    | Segment
    | Mark
    | Officer
    | Gap
    | Fault
    | Audio
    | ClockStep
    | ClockSource
    | Power
    | Position
    | State
    | Close
    | Recovered
    | TornTail
)


# --- the journal -----------------------------------------------------------------------------------------------------


class Journal(Record, frozen=True, kw_only=True, tag="journal"):
    """The first record of every journal file."""

    format: Int64
    device: str
    signer: str
    file_number: Int64  # counts from 1
    last_serial: Int64  # of the last recording opened before this file
    previous: JournalHead | None  # the file before: its archived name, its size and its digest
    storage: str = ""  # the id that the storage got with its first journal, the same in all its files
    pad: str = ""


class Entry(Record, frozen=True, kw_only=True, tag="entry"):
    """One thing that happened."""

    event: str  # "boot", "config", "state", "press", "refused", "fault", "clock", "opened", "progress", "closed", …
    stamp: Stamp
    detail: dict[str, str | Int64 | float | bool | None]


JournalRecord = Journal | Entry | TornTail

Padded = TypeVar("Padded", Open, Recovered, Journal)


def padded(record: Padded, before: int = 0) -> Padded:
    """`record`, the first of its file, with spaces that make the file longer than FIRST_BYTES.

    Args:
        before: bytes that lie in the file already.
    """
    missing = FIRST_BYTES - before - len(msgspec.json.encode(record))
    return msgspec.structs.replace(record, pad=" " * max(0, missing))
