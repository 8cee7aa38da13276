"""Group of GOPs and notes that wait for the writer's next commit. Pure; the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field

from bwvd.media.samples import Gop
from bwvd.messages import GapSeen, Note


@dataclass(slots=True)
class Group:
    """GOPs that become one segment, and the notes that are written before its record.

    What lies on either side of a gap is in different segments, so that a player can be told. A gap that comes behind
    GOPs waits for the next one, which shows whether it lies between them or inside that one: so notes cost no commit.
    """

    gops: list[Gop] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    behind: list[Note] = field(default_factory=list)  # from the first gap on that came behind the last GOP
    next: Gop | None = None  # the first of the next group: it came while this one has to be committed
    bytes: int = 0
    since_ns: int | None = None  # CLOCK_MONOTONIC of the first that came
    behind_ns: int | None = None  # the same, of `behind`

    @property
    def span_ns(self) -> int:
        return self.gops[-1].end_ns - self.gops[0].start_ns if self.gops else 0

    def note(self, note: Note, now_ns: int) -> None:
        """Take a note; the order of notes stays."""
        if self.gops and (self.behind or isinstance(note, GapSeen)):
            self.behind.append(note)
            self.behind_ns = self.behind_ns or now_ns
        else:
            self.notes.append(note)
            self.since_ns = self.since_ns or now_ns

    def ends_before(self, gop: Gop) -> bool:
        """Whether a gap lies between what waits and that GOP."""
        return any(isinstance(note, GapSeen) and note.from_ns < gop.start_ns for note in self.behind)

    def add(self, gop: Gop, now_ns: int) -> None:
        """Take a GOP; gaps that wait lie inside it."""
        self.notes += self.behind
        self.behind, self.behind_ns = [], None
        self.gops.append(gop)
        self.bytes += gop.size
        self.since_ns = self.since_ns or now_ns

    def rest(self, now_ns: int) -> Group:
        """What waits when this is committed."""
        rest = Group(notes=self.behind, since_ns=self.behind_ns)
        if self.next is not None:
            rest.add(self.next, now_ns)
        return rest
