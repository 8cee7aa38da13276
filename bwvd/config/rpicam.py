"""Options of rpicam-vid that `rpicam.options` may not hold, and why: each would break the recorder's reading. Pure.

Source of the names: rpicam-apps, core/options.cpp and core/video_options.hpp. Its parser takes an option's beginning
for the option, so that `--out` is refused as well as `--output`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bwvd.config.problem import shown

_OURS = "the recorder sets it"
_FILES = "the recorder reads one stream of frames, without a break"
_SCREEN = "there is no screen, and the preview costs time"
_TIMES = "the recorder takes the frames' times from the metadata"
_SOUND = "audio.source decides"
_RUN = "the recorder starts and ends it"

REFUSED = {
    "output": _OURS, "timeout": _RUN, "frames": _RUN, "codec": "video.encoder decides",
    "metadata": _TIMES, "metadata-format": _TIMES, "save-pts": _TIMES, "sync": "frames would wait for another camera",
    "inline": _OURS, "flush": _OURS, "config": "options stand here, where they are checked",
    "width": "video.size decides", "height": "video.size decides", "framerate": "video.rate decides",
    "bitrate": "video.bitrate decides", "intra": "video.keyframe_s decides", "camera": "video.source decides",
    "segment": _FILES, "split": _FILES, "circular": _FILES, "wrap": _FILES, "initial": _FILES,
    "keypress": _FILES, "signal": _FILES, "listen": "nothing is sent into a network",
    "libav-video-codec": "video.encoder decides", "libav-video-codec-opts": _OURS, "libav-format": _OURS,
    "low-latency": "without a delay rpicam-vid has no metadata yet for the frame that it writes",
    "libav-audio": _SOUND, "audio-codec": _SOUND, "audio-source": _SOUND, "audio-device": _SOUND,
    "audio-channels": _SOUND, "audio-bitrate": _SOUND, "audio-samplerate": _SOUND, "av-sync": _TIMES,
    "nopreview": _OURS, "preview": _SCREEN, "fullscreen": _SCREEN, "qt-preview": _SCREEN, "preview-backend": _SCREEN,
    "preview-libs": _SCREEN, "info-text": "it is written for each frame",
    "list-cameras": _RUN, "help": _RUN, "version": _RUN, "verbose": "its log would be one line a frame",
}  # fmt: skip
# Whose names begin another's, or are begun by one: taken as they are.
_TAKEN = frozenset({"mode", "roi", "ev", "gain", "awb", "level", "profile", "quality", "contrast", "viewfinder-mode"})

_NUMBER = re.compile(r"-?[0-9.,:]+")


def wrong_option(text: str) -> str:
    """What is wrong with one entry, "" for nothing. An entry is an option or the value of the one before it."""
    if not text.startswith("-") or _NUMBER.fullmatch(text):
        return ""
    if not text.startswith("--"):
        return "must be written in its long form, as in --hflip"
    name = text[2:].partition("=")[0]
    if name in _TAKEN:
        return ""
    if not name:
        return "is no option"
    if name in REFUSED:
        return REFUSED[name]
    begun = sorted(refused for refused in REFUSED if refused.startswith(name))
    return f"rpicam-vid takes it for --{begun[0]}: {REFUSED[begun[0]]}" if begun else ""


def wrong_order(options: Sequence[str]) -> str:
    """What is wrong with the entries together, "" for nothing."""
    if options and not options[0].startswith("-"):
        return f"{shown(options[0])} is the value of no option"
    return ""
