"""A copy for players: what an exported MP4 says of itself in its metadata. Nothing in such a file is signed."""

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


def verify_copy(path: Path) -> Report:
    """Whose copy an MP4 claims to be; the best that can be said of it is `copy`. Blocking."""
    try:
        tags = tags_of(path)
    except (NoMp4, OSError) as error:
        return unreadable(path, f"not an MP4: {error}" if isinstance(error, NoMp4) else error.strerror or str(error))
    claims = {name: printable(tags.get(f"bwvd_{name}", "")[:_CHARACTERS]) for name in CLAIMS}
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
    report.sentences.append(
        "Anybody can write that: nothing in the file is signed. What the camera recorded is shown by the recording "
        "itself, or by its proof (bwvd export --proof), and by nothing else."
    )
    if claims["manifest_sha512"]:
        report.sentences.append(f"The SHA-512 of the manifest that it names is {claims['manifest_sha512']}.")
    return report
