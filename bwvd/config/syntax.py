"""Grammars of strings: sources, sizes, paths, recipients. Each function says what is wrong, or "".

Whether a device, a file or a codec is there is asked later, by `bwvd check` and by those who open it.
"""

from __future__ import annotations

import re

from bwvd.config.nearest import did_you_mean, nearest
from bwvd.config.problem import shown
from bwvd.config.schema import AUDIO_SCHEMES, VIDEO_SCHEMES
from bwvd.media.presets import PRESET_ENCODERS, PRESETS

DEVICE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,31}", re.ASCII)
SIZE = re.compile(r"(?P<width>[1-9][0-9]{0,4})x(?P<height>[1-9][0-9]{0,4})", re.ASCII)
CODEC_WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.ASCII)  # libav's names of encoders, presets, pixel formats
FILE_NAME = re.compile(r"(?!\.{1,2}$)[^/\x00]{1,255}")  # one component of a path
PREFIX_CHARACTERS = 512  # of the 1024 bytes of an object's name; the rest is ours
SOCKET_PATH_BYTES = 107  # sun_path holds 108 with its final NUL

_CAMERA = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_@/.,:-]{0,199}", re.ASCII)  # its number, its sensor, or its path
_SHELL_WORDS = frozenset({"|", "||", "&&", "&", ";", ">", ">>", "<", "2>", "2>&1"})
_RTSP = re.compile(
    r"rtsps?://(?:[^/?#@\s]*@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?:/[^\s#]*|\?[^\s#]*)?",
    re.ASCII,
)
_ALSA = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_:,.=/-]*", re.ASCII)
_CHIP = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:,@+-]{0,63}", re.ASCII)
_PWM = re.compile(r"pwmchip[0-9]+/(?:pwm)?[0-9]+", re.ASCII)
# As S3 takes them everywhere: a bucket is part of a host's name, a prefix part of a signed address.
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]", re.ASCII)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,127})*/?", re.ASCII)
_ENDPOINT = re.compile(
    r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?", re.ASCII
)
_AUTHORITY = re.compile(
    r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[A-Za-z0-9._~/%+-]{0,200})?(?:\?[A-Za-z0-9._~/%+=&-]{1,200})?",
    re.ASCII,
)
_GPSD = re.compile(r"gpsd://(?P<host>127\.0\.0\.1|localhost|\[::1\])(?::(?P<port>[0-9]{1,5}))?/?", re.ASCII)
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
_KEY_NAME = re.compile(r"(KEY|BTN|SW)_[A-Z0-9_]+", re.ASCII)


def device_id(text: str) -> str:
    """A device's id becomes part of a folder's name, so it is one."""
    if DEVICE_ID.fullmatch(text):
        return ""
    return "must be 1 to 32 of the characters A-Z a-z 0-9 . _ -, and begin with none of . and -"


def size(text: str) -> str:
    match = SIZE.fullmatch(text)
    if match is None:
        return 'must be WIDTHxHEIGHT, as in "1280x720"'
    width, height = int(match["width"]), int(match["height"])
    if width % 2 or height % 2:
        return "width and height must be even: the colour planes are half as wide and half as high"
    if not (32 <= width <= 8192 and 32 <= height <= 8192):
        return "width and height must be from 32 to 8192"
    return ""


def absolute(text: str) -> str:
    """An absolute path: a daemon's working directory is nobody's choice."""
    if not text:
        return "must not be empty"
    if not text.startswith("/"):
        return "must be an absolute path, one that begins with /"
    return ""


def gpio_chip(text: str) -> str:
    if text.startswith("/") or _CHIP.fullmatch(text):
        return ""
    return 'must be the path of a chip, as in "/dev/gpiochip0", or its label, as in "pinctrl-bcm2711"'


def socket_path(text: str) -> str:
    wrong = absolute(text)
    if not wrong and len(text.encode("utf-8", "surrogatepass")) > SOCKET_PATH_BYTES:
        return f"is longer than the {SOCKET_PATH_BYTES} bytes that the kernel allows for a socket"
    return wrong


def video_source(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    match scheme if colon else "":
        case "v4l2":
            return _device_path("v4l2", rest)
        case "rtsp" | "rtsps":
            match = _RTSP.fullmatch(text)
            if match is None or int(match["port"] or 554) not in range(1, 65536):
                return (
                    f"must be {scheme}:// and HOST[:PORT][/PATH], with USER:PASSWORD@ before HOST where one is asked "
                    "for it; what these have of / ? # @ : is written as %2F %3F %23 %40 %3A"
                )
            return ""
        case "file":
            path, question, query = rest.partition("?")
            if absolute(path):
                return "must be file:PATH with an absolute path"
            if question and query not in ("loop=0", "loop=1"):
                return 'after the path there may be "?loop=1" and nothing else'
            return ""
        case "rpicam":
            if _CAMERA.fullmatch(rest):
                return ""
            return 'must be rpicam:N or rpicam:NAME, as in "rpicam:0" or "rpicam:imx708"; bwvd devices lists them'
        case "exec":
            return _command(rest)
        case "lavfi":
            return "" if rest.strip() else "must be lavfi:GRAPH with a filter graph"
    return _no_scheme(
        text, VIDEO_SCHEMES, "v4l2:PATH, rtsp://…, rtsps://…, rpicam:N, exec:COMMAND, file:PATH or lavfi:GRAPH"
    )


def audio_source(text: str) -> str:
    if text in ("", "video"):
        return ""
    scheme, colon, rest = text.partition(":")
    match scheme if colon else "":
        case "alsa":
            return "" if _ALSA.fullmatch(rest) else 'must be alsa:DEVICE, as in "alsa:default" or "alsa:hw:1,0"'
        case "lavfi":
            return "" if rest.strip() else "must be lavfi:GRAPH with a filter graph"
    return _no_scheme(text, (*AUDIO_SCHEMES, "video"), '"" (no audio), "video", alsa:DEVICE or lavfi:GRAPH')


def codec_word(text: str) -> str:
    if CODEC_WORD.fullmatch(text):
        return ""
    return "must be a name of libav's: small letters, digits, _ and -"


def preset(text: str, encoder: str) -> str:
    if encoder != "auto" and encoder not in PRESET_ENCODERS:
        return codec_word(text)  # other encoders have presets of their own
    if text in PRESETS:
        return ""
    hint = did_you_mean(text, PRESETS)
    return hint or f"must be one of {', '.join(PRESETS)}"


def key_name(text: str) -> str:
    if _KEY_NAME.fullmatch(text):
        return ""
    return 'must be a name of the kernel\'s, as in "KEY_RECORD", "BTN_0" or "SW_CAMERA_LENS_COVER"'


def pwm_channel(text: str) -> str:
    return "" if _PWM.fullmatch(text) else 'must be a channel under /sys/class/pwm, as in "pwmchip0/1"'


def store(text: str) -> str:
    """Where recordings are carried: nowhere, a folder, or a bucket of S3."""
    if not text:
        return ""
    scheme, colon, rest = text.partition(":")
    match scheme if colon else "":
        case "file":
            if absolute(rest) or not rest.strip("/"):
                return "must be file:PATH with the absolute path of a folder of its own"
            return "" if ".." not in rest.split("/") else "must be file:PATH without .. in the path"
        case "s3":
            bucket, slash, prefix = rest.removeprefix("//").partition("/")
            if not rest.startswith("//") or not _BUCKET.fullmatch(bucket):
                return "must be s3://BUCKET[/PREFIX]; a bucket's name has 3 to 63 of the characters a-z 0-9 - ."
            if not _PREFIX.fullmatch(slash + prefix) or len(prefix) > PREFIX_CHARACTERS:
                return "the prefix must be names of the characters A-Z a-z 0-9 . _ -, with / between them"
            return ""
    if text.startswith("/"):
        return f"did you mean {shown('file:' + text)}?"
    if scheme in ("http", "https"):
        return "must be file:PATH or s3://BUCKET[/PREFIX]; the address of an S3 server belongs into offload.endpoint"
    return _no_scheme(text, ("file", "s3"), '"" (off), file:PATH or s3://BUCKET[/PREFIX]')


def endpoint(text: str) -> str:
    """The address of an S3 server, without a path: buckets are what comes behind it."""
    match = _ENDPOINT.fullmatch(text)
    if match is None or int(match["port"] or 443) not in range(1, 65536):
        return "must be https://HOST[:PORT] (or http://, where the network is trusted), without a path or a password"
    return ""


def authority(text: str) -> str:
    """The address of a time-stamp authority. Over http:// nobody can alter an answer either: it is signed."""
    match = _AUTHORITY.fullmatch(text)
    if match is None or int(match["port"] or 443) not in range(1, 65536):
        return "must be https://HOST[:PORT][/PATH], or http://, without a password"
    return ""


def receiver(text: str) -> str:
    """A satellite receiver: none, by gpsd on this machine, or on a serial line."""
    if not text:
        return ""
    if text.startswith("gpsd://"):
        found = _GPSD.fullmatch(text)
        if found is None or int(found["port"] or 2947) not in range(1, 65536):
            return "must be gpsd://127.0.0.1[:PORT], or [::1] or localhost: the recorder reaches no other machine"
        return ""
    if text.startswith("serial:"):
        return "" if not absolute(text.removeprefix("serial:")) else "must be serial:PATH, as in serial:/dev/ttyACM0"
    if text.startswith("/dev/"):
        return f"did you mean {shown('serial:' + text)}?"
    return 'must be "" (off), gpsd://127.0.0.1:2947 or serial:/dev/ttyACM0'


def region(text: str) -> str:
    return "" if _REGION.fullmatch(text) else 'must be the name of a region, as in "eu-north-1"'


def order(text: str) -> str:
    """An order that a gesture or a list of allowed orders may name."""
    from bwvd.messages import Order  # here: it costs 30 ms, and only files with controls need it

    orders = [known.value for known in Order]
    if text in orders:
        return ""
    hint = did_you_mean(text, orders)
    return f"{shown(text)} is not an order; {hint or 'orders are ' + ', '.join(orders)}"


def recipient(text: str) -> str:
    """An age or SSH public key, or an absolute path of a file of them. Never shows the text: it may be a secret."""
    if text.upper().startswith("AGE-SECRET-KEY-") or "PRIVATE KEY" in text:
        return "is a secret key, which opens recordings: the device must hold recipients (age1…) only"
    if text.startswith("age1"):
        if _bech32(text):
            return ""
        return "is not a whole age recipient: its checksum does not fit (a letter is wrong, missing or doubled)"
    if text.startswith("ssh-"):
        return "" if _ssh_key(text) else "is not a public key of the kinds ssh-ed25519 or ssh-rsa"
    if text.startswith("/"):
        return ""
    return "must be an age1… or ssh-… public key, or the absolute path of a file of them"


def _command(text: str) -> str:
    """A program and its arguments, quoted as in a shell; but no shell looks at them."""
    import shlex  # here: only a file with a command pays for it

    try:
        words = shlex.split(text)
    except ValueError as error:
        return f"is not a command: {str(error).lower()}"
    if not words or not words[0]:
        return "must be exec:COMMAND, a program and its arguments"
    for word in words:
        if word in _SHELL_WORDS:
            return f"no shell runs the command: {shown(word)} would be an argument; put a script of your own there"
    return ""


def _device_path(scheme: str, path: str) -> str:
    return f"must be {scheme}:PATH with an absolute path, as in {scheme}:/dev/video0" if absolute(path) else ""


def _no_scheme(text: str, schemes: tuple[str, ...], expected: str) -> str:
    scheme, _, rest = text.partition(":")
    if text.startswith("/dev/video"):
        return f"did you mean {shown('v4l2:' + text)}?"
    near = nearest(scheme, schemes)
    if near and near[0] == "video":
        return 'did you mean "video"?'
    if near:
        return f"did you mean {shown(near[0] + ':' + rest)}?"
    return f"must be {expected}"


_BECH32 = {letter: value for value, letter in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _bech32(text: str) -> bool:
    """Whether the checksum of BIP 173, which age's recipients carry, fits."""
    prefix, _, data = text.rpartition("1")
    if len(data) < 6 + 1 or any(letter not in _BECH32 for letter in data):
        return False
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + [_BECH32[c] for c in data]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate(_BECH32_GENERATOR):
            if top >> bit & 1:
                check ^= factor
    return check == 1


def _ssh_key(text: str) -> bool:
    kind, _, rest = text.partition(" ")
    if kind not in ("ssh-ed25519", "ssh-rsa"):
        return False
    import base64  # here: only a file with recipients pays for it

    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except ValueError:
        return False
    name = kind.encode()
    return blob.startswith(len(name).to_bytes(4, "big") + name) and len(blob) > 4 + len(name) + 4
