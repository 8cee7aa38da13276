"""Advice on a checked configuration, for `bwvd check`: what is allowed but probably not meant, one line each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from bwvd.config.keys import sections
from bwvd.config.schema import Audio, Config, Gestures, Serial, Video


def advice(config: Config) -> list[str]:
    """The warnings, each beginning with the key that it is about."""
    return [*_loop(config), *_secrecy(config), *_controls(config), *_audio(config), *_without_effect(config)]


def loop_bytes(config: Config) -> int:
    """What the loop holds at most when camera and encoder keep to their nominal bitrates."""
    bits = config.video.bitrate + (config.audio.bitrate if config.audio.pre_event else 0)
    return int((config.loop.seconds + config.video.keyframe_s) * bits / 8)


def _loop(config: Config) -> Iterator[str]:
    needed = loop_bytes(config)
    if needed > config.loop.max_bytes:
        fits_s = config.loop.seconds * config.loop.max_bytes / needed
        yield (
            f"loop.max_bytes: {config.loop.max_bytes} bytes hold about {fits_s:.0f} s of the {config.loop.seconds:g} s "
            f"asked at video.bitrate = {config.video.bitrate}; all of it takes {needed}"
        )


def _secrecy(config: Config) -> Iterator[str]:
    if not config.keys.recipients:
        yield "keys.recipients: empty; whoever holds the storage can watch the recordings"
    storage = PurePosixPath(config.storage.path)
    if PurePosixPath(config.keys.signing).is_relative_to(storage):
        yield f"keys.signing: lies in storage.path ({storage}); whoever takes the storage can sign in the device's name"


def _controls(config: Config) -> Iterator[str]:
    if not (config.gpio or config.input or config.serial):
        yield "gpio, input, serial: none; only the socket and signals can start a recording"
    for name, section in sections(config):
        if isinstance(section, Gestures) and not (
            section.press or section.hold or section.double or section.press_hold
        ):
            yield f"{name}: every gesture is empty; the control does nothing"
        if isinstance(section, Serial):
            yield from _port(name, section.port)


def _port(name: str, port: str) -> Iterator[str]:
    if re.fullmatch(r"/dev/tty(USB|ACM)[0-9]+", port):
        yield (
            f"{name}.port: {port} is whichever adapter came first; name it by its link in /dev/serial/by-id, as "
            f"bwvd devices prints it"
        )
    if re.fullmatch(r"/dev/pts/[0-9]+", port):
        yield f"{name}.port: {port} is given to the next one who logs in; name a link that the line's program makes"


def _audio(config: Config) -> Iterator[str]:
    if not config.audio.source:
        yield "audio.source: empty; recordings have no audio"


# Sources whose frames are as they are; a camera is asked for a size and a rate.
_AS_THEY_ARE = frozenset({"exec", "file", "lavfi", "rtsp", "rtsps"})


def _without_effect(config: Config) -> Iterator[str]:
    """Keys that are set, and that nothing asks for. One that has its default may not have been set."""
    video, audio = config.video, config.audio
    scheme = video.source.partition(":")[0]
    if scheme in _AS_THEY_ARE:
        yield from _set(video, "size", f"without effect: {scheme}: gives frames of its own size")
        yield from _set(video, "rate", f"{scheme}: has a rate of its own; counts only where it says none")
    if video.encoder == "copy":
        yield from _set(video, "bitrate", 'encoder = "copy": the camera decides; the room left is reckoned with it')
        yield from _set(video, "keyframe_s", 'encoder = "copy": the camera decides; the loop is reckoned with it')
    if not audio.source:
        for key in ("pre_event", "bitrate", "rate", "channels"):
            yield from _set(audio, key, "without effect: audio.source is empty")
    elif audio.source == "video":
        for key in ("bitrate", "rate", "channels"):
            yield from _set(audio, key, "counts only where the source's audio is no AAC, which is copied as it is")


def _set(section: Video | Audio, key: str, what: str) -> Iterator[str]:
    if getattr(section, key) != getattr(type(section)(), key):
        yield f"{'video' if isinstance(section, Video) else 'audio'}.{key}: {what}"
