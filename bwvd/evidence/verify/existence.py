"""When things existed: time-stamp tokens beside the evidence, held against what was verified. Needs no network.

A token vouches for a list of digests, and the list for each manifest and the beginning of the journal in it. What
is in a list existed before the token's time, whatever its own clock says, and whoever has the device's key. The
journal must still begin as it did when it was stamped: one that does not was cut, or written anew.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bwvd import hashing
from bwvd.evidence.format.decode import MAX_LINE, decode
from bwvd.evidence.format.digest_list import LIST_BYTES, DigestList, Head, is_list, list_name, parse_list, token_of
from bwvd.evidence.format.layout import ARCHIVE, JOURNAL, RECORDINGS, WITNESS
from bwvd.evidence.format.records import Journal
from bwvd.evidence.format.utc import unix_s
from bwvd.evidence.keys.rfc3161 import TOKEN_BYTES, Token, TokenBad, read_token
from bwvd.evidence.verify.folder import CHUNK, DirectoryFolder, Folder, read_file
from bwvd.evidence.verify.report import Existed, Report
from bwvd.text import counted

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

ATTEMPTS = 3  # to read a journal that is being renamed
NO_STORAGE = "0" * 32  # of a journal from before storages had an id
ANOTHERS = "another storage's"
AHEAD_S = 300.0  # of the clock of whoever verifies: a token from later than that is not believed


@dataclass(slots=True)
class Tokens:
    """What the tokens in one folder say."""

    manifests: dict[str, list[Existed]] = field(default_factory=dict)  # by SHA-512
    heads: list[tuple[Head, Existed]] = field(default_factory=list)
    lists: dict[str, DigestList] = field(default_factory=dict)  # by name, those that are what their names say
    files: dict[str, list[str]] = field(default_factory=dict)  # by list, its tokens
    wrong: list[tuple[str, str]] = field(default_factory=list)  # where, and what

    def existed(self, manifest_sha512: str) -> list[Existed]:
        """Earliest first."""
        return sorted(self.manifests.get(manifest_sha512, []), key=lambda one: one.utc)

    def note_unjudged(self, report: Report) -> None:
        """Say in a report, where there are tokens, that nobody has judged them."""
        if self.files:
            count = counted(sum(map(len, self.files.values())), "time-stamp")
            report.note(WITNESS, f"holds {count}: --tsa-certs FILE says before when things existed")


def beginning_of(head: Head) -> str:
    """What a token over a journal's head vouches for, in words."""
    return f"the first {head.bytes} bytes of journal file {head.number}"


def read_tokens(folder: Folder, roots: Sequence[Certificate] | None, now_s: float) -> Tokens:
    """All tokens in a `witness` folder, judged. Blocking; what can't be read is in `wrong`.

    Args:
        roots: the authorities that are trusted; None = none is judged, and only `lists` and `files` are filled.
        now_s: Unix seconds.
    """
    found = Tokens()
    texts: dict[str, bytes] = {}
    names = folder.names()
    for name in sorted(names):
        where = f"{WITNESS}/{name}"
        if not is_list(name):
            continue
        try:
            text = read_file(folder, name, LIST_BYTES)
            if list_name(text) != name:
                found.wrong.append((where, "is not the list that its name says"))
                continue
            found.lists[name], texts[name] = parse_list(text), text
        except OSError as error:
            found.wrong.append((where, error.strerror or str(error)))
        except ValueError as error:
            found.wrong.append((where, str(error)))
    for name in sorted(names):
        if (of := token_of(name)) is None:
            continue
        if of[0] not in texts:
            found.wrong.append((f"{WITNESS}/{name}", "a token without the list that it is for"))
            continue
        found.files.setdefault(of[0], []).append(name)
        if roots is not None:
            _judge(folder, name, texts[of[0]], found.lists[of[0]], roots, now_s, found)
    return found


def _judge(
    folder: Folder,
    name: str,
    text: bytes,
    listed: DigestList,
    roots: Sequence[Certificate],
    now_s: float,
    found: Tokens,
) -> None:
    where = f"{WITNESS}/{name}"
    try:
        token = read_token(read_file(folder, name, TOKEN_BYTES), text, roots=roots)
    except TokenBad as error:
        found.wrong.append((where, str(error)))
        return
    except OSError as error:
        found.wrong.append((where, error.strerror or str(error)))
        return
    if token.at.timestamp() > now_s + AHEAD_S:
        found.wrong.append((where, f"says {_utc(token)}, which has not come yet by this machine's clock"))
        return
    existed = Existed(_utc(token), token.by, where)
    for sha512 in listed.manifests:
        found.manifests.setdefault(sha512, []).append(existed)
    if listed.head is not None:
        found.heads.append((listed.head, existed))


def _utc(token: Token) -> str:
    """To the second, never earlier than the token says."""
    at = token.at + datetime.timedelta(seconds=1) if token.at.microsecond else token.at
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- into the reports ------------------------------------------------------------------------------------------------


def date_reports(reports: Iterable[Report], roots: Sequence[Certificate] | None, now_s: float) -> None:
    """Say in each report before when what it is about existed. Blocking; reads only.

    The tokens lie in `witness/` of the storage that a recording lies in, or of the proof. Without `roots` nothing is
    judged, and a note says that there are some.
    """
    read: dict[str, Tokens] = {}
    for report in reports:
        place = _place(report)
        if place is None:
            continue
        first = place not in read
        if first:
            read[place] = _tokens_at(place, roots, now_s)
        tokens = read[place]
        if first:
            _tell_wrong(report, tokens)
        if report.kind == "storage":
            _date_storage(report, tokens, judged=roots is not None)
        else:
            date_recording(report, tokens, judged=roots is not None)


def date_recording(report: Report, tokens: Tokens, *, judged: bool) -> None:
    """Say in the report on a recording before when it existed; `judged` as `roots` were given to `read_tokens`."""
    if not judged:
        if any(report.manifest_sha512 in listed.manifests for listed in tokens.lists.values()):
            report.note(WITNESS, "holds time-stamps of this recording: --tsa-certs FILE says before when it existed")
        return
    report.existed = tokens.existed(report.manifest_sha512) if report.manifest_sha512 else []
    if not report.existed:
        return
    if report.verdict in ("altered", "unreadable"):  # what was changed since had not been stamped so
        report.existed = [replace(one, what="its manifest") for one in report.existed]
    at, press = unix_s(report.existed[0].utc), unix_s(report.press_utc)
    if at is not None and press is not None and press > at + 1:
        what = f"its clock says {report.press_utc} for the press, and it existed before {report.existed[0].utc}"
        report.note("the press", f"{what}: the device's clock was ahead")


def _place(report: Report) -> str | None:
    """The storage or the proof that a report's tokens lie in; None where there are none to be looked for."""
    path = Path(report.path)
    if report.kind == "storage":
        return str(path)
    if report.kind != "recording":
        return None
    if path.parent.name != RECORDINGS:
        path = path.resolve()
    return str(path.parent.parent) if path.parent.name == RECORDINGS else None


def _tokens_at(place: str, roots: Sequence[Certificate] | None, now_s: float) -> Tokens:
    path = Path(place)
    try:
        if path.is_file():
            return _tokens_in_proof(path, roots, now_s)
        with DirectoryFolder(path / WITNESS) as folder:
            return read_tokens(folder, roots, now_s)
    except FileNotFoundError:
        return Tokens()
    except OSError as error:
        return Tokens(wrong=[(WITNESS, error.strerror or str(error))])


def _tokens_in_proof(path: Path, roots: Sequence[Certificate] | None, now_s: float) -> Tokens:
    import zipfile  # here: a card holds no proofs

    from bwvd.evidence.verify.zip_folder import ZipFolder

    try:
        with zipfile.ZipFile(path) as archive:
            return read_tokens(ZipFolder(archive, f"{WITNESS}/", str(path)), roots, now_s)
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return Tokens()  # the report on what should be in it says so


def _tell_wrong(report: Report, tokens: Tokens) -> None:
    """A file that vouches for nothing alters nothing: anybody may have put it there."""
    for where, what in tokens.wrong:
        report.note(where, f"vouches for nothing: {what}")


def _date_storage(report: Report, tokens: Tokens, *, judged: bool) -> None:
    if not judged:
        tokens.note_unjudged(report)
        return
    report.existed = []
    seen: dict[Head, str] = {}
    others: set[str] = set()
    for head, existed in sorted(tokens.heads, key=lambda one: one[1].utc):
        if head not in seen:
            seen[head] = _held_against(Path(report.path), head)
        if seen[head] == ANOTHERS:
            if head.storage not in others:
                what = f"the journal of storage {head.storage}, which is not this one's"
                report.note(existed.token, f"vouches for {what}: the card was set up anew, or the journal was")
            others.add(head.storage)
        elif seen[head] == "there":
            part = f"{beginning_of(head)}, and all before them"
            report.existed.append(Existed(existed.utc, existed.by, existed.token, part))
        elif seen[head]:
            what = f"{seen[head]}; it was so before {existed.utc}, by {existed.by} ({existed.token})"
            report.altered(JOURNAL, what)


def _held_against(storage: Path, head: Head) -> str:
    """ "there", ANOTHERS, "" if it can't be told (released), or what is not as it was."""
    for _ in range(ATTEMPTS):
        try:
            with DirectoryFolder(storage) as folder:
                names = {name: _number(folder, name) for name in folder.names() if _is_journal(name)}
                numbers = {number: name for name, number in names.items() if number is not None}
                if not numbers:
                    return ""
                if head.storage not in {number[1] for number in numbers}:
                    return ANOTHERS
                there = [number for number, storage_id in numbers if storage_id == head.storage]
                name = numbers.get((head.number, head.storage))
                if name is not None:
                    return _begins_so(folder, name, head)
                if head.number < min(there):
                    return ""  # taken over by a custodian, and let go of; what the journal says of that is judged
                return f"file {head.number} of the journal is gone"
        except FileNotFoundError:
            continue  # renamed just now
        except OSError as error:
            return f"can't be held against a time-stamp: {error.strerror}"
    return ""


def _is_journal(name: str) -> bool:
    return name == JOURNAL or ARCHIVE.fullmatch(name) is not None


def _number(folder: Folder, name: str) -> tuple[int, str] | None:
    """The number and the storage's id in the first record of a journal file."""
    with io.BufferedReader(folder.open(name), CHUNK) as file:
        record = decode(file.readline(MAX_LINE).rstrip(b"\n"))
    return (record.file_number, record.storage or NO_STORAGE) if isinstance(record, Journal) else None


def _begins_so(folder: Folder, name: str, head: Head) -> str:
    sha512, left = hashing.sha512(), head.bytes
    with io.BufferedReader(folder.open(name), CHUNK) as file:
        while left and (piece := file.read(min(left, CHUNK))):
            sha512.update(piece)
            left -= len(piece)
    if left:
        return f"{name} is {left} bytes shorter than it was"
    if sha512.hexdigest() != head.sha512:
        return f"the first {head.bytes} bytes of {name} are not what they were"
    return "there"
