"""Group of GOPs and notes that wait for the writer's next commit. Pure; the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field

from bwvd.media.samples import Gop, Track
from bwvd.messages import GapSeen, Note

# Group commit: so much to a segment at most (to seal it holds the interpreter's lock for 5 ms); less to the first one.
GROUP_BYTES = 2 * 1024 * 1024
FIRST_GROUP_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit made durable; nothing of media where it was notes alone."""

    bytes: int = 0
    frames: int = 0
    media_ns: int = 0  # from the first GOP's start to the last one's end


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
    committed: Committed | None = None  # it is durable, also where an error comes behind that

    @property
    def span_ns(self) -> int:
        return self.gops[-1].end_ns - self.gops[0].start_ns if self.gops else 0

    def is_full(self, *, first: bool) -> bool:
        """Whether it is to be committed at once; first: it is a recording's first one."""
        return self.bytes >= (FIRST_GROUP_BYTES if first else GROUP_BYTES)

    def note(self, note: Note, now_ns: int) -> None:
        """Take a note; the order of notes stays."""
        if self.gops and (self.behind or isinstance(note, GapSeen)):
            self.behind.append(note)
            self.behind_ns = self.behind_ns or now_ns
        else:
            self.notes.append(note)
            self.since_ns = self.since_ns or now_ns

    def takes(self, gop: Gop, video: Track, audio: Track | None) -> bool:
        """Whether a GOP may be in one segment with those that wait: no gap lies between, and it has their tracks.

        Of a kind that the first of them has not, the recording's own track counts: `video`, `audio`.
        """
        if any(isinstance(note, GapSeen) and note.from_ns < gop.start_ns for note in self.behind):
            return False
        first = self.gops[0] if self.gops else gop
        video = first.video.track if first.video else video
        audio = first.audio.track if first.audio else audio
        # Sound that comes to what has no track for it begins an epoch, and so a segment.
        return (gop.video is None or gop.video.track.continues(video)) and (
            gop.audio is None or (audio is not None and gop.audio.track.continues(audio))
        )

    def add(self, gop: Gop, now_ns: int) -> None:
        """Take a GOP; gaps that wait lie inside it."""
        self.notes += self.behind
        self.behind, self.behind_ns = [], None
        self.gops.append(gop)
        self.bytes += gop.size
        self.since_ns = self.since_ns or now_ns

    def rest(self, now_ns: int) -> Group:
        """What waits when this is committed; the next GOP is in its care from then on."""
        rest = Group(notes=self.behind, since_ns=self.behind_ns)
        if self.next is not None:
            rest.add(self.next, now_ns)
            self.next = None
        return rest

    def after_loss(self, cause: str, now_ns: int) -> Group:
        """What waits when this is given up: the notes stay, and a gap names the media."""
        rest = self.rest(now_ns)
        rest.notes[:0] = self.notes
        if self.gops:
            frames = sum(gop.frames for gop in self.gops)
            rest.notes.insert(
                len(self.notes), GapSeen("both", self.gops[0].start_ns, self.gops[-1].end_ns, cause, frames)
            )
        rest.since_ns = rest.since_ns or now_ns
        return rest
