"""The encoder: no delay, closed groups by time, the asked bit rate, and every kind of libav encoder's habits."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest
from av.codec.context import Flags
from hypothesis import given, settings
from hypothesis import strategies as st

from bwvd.capture.source import SourceRefused
from bwvd.capture.video.encoder_choice import EncoderCall, EncoderChoice
from bwvd.capture.video.libav_encoder import _OPTIONS, VideoEncoder
from bwvd.clock import NS
from bwvd.config.schema import Video
from bwvd.media.samples import Batch
from bwvd.testing.picture import draw_number
from tests.support.capture_listen import numbers

START = 77 * NS


def frame(number: int, width: int = 64, height: int = 48) -> av.VideoFrame:
    made = av.VideoFrame(width, height, "yuv420p")
    draw_number(made, number)
    return made


def encode(encoder: VideoEncoder, times: list[int]) -> list[Batch]:
    batches = []
    for number, at in enumerate(times):
        batches += encoder.encode(frame(number), at)
    batches += encoder.finish()
    encoder.close()
    return batches


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(2_000_000, 400_000_000), min_size=1, max_size=60), st.sampled_from([0.3, 1.0]))
def test_any_frame_times_give_closed_groups_and_keep_their_times(steps: list[int], keyframe_s: float) -> None:
    """Cameras drop their rate in the dark: key frames come by time, and every time survives to a tick."""
    times = [START]
    for step in steps:
        times.append(times[-1] + step)
    batches = encode(VideoEncoder("libx264", Video(keyframe_s=keyframe_s), 64, 48, Fraction(30), "test", START), times)
    samples = [sample for batch in batches for sample in batch.samples]
    assert [abs(sample.pts_ns - at) <= 6_000 for sample, at in zip(samples, times, strict=True)] == [True] * len(times)
    assert numbers(batches) == list(range(len(times)))
    for batch in batches:
        assert [sample.key for sample in batch.samples] == [True] + [False] * (len(batch.samples) - 1)
        spanned = batch.samples[-1].pts_ns - batch.samples[0].pts_ns
        assert spanned < keyframe_s * NS


@pytest.mark.parametrize("cores", [1, 2, 4, 8])
def test_no_frame_is_held_back(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    """Neither on one thread nor on several, which share a picture and never take one each."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    encoder = VideoEncoder("libx264", Video(), 64, 48, Fraction(30), "test", START)
    sizes = []
    for number in range(10):
        encoder.encode(frame(number), START + number * NS // 30)
        sizes.append(encoder.size)
    assert all(before < after for before, after in zip([0, *sizes], sizes, strict=False))
    assert numbers(encoder.finish()) == list(range(10))
    encoder.close()


def test_a_decoders_picture_types_do_not_become_key_frames() -> None:
    """An MJPEG camera's frames all say that they are intra pictures."""
    encoder = VideoEncoder("libx264", Video(), 64, 48, Fraction(30), "test", START)
    for number in range(20):
        picture = frame(number)
        picture.pict_type = 1
        assert encoder.encode(picture, START + number * NS // 30) == []
    (batch,) = encoder.finish()
    assert len(batch.samples) == 20
    encoder.close()


@pytest.mark.parametrize("name", ["libx264", "libx265", "libvpx-vp9"])
def test_every_encoder_gives_batches_that_its_init_segment_decodes(name: str) -> None:
    """libx264 gives MP4's form, libx265 Annex B with its parameter sets apart, VP9 has none."""
    encoder = VideoEncoder(name, Video(keyframe_s=0.5), 64, 64, Fraction(30), "test", START)
    batches = []
    for number in range(40):
        batches += encoder.encode(frame(number, 64, 64), START + number * NS // 30)
    batches += encoder.finish()
    assert numbers(batches) == list(range(40))
    assert {len(batch.samples) for batch in batches[:-1]} == {15}
    track = batches[0].track
    assert track is encoder.track
    assert (track.encoder, track.width, track.height, track.rate) == (name, 64, 64, 30.0)


def test_an_encoder_that_gives_its_parameters_with_the_first_frame_gets_its_track_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As hardware encoders do: no extradata, Annex B. libx264 is made to behave so."""
    monkeypatch.setattr(VideoEncoder, "FLAGS", Flags.frame_duration)
    monkeypatch.setitem(_OPTIONS, "libx264", {"tune": "zerolatency", "forced-idr": "1"})
    encoder = VideoEncoder("libx264", Video(keyframe_s=0.5), 64, 48, Fraction(30), "test", START)
    assert encoder.track is None
    batches = encode(encoder, [START + n * NS // 30 for n in range(40)])
    assert numbers(batches) == list(range(40))
    assert (batches[0].track.width, batches[0].track.height, batches[0].track.codec) == (64, 48, "h264")


def test_the_bit_rate_is_kept_to() -> None:
    config = Video(bitrate=400_000)
    encoder = VideoEncoder("libx264", config, 320, 240, Fraction(30), "test", START)
    batches = []
    with av.open("testsrc2=size=320x240:rate=30", format="lavfi") as source:
        for number, picture in enumerate(source.decode(video=0)):
            batches += encoder.encode(picture, START + number * NS // 30)
            if number == 300:
                break
    encoder.close()
    bits = 8 * sum(len(batch.data) for batch in batches)
    assert 0.6 < bits / 10 / config.bitrate < 1.25


def test_equal_parameters_give_equal_init_segments() -> None:
    made = [VideoEncoder("libx264", Video(), 64, 48, Fraction(30), "test", START + n) for n in range(2)]
    tracks = [encoder.track for encoder in made]
    assert tracks[0] is not None
    assert tracks[1] is not None
    assert tracks[0].init == tracks[1].init
    for encoder in made:
        encoder.close()


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [("nosuch", (64, 48), "nosuch"), ("aac", (64, 48), "aac"), ("libx264", (0, 0), "libx264 at 0x0")],
)
def test_what_no_encoder_takes_is_refused_with_the_key(name: str, size: tuple[int, int], said: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        VideoEncoder(name, Video(), *size, Fraction(30), "test", START)
    assert str(refused.value).startswith("video.encoder: ")
    assert said in str(refused.value)


def test_auto_is_libx264_where_no_hardware_works() -> None:
    assert EncoderChoice().choose(Video(), 64, 48, EncoderCall()) in ("libx264", "h264_v4l2m2m")
    assert EncoderChoice().choose(Video(encoder="libx265"), 64, 48, EncoderCall()) == "libx265"


def test_the_init_segment_is_one_that_libav_opens() -> None:
    encoder = VideoEncoder("libx264", Video(), 64, 48, Fraction(30), "test", START)
    assert encoder.track is not None
    with av.open(io.BytesIO(encoder.track.init)) as container:
        (stream,) = container.streams
        assert (stream.time_base, stream.codec_context.name) == (Fraction(1, 90_000), "h264")
        assert (stream.codec_context.extradata or b"")[:1] == b"\x01"  # avcC
    encoder.close()
