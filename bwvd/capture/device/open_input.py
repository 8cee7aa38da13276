"""The opening of what an address names, with libav."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import av
from av.container import InputContainer

from bwvd.capture.address import Address
from bwvd.capture.device.alsa import find_configuration, quiet_alsa
from bwvd.capture.device.discovery import cameras
from bwvd.capture.device.libav_log import Line
from bwvd.capture.input import Input
from bwvd.capture.libav_errors import why
from bwvd.capture.source import DeviceLost, SourceRefused
from bwvd.config.schema import Config

av.logging.set_libav_level(av.logging.PANIC)  # errors reach us as exceptions; nothing is printed

RTSP_TIMEOUT_S = 10  # to connect
RTSP_READ_S = 3  # without a packet: the read comes back, so that the device's thread is never given up
PROBE_US = 2_000_000  # a live stream is looked at for so long at most before it starts
_EITHER = "tcp+udp"
_TCP_REFUSED = "SETUP failed: 461"  # in libav's log: what a camera answers that takes UDP alone
SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"  # of Debian's ca-certificates
# What an ALSA device is asked for, after what the configuration says: what sound cards have.
_CAMERAS_NAMED = 3
ALSA_FALLBACKS = ((48_000, 1), (48_000, 2), (44_100, 1), (44_100, 2), (16_000, 1))


def open_input(address: Address, config: Config, stopping: Callable[[], bool] = lambda: False) -> Input:
    """Open a device, stream, file, graph or program. Blocking: on a thread.

    stopping: asked while a program writes nothing. Raises: DeviceLost when it is not there now; SourceRefused when it
    can't be as configured; Stopped, when `stopping` says so.
    """
    if address.scheme == "exec":
        from bwvd.capture.program.exec_input import open_program  # here: no other source pays for it

        return open_program(address, config, stopping)
    if address.scheme == "rpicam":
        from bwvd.capture.program.rpicam_input import open_rpicam  # here: the same

        return open_rpicam(address, config, stopping)
    return Input.of(_open_container(address, config))


def _open_container(address: Address, config: Config) -> InputContainer:
    match address.scheme:
        case "v4l2":
            return _open_camera(address, config)
        case "alsa":
            return _open_sound_card(address, config)
        case "rtsp" | "rtsps":
            return _open_stream(address, config)
        case "file":
            return _open_file(address)
        case "lavfi":
            try:
                return av.open(address.target, "r", format="lavfi")
            except (av.FFmpegError, ValueError) as error:
                raise SourceRefused(
                    f"{address.key}: {address.text}: libav takes no such graph: {why(error)}"
                ) from error
        case _:
            raise SourceRefused(f"{address.key}: {address.text}: nothing that libav opens")


def _open_file(address: Address) -> InputContainer:
    path = Path(address.target)
    if not path.exists():
        raise SourceRefused(f"{address.key}: {address.target}: no such file")
    try:
        return av.open(str(path), "r")
    except (av.FFmpegError, ValueError) as error:
        raise SourceRefused(f"{address.key}: {address.target}: {why(error)}") from error


def _open_camera(address: Address, config: Config) -> InputContainer:
    video = config.video
    asked = video.pixel_format or ("h264" if video.encoder == "copy" else "")
    container = _open_v4l2(address, config, asked)
    if asked or not _too_slow(container, video.rate):
        return container
    # The plain format of many USB cameras is slow, because it fills the bus; their MJPEG is not.
    container.close()
    try:
        other = _open_v4l2(address, config, "mjpeg")
    except (DeviceLost, SourceRefused):
        return _open_v4l2(address, config, "")
    if not _too_slow(other, video.rate):
        return other
    other.close()
    return _open_v4l2(address, config, "")


def _too_slow(container: InputContainer, rate: float) -> bool:
    """True if the driver says that it gives clearly fewer frames per second than asked."""
    given = container.streams.video[0].average_rate
    return given is not None and float(given) < 0.75 * rate


def _open_v4l2(address: Address, config: Config, pixel_format: str) -> InputContainer:
    video = config.video
    options = {"video_size": video.size, "framerate": f"{video.rate:g}"}
    if pixel_format:
        options["input_format"] = pixel_format
    try:
        return av.open(address.target, "r", format="v4l2", options=options)
    except (av.FFmpegError, ValueError) as error:
        if getattr(error, "errno", None) == errno.EINVAL and Path(address.target).exists():
            asked = f"{video.size}, {video.rate:g} frames/s" + (f", {pixel_format}" if pixel_format else "")
            raise SourceRefused(
                f"video.size, video.rate or video.pixel_format: {address.text} does not take {asked}"
            ) from error
        if not Path(address.target).exists():
            raise DeviceLost(f"{address.text}: no such device; {_cameras_there()}") from error
        raise DeviceLost(f"{address.text}: {why(error)}") from error


def _cameras_there() -> str:
    """What is plugged in where the configured camera is not."""
    there = [f"{found.source} ({found.name})" for found in cameras()]
    return f"there is {', '.join(there[:_CAMERAS_NAMED])}" if there else "there is no camera"


def transport_of(address: Address, config: Config, log: list[Line]) -> str:
    """What the packets come by: "tcp" or "udp" from the network, else "". log: libav's, of the opening."""
    if not address.streamed:
        return ""
    transport = _transport(address, config)
    if transport != _EITHER:
        return transport
    return "udp" if any(_TCP_REFUSED in text for _, _, text in log) else "tcp"


def _transport(address: Address, config: Config) -> str:
    """As libav names it. By TCP nothing is lost on the way, or the connection is. Both are tried in one session: a
    camera that has just been left by somebody may not take the next one at once."""
    if address.scheme == "rtsps":
        return "tcp"
    asked = config.video.rtsp_transport
    return _EITHER if asked == "auto" else asked


def _open_stream(address: Address, config: Config) -> InputContainer:
    options = {
        "rtsp_transport": _transport(address, config),
        "rtsp_flags": "prefer_tcp",
        "timeout": str(RTSP_TIMEOUT_S * 1_000_000),
        "analyzeduration": str(PROBE_US),
    }
    if address.scheme == "rtsps":
        authorities = config.video.ca_file or SYSTEM_AUTHORITIES
        if not Path(authorities).exists():
            raise SourceRefused(f"video.ca_file: {authorities}: no such file")
        options |= {"tls_verify": "1", "ca_file": authorities}
    try:
        return av.open(address.target, "r", options=options, timeout=(RTSP_TIMEOUT_S, RTSP_READ_S))
    except (av.FFmpegError, ValueError) as error:
        raise DeviceLost(f"{address.text}: {why(error)}") from error


def _open_sound_card(address: Address, config: Config) -> InputContainer:
    find_configuration()
    quiet_alsa()
    first: BaseException | None = None
    for rate, channels in dict.fromkeys([(config.audio.rate, config.audio.channels), *ALSA_FALLBACKS]):
        options = {"sample_rate": str(rate), "channels": str(channels)}
        try:
            return av.open(address.target, "r", format="alsa", options=options)
        except (av.FFmpegError, ValueError) as error:
            first = first or error
            if getattr(error, "errno", None) in (errno.ENOENT, errno.ENODEV, errno.EBUSY, errno.EACCES):
                break
    reason = why(first) if first else "it takes no rate that we know"
    raise DeviceLost(f"{address.text}: {reason}") from first
