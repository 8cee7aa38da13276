"""A trial of the devices: sources, controls and indicators are opened as the daemon opens them, and let go again.

What the daemon's own adapters say is what is found, within the time that they give a device: an encoder is there once
it has given a whole group of pictures, a control once it listens. Pictures are wiped as they come; the gate keeps
sound out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

import trio

from bwvd.capture.device.alsa import in_use
from bwvd.capture.device.libav_source import LibavSource, open_camera, open_microphone
from bwvd.capture.source import AudioGate, DeviceLost, SourceEnded, SourceRefused
from bwvd.capture.video import jpeg
from bwvd.capture.video.encoder_choice import EncoderChoice
from bwvd.capture.video.jpeg import LIBRARY
from bwvd.cli.finding import Finding
from bwvd.clock import SystemClock
from bwvd.config.rules import GROUPS_IN_LOOP
from bwvd.config.schema import Config
from bwvd.controls.ports import Contact, ControlLost, ControlRefused, Edge
from bwvd.controls.serial_port import SerialPort
from bwvd.feedback.ports import Indicator, IndicatorLost
from bwvd.media.samples import Batch, Kind, Track
from bwvd.messages import FaultChanged, MediaEvent, SourceUp

HEVC = "HEVC plays in Chromium only where the machine decodes it; H.264 plays everywhere (bwvd help players)"
JPEG = f"a camera of MJPEG costs a third less with libjpeg-turbo, which is not here ({LIBRARY}; Debian: libturbojpeg0)"
UDP = "over UDP a packet that is lost costs the frames up to the next key frame (bwvd help configuration)"
OPENINGS = 2  # of a camera: an encoder that hangs costs the first one, and another takes its place as in the daemon

Trial = Callable[[], Awaitable[list[Finding]]]


def try_all(trials: Sequence[Trial]) -> Iterator[list[Finding]]:
    """Carry out all trials at the same time; the findings of each, in their order. Blocking, for as long as the slowest
    device may take in the daemon."""
    found: list[list[Finding]] = [[] for _ in trials]

    async def one(place: int, trial: Trial) -> None:
        found[place] = await trial()

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            for place, trial in enumerate(trials):
                nursery.start_soon(one, place, trial)

    trio.run(work)
    return iter(found)


# --- sources ---------------------------------------------------------------------------------------------------------


def camera_trial(config: Config, address: str) -> Trial:
    """Opens the camera, with its own sound where that is asked for, until a group of pictures is whole."""
    kinds: tuple[Kind, ...] = ("video", "audio") if config.audio.source == "video" else ("video",)
    choice = EncoderChoice()
    opened = partial(open_camera, config, SystemClock(), AudioGate(), choice)
    return partial(_try_source, "camera", "video.source", address, opened, kinds, _patience_s(config), choice)


def microphone_trial(config: Config, address: str) -> Trial:
    """Opens a microphone of its own until it has given sound."""

    def opened() -> LibavSource:
        source = open_microphone(config, SystemClock(), AudioGate())
        assert source is not None  # noqa: S101 - only called where one is configured
        return source

    patience_s = LibavSource.OPENING_S + LibavSource.SILENCE_S
    return partial(_try_source, "microphone", "audio.source", address, opened, ("audio",), patience_s, EncoderChoice())


def _patience_s(config: Config) -> float:
    """How long a camera may take to its first whole group of pictures: it may be looked at in the middle of one."""
    copied = config.video.encoder == "copy"
    group_s = config.loop.seconds / GROUPS_IN_LOOP if copied else config.video.keyframe_s
    return LibavSource.OPENING_S + LibavSource.SILENCE_S + 2 * group_s


class _Seen:
    """What a source has given so far."""

    def __init__(self, kinds: tuple[Kind, ...], enough: Callable[[], None]) -> None:
        self.missing = set(kinds)
        self.tracks: list[Track] = []
        self.faults: list[FaultChanged] = []
        self._enough = enough

    def take(self, event: MediaEvent) -> None:
        match event:
            case SourceUp():
                self.tracks.append(event.track)
                if event.device == "microphone":
                    self.missing.discard("audio")
            case Batch():
                self.missing.discard(event.track.kind)
                event.wipe()
            case FaultChanged(active=True):
                self.faults.append(event)
            case _:
                pass
        if not self.missing:
            self._enough()


async def _try_source(
    area: str,
    key: str,
    address: str,
    opened: Callable[[], LibavSource],
    kinds: tuple[Kind, ...],
    patience_s: float,
    choice: EncoderChoice,
) -> list[Finding]:
    advised: list[Finding] = []
    for left in reversed(range(OPENINGS)):
        reason = ""
        with trio.move_on_after(patience_s) as scope:
            seen = _Seen(kinds, scope.cancel)
            reason = await _run_source(opened, seen)
        advised += [Finding(area, True, f"{key}: {fault.detail}", advice=True) for fault in seen.faults]
        if not seen.missing:
            tracks = ", ".join(_shown(track) for track in seen.tracks)
            tracks += f", from MJPEG by {choice.jpeg_decoder}" if choice.jpeg_decoder else ""
            tracks += f", over {choice.transport.upper()}" if choice.transport else ""
            advised += [
                Finding(area, True, f"{key}: {text}", advice=True)
                for text in _advice(address, seen.tracks, choice.transport)
            ]
            return [Finding(area, True, f"{key}: {address}: {tracks}"), *advised]
        if not (left and any(fault.name == "encoder" for fault in seen.faults)):
            break
    missing = " and ".join(sorted(seen.missing))
    reason = reason or f"{key}: {address}: gave no {missing} within {patience_s:g} s"
    if address.startswith("alsa:") and in_use():
        reason += " (some program records from a sound device already)"  # libav says no more than "Input/output error"
    return [Finding(area, False, reason if _names_a_key(reason) else f"{key}: {reason}"), *advised]


def _advice(address: str, tracks: list[Track], transport: str = "") -> list[str]:
    """What somebody should know of a camera that works."""
    found = [HEVC] if any(track.codec == "hevc" for track in tracks) else []
    found += [UDP] if transport == "udp" else []
    encoded = any(track.kind == "video" and track.encoder != "copy" for track in tracks)
    if encoded and address.startswith("v4l2:") and not jpeg.is_there():
        found.append(JPEG)
    if address.startswith("rpicam:"):
        from bwvd.capture.program.rpicam_cameras import encodes

        board = "the board encodes in hardware" if encodes() else "the board has no hardware encoder"
        found.append(f"{board}; {'raw frames are encoded here' if encoded else 'what rpicam-vid encodes is kept'}")
    return found


async def _run_source(opened: Callable[[], LibavSource], seen: _Seen) -> str:
    """Run a source until it is cancelled; why it ended before that."""
    try:
        await opened().run(seen.take)
    except (SourceRefused, DeviceLost, SourceEnded) as error:
        return str(error)
    return ""


def _names_a_key(reason: str) -> bool:
    return reason.startswith(("video.", "audio."))


def _shown(track: Track) -> str:
    if track.kind == "video":
        return f"{track.width}x{track.height} at {track.rate:g}/s, {track.codec} by {track.encoder}"
    return f"{track.codec} at {track.rate:g} Hz by {track.encoder}"


# --- controls and indicators -----------------------------------------------------------------------------------------


def contact_trial(area: str, text: str, contact: Contact) -> Trial:
    """Opens a contact until it listens. text: what is said of it where all is well."""

    async def trial() -> list[Finding]:
        with trio.CancelScope() as scope:
            try:
                await contact.run(_let_pass, task_status=_Begun(scope))
            except ControlLost as error:
                return [_lost(area, text, error)]
        return [Finding(area, True, text)]

    return trial


def serial_trial(text: str, port: SerialPort) -> Trial:
    """Opens a serial line with its speed."""

    async def trial() -> list[Finding]:
        await trio.lowlevel.checkpoint()
        try:
            with port.open():
                return [Finding("serial", True, text)]
        except ControlLost as error:
            return [_lost("serial", text, error)]

    return trial


def indicator_trial(area: str, indicator: Indicator) -> Trial:
    """Opens a light, a motor or a sounder, which leaves it off."""

    async def trial() -> list[Finding]:
        await trio.lowlevel.checkpoint()
        try:
            indicator.open().close()
        except IndicatorLost as error:
            return [Finding(area, False, f"{area}: {error}")]
        return [Finding(area, True, f"{area}: {indicator.name}")]

    return trial


class _Begun:
    """A task status that ends the task once it has begun."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope

    def started(self, value: bool | None = None) -> None:  # noqa: ARG002 - where the contact stands
        self._scope.cancel()


def _let_pass(edge: Edge) -> None:
    """A press while the devices are looked at starts nothing."""


def _lost(area: str, text: str, error: ControlLost) -> Finding:
    return Finding(area, False, str(error) if isinstance(error, ControlRefused) else f"{text}: {error}")
