"""HLS media playlist of a recording, made from its manifest. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.evidence.format.layout import init_name


def playlist(entries: Sequence[records.Segment | records.Gap | records.Mark], opening: records.Open) -> Iterator[str]:
    """The lines of an HLS media playlist (RFC 8216) of a closed recording, one or a few at a time, newlines included.

    EXT-X-PROGRAM-DATE-TIME at each segment, EXT-X-DISCONTINUITY at gaps and changes of parameters, EXT-X-DATERANGE for
    the pre-event part and the markers.
    """
    segments = [entry for entry in entries if isinstance(entry, records.Segment)]
    longest_s = max((segment.duration_ns for segment in segments), default=NS) / NS
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{math.ceil(longest_s)}",
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
    marks = 0
    epoch = 0
    gap = False
    for entry in entries:
        if isinstance(entry, records.Mark):
            marks += 1
            yield f'#EXT-X-DATERANGE:ID="mark-{marks}",CLASS="bwvd.mark",START-DATE="{entry.stamp.utc}"\n'
        elif isinstance(entry, records.Gap):
            gap = gap or entry.track != "audio"
        else:
            if epoch and (gap or entry.epoch != epoch):
                yield "#EXT-X-DISCONTINUITY\n"
            if entry.epoch != epoch:
                yield f'#EXT-X-MAP:URI="{init_name(entry.epoch)}"\n'
                epoch = entry.epoch
            yield (f"#EXT-X-PROGRAM-DATE-TIME:{entry.stamp.utc}\n#EXTINF:{entry.duration_ns / NS:.6f},\n{entry.file}\n")
            gap = False
    yield "#EXT-X-ENDLIST\n"
