"""A recording's files against what its records say of them: hashed, found, missing, and not belonging there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from bwvd import hashing
from bwvd.clock import NS
from bwvd.evidence.errors import IdentityUnusable, SignatureBad
from bwvd.evidence.format import records
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import (
    CONVENIENCES,
    MANIFEST,
    NEW,
    SUMS,
    SUMS_SIGNATURE,
    init_name,
    is_litter,
    sealed_number,
    segment_name,
)
from bwvd.evidence.format.sums import check_signature
from bwvd.evidence.format.sums_text import SIGNATURE_BYTES, SUMS_BYTES, is_whole, parse_sums
from bwvd.evidence.verify.decode import NotDecodable, count_frames
from bwvd.evidence.verify.folder import CHUNK, Folder, digest, plain_name, read_file
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.trust import Trust
from bwvd.text import counted

Progress = Callable[[int], None]  # told how many more bytes have been read

THREADS = 2  # hashing lets go of the interpreter's lock; more cores than the device's two are rarely idle
IN_FLIGHT = 16  # files being hashed ahead of the line that is judged
TAKEN_BYTES = 24 * 1024 * 1024  # read ahead for a taker; one segment is taken however large it is
SEGMENT_BYTES = 1024 * 1024 * 1024  # read whole only for decrypting and decoding

LITTER = "no record names it: a desktop has left it here, by its name, and it is no evidence"


@dataclass(frozen=True, slots=True)
class Named:
    """A file that a record names."""

    name: str
    label: str  # how a report calls it
    size: int  # bytes
    sha256: str
    plain_sha256: str = ""
    segment: records.Segment | None = None
    init: bytes = b""  # the segment's


class Taker(Protocol):
    """Takes segments while they are verified, so that nobody reads them twice: what is hashed is what it gets.

    **Synchronization:** called by the thread that verifies.
    """

    def wants(self, named: Named) -> bool:
        """Whether it takes this segment."""
        ...

    def take(self, named: Named, stored: memoryview) -> None:
        """The file's bytes, which are those that its record names; in the order of the records. The memory is used anew
        when this returns. What else the verification finds comes later. What it raises ends the verification; it must
        be no OSError.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Read:
    """What reading a file gave."""

    size: int
    sha256: str
    missing: bool = False
    error: str = ""
    plain: str = ""  # what is wrong with its plain bytes
    taken: bytearray | None = None  # begins with the file, for the taker


@dataclass(frozen=True, slots=True)
class _Mismatch:
    """A file that is not as its record says."""

    named: Named
    what: str
    read: _Read


class Contents:
    """The files of one folder.

    Files are hashed in a few threads while the caller goes on reading the manifest; use as a context manager.

    Args:
        identities: to open sealed files with; () = what is stored is checked, which is all that is signed.
        decode: decode every frame that can be read.
        taker: gets the segments that are what their records say, as long as none was found that is not.

    **Synchronization:** one caller at a time.
    """

    def __init__(
        self,
        folder: Folder,
        names: dict[str, str],
        report: Report,
        *,
        identities: Sequence[Any] = (),
        decode: bool = False,
        progress: Progress | None = None,
        taker: Taker | None = None,
    ) -> None:
        self._folder = folder
        self._names = names  # as listed before the manifest was read
        self._report = report
        self._identities = identities
        self._decode = decode
        self._progress = progress
        self._taker = taker
        self._ahead = 0  # bytes being read for the taker
        self._spare: list[bytearray] = []  # memory for them: fresh pages for each would cost a fifth of the time
        self._expected: dict[str, str] = {}  # name -> SHA-256 by its record
        self._actual: dict[str, str] = {}  # name -> SHA-256 of what lies there
        self._mismatches: list[_Mismatch] = []
        self._withheld: set[str] = set()  # by the maker of an excerpt
        self._blamed: set[str] = set()  # a finding names them already
        self._pending: deque[tuple[Named, Future[_Read], bool]] = deque()  # for the taker?
        self._pool = ThreadPoolExecutor(THREADS, "verify")
        for name, odd in names.items():
            if odd == "a folder" and is_litter(name):
                report.note(name, LITTER)
                self._blamed.add(name)
            elif odd:
                report.altered(name, f"{odd}, not a file")
                self._blamed.add(name)

    def __enter__(self) -> Contents:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    # --- what records name -------------------------------------------------------------------------------------------

    def expects(self, name: str) -> bool:
        """Whether a record has named the file."""
        return name in self._expected

    def expect(self, named: Named, where: str, *, check: bool = True) -> None:
        """A record at `where` names a file. It is hashed later; findings come in the order of the calls."""
        try:
            plain_name(named.name)
        except OSError as error:
            self._report.altered(where, f"the record names {named.name[:80]!r}: {error.strerror}")
            return
        if named.name in self._expected or named.name == MANIFEST:
            self._report.altered(where, f"the record names {named.name[:80]!r}, which an earlier one has named")
            return
        self._expected[named.name] = named.sha256
        if check:
            taken = self._taker is not None and named.segment is not None and self._taker.wants(named)
            read = self._read
            if taken:
                read = self._read_for_taker
                while self._pending and self._ahead + named.size > TAKEN_BYTES:
                    self._settle(*self._pending.popleft())
                self._ahead += named.size
            self._pending.append((named, self._pool.submit(read, named), taken))
            if len(self._pending) >= IN_FLIGHT:
                self._settle(*self._pending.popleft())

    def withhold(self, names: Iterable[str]) -> None:
        """Files of the recording that an excerpt declares to be left out."""
        for name in names:
            self._withheld.add(name)
            self._expected.setdefault(name, "")
            if name in self._names:
                self._blame(name, "is here, though the excerpt says that it is withheld")

    def settle(self) -> None:
        """Wait for all files that are being hashed."""
        while self._pending:
            self._settle(*self._pending.popleft())

    def manifest_is(self, sha256: str) -> None:
        """The digest of the manifest, as it was read."""
        self._actual[MANIFEST] = sha256

    def _read(self, named: Named) -> _Read:
        """In the pool: hash a file; with an identity, or to decode, read its plain bytes as well."""
        sealed = self._report.encrypted
        try:
            if not (self._identities if sealed else self._decode):
                return _Read(*digest(self._folder, named.name))
            data = read_file(self._folder, named.name, SEGMENT_BYTES)
        except OSError as error:
            return _Read(0, "", isinstance(error, FileNotFoundError), error.strerror or str(error))
        sha256 = hashing.sha256(data).hexdigest()
        return _Read(len(data), sha256, plain=self._plain(named, data) if sha256 == named.sha256 else "")

    def _read_for_taker(self, named: Named) -> _Read:
        """In the pool: read a file that is as long as its record says, and hash it on the way."""
        try:
            if self._folder.size(named.name) != named.size or named.size > SEGMENT_BYTES:
                return self._read(named)
            try:
                buffer = self._spare.pop()
            except IndexError:
                buffer = bytearray()
            if len(buffer) < named.size:
                buffer = bytearray(named.size + named.size // 4)
            view = memoryview(buffer)
            sha256, size = hashing.sha256(), 0
            with self._folder.open(named.name) as file:
                while count := file.readinto(view[size : min(size + CHUNK, named.size)]):
                    sha256.update(view[size : size + count])
                    size += count
        except OSError as error:
            return _Read(0, "", isinstance(error, FileNotFoundError), error.strerror or str(error))
        return _Read(size, sha256.hexdigest(), taken=buffer)

    def _plain(self, named: Named, data: bytes) -> str:
        """What is wrong with the plain bytes of a file; "" if nothing is."""
        try:
            plain = data
            if self._report.encrypted:
                from bwvd.evidence.keys.age import open_sealed  # here: most of what is verified is not decrypted

                plain = open_sealed(data, self._identities)
            if hashing.sha256(plain).hexdigest() != named.plain_sha256:
                return "decrypts to something else than was recorded"
            if (segment := named.segment) is None:
                return ""
            there = count_frames(named.init, plain)
        except (IdentityUnusable, NotDecodable) as error:
            return str(error)
        if (there.frames, there.audio_frames) != (segment.frames, segment.audio_frames):
            asked = f"{counted(segment.frames, 'frame')} and {segment.audio_frames} of audio"
            return f"decodes to {counted(there.frames, 'frame')} and {there.audio_frames} of audio, not {asked}"
        # A microphone's own encoder may make the same of silence: then there are more.
        if there.silent_frames < segment.silent_frames:
            return f"has {there.silent_frames} frames of coded silence where {segment.silent_frames} are said to be"
        return ""

    def _settle(self, named: Named, future: Future[_Read], taken: bool) -> None:
        read = future.result()
        if self._progress is not None:
            self._progress(read.size)
        self._judge(named, read)
        self._ahead -= named.size if taken else 0
        if read.taken is not None:
            if self._taker is not None and not self._mismatches and named.name not in self._blamed:
                self._taker.take(named, memoryview(read.taken)[: named.size])
            self._spare.append(read.taken)

    def _judge(self, named: Named, read: _Read) -> None:
        if named.name in self._blamed:
            return  # not even a file
        if read.sha256:
            self._actual[named.name] = read.sha256
        if read.missing:
            what = "is missing"
        elif read.error:
            self._blame(named.name, read.error, label=named.label, unreadable=True)
            return
        elif read.size != named.size:
            what = f"has {read.size} bytes, not {named.size}"
        elif read.sha256 != named.sha256:
            what = "is not what was recorded"
        else:
            if read.plain:
                self._blame(named.name, read.plain, label=named.label)
            return
        self._mismatches.append(_Mismatch(named, what, read))

    # --- the verdict -------------------------------------------------------------------------------------------------

    def explain(self) -> None:
        """What is not as its record says is altered, with a guess at what lies there instead. That recovery found it so
        does not make it good: a line was only written behind its whole, durable file.
        """
        for mismatch in self._mismatches:
            named = mismatch.named
            self._blame(named.name, mismatch.what + self._owner(mismatch.read.sha256), label=named.label)

    def check_sums(self, trust: Trust, *, ended: bool) -> dict[str, str] | None:
        """Check SHA256SUMS against its signature, and the files against it; None if it can't be relied on."""
        report, names = self._report, self._names
        present = [name for name in (SUMS, SUMS_SIGNATURE) if name in names]
        if any(name in self._blamed for name in present):
            return None
        if SUMS not in present:
            if SUMS_SIGNATURE in present:
                report.altered(SUMS, "is missing, though its signature is there")
            elif ended:
                report.unfinished(SUMS, "is missing: the recording was ended, but its folder was not finished")
            return None
        try:
            sums = read_file(self._folder, SUMS, SUMS_BYTES)
            signature = read_file(self._folder, SUMS_SIGNATURE, SIGNATURE_BYTES) if SUMS_SIGNATURE in present else b""
        except OSError as error:
            self._blame(error.filename or SUMS, error.strerror or str(error), unreadable=True)
            return None
        if not is_whole(signature):
            what = "has no end" if signature else "is missing or empty"
            report.unfinished(SUMS_SIGNATURE, f"{what}: the recording's folder was not finished")
            return None
        try:
            trust.also(check_signature(sums, signature), SUMS_SIGNATURE, report)
            listed = parse_sums(sums)
        except (SignatureBad, ValueError) as error:
            report.altered(f"{SUMS} or {SUMS_SIGNATURE}", str(error))
            return None
        for name, sha256 in listed.items():
            if name not in names:
                if name not in self._withheld:
                    self._blame(name, "is missing: SHA256SUMS lists it")
            elif not (name == MANIFEST and report.findings) and self._digest(name) not in ("", sha256):
                self._blame(name, "is not what SHA256SUMS says")
        return listed

    def check_inits(self, inits: Sequence[bytes], *, finished: bool) -> None:
        """init.mp4 … must be what the manifest holds, whatever SHA256SUMS says; or a beginning of that, where a cut or
        a full flash kept the folder from being finished."""
        for epoch, init in enumerate(inits, start=1):
            name = init_name(epoch)
            if name not in self._names or self._digest(name) in ("", hashing.sha256(init).hexdigest()):
                continue
            if not finished and self._begins(name, init):
                self._report.unfinished(name, "has no end: the recording's folder was not finished")
                self._blamed.add(name)
            else:
                self._blame(name, "is not the init segment that the manifest holds")

    def _begins(self, name: str, whole: bytes) -> bool:
        """Whether a file is a beginning of `whole`, or such a one with zeros wherever its data did not arrive."""
        try:
            data = read_file(self._folder, name, len(whole))
        except OSError:  # longer, or not to be read
            return False
        return all(byte in (0, right) for byte, right in zip(data, whole, strict=False))

    def check_strangers(
        self,
        *,
        ended: bool,
        conveniences: set[str],
        sums: dict[str, str] | None,
        found: dict[str, list[records.Found]],
        unfinished: set[str],
    ) -> None:
        """Files that no record names.

        Args:
            conveniences: names that may be there once the recording has ended; `sums`, if reliable, must list them.
            found: what recovery found and named, by the names as `file_names.harmless` writes them.
            unfinished: names that a commit may have written whose line is not there yet.
        """
        for name in sorted(self._names.keys() - self._expected.keys() - self._blamed - {MANIFEST}):
            if name in conveniences:
                if not ended:
                    self._blame(name, "is written after a recording's end, but the manifest has none")
                elif sums is not None and name not in sums and name not in (SUMS, SUMS_SIGNATURE):
                    self._blame(name, "SHA256SUMS does not list it")
            elif (written := harmless(name)) in found:
                actual = self._digest(name)
                if actual and not any(thing.sha256 == actual for thing in found[written]):
                    self._blame(name, "is not what recovery found")
            elif name in unfinished:
                self._report.note(name, "has no line in the manifest: its commit was not finished")
            elif is_litter(name):
                self._report.note(name, LITTER)
            else:
                self._blame(name, "no record names this file" + self._owner(self._digest(name)))

    def _digest(self, name: str) -> str:
        """SHA-256 of a file; "" if a finding says already why there is none."""
        if name in self._blamed:
            return ""
        if name not in self._actual:
            try:
                self._actual[name] = digest(self._folder, name)[1]
            except OSError as error:
                self._blame(name, error.strerror or str(error), unreadable=True)
                return ""
        return self._actual[name]

    def _owner(self, sha256: str) -> str:
        """Whose content that is, if it is another file's."""
        owners = (name for name, expected in self._expected.items() if expected == sha256)
        owner = next(owners, None) if sha256 else None
        return f": it holds what belongs to {owner}" if owner else ""

    def _blame(self, name: str, what: str, *, label: str = "", unreadable: bool = False) -> None:
        """One finding for one file, the first."""
        if name in self._blamed:
            return
        self._blamed.add(name)
        if unreadable:
            self._report.unreadable(label or name, what)
        else:
            self._report.altered(label or name, what)


def conveniences_of(inits: int) -> set[str]:
    """The names that a finished recording with so many epochs in the clear may have besides its records' files."""
    return {*CONVENIENCES, *(init_name(epoch) for epoch in range(1, inits + 1))}


def unfinished_names(names: Iterable[str], segment: int, sealed: int, *, encrypted: bool) -> set[str]:
    """Those of `names` that one commit writes before its line, or that a manifest has which is being written anew.

    A commit may seal any number of texts: while the flash stalls, markers wait for it. A cut may leave any of them.

    Args:
        segment: the number of the segment that would come next.
        sealed: how many sealed texts have their line.
    """
    if not encrypted:
        return {segment_name(segment, encrypted=False), MANIFEST + NEW}
    texts = {name for name in names if (sealed_number(name) or 0) > sealed}
    return texts | {segment_name(segment, encrypted=True), MANIFEST + NEW}


def segment_label(segment: records.Segment) -> str:
    """`000003.m4s (segment 3, 2.0 s to 3.0 s)`"""
    begin, end = segment.pts_ns / NS, (segment.pts_ns + segment.duration_ns) / NS
    return f"{segment.file} (segment {segment.segment}, {begin:.1f} s to {end:.1f} s)"
