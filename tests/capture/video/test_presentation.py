"""What frames mean to whoever shows them: carried by the encoded path, or the frames are made to need no telling."""

from __future__ import annotations

import gc
import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import av
import pytest
from av.codec.context import Flags

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.capture.video.colours import Colours
from bwvd.capture.video.libav_encoder import _OPTIONS, VideoEncoder
from bwvd.capture.video.presentation import FormReader, Presentation
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Video
from bwvd.media.fragment import Epoch
from bwvd.media.fragment_reader import read_init
from bwvd.media.samples import Batch, Track
from tests.support.capture_listen import Listener, decode_video, extradata
from tests.support.meanings import RATE, clip, ffmpeg, joined, told

X264 = ("-c:v", "libx264", "-bf", "0")


async def recorded(path: Path, encoder: str = "libx264", *, stamp: bool = False) -> Listener:
    video = Video(source=f"file:{path}", encoder=encoder, keyframe_s=0.2, stamp=stamp, bitrate=8_000_000)
    listener = Listener()
    with pytest.raises(SourceEnded):
        await open_camera(Config(video=video), SystemClock(), AudioGate()).run(listener.send)
    return listener


class Shape(NamedTuple):
    width: int
    height: int
    aspect: Fraction


def shape_of(track: Track) -> Shape:
    """What a player finds in a recording's init segment."""
    epoch = Epoch(track, None)
    epoch.close()
    with av.open(io.BytesIO(epoch.init)) as container:
        stream = container.streams.video[0]
        return Shape(stream.width, stream.height, stream.sample_aspect_ratio or Fraction(1))


def parts(batches: Sequence[Batch]) -> list[tuple[Track, int]]:
    """The tracks in their order, and how many frames each has."""
    return [
        (track, sum(len(batch.samples) for batch in group)) for track, group in groupby(batches, lambda one: one.track)
    ]


def aspect_of(batch: Batch) -> Fraction | None:
    """The aspect that the parameter sets say to a decoder."""
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, av.VideoCodecContext)
    context.extradata = extradata(batch.track)
    sample = batch.samples[0]
    assert context.decode(av.Packet(bytes(batch.data[sample.offset : sample.offset + sample.size]))) is not None
    context.decode(None)
    return context.sample_aspect_ratio


# --- the shape of a sample -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
async def test_samples_that_are_not_square(tmp_path: Path, suffix: str) -> None:
    """Invariant 4: 720 x 576 of a widescreen camera are shown in 16:9, by what the decoder and the file say."""
    path = clip(tmp_path / f"wide.{suffix}", *X264, "-vf", "setsar=64/45")
    first = (await recorded(path)).batches()[0]
    assert aspect_of(first) == Fraction(64, 45)
    assert shape_of(first.track).aspect == Fraction(64, 45)
    assert b"pasp" in first.track.init


async def test_the_file_says_another_shape_than_its_frames(tmp_path: Path) -> None:
    """Players go by the container, and so does what is recorded of it."""
    plain = clip(tmp_path / "plain.mp4", *X264)
    ffmpeg("-i", str(plain), "-c", "copy", "-aspect", "16:9", str(tmp_path / "told.mp4"))
    first = (await recorded(tmp_path / "told.mp4")).batches()[0]
    assert aspect_of(first) == Fraction(16, 9) / 2


async def test_nonsense_for_a_shape_is_square(tmp_path: Path) -> None:
    path = clip(tmp_path / "odd.mp4", *X264, "-vf", "setsar=1/200")
    first = (await recorded(path)).batches()[0]
    assert aspect_of(first) == 1


# --- colours ---------------------------------------------------------------------------------------------------------

WIDE_GAMUT = ("-color_primaries", "bt2020", "-color_trc", "bt2020-10", "-colorspace", "bt2020nc")


async def test_primaries_transfer_and_matrix_are_carried(tmp_path: Path) -> None:
    tagged = "setparams=color_primaries=bt2020:color_trc=bt2020-10:colorspace=bt2020nc:range=tv"
    path = clip(tmp_path / "wide.mp4", *X264, "-vf", tagged)
    batches = (await recorded(path)).batches()
    frame = decode_video(batches)[0][1]
    assert Colours.of(frame) == Colours(False, matrix=9, primaries=9, transfer=14)
    assert b"colrnclx\0\x09\0\x0e\0\x09" in batches[0].track.init


def test_the_init_segment_says_what_the_parameter_sets_of_an_encoder_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """As hardware encoders are: parameter sets with the first key frame, and nothing in them of colours and shapes."""
    monkeypatch.setattr(VideoEncoder, "FLAGS", Flags.frame_duration)
    monkeypatch.setitem(_OPTIONS, "libx264", {"tune": "zerolatency", "x264-params": "scenecut=0"})
    shown = Presentation(Colours(False, 6, 1, 13), Fraction(4, 3))
    say = VideoEncoder._say
    with monkeypatch.context() as silent:
        silent.setattr(VideoEncoder, "_say", lambda *_: None)
        encoder = VideoEncoder("libx264", Video(stamp=False), 64, 48, Fraction(30), "test", 0, shown)
    assert VideoEncoder._say is say
    for number in range(8):
        encoder.encode(av.VideoFrame(64, 48, "yuv420p"), number * NS // 30)
    track = encoder.track
    encoder.close()
    assert track is not None
    assert b"colrnclx\0\x01\0\x0d\0\x06" in track.init
    assert shape_of(track).aspect == Fraction(4, 3)


# --- turned frames ---------------------------------------------------------------------------------------------------

# a, b, c, d of the track header's matrix: x' = a x + c y, y' = b x + d y
TURNS = {
    "quarter": (0, 1, -1, 0),
    "half": (-1, 0, 0, -1),
    "three quarters": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "quarter, mirrored": (0, 1, 1, 0),
    "three quarters, mirrored": (0, -1, -1, 0),
}


def matrix_of(a: int, b: int, c: int, d: int) -> bytes:
    entries = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return b"".join(entry.to_bytes(4, "big", signed=True) for entry in entries)


def turn(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Write another matrix into an MP4's only track header."""
    data = path.read_bytes()
    begin = data.index(b"tkhd") + 44
    matrix = matrix_of(a, b, c, d)
    path.write_bytes(data[:begin] + matrix + data[begin + len(matrix) :])


@pytest.mark.parametrize("way", TURNS)
async def test_a_turned_source_is_recorded_upright(tmp_path: Path, way: str) -> None:
    """As ffmpeg shows it, for every way that a file can say it; the stamp is drawn on what is upright."""
    turned = clip(tmp_path / "turned.mp4", *X264, "-qp", "0", "-vf", "setsar=4/3", frames=4)
    turn(turned, *TURNS[way])
    shown = told("ffmpeg", "-v", "error", "-i", str(turned), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
    batches = (await recorded(turned)).batches()
    frame = decode_video(batches)[0][1]
    aside = "quarter" in way
    assert (frame.width, frame.height) == ((96, 192) if aside else (192, 96))
    assert (batches[0].track.width, batches[0].track.height) == (frame.width, frame.height)
    assert aspect_of(batches[0]) == (Fraction(3, 4) if aside else Fraction(4, 3))
    luma = frame.planes[0]
    data = bytes(luma)
    found = b"".join(data[y * luma.line_size : y * luma.line_size + frame.width] for y in range(frame.height))
    distance = sum(abs(a - b) for a, b in zip(found, shown[: len(found)], strict=True)) / len(found)
    assert distance < 4, f"{distance} of 255 from what ffmpeg shows"
    assert shape_of(batches[0].track).width == frame.width


async def test_what_is_copied_keeps_what_its_file_says(tmp_path: Path) -> None:
    """The frames stay as they are coded, and the track header and the sample entry say the rest, as the file's do."""
    path = clip(tmp_path / "plain.mp4", *X264, "-g", "4")
    turned = tmp_path / "turned.mp4"
    ffmpeg("-i", str(path), "-c", "copy", "-aspect", "16:9", str(turned))
    turn(turned, *TURNS["quarter"])
    (track, _), *others = parts((await recorded(turned, "copy")).batches())
    assert others == []
    assert shape_of(track) == (192, 96, Fraction(16, 9) / 2)
    epoch = Epoch(track, None)
    epoch.close()
    (head,) = read_init(epoch.init)
    assert head.matrix == matrix_of(*TURNS["quarter"])


# --- fields ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["top", "bottom"])
async def test_fields_are_coded_as_fields(tmp_path: Path, first: str) -> None:
    """Which was taken first is said; a decoder gives back frames that are interlaced."""
    order = "tff" if first == "top" else "bff"
    path = clip(
        tmp_path / "fields.ts", *X264, "-vf", f"setfield={order}", "-flags", "+ildct+ilme", "-x264-params", f"{order}=1"
    )
    batches = (await recorded(path)).batches()
    frames = [frame for _, frame in decode_video(batches)]
    assert len(frames) == 8
    assert all(frame.interlaced_frame for frame in frames)
    out = tmp_path / "out.h264"
    with av.open(io.BytesIO(batches[0].track.init)) as template, av.open(str(out), "w", format="h264") as container:
        stream = container.add_stream_from_template(template.streams.video[0])
        for batch in batches:
            for sample in batch.samples:
                packet = av.Packet(bytes(batch.data[sample.offset : sample.offset + sample.size]))
                packet.pts = packet.dts = sample.pts_ns * RATE // NS
                packet.stream = stream
                container.mux(packet)
    asked = ("-show_frames", "-show_entries", "frame=top_field_first", "-of", "csv=p=0")
    said = told("ffprobe", "-v", "error", *asked, str(out)).decode().split()
    assert {line[0] for line in said if line[0].isdigit()} == {"1" if first == "top" else "0"}


# --- changes in the middle -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stamp", [False, True])
@pytest.mark.parametrize(
    ("change", "second"),
    [
        (["-s", "96x64"], (96, 64, Fraction(1))),
        (["-vf", "setsar=4/3"], (192, 96, Fraction(4, 3))),
        (["-vf", "setparams=colorspace=smpte170m"], (192, 96, Fraction(1))),
    ],
)
async def test_another_size_shape_or_colour_is_another_track(
    tmp_path: Path, change: list[str], second: tuple[int, int, Fraction], stamp: bool
) -> None:
    """Invariant 4: no frame is stretched into what another one was, and none is lost at the change."""
    path = joined(tmp_path / "changing.h264", [[], change, ["-vf", "setparams=colorspace=bt709"]])
    listener = await recorded(path, stamp=stamp)
    found = parts(listener.batches())
    assert [frames for _, frames in found] == [8, 8, 8]
    assert listener.gaps() == []
    assert [up.track for up in listener.ups()] == [track for track, _ in found]
    assert [shape_of(track) for track, _ in found] == [(192, 96, 1), second, (192, 96, 1)]
    for track, _ in found:
        group = [batch for batch in listener.batches() if batch.track is track]
        frames = [frame for _, frame in decode_video(group)]
        assert {(frame.width, frame.height) for frame in frames} == {(track.width, track.height)}
    starts = [batch.start_ns for batch in listener.batches()]
    assert all(b > a for a, b in pairwise(starts))


async def test_a_smaller_jpeg_is_a_frame_and_no_field(tmp_path: Path) -> None:
    """Invariant 4: libav's decoder weaves JPEGs of less than 3/4 of the stream's height into one frame of two moments,
    if the first that it sees is such a one."""
    jpeg = ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]
    path = joined(tmp_path / "changing.mjpeg", [jpeg, [*jpeg, "-s", "96x64"], jpeg])
    listener = await recorded(path)
    found = parts(listener.batches())
    assert [(track.width, track.height, frames) for track, frames in found] == [(192, 96, 8), (96, 64, 8), (192, 96, 8)]
    assert listener.gaps() == []


def test_a_frame_that_was_read_goes_without_a_collection(tmp_path: Path) -> None:
    """Invariant 2: frames that hold themselves would outlive the loop until the next collection, and fill memory."""
    clip(tmp_path / "clip.mkv", frames=30)
    reader = FormReader()
    with av.open(str(tmp_path / "clip.mkv")) as container:
        stream = container.streams.video[0]
        gc.collect()
        gc.disable()
        try:
            read = sum(reader.read(frame, stream) is not None for frame in container.decode(stream))
            held = gc.collect()
        finally:
            gc.enable()
    assert read == 30
    assert held < 10  # the first frame's, and what libav's binding has made for the stream
