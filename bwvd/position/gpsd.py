"""gpsd's JSON (gpsd_json(5)): what a camera asks of it, and a fix in what it says. Pure."""

from __future__ import annotations

import msgspec

from bwvd.messages import Fix
from bwvd.position.fix import metres, position, unix_s
from bwvd.text import one_line

WATCH = b'?WATCH={"enable":true,"json":true}\n'
MOST_LINE = 65_536  # bytes; SKY of five constellations has 12,000


class Gpsd:
    """Reads gpsd's lines, one after the other; keeps how many satellites the last SKY has in use."""

    def __init__(self) -> None:
        self._satellites: int | None = None
        self.has_receiver = False  # gpsd has a receiver that it reads
        self.trouble = ""  # what gpsd says is wrong

    def take(self, line: bytes, at_ns: int) -> Fix | None:
        """A fix, if the line holds one. Whatever else it is, nothing follows from it."""
        try:
            said = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if not isinstance(said, dict):
            return None
        match said.get("class"):
            case "TPV":
                return self._fix(said, at_ns)
            case "SKY":
                used = said.get("uSat")
                self._satellites = used if isinstance(used, int) and 0 <= used <= 200 else _counted(said)
            case "DEVICES":
                devices = said.get("devices")
                self.has_receiver = isinstance(devices, list) and bool(devices)
            case "DEVICE":
                self.has_receiver = bool(said.get("activated"))
            case "ERROR":
                message = said.get("message")
                self.trouble = message if isinstance(message, str) else "an error without a word"
        return None

    def silence(self) -> str:
        """Why there is no fix, as far as gpsd has said it."""
        if self.trouble:
            return f"gpsd says: {one_line(self.trouble)[:120]}"
        return "answers, and has no position yet" if self.has_receiver else "gpsd answers, and has no receiver"

    def _fix(self, said: dict[str, object], at_ns: int) -> Fix | None:
        mode, where = said.get("mode"), position(said.get("lat"), said.get("lon"))
        if mode not in (2, 3) or where is None:
            return None
        height = said.get("altMSL", said.get("alt")) if mode == 3 else None
        error = metres(said.get("eph"))
        if error is None:  # releases before 3.20 told the two axes alone
            axes = [metres(said.get(axis)) for axis in ("epx", "epy")]
            known = [axis for axis in axes if axis is not None]
            error = max(known) if len(known) == 2 else None
        utc = said.get("time")
        return Fix(
            at_ns=at_ns,
            utc=utc if isinstance(utc, str) and unix_s(utc) is not None else "",
            latitude=where[0],
            longitude=where[1],
            altitude_m=metres(height),
            error_m=error,
            mode=3 if mode == 3 else 2,
            satellites=self._satellites,
        )


def _counted(said: dict[str, object]) -> int | None:
    satellites = said.get("satellites")
    if not isinstance(satellites, list):
        return None
    return sum(isinstance(one, dict) and one.get("used") is True for one in satellites)
