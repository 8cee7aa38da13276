"""The recording in progress: an interval over the stream, handed to the writer GOP by GOP.

There is no pre-event file that is joined to a live file: the GOPs of the loop and the ones that follow go the same way,
in order, from the same place. What is missing between two of them is named (invariant 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from bwvd.clock import NS
from bwvd.media.samples import Batch, Gop, Track
from bwvd.messages import (
    AudioSwitched,
    CloseRecording,
    Command,
    FaultChanged,
    GapSeen,
    Located,
    MediaGap,
    Note,
    OpenRecording,
    PreEvent,
)
from bwvd.recorder.backlog import Backlog
from bwvd.recorder.loop import NEIGHBOUR_NS

# While the camera is away what is missing is named in pieces of this length: a hole that a power cut ends has its name
# then, but for the last piece. A megabyte in eight hours.
AWAY_PIECE_NS = 30 * NS
# A camera that comes back may give frames that are this much older than its coming.
AWAY_SETTLED_NS = 2 * NS


WhyMissing = Callable[[int, int], str]
"""Takes two times (CLOCK_MONOTONIC, nanoseconds) and says why there is no video between them."""


def backlog_fault(lost: int, at_ns: int) -> FaultChanged:
    """The fault while frames find no room on their way to the flash; over when they find it again (`lost` 0)."""
    return FaultChanged("backlog", lost > 0, at_ns, "the flash stalls: pictures are being lost" if lost else "")


def unnamed(from_ns: int, to_ns: int, named: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of a hole when named gaps are taken out of it, but for slivers at their edges."""
    left = []
    for begin_ns, end_ns in sorted(named):
        if min(begin_ns, to_ns) - from_ns > NEIGHBOUR_NS:
            left.append((from_ns, min(begin_ns, to_ns)))
        from_ns = max(from_ns, end_ns)
    if to_ns - from_ns > NEIGHBOUR_NS:
        left.append((from_ns, to_ns))
    return left


class RecordingInProgress:
    """One recording on its way to the writer. **Synchronization:** trio's thread, never waits."""

    def __init__(
        self,
        serial: int,
        recording: str,
        command: Command,
        handled_ns: int,
        located: Located | None,
        backlog: Backlog,
        why_missing: WhyMissing,
    ) -> None:
        """located: where the camera was when the press was handled, as far as that was known."""
        self.serial = serial
        self.recording = recording
        self.press = command
        self.handled_ns = handled_ns
        self._located = located
        self.opened = False  # the writer was told: the first GOP was handed on
        self.handed_ns = 0  # where the last GOP that the writer took ends
        self.first_ns = 0
        self.frames = 0
        self._rate = 0.0  # frames per second of the last GOP that was handed on
        self._dropped = 0  # the same, since the last GOP that the writer took
        self._named: list[tuple[int, int]] = []  # from, to: video that capture has named as missing
        self._away_named_ns = 0  # up to where the pieces of an absence that lasts have been named
        self._backlog = backlog
        self._why_missing = why_missing
        self._waiting: list[Note] = []  # notes from before the opening

    def open(
        self,
        first: Batch,
        gaps: Iterable[MediaGap],
        *,
        pre_event: PreEvent,
        audio: Track | None,
        audio_off: str,
        pre_event_audio: bool,
        officer: str,
    ) -> None:
        """Tell the writer, now that the first GOP is here and says what the tracks are.

        Args:
            gaps: what capture named recently; those that reach into the recording are repeated in its manifest.
            audio: the microphone's track, also of one that is away; None where nobody knows of any.
            audio_off: why there is no audio for now, "" where there is from the press on.
        """
        self._backlog.put(
            OpenRecording(
                recording=self.recording,
                serial=self.serial,
                press_source=self.press.source,
                press_ns=self.press.at_ns,
                handled_ns=self.handled_ns,
                pre_event=pre_event,
                video=first.track,
                audio=audio,
                pre_event_audio=pre_event_audio,
                officer=officer,
                located=self._located,
            )
        )
        self.opened = True
        self.first_ns = self.handed_ns = first.start_ns
        self._rate = first.track.rate
        for gap in gaps:
            if gap.to_ns > first.start_ns:
                self.name_gap(gap)
        if audio is not None:
            if audio_off:
                self.note(AudioSwitched(False, self.first_ns, audio_off))
            elif pre_event_audio:
                self.note(AudioSwitched(True, self.first_ns, "pre-event"))
            else:
                if self.press.at_ns > self.first_ns:
                    self.note(AudioSwitched(False, self.first_ns, "pre-event"))
                self.note(AudioSwitched(True, max(self.press.at_ns, self.first_ns), "press"))
        waiting, self._waiting = self._waiting, []
        for note in waiting:
            if isinstance(note, FaultChanged):  # it lasts: one that is older than the recording goes on in it
                note = replace(note, at_ns=max(note.at_ns, self.first_ns))
            self.note(note)

    def note(self, note: Note) -> None:
        """Something for the manifest; before the opening it waits."""
        if self.opened:
            self._backlog.put(note)
        else:
            self._waiting.append(note)

    def name_gap(self, gap: MediaGap) -> None:
        """Capture said what it lost."""
        if gap.kind == "video":
            self._named.append((gap.from_ns, gap.to_ns))
        self.note(GapSeen(gap.kind, gap.from_ns, gap.to_ns, gap.cause, gap.frames))

    def hand_on(self, gop: Gop, *, last: bool = False) -> int:
        """Hand one GOP to the writer; a hole before it gets a gap record.

        last: the recording ends with it, and no audio that is late will be in it.

        A GOP that finds the backlog full is dropped whole; the gap is named when the next one is taken, or at the end.
        Returns how many frames were dropped.
        """
        if last:
            gop = replace(gop, late_from_ns=None)
        if self._backlog.has_room(gop):
            # First the gap: between two commits the power may go, and what follows a hole is never there without it.
            self._name_hole(gop)
        if not self._backlog.offer(gop):
            self._dropped += gop.frames
            return gop.frames
        # Audio alone does not fill a hole in the video.
        if gop.video:
            self.handed_ns = gop.end_ns
            self._rate = gop.video.track.rate
            self._named = [(from_ns, to_ns) for from_ns, to_ns in self._named if to_ns > gop.end_ns]
        self.frames += gop.frames
        return 0

    def _name_hole(self, gop: Gop) -> None:
        """What is missing between the last GOP that the writer took and the one that it is about to."""
        if self._dropped:
            self._backlog.put(GapSeen("both", self.handed_ns, gop.start_ns, "backlog_full", self._dropped))
            self._dropped = 0
        elif gop.start_ns - self.handed_ns > NEIGHBOUR_NS and gop.video:
            self._lack(gop.start_ns, gop.video.track.rate)

    def _lack(self, until_ns: int, rate: float) -> None:
        """There is no video from the last GOP that the writer took up to `until_ns`: name what nobody has named.

        rate: frames per second, to count what is missing.
        """
        for from_ns, to_ns in unnamed(self.handed_ns, until_ns, self._named):
            if frames := round((to_ns - from_ns) / NS * rate):
                self._backlog.put(GapSeen("video", from_ns, to_ns, self._why_missing(from_ns, to_ns), frames))

    def away_due_ns(self) -> int | None:
        """When the next piece of the camera's absence is to be named, if it lasts; None before the opening."""
        return max(self.handed_ns, self._away_named_ns) + AWAY_PIECE_NS if self.opened else None

    def name_absence(self, now_ns: int) -> None:
        """The camera is away: if a piece of that is due, name what is missing so far."""
        due_ns = self.away_due_ns()
        if due_ns is None or now_ns < due_ns:
            return
        until_ns = now_ns - AWAY_SETTLED_NS
        if not self._dropped:  # frames that found no room are named with what follows them
            self._lack(until_ns, self._rate)
            self._named.append((self.handed_ns, until_ns))
        self._away_named_ns = until_ns

    def lack_audio(self, span_ns: tuple[int, int] | None, cause: str) -> None:
        """There is no audio between the two times, and no more of it will come."""
        if span_ns is not None and span_ns[1] - span_ns[0] > NEIGHBOUR_NS:
            self.note(GapSeen("audio", *span_ns, cause, 0))

    def close(self, reason: str, now_ns: int, lacks_until_ns: int | None) -> bool:
        """End it; False where nothing was ever handed on, and so nothing has to be closed.

        lacks_until_ns: up to where there perhaps is no video; None where nothing more was to come.
        """
        if not self.opened:
            return False
        if self._dropped:
            until_ns = max(now_ns, self.handed_ns)
            self._backlog.put(GapSeen("both", self.handed_ns, until_ns, "backlog_full", self._dropped))
        elif lacks_until_ns is not None:
            self._lack(lacks_until_ns, self._rate)
        self._backlog.put(CloseRecording(reason, now_ns))
        return True
