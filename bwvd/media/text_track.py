"""Timed text in an MP4: captions (3GPP TS 26.245), chapters (QuickTime File Format), and what both need. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from bwvd.media.boxes import box, full_box
from bwvd.media.movie import NO_HEADER, TIMESCALE, MovieTrack, Samples

MOST_CHAPTERS = 255  # that a `chpl` box can count

_CAPTION_GROUP = 3  # of its own: another text may replace it, the frames and the sound may not
# Text is laid out on a frame of this size, which the track's matrix stretches over the video: what libav's converters
# suppose, and with its font size, so that they write no markup around the text.
_WIDTH, _HEIGHT, _BOX_HEIGHT, _FONT_SIZE = 384, 288, 48, 16
# Display flags of Apple's subtitles: some samples are forced, and all are. These are shown unasked; in VLC a track that
# is enabled and no more is not.
_ALL_FORCED = bytes.fromhex("C0000000")
_UNDETERMINED = bytes.fromhex("55C4")  # the language "und", three letters of five bits
_FONT = box(b"ftab", b"\0\1\0\1\5Arial")


@dataclass(frozen=True, slots=True)
class Text:
    """What is shown from a moment on, to the next one's. Times are ticks of TIMESCALE; "" shows nothing."""

    at: int
    text: str

    @property
    def sample(self) -> bytes:
        """Its length, and UTF-8."""
        coded = self.text.encode()[:0xFFFF]
        return len(coded).to_bytes(2, "big") + coded


def text_samples(texts: Sequence[Text], end: int, offset: int) -> Samples:
    """The table of texts that lie one behind the other in the file, from `offset` on; the last one ends at `end`."""
    samples = Samples()
    for text, following in zip(texts, (*(later.at for later in texts[1:]), end), strict=True):
        size = len(text.sample)
        samples.add(text.at, offset, array("I", [size]), array("I", [following - text.at]))
        offset += size
    return samples


def caption_track(samples: Samples, frame_size: bytes, begin: int) -> MovieTrack:
    """Text that is shown unasked, in the lower part of the frame.

    Args:
        frame_size: of the video track, width and height, 16.16 each.
        begin: movie time of the first text.
    """
    width, height = int.from_bytes(frame_size[:4], "big"), int.from_bytes(frame_size[4:], "big")
    place = b"".join(value.to_bytes(2, "big") for value in (0, 0, _BOX_HEIGHT, _WIDTH))
    style = bytes(4) + b"\0\1" + bytes([0, _FONT_SIZE]) + b"\xff\xff\xff\xff"
    # Centred, at the bottom; no background.
    entry = box(b"tx3g", bytes(6), b"\0\1", _ALL_FORCED, b"\x01\xff", bytes(4), place, style, _FONT)
    down = height - height * _BOX_HEIGHT // _HEIGHT
    values = (width // _WIDTH, 0, 0, 0, height // _HEIGHT, 0, 0, down, 0x40000000)
    matrix = b"".join(value.to_bytes(4, "big") for value in values)
    return MovieTrack(
        samples,
        TIMESCALE,
        b"sbtl",
        entry,
        NO_HEADER,
        begin,
        "UTC and device",
        (_WIDTH << 16).to_bytes(4, "big") + (_BOX_HEIGHT << 16).to_bytes(4, "big"),
        matrix,
        group=_CAPTION_GROUP,
        english=True,
    )


def chapter_track(samples: Samples) -> MovieTrack:
    """Titles that a player lists: never shown over the frames. The video track names it as its chapters."""
    fields = bytes(4 + 4 + 6 + 8 + 8 + 2 + 2 + 1 + 2 + 6) + b"\0"
    entry = box(b"text", bytes(6), b"\0\1", fields)
    gmin = full_box(b"gmin", 0, 0, bytes.fromhex("0040 8000 8000 8000 0000 0000"))
    text = box(b"text", bytes.fromhex("00010000000000000000000000000000000100000000000000000000000000004000 0000"))
    return MovieTrack(samples, TIMESCALE, b"text", entry, box(b"gmhd", gmin, text), name="Chapters", enabled=False)


def chapter_list(chapters: Sequence[Text]) -> bytes:
    """The `chpl` box of Nero's players, which most others read as well: moments in 100 ns, titles of 255 bytes."""
    coded = b""
    for chapter in chapters[:MOST_CHAPTERS]:
        title = chapter.text.encode()[:255].decode(errors="ignore").encode()
        coded += (chapter.at * 10_000_000 // TIMESCALE).to_bytes(8, "big") + bytes([len(title)]) + title
    return full_box(b"chpl", 1, 0, bytes(4), bytes([min(len(chapters), MOST_CHAPTERS)]), coded)


def own_tags(tags: dict[str, str]) -> bytes:
    """Metadata under names of any kind, as QuickTime has them: a `meta` box of a movie."""
    names = [name.encode() for name in tags]
    keys = b"".join((8 + len(name)).to_bytes(4, "big") + b"mdta" + name for name in names)
    values = (box(number.to_bytes(4, "big"), _data(value)) for number, value in enumerate(tags.values(), 1))
    return box(  # without version and flags, as in QuickTime: not every reader takes both
        b"meta",
        full_box(b"hdlr", 0, 0, bytes(4), b"mdta", bytes(12), b"\0"),
        full_box(b"keys", 0, 0, len(names).to_bytes(4, "big"), keys),
        box(b"ilst", *values),
    )


def customary_tags(tags: dict[bytes, str]) -> bytes:
    """Metadata under iTunes' names (four bytes each), which most players show: a `meta` box of user data."""
    return full_box(
        b"meta",
        0,
        0,
        full_box(b"hdlr", 0, 0, bytes(4), b"mdirappl", bytes(8), b"\0"),
        box(b"ilst", *(box(name, _data(value)) for name, value in tags.items())),
    )


def location_box(latitude: float, longitude: float, altitude_m: float, notes: str) -> bytes:
    """The `loci` box of user data (3GPP TS 26.244): where something was recorded, to 1/65536 of a degree.

    Args:
        altitude_m: above sea level; the box has no way to say that it is not known.
    """
    role = b"\0"  # the shooting location
    degrees = (_fixed(longitude), _fixed(latitude), _fixed(max(-32_768.0, min(32_767.0, altitude_m))))
    return full_box(b"loci", 0, 0, _UNDETERMINED, b"\0", role, *degrees, b"earth\0", notes.encode(), b"\0")


def _fixed(value: float) -> bytes:
    return round(value * 65_536).to_bytes(4, "big", signed=True)


def _data(value: str) -> bytes:
    return box(b"data", (1).to_bytes(4, "big"), bytes(4), value.encode())
