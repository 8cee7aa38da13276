"""libasound as libav brings it along: told where the system's configuration is, and kept from printing."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

# Where Linux distributions have it. A copy of libasound that was built elsewhere looks where it was built: in PyAV's
# wheels that is a folder below /tmp, in which there is none, or one that anybody may have put there.
CONFIGURATION = "/usr/share/alsa/alsa.conf"

# void (*)(const char *file, int line, const char *function, int err, const char *fmt, ...)
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)


def _say_nothing(file: bytes, line: int, function: bytes, error: int, text: bytes) -> None:
    """Called by libasound instead of printing; the error itself reaches us through libav."""


_SILENCE = _HANDLER(_say_nothing)  # kept for as long as libasound may call it


def find_configuration() -> None:
    """Let libasound read the system's configuration, unless the environment names another; before it is first used.

    Without one it knows no device, not even `hw`.
    """
    os.environ.setdefault("ALSA_CONFIG_PATH", CONFIGURATION)


def in_use(asound: Path = Path("/proc/asound")) -> bool:
    """True if some program holds a device that records."""
    for status in asound.glob("card*/pcm*c/sub*/status"):
        try:
            if not status.read_text().startswith("closed"):
                return True
        except OSError:  # pulled in this moment
            continue
    return False


@cache
def quiet_alsa() -> bool:
    """Switch libasound's own messages off for this process: it writes a line to stderr for each device that is not
    there; False where it is not loaded, or is another.

    libav has brought it along: the copy that is mapped is the one that would print.
    """
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
        names = {line.split(maxsplit=5)[5] for line in lines if "/libasound" in line}
        for name in names:
            ctypes.CDLL(name).snd_lib_error_set_handler(_SILENCE)
    except (OSError, AttributeError):
        return False
    return bool(names)
