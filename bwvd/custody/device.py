"""Round of one device: its journals first, then each recording that has come, then what is missing.

A receipt is given when the recording is good, the journal that it began with is in the store and goes on from all that
was known of it, and nothing blocks the device. Before it is put, the log has it. Every step may be done again: after a
lost answer or a dead process the next round finds what was done, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trio
from sqlalchemy import Connection

from bwvd.clock import Clock
from bwvd.custody import archives, journals, judge, shelf, versions
from bwvd.custody import index as at
from bwvd.custody.bridge import Bridge, in_thread
from bwvd.custody.findings import BLOCKING, Finding, act_of, finding
from bwvd.custody.index import SEEN, Index
from bwvd.custody.journals import CheckedJournal, KnownHead
from bwvd.custody.judge import Judged, State
from bwvd.custody.log import Act, CustodyLog, Detail
from bwvd.custody.receipts import Desk, Given, OtherReceipt, give, there
from bwvd.evidence.release.issue import NoReceipt, require_receivable
from bwvd.evidence.verify.journal import Head
from bwvd.evidence.verify.neighbours import ENDS
from bwvd.store.errors import StoreMisbehaved
from bwvd.store.ports import Store

T = TypeVar("T")

READINGS = 4
MOST_KEPT_BYTES = 16_777_216  # of manifests, from the first look at them to their verification, and one piece more

# Findings that a round makes anew at its end: one that is not made again is over. So is one of a journal, before the
# recordings are looked at. A fork or a rollback is never over by itself.
_PASSING = frozenset({"missing_serial", "stranger"})


@dataclass(frozen=True, slots=True)
class Post:
    """What every round works with.

    Args:
        signers_sha256: of the list of signers; what was found by another list is judged anew.
        threads: that verify at once.
        identities: to open texts for the index with.
    """

    store: Store
    index: Index
    log: CustodyLog
    desk: Desk
    clock: Clock
    signers_sha256: str
    threads: trio.CapacityLimiter
    identities: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one recording in this round."""

    device: str
    recording: str
    state: State
    verdict: str
    detail: str = ""
    bytes: int = 0  # verified


@dataclass(slots=True)
class Round:
    """What came of a device in this round."""

    device: str
    outcomes: list[Outcome] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)  # new ones
    unblocked: bool = False  # what kept receipts back is over: another round gives them

    @property
    def idle(self) -> bool:
        return not self.findings and all(one.state is State.WAITS for one in self.outcomes)


class _ReadAgain(Exception):
    """Something was found that was not found before."""


@dataclass(slots=True)
class _Listed:
    """What the store and the index have, at the beginning."""

    after: str
    ids: list[str]
    rest: shelf.Files
    rows: dict[str, at.Row]
    open: dict[str, Finding]
    heads: dict[str, KnownHead]
    whole: dict[str, shelf.Files] = field(default_factory=dict)  # to be judged
    coming: list[str] = field(default_factory=list)  # not whole yet


class DeviceRound:
    """One round of one device.

    Args:
        everything: look at all of it again, not only at what is behind the newest settled recording.
        versions: look also for what was put in front of any object, however long ago it was received.

    **Synchronization:** trio's thread. **Cancellation:** at any checkpoint; the next round goes on.
    """

    def __init__(self, post: Post, device: str, *, everything: bool, versions: bool = False) -> None:
        self._post = post
        self._device = device
        self._versions = versions
        self._everything = everything
        self._round = Round(device)
        self._seen: set[str] = set()  # findings of an earlier reading
        self._with_receipt: set[str] = set()  # recordings in whose receipt's place something lies
        self._others: set[str] = set()  # that there are more than are kept, where it was so in this round

    async def run(self) -> Round:
        """Raises: StoreError, IndexLost, LogBroken; what was done by then is done.

        A finding is only entered that was found in two readings: a line or a disk that errs makes none.
        """
        for _ in range(READINGS):
            with suppress(_ReadAgain):
                return await self._once()
        raise StoreMisbehaved(f"{self._device}: what the store gives is another thing each time that it is read")

    async def _once(self) -> Round:
        post, device = self._post, self._device
        listed = await self._list()
        found_shelves, strange = await shelf.journals(post.store, device)
        if not self._everything and not listed.whole and not journals.changed(found_shelves, listed.heads):
            return self._round
        files = listed.whole
        self._with_receipt = await shelf.with_receipt(post.store, device, files)
        wanted = await self._in_thread(lambda bridge: _opening_heads(bridge, files))
        checked = [await self._check(one, listed, wanted.values()) for one in found_shelves]
        put_again = await versions.look(post.store, device, listed.whole, everything=self._versions)
        found = [*put_again, *self._strange(listed, found_shelves, strange)]
        found += [one for each in checked for one in each.findings]
        await self._journals(checked, found, listed)
        blocked = await self._is_blocked()
        for one in checked if not blocked else ():
            await archives.give(post.store, post.log, post.desk, device, one)
        judged: dict[str, Judged] = {}
        for recording in listed.whole:
            head = wanted[recording]
            journal = journals.holder(checked, head, recording)
            if head is not None and (journal is None or head not in journal.facts.seen):
                if journal is None:
                    await self._wait(recording, listed)
                    continue
                found.append(finding(device, "journal_cut", f"names {_head(head)}, which is not in it", recording))
                await self._cut(recording, files[recording], found[-1])
                continue
            bad = next((one for one in put_again if one.recording == recording), None)
            judged[recording] = await self._recording(recording, files[recording], head, journal, bad, blocked=blocked)
        await self._ends(found, checked, judged, listed)
        return self._round

    # --- what there is -----------------------------------------------------------------------------------------------

    async def _list(self) -> _Listed:
        post, device, everything = self._post, self._device, self._everything

        def known(connection: Connection) -> tuple[str, dict[str, at.Row], dict[str, Finding], dict[str, KnownHead]]:
            after = "" if everything else at.settled_up_to(connection, device)
            rows = at.recording_rows(connection, device, after)
            return after, rows, at.open_findings(connection, device), at.known_heads(connection, device)

        after, rows, open_, heads = await post.index.run(known)
        ids, rest = await shelf.recordings(post.store, device, after)
        listed = _Listed(after, ids, rest, rows, open_, heads)
        blocked = any(one.kind in BLOCKING for one in open_.values())
        for one in ids:
            if not self._is_pending(rows.get(one), blocked=blocked):
                continue
            if (files := await shelf.whole_recording(post.store, device, one)) is not None:
                listed.whole[one] = files
            else:
                listed.coming.append(one)
        return listed

    def _is_pending(self, row: at.Row | None, *, blocked: bool) -> bool:
        match row and State(row["state"]):
            case State.RECEIVED:
                return False
            case State.HELD:
                return not blocked
            case State.FINDING:
                return bool(row and row["signers"] != self._post.signers_sha256)
            case _:
                return True

    async def _check(
        self, found: shelf.JournalShelf, listed: _Listed, wanted: Collection[Head | None]
    ) -> CheckedJournal:
        known, signers = listed.heads.get(found.storage), self._post.desk.signers
        heads = [head for head in wanted if head is not None]
        return await self._in_thread(lambda bridge: journals.check(bridge, self._device, found, signers, known, heads))

    def _strange(self, listed: _Listed, shelves: Iterable[shelf.JournalShelf], strange: Iterable[str]) -> list[Finding]:
        device = self._device
        names = [*listed.rest.strange, *strange, *(one for each in shelves for one in each.strange)]
        found = [finding(device, "stranger", f"{one}: no object of a camera has such a name there") for one in names]
        if listed.rest.more:
            found.append(finding(device, "stranger", f"more than {len(listed.ids)} recordings are waiting"))
        return list(dict.fromkeys(found))

    # --- the journals ------------------------------------------------------------------------------------------------

    async def _journals(self, checked: Sequence[CheckedJournal], found: Sequence[Finding], listed: _Listed) -> None:
        """Enter what the journals say; a journal that does not go on from what was known stays where it was."""
        device = self._device
        await self._tell(found)
        now = {one.id for one in found}
        over = [id_ for id_, one in listed.open.items() if one.kind == "journal" and id_ not in now]
        await self._resolve(over)
        self._round.unblocked = bool(over)
        resolved = await self._post.index.run(lambda db: {one.id for one in found if at.is_resolved(db, one)})
        news = []
        for one in checked:
            stopped = [each for each in one.findings if each.kind in BLOCKING and each.id not in resolved]
            head = one.newest  # where a person has accepted that it does not go on, it is known from here on
            if head is not None and not stopped and head != listed.heads.get(one.storage):
                news.append((one.storage, head))
        acts = [Act("head", {"device": device, "storage": storage, **head.row()}) for storage, head in news]
        await self._post.log.enter(*acts)

        def enter(connection: Connection) -> None:
            for storage, head in news:
                at.set_head(connection, device, storage, head)
            for one in checked:
                if not one.report.findings:
                    at.set_numbers(connection, device, one.storage, one.facts.serials, one.facts.released)

        await self._post.index.run(enter)

    async def _is_blocked(self) -> bool:
        open_ = await self._post.index.run(lambda db: at.open_findings(db, self._device))
        return any(one.kind in BLOCKING for one in open_.values())

    # --- recordings --------------------------------------------------------------------------------------------------

    async def _recording(
        self,
        recording: str,
        files: shelf.Files,
        head: Head | None,
        journal: CheckedJournal | None,
        bad: Finding | None,
        *,
        blocked: bool,
    ) -> Judged:
        """Judge one recording, and give its receipt if it is to have one; `bad`: what was found of it before."""
        post, device, signers = self._post, self._device, self._post.desk.signers
        now_s = post.clock.read().utc_ns / 1e9
        given: Given | None = None
        try:
            if recording in self._with_receipt:
                given = await there(post.store, post.desk, device, recording, "", now_s)
        except OtherReceipt as error:
            bad = finding(device, "receipt", str(error), recording)
        judged: Judged | None = None
        if given is not None:  # by a custodian who has verified all of it
            judged = await self._in_thread(
                lambda bridge: judge.verify(
                    bridge, device, recording, files, signers, manifest_only=True, identities=post.identities
                )
            )
            if not judged.report.good or judged.report.manifest_sha512 != given.manifest_sha512:
                judged = None
        verified = judged is None
        if judged is None:
            judged = await self._in_thread(
                lambda bridge: judge.judge(
                    bridge, device, recording, files, signers, journal, identities=post.identities
                )
            )
            if given is not None and judged.report.manifest_sha512 != given.manifest_sha512:
                bad, given = finding(device, "receipt", "a receipt is there for another manifest", recording), None
        if judge.head_of(judged.check) not in (None, head):
            raise _ReadAgain  # the first look at it saw something else
        judged.finding = judged.finding or bad
        size = judged.report.bytes if verified else 0
        if judged.finding is None and given is None:
            try:
                require_receivable(judged.report, post.desk.signer)
            except NoReceipt as error:
                judged.finding = finding(device, "own_key", str(error), recording)
        if judged.finding is not None:
            await self._enter(judged, State.FINDING, recording, None, size)
        elif given is None and blocked:
            await self._enter(judged, State.HELD, recording, None, size)
        else:
            await self._receive(judged, recording, given, size)
        return judged

    async def _receive(self, judged: Judged, recording: str, given: Given | None, size: int) -> None:
        post, device, report = self._post, self._device, judged.report
        if given is None:
            detail: Detail = {
                "device": device,
                "recording": recording,
                "manifest_sha512": report.manifest_sha512,
                "verdict": report.verdict,
                "bytes": report.bytes,
            }
            utc = await post.log.enter(Act("receipt", detail))
            try:
                given = await give(post.store, post.desk, device, recording, report.manifest_sha512, utc)
            except OtherReceipt as error:
                judged.finding = finding(device, "receipt", str(error), recording)
                await self._enter(judged, State.FINDING, recording, None, size)
                return
        await self._enter(judged, State.RECEIVED, recording, given, size)

    async def _enter(self, judged: Judged, state: State, recording: str, given: Given | None, size: int) -> None:
        post, device, report = self._post, self._device, judged.report
        if judged.finding is not None:
            await self._tell([judged.finding])
        now = post.clock.read().utc

        def enter(connection: Connection) -> None:
            since = given.received_utc if given is not None else now
            if judged.finding is not None and (known := at.find_finding(connection, judged.finding.id)) is not None:
                since = known["found_utc"]
            row = judge.row_of(judged, device, recording, state, since, post.signers_sha256)
            receipt = given.row() if given is not None else None
            at.set_recording(connection, row, judged.markers, judged.officers, receipt)
            at.set_device(connection, device, signer=row["signer"] if report.good else "")

        await post.index.run(enter)
        detail = judged.finding.detail if judged.finding is not None else ""
        self._round.outcomes.append(Outcome(device, recording, state, report.verdict, detail, size))

    async def _cut(self, recording: str, files: shelf.Files, cut: Finding) -> None:
        judged = await self._in_thread(
            lambda bridge: judge.verify(bridge, self._device, recording, files, self._post.desk.signers)
        )
        judged.finding = cut
        await self._enter(judged, State.FINDING, recording, None, judged.report.bytes)

    async def _wait(self, recording: str, listed: _Listed) -> None:
        what = "the journal that it began with has not come"
        self._round.outcomes.append(Outcome(self._device, recording, State.WAITS, "", what))
        if recording not in listed.rows:
            row = judge.waiting_row(self._device, recording, self._post.clock.read().utc)
            await self._post.index.run(lambda db: at.set_recording(db, row, (), (), None))

    # --- the end -----------------------------------------------------------------------------------------------------

    async def _ends(
        self, found: list[Finding], checked: Sequence[CheckedJournal], judged: dict[str, Judged], listed: _Listed
    ) -> None:
        """What is missing, what is over, and up to where all is settled."""
        device = self._device

        def known(connection: Connection) -> tuple[dict[str, at.Row], list[Finding]]:
            rows = at.recording_rows(connection, device)
            said = []
            for recording, one in judged.items():
                before = one.check.before
                if before is None or before.event not in ENDS or not before.manifest_sha512:
                    continue
                sha512 = rows.get(before.recording, {}).get("manifest_sha512", "")
                if sha512 and sha512 != before.manifest_sha512:
                    what = f"{recording} says that it ended with another manifest"
                    said.append(finding(device, "altered", what, before.recording))
            return rows, said

        rows, said = await self._post.index.run(known)
        there = {one: row["serial"] for one, row in rows.items() if row["state"] != State.WAITS}
        waiting = {one for one, row in rows.items() if row["state"] == State.WAITS}
        more = list(said)
        for journal in checked:
            if not journal.report.findings:
                more += journals.missing(device, journal, there, {*listed.coming, *waiting})
        await self._tell(more)
        now = {one.id for one in (*found, *more)} | self._others
        good = {name for name, one in judged.items() if one.finding is None}
        over = [
            id_
            for id_, one in listed.open.items()
            if (one.kind in _PASSING and id_ not in now) or (one.recording in good and id_ not in now)
        ]
        await self._resolve(over)
        settled = listed.after
        for one in listed.ids:
            if State(rows[one]["state"]) not in (State.RECEIVED, State.FINDING) if one in rows else True:
                break
            settled = one
        if settled:
            await self._post.index.run(lambda db: at.set_device(db, device, settled=settled))

    async def _resolve(self, over: Sequence[str]) -> None:
        """Enter that these findings are so no more."""
        if over:
            utc = await self._post.log.enter(*(Act("resolved", {"finding": one, "why": SEEN}) for one in over))
            await self._post.index.run(lambda db: at.resolve(db, over, utc, SEEN))

    async def _tell(self, found: Iterable[Finding]) -> None:
        """Enter findings that are new, in the log and in the index."""
        device, index = self._device, self._post.index
        each = list(dict.fromkeys(found))
        if not each:
            return
        new, others = await index.run(lambda db: at.new_of(db, device, each))
        self._others |= others
        if not new:
            return
        if unseen := {one.id for one in new} - self._seen:
            self._seen |= unseen
            raise _ReadAgain
        utc = await self._post.log.enter(*(Act("finding", act_of(one)) for one in new))

        def enter(connection: Connection) -> None:
            at.set_device(connection, device)
            for one in new:
                at.add_finding(connection, one, utc)

        await index.run(enter)
        self._round.findings += new

    async def _in_thread(self, job: Callable[[Bridge], T]) -> T:
        return await in_thread(self._post.store, job, self._post.threads)


def _opening_heads(bridge: Bridge, whole: Mapping[str, shelf.Files]) -> dict[str, Head | None]:
    found: dict[str, Head | None] = {}
    kept = 0
    for recording, files in whole.items():
        found[recording] = judge.opening_head(bridge, files, keep=kept < MOST_KEPT_BYTES)
        kept += sum(map(len, files.kept.values()))
    return found


def _head(head: Head) -> str:
    return f"a state of the journal of {head[0]} bytes ({head[1][:16]})"
