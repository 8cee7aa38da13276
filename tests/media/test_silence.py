"""Coded silence: what libav's decoder makes of it, and for which forms of AAC there is none."""

from __future__ import annotations

import io

import av
import pytest
from av.codec.context import Flags

from bwvd.capture.audio.transcode import AudioEncoder
from bwvd.config.schema import Audio
from bwvd.media.init_segment import InitSegment
from bwvd.media.silence import silence_like, silence_of


def _decoded(config: bytes, frame: bytes, count: int) -> list[av.AudioFrame]:
    context = av.CodecContext.create("aac", "r")
    assert isinstance(context, av.AudioCodecContext)
    context.extradata = config
    context.options = {"err_detect": "explode+careful+aggressive"}
    packets = [av.Packet(frame) for _ in range(count)]
    return [*(decoded for packet in packets for decoded in context.decode(packet)), *context.decode(None)]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_silence_of_our_own_encoder_decodes_to_nothing_but_zeros(rate: int, channels: int) -> None:
    """Invariant 15: in the track's own form, whole, and silent to the last sample."""
    encoder = AudioEncoder(Audio(rate=rate, channels=channels, bitrate=24_000), "test")
    encoder.close()
    with av.open(io.BytesIO(encoder.track.init), "r", format="mp4") as container:
        stream = container.streams.audio[0]
        silence = silence_of(stream)
        config = stream.codec_context.extradata
    assert silence is not None
    assert config is not None
    assert silence.ticks == 1024
    frames = _decoded(config, silence.data, 5)
    assert [(frame.samples, frame.sample_rate, len(frame.layout.channels)) for frame in frames] == [
        (1024, rate, channels)
    ] * 5
    assert not any(any(bytes(plane)) for frame in frames for plane in frame.planes)


@pytest.mark.parametrize("layout", ["3.0", "4.0", "5.0", "5.1"])
def test_silence_of_many_channels(layout: str) -> None:
    segment = InitSegment()
    stream = segment.container.add_stream("aac", rate=48_000)
    assert isinstance(stream, av.AudioStream)
    stream.codec_context.layout = layout
    stream.codec_context.format = "fltp"
    stream.codec_context.flags |= Flags.global_header
    init = segment.finish()
    segment.close()
    with av.open(io.BytesIO(init), "r", format="mp4") as container:
        silence = silence_of(container.streams.audio[0])
        config = container.streams.audio[0].codec_context.extradata
    assert silence is not None
    assert config is not None
    frames = _decoded(config, silence.data, 3)
    assert {len(frame.layout.channels) for frame in frames} == {len(av.AudioLayout(layout).channels)}
    assert not any(any(bytes(plane)) for frame in frames for plane in frame.planes)


def _config(*fields: tuple[int, int]) -> bytes:
    """AudioSpecificConfig of values and their widths in bits."""
    bits = "".join(format(value, f"0{width}b") for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize("kind", [5, 29])
def test_silence_with_a_high_band_has_its_length(kind: int) -> None:
    """HE-AAC: a core at half the rate, so a frame lasts for 2048 samples of what is heard."""
    channels = 1 if kind == 29 else 2
    config = _config((kind, 5), (6, 4), (channels, 4), (3, 4), (2, 5), (0, 3))
    silence = silence_like(config, 48_000)
    assert silence is not None
    assert silence.ticks == 2048
    frames = _decoded(config, silence.data, 4)
    assert {(frame.samples, frame.sample_rate) for frame in frames} == {(2048, 48_000)}
    assert not any(any(bytes(plane)) for frame in frames for plane in frame.planes)


@pytest.mark.parametrize(
    "config",
    [
        _config((2, 5), (3, 4), (0, 4), (0, 3)),  # channels described elsewhere
        _config((2, 5), (3, 4), (7, 4), (0, 3)),  # eight channels
        _config((2, 5), (3, 4), (2, 4), (1, 1), (0, 2)),  # frames of 960 samples
        _config((23, 5), (3, 4), (1, 4), (0, 3)),  # low delay
        _config((31, 5), (7, 6), (3, 4), (1, 4)),  # extended type 39
        _config((2, 5), (14, 4), (1, 4), (0, 3)),  # a reserved rate
        b"\x11",
        b"",
    ],
)
def test_forms_that_have_no_silence(config: bytes) -> None:
    assert silence_like(config, 48_000) is None
