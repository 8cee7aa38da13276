"""The way of a track of audio: copied as it comes, or encoded. Imported by nobody who has no microphone."""

from __future__ import annotations

from av.audio.stream import AudioStream

from bwvd.capture.audio.passthrough import CopiedAudio, can_copy
from bwvd.capture.audio.transcode import EncodedAudio
from bwvd.capture.source import AudioGate
from bwvd.config.schema import Audio

AudioPath = EncodedAudio | CopiedAudio


def audio_path(stream: AudioStream, config: Audio, source: str, gate: AudioGate) -> AudioPath:
    """Copied where the camera has coded it in a form that MP4 has, else encoded. source: the address, for messages."""
    return CopiedAudio(stream, source, gate) if can_copy(stream) else EncodedAudio(config, source, gate)
