"""Configuration: TOML to frozen, validated values.

Every key is optional; systemd/bwvd.toml shows the defaults. Unknown keys are errors that name the nearest known key.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Scheme = Literal["v4l2", "rtsp", "rtsps", "rpicam", "exec", "file", "lavfi", "alsa"]
STREAM_SCHEMES: tuple[Scheme, ...] = ("rtsp", "rtsps")  # of cameras in the network
VIDEO_SCHEMES: tuple[Scheme, ...] = ("v4l2", *STREAM_SCHEMES, "rpicam", "exec", "file", "lavfi")  # of `video.source`
AUDIO_SCHEMES: tuple[Scheme, ...] = ("alsa", "lavfi")  # of `audio.source`


class ConfigError(Exception):
    """The configuration can't be used; the text is one line that names the file and the key."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the configuration file."""


class Device(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    id: str = "BWV-0001"


class Video(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    source: str = "v4l2:/dev/video0"
    size: str = "1280x720"
    rate: float = 30
    encoder: str = "auto"  # auto | copy | any libav encoder
    bitrate: int = 4_000_000  # bits per second
    keyframe_s: float = 1.0
    preset: str = ""  # of libx264/libx265; "" = ours for a small processor
    ca_file: str = ""  # PEM, of who vouches for an rtsps: camera's certificate; "" = the system's
    format: Literal["", "h264", "mpegts", "nut", "yuv4mpegpipe"] = ""  # of what an exec: program writes
    rtsp_transport: Literal["auto", "tcp", "udp"] = "auto"  # of a network camera's packets; auto: tcp, else udp
    pixel_format: str = ""  # asked of a v4l2 camera: "" (the driver's choice), yuyv422, mjpeg, nv12, h264
    stamp: bool = True

    @property
    def times(self) -> str:
        """What a track says of its frames' times (`bwvd.media.samples.Track.times`)."""
        return "arrival" if self.format in ("h264", "yuv4mpegpipe") else ""

    @property
    def width(self) -> int:
        return int(self.size.split("x")[0])

    @property
    def height(self) -> int:
        return int(self.size.split("x")[1])


class Rpicam(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A ribbon camera's program (`video.source = "rpicam:…"`)."""

    program: str = ""  # "" = rpicam-vid, or libcamera-vid as it was called before
    options: list[str] = []  # more of its options, as in ["--hflip", "--awb", "daylight"]


class Audio(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    source: str = ""  # "" none | "video" the video source's own track | alsa:DEVICE | lavfi:GRAPH
    pre_event: bool = False
    bitrate: int = 64_000
    rate: int = 48_000
    channels: int = 1


class Loop(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    seconds: float = 30
    max_bytes: int = 67_108_864


class Recording(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    segment_s: float = 1.0
    post_roll_s: float = 10
    stop_confirm_s: float = 5
    max_s: float = 0  # 0 = no limit
    reminder_s: float = 120  # 0 = never


class Storage(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    path: str = "/var/lib/bwvd"
    reserve_bytes: int = 16_777_216
    backlog_bytes: int = 67_108_864
    journal_bytes: int = 4_194_304  # a journal file is rotated at this size
    witness: str = "auto"  # a folder on another disk | "auto" the unit's own | "" none: remembers the journal's head


class Keys(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    signing: str = "/etc/bwvd/device_key"
    recipients: list[str] = []  # age1… strings, or files that hold one a line
    release: list[str] = []  # allowed_signers files whose keys may sign receipts


class Socket(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    path: str = "/run/bwvd/control.sock"
    allow: list[str] = []  # [] = every command


class Gestures(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the movements of one control ask for: an order of `bwvd.messages.Order`, or "" for nothing."""

    press: str = "press"
    hold: str = "stop"
    double: str = ""
    press_hold: str = ""  # a short press, then a hold
    hold_s: float = 3.0
    double_ms: int = 400


class Gpio(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    chip: str = "/dev/gpiochip0"
    line: int | str = 17
    active_low: bool = True
    bias: Literal["as-is", "pull-up", "pull-down", "disabled"] = "pull-up"
    debounce_ms: int = 20
    mode: Literal["button", "switch"] = "button"
    gestures: Gestures = Gestures()
    allow: list[str] = []


class Input(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    device: str = "/dev/input/event0"
    key: str = "KEY_RECORD"
    grab: bool = True
    mode: Literal["button", "switch"] = "button"
    gestures: Gestures = Gestures()
    allow: list[str] = []


class Serial(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    port: str = "/dev/ttyS1"
    baud: int = 115200
    pty: bool = False  # a pseudo-terminal is taken: a program is at the other end
    button: Literal["", "cts", "dsr", "cd", "ri"] = ""
    debounce_ms: int = 20
    events: bool = True  # send EVT lines
    gestures: Gestures = Gestures()
    allow: list[str] = []


class Led(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A light: a sysfs LED (`name`), a GPIO line (`chip`, `line`) or an LED of an input device (`device`, `led`)."""

    name: str = ""  # as under /sys/class/leds
    device: str = ""
    led: Literal[
        "LED_NUML",
        "LED_CAPSL",
        "LED_SCROLLL",
        "LED_COMPOSE",
        "LED_KANA",
        "LED_SLEEP",
        "LED_SUSPEND",
        "LED_MUTE",
        "LED_MISC",
        "LED_MAIL",
        "LED_CHARGING",
    ] = "LED_MISC"  # of `device`
    chip: str = ""
    line: int | str = 0
    active_low: bool = False
    colour: Literal["red", "green", "amber", "any"] = "any"


class Haptic(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A vibration motor: a GPIO line or an input device with force feedback (`device`)."""

    device: str = ""
    chip: str = ""
    line: int | str = 0
    active_low: bool = False


class Tone(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A sounder: an input device with EV_SND (`device`), a PWM channel under /sys/class/pwm (`pwm`), or a GPIO line."""

    device: str = ""
    pwm: str = ""
    chip: str = ""
    line: int | str = 0
    active_low: bool = False


class Feedback(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    stealth: bool = False  # no light, tone or vibration; everything is still recorded and journalled


class Power(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    supply: str = ""  # a name under /sys/class/power_supply; "" = the first battery found, "none" = do not look
    warn_percent: int = 15
    critical_percent: int = 5


class Metrics(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    textfile: str = ""  # a file for node-exporter's textfile collector


class Offload(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where recordings are carried, by a process of its own (`bwvd offload`)."""

    store: str = ""  # "" = off | file:PATH | s3://BUCKET[/PREFIX]
    endpoint: str = ""  # of an S3 that is not AWS'; "" = the region's own
    region: str = "us-east-1"
    credentials: str = "/etc/bwvd/offload_credentials"  # AWS' shared credentials format
    retain_days: int = 0  # object lock (compliance) asked for each object; 0 = the bucket's default
    when: Literal["external_power", "always", "manual"] = "external_power"  # manual: `bwvd offload --once` alone
    release: bool = True  # let go of what has a receipt
    max_mbit: float = 0  # megabits per second; 0 = no limit


class Witness(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who vouches for the time of what was recorded: asked by the process that has the network (`bwvd offload`)."""

    tsa: list[str] = []  # RFC 3161 authorities: http(s)://…
    certs: str = ""  # PEM of the authorities whose tokens are kept; "" = who is trusted is left to `bwvd verify`


class Gnss(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the camera is, by a satellite receiver."""

    source: str = ""  # "" off | gpsd://HOST:PORT, on this machine | serial:/dev/ttyACM0
    baud: int = 9600  # of a serial line
    every_s: float = 1.0  # one position in so many seconds
    in_standby: bool = False  # true: positions of the time that the loop holds go into the recording too


class Config(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration. Built by `bwvd.config.load`; every value has been checked."""

    profile: str = ""
    device: Device = Device()
    video: Video = Video()
    rpicam: Rpicam = Rpicam()
    audio: Audio = Audio()
    loop: Loop = Loop()
    recording: Recording = Recording()
    storage: Storage = Storage()
    keys: Keys = Keys()
    socket: Socket = Socket()
    gpio: list[Gpio] = []
    input: list[Input] = []
    serial: list[Serial] = []
    led: list[Led] = []
    haptic: list[Haptic] = []
    tone: list[Tone] = []
    feedback: Feedback = Feedback()
    power: Power = Power()
    metrics: Metrics = Metrics()
    offload: Offload = Offload()
    witness: Witness = Witness()
    gnss: Gnss = Gnss()
