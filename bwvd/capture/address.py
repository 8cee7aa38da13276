"""Addresses of sources: `video.source` and `audio.source`, taken apart. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from bwvd.capture.source import SourceRefused
from bwvd.config.schema import STREAM_SCHEMES, Scheme
from bwvd.text import source_address, stream_address, without_credentials


@dataclass(frozen=True, slots=True)
class Address:
    """One device, stream, file or filter graph."""

    scheme: Scheme
    target: str  # a path, a URL with user and password, an ALSA device, a lavfi graph
    loop: bool  # a file that begins again at its end
    key: str  # the configuration key it came from, for messages
    text: str  # fit to be shown and stored: without a user, a password, or what may be one

    @property
    def streamed(self) -> bool:
        """A camera of the network, with a clock of its own."""
        return self.scheme in STREAM_SCHEMES

    @property
    def played(self) -> bool:
        """Not live: it would deliver as fast as it is read, so it has to be paced."""
        return self.scheme in ("file", "lavfi")


def parse_address(text: str, key: str, schemes: tuple[Scheme, ...]) -> Address:
    """Take a source string apart.

    Raises: SourceRefused with one line that names `key`.
    """
    scheme, colon, target = text.partition(":")
    if not colon or scheme not in schemes:
        known = ", ".join(f"{name}:…" for name in schemes)
        raise SourceRefused(f"{key}: {without_credentials(text)!r} is none of {known}")
    loop = False
    if scheme == "file":
        target, _, query = target.partition("?")
        options = parse_qs(query, keep_blank_values=True)
        unknown = sorted(set(options) - {"loop"})
        if unknown:
            raise SourceRefused(f"{key}: {text!r}: unknown option {unknown[0]!r}; the only one is loop=1")
        values = options.get("loop", ["0"])
        if values[-1] not in ("0", "1"):
            raise SourceRefused(f"{key}: {text!r}: loop is 0 or 1")
        loop = values[-1] == "1"
    elif scheme in STREAM_SCHEMES:
        target = text
        if not _has_host(text):
            raise SourceRefused(f"{key}: {without_credentials(text)!r} names no host")
    elif scheme == "exec" and target:
        return Address(scheme, target, False, key, source_address(text))
    if not target:
        raise SourceRefused(f"{key}: {text!r} names nothing after {scheme}:")
    shown = stream_address(text) if scheme in STREAM_SCHEMES else without_credentials(text)
    return Address(scheme, target, loop, key, shown)


def _has_host(text: str) -> bool:
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:  # brackets that are no IPv6 address
        return False
