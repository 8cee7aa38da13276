"""Log of a custodian: every act, signed before it is done, as objects of the store that are chained to each other.

    custody/NAME/000000000001.jsonl, 000000000002.jsonl, …      a desk's: desk/NAME/…

Each object is one file of the form that a device's journal has: a `journal` record that names the object before by its
length and digest, then entries, each line signed, in a namespace of its own. All entries that wait go into one object.

It lies in the store, not beside the custodian: then the custodian's machine holds nothing that can't be made again, the
store's lock protects the log from the custodian himself, and the index can be rebuilt with the times of what was found.
As every object is put once, the number that is due is taken by one: two processes of one name write one chain between
them and never two, because who comes second finds the object there, and goes on behind it.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from bwvd.clock import Clock
from bwvd.custody.bridge import read_small
from bwvd.evidence.errors import EvidenceError, SignatureBad
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import Chain
from bwvd.evidence.format.chain_reader import ChainReader, Signed
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.format.utc import stamp_at, unix_s
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.named_signer import check_named_signer
from bwvd.evidence.keys.ssh_keys import Certificate, PublicKey
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.store.body import bytes_body
from bwvd.store.errors import ObjectDiffers
from bwvd.store.ports import EveryPage, Store

OBJECT_BYTES = 1_048_576  # a log's object has less; a larger one is none
READINGS = 3
GROUP = 64  # calls whose acts go into one object
MOST_NUMBER = 999_999_999_999  # of an object

_OBJECT = re.compile(r"([0-9]{12})\.jsonl", re.ASCII)

Detail = dict[str, str | int | float | bool | None]


class LogBroken(EvidenceError):
    """The log is not what its own key wrote: nothing may be added to it. One line."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Whose logs they are: where they lie, and what they are signed as."""

    folder: str
    namespace: str
    another: str  # what a second writer of the same kind does


CUSTODY = Kind("custody/", "bwvd-custody", "another custodian needs another name: --by")
DESK = Kind("desk/", "bwvd-desk", "another desk needs another name, or a folder of its own: --log")


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that was done or found."""

    event: str  # "receipt" | "finding" | "resolved" | "head" | "begun"
    detail: Detail


@dataclass(slots=True, eq=False)
class _Waiting:
    acts: tuple[Act, ...]
    utc: str = ""  # when they were entered; "" = not yet


class CustodyLog:
    """The log that one custodian, or one desk, writes.

    Args:
        name: under which lists of signers know the key.
        kind: whose logs it is one of.

    **Synchronization:** trio's thread; any number of calls at once.
    """

    def __init__(self, store: Store, signer: KeySigner, name: str, clock: Clock, kind: Kind = CUSTODY) -> None:
        self._store = store
        self._kind = kind
        self._signer = signer
        self._name = name
        self._clock = clock
        self._lock = trio.Lock()
        self._waiting: list[_Waiting] = []
        self._head: JournalHead | None = None
        self._number = 0  # of the newest object
        self._found = False

    @property
    def newest(self) -> int:
        """The number of the newest object."""
        return self._number

    async def find(self, known: int = 0) -> None:
        """Find the newest object; `known`: the number of one that is there, to begin behind.

        Raises: StoreError; LogBroken.
        """
        number = known
        after = self._object(known) if known else ""
        async for page in EveryPage(self._store, f"{self._kind.folder}{self._name}/", after=after):
            for one in page.objects:
                number = max(number, number_of(one.name.rpartition("/")[2]))
        head = await self._own(number) if number else None
        self._number, self._head, self._found = number, head, True

    async def enter(self, *acts: Act) -> str:
        """Make entries of `acts`, durable in the store when this returns; the time that they have, in UTC.

        Raises: StoreError, after which they may be entered again: an act may then stand there twice, never not at all;
        LogBroken.
        """
        if not acts:
            return ""
        mine = _Waiting(acts)
        self._waiting.append(mine)
        try:
            while not mine.utc:
                async with self._lock:
                    if not mine.utc:
                        await self._write()
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
        return mine.utc

    async def _write(self) -> None:
        """Put one object with what waits."""
        if not self._found:
            await self.find(self._number)
        group = self._waiting[:GROUP]
        reading = self._clock.read()
        while True:
            number = self._number + 1
            if number > MOST_NUMBER:
                raise LogBroken(f"{self._object(number)}: no log has so many objects")
            chain = Chain(self._signer, self._kind.namespace)
            data = chain.line(
                records.Journal(
                    n=0,
                    format=records.FORMAT,
                    device=self._name,
                    signer=self._signer.public_key,
                    file_number=number,
                    last_serial=0,
                    previous=self._head,
                )
            )
            stamp = stamp_at(reading.mono_ns, reading)
            for act in (act for waiting in group for act in waiting.acts):
                data += chain.line(records.Entry(n=chain.n, event=act.event, stamp=stamp, detail=act.detail))
            name = self._object(number)
            try:
                await self._store.put(name, bytes_body(data), size=len(data), sha256=hashlib.sha256(data).digest())
            except ObjectDiffers:
                # Another process of this name was faster, or an earlier put of ours was done and its answer lost.
                self._head, self._number = await self._own(number), number
                continue
            self._head, self._number = chain.head(object_name(number)), number
            for waiting in group:
                waiting.utc = stamp.utc
            return

    def _object(self, number: int) -> str:
        return f"{self._kind.folder}{self._name}/{object_name(number)}"

    async def _own(self, number: int) -> JournalHead:
        """Where an object of this log ends, if this key has signed all of it. Raises: LogBroken; StoreError."""
        name = self._object(number)
        problem = ""
        for _ in range(READINGS):  # a line or a disk that errs once is no broken log
            data = await read_small(self._store, name, OBJECT_BYTES)
            problem = "is not there" if data is None else self._problem(data, number)
            if data is not None and not problem:
                return JournalHead(file=object_name(number), bytes=len(data), sha512=hashlib.sha512(data).hexdigest())
        raise LogBroken(f"{name}: {problem}; {self._kind.another}")

    def _problem(self, data: bytes, number: int) -> str:
        signed, problem = read_object(data, object_name(number), self._kind)
        if not problem and any(_plain(one).blob != self._signer.key.blob for one in signed):
            problem = "is signed by another key than --key"
        first = signed[0].record if signed else None
        if not problem and not (isinstance(first, records.Journal) and first.file_number == number):
            problem = "is not the object of that number"
        return problem


@dataclass(frozen=True, slots=True)
class Entered:
    """An entry of somebody's log that holds."""

    log: str  # whose
    object: str
    event: str
    detail: Detail
    utc: str


async def read_logs(
    store: Store,
    own: PublicKey | None,
    signers: AllowedSigners,
    take: Callable[[Entered], None],
    kind: Kind = CUSTODY,
) -> list[str]:
    """Give all entries of all logs of a kind to `take`, each in its order; returns what does not hold, in lines.

    Args:
        own: the key of whoever asks, whose logs count; the others' count if `signers` lists them for the kind's
            namespace.

    Raises: StoreError.
    """
    problems: list[str] = []
    async for page in EveryPage(store, kind.folder, folders=True):
        for folder in page.folders:
            await _read_log(store, folder, own, signers, take, problems, kind)
    return problems


async def _read_log(
    store: Store,
    folder: str,
    own: PublicKey | None,
    signers: AllowedSigners,
    take: Callable[[Entered], None],
    problems: list[str],
    kind: Kind,
) -> None:
    name = folder.removeprefix(kind.folder).rstrip("/")
    before: JournalHead | None = None
    due = 1
    async for page in EveryPage(store, folder):
        problems += [f"{folder}{strange.shown}: no object of a log" for strange in page.hostile]
        for listed in page.objects:
            file = listed.name.rpartition("/")[2]
            if number_of(file) != due:
                problems.append(f"{listed.name}: {object_name(due)} is what comes next")
            due = (number_of(file) or due) + 1
            data = await read_small(store, listed.name, OBJECT_BYTES) or b""
            signed, problem = read_object(data, file, kind)
            first = signed[0].record if signed else None
            if not problem and not (isinstance(first, records.Journal) and first.device == name):
                problem = f"is not of the log of {name}"
            if not problem and isinstance(first, records.Journal) and first.previous != before:
                problem = "does not go on from the object before it"
            problem = problem or _stranger(signed, name, own, signers, kind)
            before = JournalHead(file=file, bytes=len(data), sha512=hashlib.sha512(data).hexdigest())
            if problem:
                problems.append(f"{listed.name}: {problem}")
                continue
            for one in signed:
                if isinstance(entry := one.record, records.Entry):
                    take(Entered(name, listed.name, entry.event, entry.detail, entry.stamp.utc))


def read_object(data: bytes, name: str, kind: Kind = CUSTODY) -> tuple[list[Signed], str]:
    """The records of a log's object, and what is wrong with it; "" if nothing is. Whose they are is not looked at."""
    if len(data) > OBJECT_BYTES:
        return [], f"is larger than {OBJECT_BYTES} bytes"
    reader = ChainReader(io.BytesIO(data), name, kind.namespace)
    signed = list(reader)
    if reader.problems:
        return signed, f"{reader.problems[0].where}: {reader.problems[0].what}"
    if not signed or reader.end != len(data) or reader.newline_missing:
        return signed, "has no end"
    return signed, ""


def object_name(number: int) -> str:
    """In the folder of the log."""
    return f"{number:012d}.jsonl"


def number_of(file: str) -> int:
    """The number in an object's name; 0 if it is no such name."""
    found = _OBJECT.fullmatch(file)
    return int(found[1]) if found else 0


def _stranger(signed: Sequence[Signed], name: str, own: PublicKey | None, signers: AllowedSigners, kind: Kind) -> str:
    """Why a log counts for nothing; "" if it is by the asker's own key, or by one that the list names for it."""
    for one in signed:
        if own is not None and _plain(one).blob == own.blob:
            continue
        try:
            check_named_signer(one.key, kind.namespace, name, [signers], _at_s(signed))
        except SignatureBad as error:
            return str(error)
    return ""


def _plain(signed: Signed) -> PublicKey:
    return signed.key.key if isinstance(signed.key, Certificate) else signed.key


def _at_s(signed: Sequence[Signed]) -> float:
    """When it was signed, as it says itself; Unix seconds."""
    stamps = (one.record.stamp.utc for one in signed if isinstance(one.record, records.Entry))
    return next((at for stamp in stamps if (at := unix_s(stamp)) is not None), 0.0)
