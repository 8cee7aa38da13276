"""What a stock server may send, axis by axis, and the cells of the matrix: every pair of two axes' values is in one."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from itertools import combinations, product
from pathlib import Path

from bwvd.clock import NS

X264 = "x264enc threads=1 bitrate=400 speed-preset=ultrafast"
X265 = "x265enc bitrate=400 speed-preset=ultrafast"
SINGLE = "pools=1:frame-threads=1"  # of x265: few threads. With none at all it leaves slices but the first empty

AUDIO = {
    "none": "",
    "aac": ",rate=48000,channels=2 ! audioconvert ! voaacenc ! rtpmp4gpay name=pay1 pt=97",
    "pcma": ",rate=8000,channels=1 ! audioconvert ! alawenc ! rtppcmapay name=pay1",
    "opus": ",rate=48000,channels=2 ! audioconvert ! opusenc ! rtpopuspay name=pay1 pt=97",
}
SOUND = "appsrc name=sound is-live=true format=time max-bytes=0 caps=audio/x-raw,format=S16LE,layout=interleaved"

CODECS = ("h264", "hevc", "mjpeg")
TRANSPORTS = ("tcp", "udp")
PATHS = ("copied", "encoded")
FORMS = ("plain", "b-frames", "open groups", "slices", "1 a second", "60 a second", "59.94 a second", "change")

# Pairs of values that there are not, and why.
IMPOSSIBLE = {
    ("mjpeg", "copied"): "a recording's frames are H.264 or HEVC: JPEGs are encoded anew",
    ("mjpeg", "b-frames"): "no JPEG refers to another",
    ("mjpeg", "open groups"): "no JPEG refers to another",
    ("mjpeg", "slices"): "a JPEG is one piece",
}


@dataclass(frozen=True)
class Cell:
    """One stream of the stock server, and what is done with it."""

    codec: str
    form: str
    path: str
    audio: str
    transport: str

    def __str__(self) -> str:
        return ", ".join(str(getattr(self, field.name)) for field in fields(self))

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(str(getattr(self, field.name)) for field in fields(self))

    @property
    def pairs(self) -> set[tuple[str, str]]:
        return set(combinations(self.values, 2))

    @property
    def rate(self) -> tuple[int, int]:
        """Frames in how many seconds."""
        return {"1 a second": (1, 1), "60 a second": (60, 1), "59.94 a second": (60_000, 1_001)}.get(self.form, (15, 1))

    @property
    def step_ns(self) -> float:
        return NS * self.rate[1] / self.rate[0]

    @property
    def group(self) -> int:
        """Frames from key frame to key frame."""
        return max(round(self.rate[0] / self.rate[1]), 1)

    def frame_at(self, seconds: float) -> int:
        return round(seconds * self.rate[0] / self.rate[1])

    @property
    def size(self) -> tuple[int, int]:
        """Few pixels where they are many: x265 has to keep up beside us."""
        return (160, 128) if self.rate[0] / self.rate[1] > 30 else (320, 240)

    @property
    def video(self) -> str:
        """From raw frames to RTP, in GStreamer's words."""
        delayed = self.form in ("b-frames", "open groups")
        quick = "" if delayed else " tune=zerolatency"
        match self.codec:
            case "h264":
                more = " bframes=3 b-adapt=false rc-lookahead=5" if delayed else ""
                options = {"open groups": "open-gop=1", "slices": "slices=4"}.get(self.form, "")
                coded = f"{X264}{quick}{more} key-int-max={self.group}"
                coded += f" option-string={options}" if options else ""
                profile = "video/x-h264,profile=main ! " if delayed else ""
                # Parameter sets before each slice of a key frame, where there are slices.
                return f"{coded} ! {profile}rtph264pay name=pay0 pt=96 config-interval=-1"
            case "hevc":
                # More than two slices of so few lines end x265, and with it the server.
                options = {"open groups": ":open-gop=1:bframes=3", "b-frames": ":open-gop=0:bframes=3"}.get(
                    self.form, ":open-gop=0:slices=2" if self.form == "slices" else ":open-gop=0"
                )
                options += ":b-adapt=0:rc-lookahead=5" if delayed else ""
                coded = f"{X265}{quick} key-int-max={self.group} option-string={SINGLE}{options}"
                return f"{coded} ! rtph265pay name=pay0 pt=96 config-interval=-1"
            case _:
                return "jpegenc ! rtpjpegpay name=pay0"


def cells() -> list[Cell]:
    """So many that every possible pair of values is in one, and none more than a simple search needs."""
    every = [
        Cell(*values)
        for values in product(CODECS, FORMS, PATHS, AUDIO, TRANSPORTS)
        if not set(IMPOSSIBLE) & set(combinations(values, 2))
    ]
    left = set().union(*(cell.pairs for cell in every))
    chosen: list[Cell] = []
    while left:
        best = max(every, key=lambda cell: len(cell.pairs & left))
        chosen.append(best)
        left -= best.pairs
    return chosen


@dataclass(frozen=True)
class Order:
    """What the server is asked for."""

    cell: Cell
    gone: tuple[int, int] = (0, 0)  # frames between a line to its stdin and those that are gone, and how many
    loses: bool = False  # those that are gone are made, and their RTP packets lost; else they are never made
    changes: bool = False  # with the line the size changes
    transport: str = ""  # the server's, where it is not the cell's

    def text(self) -> str:
        audio = AUDIO[self.cell.audio]
        return json.dumps(
            {
                "video": self.cell.video,
                "audio": f"{SOUND}{audio}" if audio else "",
                "rate": self.cell.rate,
                "size": self.cell.size,
                "gone": self.gone,
                "loses": self.loses,
                "changes": self.changes,
                "transport": self.transport or self.cell.transport,
            }
        )


SERVER = Path(__file__).with_name("rtsp_server.py")
