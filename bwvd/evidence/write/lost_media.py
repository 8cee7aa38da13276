"""Lost media: handed on for a recording, and not on the flash; one gap in the recording's end names it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import trio

from bwvd.evidence.write.group import Group
from bwvd.evidence.write.ports import Backlog
from bwvd.media.samples import Gop
from bwvd.messages import CloseRecording, GapSeen, Note, OpenRecording

# Of the notes that wait when the flash is full, so many go into the end: with sealed texts, each of which takes a
# block, they fit into the smallest reserve. No hand sets as many while a flash stalls; a flood of commands may.
MOST_NOTES = 100


@dataclass(frozen=True, slots=True)
class _Span:
    start_ns: int
    end_ns: int
    frames: int


class Unwritten:
    """Takes what the recorder has handed on and forgets the media of it, so that the backlog is free at once.

    Args:
        group: whose commit failed. Pieces of it may stand in the manifest all the same.
    """

    def __init__(self, group: Group) -> None:
        self._notes: list[Note] = [*group.notes, *group.behind]
        self._spans: list[_Span] = []
        self._until_ns = 0
        for gop in group.gops:
            self.media(gop)
        self._of_commit = len(self._spans)
        if group.next is not None:
            self.media(group.next)

    @property
    def frames(self) -> int:
        return sum(span.frames for span in self._spans)

    def media(self, gop: Gop) -> None:
        self._spans.append(_Span(gop.start_ns, gop.end_ns, gop.frames))

    def note(self, note: Note) -> None:
        self._notes.append(note)

    def until(self, at_ns: int) -> None:
        """The recording ended then, which may be later than the last that was handed on."""
        self._until_ns = at_ns

    def ending(self, reason: str, *, notes: int = 0, media: bool = False) -> list[Note]:
        """What has to be said before the recording's end, in order, the gap last.

        Args:
            notes: how many of the failed commit's stand in the manifest.
            media: whether its segment does.
        """
        spans = self._spans[self._of_commit :] if media else self._spans
        waiting = self._notes[notes:]
        if not spans:
            return waiting[:MOST_NOTES]
        from_ns = spans[0].start_ns
        # A hole between two that are missing is no hole of its own; its frames count.
        within = [note for note in waiting if isinstance(note, GapSeen) and note.from_ns >= from_ns]
        others = [note for note in waiting if note not in within]
        to_ns = max(self._until_ns, *(span.end_ns for span in spans), *(gap.to_ns for gap in within))
        frames = sum(span.frames for span in spans) + sum(gap.frames for gap in within if gap.track != "audio")
        return [*others[:MOST_NOTES], GapSeen("both", from_ns, to_ns, reason, frames)]


def take_rest(backlog: Backlog, unwritten: Unwritten) -> None:
    """Take from the backlog what is still there of the recording that ends, its `CloseRecording` included."""
    with suppress(trio.WouldBlock, trio.EndOfChannel):
        while True:
            match backlog.receive.receive_nowait():
                case Gop() as gop:
                    unwritten.media(gop)
                    backlog.done(gop)
                case CloseRecording(at_ns=at_ns):
                    unwritten.until(at_ns)
                    return
                case OpenRecording() as message:
                    raise AssertionError(f"{message.recording} is opened before the one before it is closed")
                case note:
                    unwritten.note(note)
