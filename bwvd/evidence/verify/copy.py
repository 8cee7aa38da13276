"""A copy for players: what an exported MP4 says of itself in its metadata. None of it is signed by the camera."""

from __future__ import annotations

import errno
import io
from pathlib import Path

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.verify.folder import DirectoryFolder
from bwvd.evidence.verify.report import Report, unreadable
from bwvd.text import one_line, printable

COPY_ENDINGS = (".mp4", ".m4v")  # that an export may have
CLAIMS = (
    "recording",
    "device",
    "serial",
    "segments",
    "from_s",
    "part",
    "verdict",
    "signer",
    "manifest_sha512",
    "silent_frames",
    "added_frames",
)

_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # C2PA 2.2, A.5.1: the `uuid` box of the credentials
_TOP_BOXES = 64  # looked at: ours has five
_LEAST_BOX, _BOX_HEADER = 8, 24  # bytes: length and kind, and those of a box with a UUID

_CHARACTERS = 200  # of one claim: a longer one is none of ours


class NoMp4(EvidenceError):
    """Not an MP4. One line, libav's."""


def tags_of(path: Path) -> dict[str, str]:
    """The metadata of an MP4. The name is not given to libav, to which it could be an address.

    Raises: NoMp4; OSError.
    """
    # Here: it loads libav, for which a short verification or export would wait longer than for anything else.
    import av
    import av.error

    real = path.resolve()
    with DirectoryFolder(real.parent) as folder, io.BufferedReader(folder.open(real.name)) as file:
        try:
            with av.open(file, "r", format="mp4") as container:
                return {str(name).lower(): str(value) for name, value in container.metadata.items()}
        except av.error.FFmpegError as error:
            raise NoMp4(one_line(error.strerror)) from None  # without libav's own numbers
        except (ValueError, EOFError) as error:
            raise NoMp4(one_line(error)) from None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise NoMp4("empty, or cut off") from None  # it was asked for a position that it does not have


def claims_of(tags: dict[str, str]) -> dict[str, str]:
    """What the metadata of `tags_of` says of a recording; "" where it says nothing. Printable, and bounded."""
    return {name: printable(tags.get(f"bwvd_{name}", "")[:_CHARACTERS]) for name in CLAIMS}


def has_credentials(path: Path) -> bool:
    """Whether an MP4 has Content Credentials (C2PA), true or not. Raises: OSError."""
    with path.open("rb") as file:
        for _ in range(_TOP_BOXES):
            head = file.read(_BOX_HEADER)
            if len(head) < _BOX_HEADER:
                return False
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            rest = head[8:]
            if kind == b"uuid" and rest == _C2PA:
                return True
            if size == 1:  # the length follows
                size = int.from_bytes(rest[:8], "big")
            if size < _LEAST_BOX:
                return False  # to the end, or none
            file.seek(size - _BOX_HEADER, io.SEEK_CUR)
    return False


def verify_copy(path: Path) -> Report:
    """Whose copy an MP4 claims to be; the best that can be said of it is `copy`. Blocking."""
    try:
        tags = tags_of(path)
    except (NoMp4, OSError) as error:
        return unreadable(path, f"not an MP4: {error}" if isinstance(error, NoMp4) else error.strerror or str(error))
    claims = claims_of(tags)
    if not claims["recording"]:
        what = f"no recording: there is no {MANIFEST} beside it, and its metadata names none that it is a copy of"
        return unreadable(path, what)
    report = Report(str(path), "copy", path.name)
    report.claims = claims
    segments = f", segments {claims['segments']}" if claims["segments"] else ""
    part = f" (file {claims['part']})" if claims["part"] not in ("", "1/1") else ""
    whose = f"{claims['recording']} of {claims['device'] or '?'}{segments}{part}"
    found = f" It was made when that was {claims['verdict'].replace('_', ' ')}." if claims["verdict"] else ""
    report.sentences.append(f"It says that it is a copy of the recording {whose}.{found}")
    credentials = has_credentials(path)
    signed = (
        "this command asks for what the camera has signed alone" if credentials else "nothing in the file is signed"
    )
    report.sentences.append(
        f"Anybody can write that: {signed}. What the camera recorded is shown by the recording "
        "itself, or by its proof (bwvd export --proof), and by nothing else."
    )
    if credentials:
        report.sentences.append(
            "It has Content Credentials (C2PA): a reader of those, as c2patool, says who signed the file and whether "
            "it was changed since."
        )
    if claims["manifest_sha512"]:
        report.sentences.append(f"The SHA-512 of the manifest that it names is {claims['manifest_sha512']}.")
    return report
