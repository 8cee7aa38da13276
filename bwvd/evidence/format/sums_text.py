"""The text of SHA256SUMS, and whether its signature was written to its end: read without cryptography. Pure."""

from __future__ import annotations

import re

SUMS_BYTES = 67_108_864  # more than a week of one-second segments; a larger file is none of ours
SIGNATURE_BYTES = 65_536

_LINE = re.compile(r"([0-9a-f]{64})  ([^/\0]+)")
_ARMOUR_END = b"-----END SSH SIGNATURE-----\n"


def is_whole(signature: bytes) -> bool:
    """Whether the text of SHA256SUMS.sig was written to its end."""
    return signature.endswith(_ARMOUR_END)


def parse_sums(sums: bytes) -> dict[str, str]:
    """Names and SHA-256 in hex, as `sha256sum -c` reads them.

    Raises: ValueError, naming the line.
    """
    listed: dict[str, str] = {}
    lines = sums.decode("utf-8", "surrogateescape").split("\n")
    if lines.pop() != "":
        raise ValueError("the last line has no end")
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"line {number} is not a checksum and a name")
        if found[2] in listed:
            raise ValueError(f"line {number} names {found[2]} a second time")
        listed[found[2]] = found[1]
    return listed
