"""The storage's own list of signers: the device's key is on it, for stock tools; it vouches for nothing by itself."""

from __future__ import annotations

import errno

from bwvd.evidence.flash.new_file import replace_file
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format.layout import ALLOWED_SIGNERS
from bwvd.evidence.keys.allowed_signers import FILE_BYTES


def vouch(volume: Volume, line: str) -> None:
    """See to it that the storage's allowed_signers holds `line`; older lines stay, for older recordings."""
    try:
        data = volume.read(ALLOWED_SIGNERS, 0, FILE_BYTES + 1)
    except FileNotFoundError:
        data = b""
    if len(data) > FILE_BYTES:
        raise OSError(errno.EFBIG, f"larger than {FILE_BYTES} bytes: no list of signers", ALLOWED_SIGNERS)
    known = data.decode("utf-8", "replace")
    if line in known.splitlines(keepends=True):
        return
    end = "" if known.endswith("\n") or not known else "\n"
    replace_file(volume, ALLOWED_SIGNERS, [(known + end + line).encode()])
