"""What must hold of several values together. Pure. Each message names every key that takes part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bwvd.config import Config
from bwvd.settings import grammar
from bwvd.settings.problem import Problem, shown

GROUPS_IN_LOOP = 5  # groups of pictures; with fewer, the loop would be off by more than a fifth of its length


def problems(config: Config, document: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong. `document` is what was written, for rules about what was said and not left to its default."""
    yield from _groups(config)
    yield from _encoder(config, document)
    yield from _sound(config)
    yield from _memory(config)
    yield from _power(config)


def _groups(config: Config) -> Iterator[Problem]:
    video, loop, recording = config.video, config.loop, config.recording
    if video.encoder == "copy":
        return  # the camera decides; who copies measures, and refuses a camera that breaks the first rule
    if video.keyframe_s * GROUPS_IN_LOOP > loop.seconds:
        yield Problem(
            f"video.keyframe_s = {video.keyframe_s:g}, loop.seconds = {loop.seconds:g}",
            f"key frames are too far apart: a loop begins at one, so keyframe_s may be at most "
            f"{loop.seconds / GROUPS_IN_LOOP:g}, a fifth of the loop",
        )
    if video.keyframe_s * video.rate < 1:
        yield Problem(
            f"video.keyframe_s = {video.keyframe_s:g}, video.rate = {video.rate:g}",
            "key frames would be less than one frame apart",
        )
    if recording.segment_s < video.keyframe_s:
        yield Problem(
            f"recording.segment_s = {recording.segment_s:g}, video.keyframe_s = {video.keyframe_s:g}",
            "a segment holds whole groups of pictures, so it can't be shorter than the time between key frames",
        )


def _encoder(config: Config, document: dict[str, Any]) -> Iterator[Problem]:
    video = config.video
    if video.preset:
        wrong = grammar.preset(video.preset, video.encoder)
        if wrong:
            yield Problem(f"video.preset = {shown(video.preset)}", wrong)
    if video.pixel_format and not video.source.startswith("v4l2:"):
        yield Problem("video.pixel_format", f"is asked of v4l2 cameras only; video.source is {shown(video.source)}")
    if video.encoder != "copy":
        return
    if video.source.startswith("lavfi:"):
        yield Problem('video.encoder = "copy"', "a filter graph (video.source) makes pictures, not coded video")
    if document.get("video", {}).get("stamp") is True:
        yield Problem('video.encoder = "copy", video.stamp = true', "pictures that are copied can't be stamped")
    if video.preset:
        yield Problem('video.encoder = "copy", video.preset', "what is copied is not encoded: there is no preset")


def _sound(config: Config) -> Iterator[Problem]:
    audio, video = config.audio, config.video
    if audio.source == "video" and video.source.startswith("v4l2:"):
        yield Problem('audio.source = "video"', 'a v4l2 camera carries no sound; use "alsa:DEVICE"')
    if audio.pre_event and not audio.source:
        yield Problem("audio.pre_event = true", 'there is no sound to keep: audio.source is ""')


def _memory(config: Config) -> Iterator[Problem]:
    video, loop, storage = config.video, config.loop, config.storage
    two_groups = int(2 * video.keyframe_s * video.bitrate / 8)
    if loop.max_bytes < two_groups:
        yield Problem(
            f"loop.max_bytes = {loop.max_bytes}",
            f"is less than two groups of pictures, {two_groups} bytes at video.bitrate = {video.bitrate} and "
            f"video.keyframe_s = {video.keyframe_s:g}",
        )
    if storage.backlog_bytes < loop.max_bytes:
        yield Problem(
            f"storage.backlog_bytes = {storage.backlog_bytes}, loop.max_bytes = {loop.max_bytes}",
            "the backlog must hold what a press hands over at once, the whole loop",
        )


def _power(config: Config) -> Iterator[Problem]:
    warn, critical = config.power.warn_percent, config.power.critical_percent
    if critical > warn or critical == warn > 0:
        yield Problem(
            f"power.critical_percent = {critical}, power.warn_percent = {warn}",
            "the critical level must be below the warning level",
        )
