"""HLS media playlist of a recording, made from its manifest. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.evidence.format.layout import init_name
from bwvd.media.init_maps import maps


def playlist(
    entries: Sequence[records.Segment | records.Gap | records.Mark], opening: records.Open, inits: Sequence[bytes]
) -> Iterator[str]:
    """The lines of an HLS media playlist (RFC 8216) of a closed recording, one or a few at a time, newlines included.

    EXT-X-PROGRAM-DATE-TIME at each segment, EXT-X-DISCONTINUITY at gaps and changes of parameters, EXT-X-DATERANGE for
    the pre-event part and the markers. A segment lasts until the next one begins, the gap behind it included: players
    that go by these lengths (GStreamer) would end before the recording does by as much as is missing.

    inits: init segments, by epoch from 1.
    """
    segments = [entry for entry in entries if isinstance(entry, records.Segment)]
    lengths = _lengths(segments)
    standing = maps(inits)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{math.ceil(max(lengths, default=NS) / NS)}",
        "#EXT-X-MEDIA-SEQUENCE:1",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "",
    ]
    yield "\n".join(lines)
    if segments:
        yield (
            f'#EXT-X-DATERANGE:ID="pre-event",CLASS="bwvd.pre-event",START-DATE="{segments[0].stamp.utc}",'
            f"DURATION={opening.pre_event.got_s:.3f}\n"
        )
    marks = count = 0
    used = 0  # the epoch whose init segment was named last
    gap = False
    for entry in entries:
        if isinstance(entry, records.Mark):
            marks += 1
            yield f'#EXT-X-DATERANGE:ID="mark-{marks}",CLASS="bwvd.mark",START-DATE="{entry.stamp.utc}"\n'
        elif isinstance(entry, records.Gap):
            gap = gap or entry.track != "audio"
        else:
            needed = standing[entry.epoch - 1]
            if used and (gap or needed != used):
                yield "#EXT-X-DISCONTINUITY\n"
            if needed != used:
                yield f'#EXT-X-MAP:URI="{init_name(needed)}"\n'
                used = needed
            yield f"#EXT-X-PROGRAM-DATE-TIME:{entry.stamp.utc}\n#EXTINF:{lengths[count] / NS:.6f},\n{entry.file}\n"
            count += 1
            gap = False
    yield "#EXT-X-ENDLIST\n"


def _lengths(segments: Sequence[records.Segment]) -> list[int]:
    """How long each is shown, in nanoseconds."""
    lengths = [segment.duration_ns for segment in segments]
    for index, following in enumerate(segments[1:]):
        lasts = following.pts_ns - segments[index].pts_ns
        lengths[index] = max(lengths[index], lasts)
    return lengths
