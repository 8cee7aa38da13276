"""Rules over several values together, and over controls and indicators: each has one target, no two the same.

Pure. Each message names every key that takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bwvd.config import syntax
from bwvd.config.keys import numbered, sections
from bwvd.config.problem import Problem, shown
from bwvd.config.schema import Config, Gestures, Haptic, Led, Rpicam, Section, Tone
from bwvd.text import address_label

MOST_AUTHORITIES = 8  # time-stamp authorities
GROUPS_IN_LOOP = 5  # GOPs; with fewer, the loop would be off by more than a fifth of its length

_TARGETS: dict[type[Section], tuple[str, ...]] = {
    Led: ("name", "device", "chip"),
    Haptic: ("device", "chip"),
    Tone: ("device", "pwm", "chip"),
}
_KINDS = ("gpio", "input", "serial", "led", "haptic", "tone")


def problems(config: Config, document: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong. `document` is what was written, for rules about what was said and not left to its default."""
    yield from _groups(config)
    yield from _encoder(config, document)
    yield from _audio(config)
    yield from _rpicam(config)
    yield from _memory(config)
    yield from _power(config)
    yield from _offload(config)
    yield from _witness(config)
    yield from _unheard(document)
    yield from _gestures(config)
    yield from _targets(config, document)
    yield from _shared(config)
    yield from _grabbed(config)


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
        wrong = syntax.preset(video.preset, video.encoder)
        if wrong:
            yield Problem(f"video.preset = {shown(video.preset)}", wrong)
    if video.pixel_format and not video.source.startswith("v4l2:"):
        yield Problem("video.pixel_format", f"is asked of v4l2 cameras only; video.source is {shown(video.source)}")
    if bool(video.format) != video.source.startswith("exec:"):
        yield Problem(
            "video.format, video.source",
            "format says what an exec: program writes: h264, mpegts, nut or yuv4mpegpipe; no other source has one",
        )
    if video.format == "yuv4mpegpipe" and video.encoder == "copy":
        yield Problem('video.encoder = "copy", video.format = "yuv4mpegpipe"', "raw frames have to be encoded")
    if video.ca_file and not video.source.startswith("rtsps:"):
        yield Problem("video.ca_file", f"is for cameras at rtsps://…; video.source is {shown(video.source)}")
    if video.rtsp_transport != "auto" and not video.source.startswith(("rtsp:", "rtsps:")):
        yield Problem("video.rtsp_transport", f"is for cameras at rtsp://…; video.source is {shown(video.source)}")
    if video.rtsp_transport == "udp" and video.source.startswith("rtsps:"):
        yield Problem('video.rtsp_transport = "udp"', "would leave TLS: what comes by rtsps://… comes by tcp")
    if video.encoder != "copy":
        return
    if video.source.startswith("lavfi:"):
        yield Problem('video.encoder = "copy"', "a filter graph (video.source) makes frames, not coded video")
    if document.get("video", {}).get("stamp") is True:
        yield Problem('video.encoder = "copy", video.stamp = true', "frames that are copied can't be stamped")
    if video.preset:
        yield Problem('video.encoder = "copy", video.preset', "what is copied is not encoded: there is no preset")


def _audio(config: Config) -> Iterator[Problem]:
    audio, video = config.audio, config.video
    if audio.source == "video" and video.source.startswith("v4l2:"):
        yield Problem('audio.source = "video"', 'a v4l2 camera carries no audio; use "alsa:DEVICE"')
    if audio.source == "video" and video.format in ("h264", "yuv4mpegpipe"):
        yield Problem(f'audio.source = "video", video.format = {shown(video.format)}', "this format carries no audio")
    if audio.pre_event and not audio.source:
        yield Problem("audio.pre_event = true", 'there is no audio to keep: audio.source is ""')


def _rpicam(config: Config) -> Iterator[Problem]:
    if not config.video.source.startswith("rpicam:"):
        if config.rpicam != Rpicam():
            yield Problem("rpicam", f"is for ribbon cameras (rpicam:…); video.source is {shown(config.video.source)}")
        return
    from bwvd.config.rpicam import wrong_option, wrong_order  # here: only who has such a camera pays for it

    if wrong := wrong_order(config.rpicam.options):
        yield Problem("rpicam.options, entry 1", wrong)
    for index, option in enumerate(config.rpicam.options):
        if wrong := wrong_option(option):
            yield Problem(f"rpicam.options, entry {index + 1} = {shown(option)}", wrong)
    if config.audio.source == "video":
        yield Problem('audio.source = "video"', 'a ribbon camera carries no audio; use "alsa:DEVICE"')


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


def _offload(config: Config) -> Iterator[Problem]:
    offload = config.offload
    where = f"offload.store = {shown(offload.store)}"
    if not offload.store.startswith("s3:"):
        if offload.endpoint:
            yield Problem(f"offload.endpoint, {where}", "an endpoint belongs to a store that is s3://BUCKET")
        if offload.store and offload.retain_days:
            yield Problem(
                f"offload.retain_days = {offload.retain_days}, {where}",
                "a folder locks nothing: days are kept by a store that is s3://BUCKET",
            )
    if offload.store.startswith("file:"):
        folder, storage = (_parts(path) for path in (offload.store.removeprefix("file:"), config.storage.path))
        if folder[: len(storage)] == storage or storage[: len(folder)] == folder:
            yield Problem(
                f"{where}, storage.path = {shown(config.storage.path)}",
                "one lies in the other: a copy belongs on another disk",
            )
    if offload.store and offload.when == "external_power" and config.power.supply == "none":
        yield Problem(
            'offload.when = "external_power", power.supply = "none"',
            'nobody looks at the power; set offload.when to "always" or "manual"',
        )


def _witness(config: Config) -> Iterator[Problem]:
    if len(config.witness.tsa) > MOST_AUTHORITIES:
        yield Problem("witness.tsa", f"at most {MOST_AUTHORITIES}: each stamps everything")
    labels: dict[str, str] = {}
    for url in config.witness.tsa:
        label = address_label(url)
        other = labels.get(label, "")
        labels[label] = url
        if other:
            yield Problem("witness.tsa", f"{shown(other)} and {shown(url)} would have the same files")
    if config.witness.certs and not config.witness.tsa:
        yield Problem("witness.certs, witness.tsa = []", "certificates belong to authorities, and none is asked")


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


# --- controls and indicators ---


def _unheard(document: dict[str, Any]) -> Iterator[Problem]:
    """Gestures that were written for something that has no button would be ignored: say so."""
    for kind in ("gpio", "input", "serial"):
        tables = document.get(kind, [])
        for index, table in enumerate(tables):
            name = numbered(kind, index, len(tables))
            if "gestures" not in table:
                continue
            if table.get("mode") == "switch":
                yield Problem(f'{name}.gestures, {name}.mode = "switch"', "a switch has two positions and no gestures")
            if kind == "serial" and not table.get("button"):
                yield Problem(f"{name}.gestures", f'there is no button: {name}.button is ""')


def _gestures(config: Config) -> Iterator[Problem]:
    for name, section in sections(config):
        if isinstance(section, Gestures) and section.double_ms >= section.hold_s * 1000:
            yield Problem(
                f"{name}.double_ms = {section.double_ms}, {name}.hold_s = {section.hold_s:g}",
                "a hold must take longer than the wait for a second press",
            )


def _targets(config: Config, document: dict[str, Any]) -> Iterator[Problem]:
    for kind in ("led", "haptic", "tone"):
        entries: list[Section] = getattr(config, kind)
        for index, entry in enumerate(entries):
            name = numbered(kind, index, len(entries))
            keys = _TARGETS[type(entry)]
            given = [key for key in keys if getattr(entry, key)]
            if not given:
                yield Problem(name, f"drives nothing: set one of {', '.join(keys)}")
            elif len(given) > 1:
                yield Problem(
                    f"{name}.{given[0]}, {name}.{given[1]}", f"drives two things: set one of {', '.join(keys)}"
                )
            elif given != ["chip"] and "line" in document.get(kind, [])[index]:
                yield Problem(f"{name}.line", f"a line belongs to a chip, and {name} drives {name}.{given[0]}")
            elif given == ["chip"] and "line" not in document.get(kind, [])[index]:
                yield Problem(f"{name}.chip", f"which line of it? set {name}.line")


def _shared(config: Config) -> Iterator[Problem]:
    """Two tables on one line, port or key: one of them would never be heard or seen."""
    seen: dict[str, str] = {}
    for kind in _KINDS:
        entries: list[Section] = getattr(config, kind)
        for index, entry in enumerate(entries):
            name = numbered(kind, index, len(entries))
            first = seen.setdefault(_target(kind, entry, repr), name)  # whole: what is shown of a long path is cut
            if first != name:
                yield Problem(f"{first}, {name}", f"both are on {_target(kind, entry, shown)}")


def _grabbed(config: Config) -> Iterator[Problem]:
    """Who grabs an input device has it alone: a second table on it would fail to open, or hear nothing."""
    for index, entry in enumerate(config.input):
        for later, other in enumerate(config.input[index + 1 :], index + 1):
            if entry.device == other.device and (entry.grab or other.grab):
                names = [numbered("input", number, len(config.input)) for number in (index, later)]
                yield Problem(
                    f"{names[0]}.grab, {names[1]}.grab", f"both are on {shown(entry.device)}: set both to false"
                )


def _target(kind: str, entry: Any, say: Callable[[object], str]) -> str:
    """What the table is about, in words, values by `say`; the same words for the same thing."""
    if getattr(entry, "chip", ""):
        return f"line {say(entry.line)} of {say(entry.chip)}"
    match kind:
        case "input":
            return f"{entry.key} of {say(entry.device)}"
        case "serial":
            return say(entry.port)
        case "led" if entry.device:
            return f"{entry.led} of {say(entry.device)}"
        case "led":
            return f"the LED {say(entry.name)}"
        case "tone" if entry.pwm:
            return f"the PWM channel {entry.pwm.replace('/pwm', '/')}"
        case _:
            return f"the {kind} of {say(entry.device)}"
