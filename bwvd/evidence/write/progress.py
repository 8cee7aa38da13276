"""Progress of a recording: from time to time the journal is told how far its manifest is durable.

Of a recording that has no end yet nothing but its own manifest says how far it has come. Whoever takes the card out of
a camera that records could cut the newest lines off, with the files that they name, and what is left would look like a
power cut that came earlier. The journal's entry is signed by itself, and the next start holds the manifest against it.
"""

from __future__ import annotations

from collections.abc import Callable

from bwvd.clock import NS
from bwvd.evidence.write.recording_folder import RecordingFolder
from bwvd.messages import Event, Progressed

# Of the recording; by the clock too, where what is committed has no media. What comes behind the last entry can be cut
# off unnoticed, so it should be little; an entry is 700 bytes, one sync of the journal and one word to the witness. Two
# a minute are one flush in a hundred of a recording's, and a quarter of what the journal's file holds in twelve hours.
EVERY_NS = 30 * NS


class Progress:
    """Tells of it.

    Args:
        publish: gets a `Progressed`.

    **Synchronization:** trio's thread.
    """

    def __init__(self, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self._recording = ""
        self._told_ns = 0  # media time up to which the journal knows
        self._told_at_ns = 0

    def committed(self, folder: RecordingFolder, now_ns: int) -> None:
        """A commit to the manifest has returned: its lines are durable, and may be spoken of."""
        if folder.recording != self._recording:
            self._recording, self._told_ns, self._told_at_ns = folder.recording, 0, now_ns
        if max(folder.duration_ns - self._told_ns, now_ns - self._told_at_ns) < EVERY_NS:
            return
        self._told_ns, self._told_at_ns = folder.duration_ns, now_ns
        head, serial = folder.manifest_head, folder.opening.serial
        self._publish(
            Progressed(folder.recording, serial, now_ns, folder.segments, folder.duration_ns, head.bytes, head.sha512)
        )
