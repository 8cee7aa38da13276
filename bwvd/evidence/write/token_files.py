"""Time-stamp tokens as they come in: the recorder puts them on the flash beside what they vouch for.

It has no network and judges no token: who is trusted, `bwvd verify --tsa-certs` is told. What it takes is bounded, so
that whoever has broken into the process with the network can fill a corner of the flash and no more.
"""

from __future__ import annotations

from contextlib import suppress

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.new_file import replace_file
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format.digest_list import WITNESS_BYTES, list_name, parse_list, token_name
from bwvd.evidence.format.layout import WITNESS
from bwvd.evidence.keys.rfc3161 import TOKEN_BYTES

MOST_BYTES = WITNESS_BYTES
LEAST_FREE_BYTES = 33_554_432  # of the flash: what is left is for recordings


class TokenRefused(EvidenceError):
    """A token is not taken. One line that says why."""


def keep_token(volume: Volume, listed: bytes, authority: str, answer: bytes) -> None:
    """Make a list of digests and an authority's answer durable; what is there already stays as it is.

    Blocking; inside a job of the volume's `Storage`. Raises: TokenRefused, OSError.
    """
    try:
        parse_list(listed)
        files = {list_name(listed): listed, token_name(listed, authority): answer}
    except ValueError as error:
        raise TokenRefused(str(error)) from None
    if not 0 < len(answer) <= TOKEN_BYTES:
        raise TokenRefused(f"a token has 1 to {TOKEN_BYTES} bytes")
    with suppress(FileExistsError):
        volume.make_dir(WITNESS)
        volume.sync_dir("")
    sizes = volume.sizes(WITNESS)
    new = {name: content for name, content in files.items() if name not in sizes}
    need = sum(map(len, new.values()))
    if sum(sizes.values()) + need > MOST_BYTES:
        raise TokenRefused(f"{WITNESS}/ has {MOST_BYTES} bytes: there is no room for more tokens")
    if new and volume.free_bytes() < LEAST_FREE_BYTES + need:
        raise TokenRefused("the flash is nearly full: what is left is for recordings")
    for name, content in new.items():
        replace_file(volume, f"{WITNESS}/{name}", [content])
