"""The time-stamps in a proof: which of a storage's belong to a recording, and how a stranger checks them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bwvd.evidence.format.layout import RECORDINGS, WITNESS
from bwvd.evidence.keys.rfc3161 import TOKEN_BYTES
from bwvd.evidence.verify.existence import read_tokens
from bwvd.evidence.verify.folder import DirectoryFolder, read_file

_TIME = """

7. Before when it existed

Every time in the recording is by the camera's own clock. The folder {witness} holds time-stamps (RFC 3161) by
authorities that know nothing of the camera but digests. Who {authorities} is, and whether to believe it, is for you to
find out; put its root certificate, which comes from the authority and not from this archive, into a file (PEM):

    CERTS=tsa_certs.pem
"""

_LIST = """An authority stamps a list of digests at once. The manifest's must be a line of it:

    echo "manifest $(sha512sum < {manifest} | cut -d ' ' -f 1)" |
      grep -x -F -f - {listed}

must print that line. The list is what the authority has stamped:
"""

# The time is read from the token alone: the answer that it came in holds words that nobody has signed, and openssl
# would print a second `Time stamp` of theirs.
_STAMP = """    openssl ts -reply -in {token} -token_out -out stamped.der 2>&1
    openssl ts -reply -in stamped.der -token_in -text 2>&1 | sed -n 's/^Time stamp: //p' > stamped_at
    openssl ts -verify -attime "$(date -u -d "$(cat stamped_at)" +%s)" -CAfile "$CERTS" \\
      -data {listed} \\
      -in {token} 2>&1 |
      grep -x 'Verification: OK'
    cat stamped_at

must print Verification: OK, and the time: the recording existed before it.
"""


def tokens_of(place: Path, manifest_sha512: str) -> dict[str, list[str]]:
    """The lists that hold a manifest's digest, each with its tokens: names in `witness/` of the storage that the
    recording's folder lies in. Blocking. None of them is judged. Raises: OSError.
    """
    if place.parent.name != RECORDINGS or not manifest_sha512:
        return {}
    try:
        with DirectoryFolder(place.parent.parent / WITNESS) as folder:
            found = read_tokens(folder, None, 0.0)
    except FileNotFoundError:
        return {}
    holding = [name for name, listed in found.lists.items() if manifest_sha512 in listed.manifests]
    return {name: found.files[name] for name in holding if name in found.files}


def token_files(place: Path, lists: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, bytes]]:
    """Each file of `tokens_of`, with what is in it, by its name in the proof. Raises: OSError."""
    if not lists:
        return
    with DirectoryFolder(place.parent.parent / WITNESS) as folder:
        for name in sorted([*lists, *(token for tokens in lists.values() for token in tokens)]):
            yield f"{WITNESS}/{name}", read_file(folder, name, max(TOKEN_BYTES, 65_536))


def time_text(manifest: str, lists: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The part of README.txt about them; `manifest` as a shell takes its path. Nothing where there are none."""
    if not lists:
        return
    several = sum(map(len, lists.values())) > 1
    yield _TIME.format(witness=WITNESS, authorities="each of them" if several else "it")
    for listed, tokens in sorted(lists.items()):
        yield _LIST.format(manifest=manifest, listed=f"{WITNESS}/{listed}")
        for token in tokens:
            yield _STAMP.format(listed=f"{WITNESS}/{listed}", token=f"{WITNESS}/{token}")
