"""`bwvd custody`: take over what has come to a store, once or for ever; show what was found; let a person decide."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bwvd.cli.options import NAME, Failure, identity_option, json_option, print_json, signers_option
from bwvd.cli.printing import warn
from bwvd.cli.signing import desk_key
from bwvd.cli.store_options import run_with_store, store_options
from bwvd.clock import SystemClock
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.regular_file import read_regular
from bwvd.evidence.keys.allowed_signers import FILE_BYTES, AllowedSigners
from bwvd.text import clean, counted

if TYPE_CHECKING:
    from bwvd.custody.custodian import Custodian, Pass
    from bwvd.custody.device import Outcome, Post, Round
    from bwvd.custody.index import Index
    from bwvd.store.ports import Store

TAKE_OVER, FINDINGS, LOG, RESOLVE = "take-over", "findings", "log", "resolve"


@click.command()
@json_option
@store_options
@signers_option("allowed_signers file of the cameras: only these keys count.")
@click.option("--key", type=NAME, metavar="FILE", help="OpenSSH Ed25519 key that the cameras' keys.release lists.")
@click.option("--by", metavar="NAME", help="The name that the lists have for the key; default: KEY.pub's comment.")
@click.option(
    "--index",
    "index_url",
    default="custody.sqlite",
    show_default=True,
    type=NAME,
    metavar="URL",
    help="postgresql://…, or an SQLite file.",
)
@click.option("--once", is_flag=True, help="Do all there is, and end: 0 if nothing was ever found, 1 otherwise.")
@click.option("--reindex", is_flag=True, help="Make the index anew from the store first.")
@identity_option("Open texts for the index.")
@click.option(
    "--jobs", default=0, type=click.IntRange(0, 256), metavar="N", help="Devices at once; default: a core each."
)
@click.option("--all", "everything", is_flag=True, help="With findings: those that were resolved as well.")
@click.option("--note", default="", metavar="TEXT", help="With resolve: why it is none any more.")
@click.argument("store", type=NAME, metavar="STORE")
@click.argument("what", default=TAKE_OVER, type=click.Choice([TAKE_OVER, FINDINGS, LOG, RESOLVE]))
@click.argument("finding", default="", metavar="[FINDING]")
def custody(store: str, what: str, finding: str, *, as_json: bool, once: bool, everything: bool, **given: Any) -> None:
    """Verify what has come to STORE (s3://BUCKET[/PREFIX] or file:/FOLDER), and sign receipts for what is good.

    STORE findings lists what a person has to see; STORE resolve FINDING --note TEXT says that he has; STORE log shows
    what was done, and whether the log is whole.
    """
    access = {name: given.pop(name) for name in ("endpoint", "region", "credentials", "ca_file")}
    match what:
        case "findings":
            code = _print_findings(given["index_url"], everything=everything, as_json=as_json)
        case "log":
            code = _log(store, access, given, as_json=as_json)
        case "resolve":
            code = _resolve(store, access, given, finding)
        case _:
            code = _take_over(store, access, given, once=once, as_json=as_json)
    sys.exit(code)


def _take_over(store: str, access: dict[str, str], given: dict[str, Any], *, once: bool, as_json: bool) -> int:
    from bwvd.custody import index as at
    from bwvd.custody.custodian import Custodian
    from bwvd.custody.reindex import replay
    from bwvd.log import configure

    configure("warning" if once else "info")

    async def work(post: Post) -> int:
        rounds: list[Round] = []
        told = rounds.append if once and as_json else _printer(as_json=as_json)
        custodian = Custodian(post, jobs=given["jobs"] or os.cpu_count() or 1, told=told)
        problems = await replay(post) if given["reindex"] else []
        for problem in problems:
            warn(problem)
        await post.log.find(int(post.index.do(lambda db: at.fact(db, f"log {post.desk.name}")) or 0))
        if not once:
            await _until_told(custodian)
            return 0
        done = await custodian.once()
        open_ = post.index.do(at.all_findings)
        if as_json:
            print_json(_document(done, rounds, open_, problems))
        else:
            _print_pass(done, open_)
        return 1 if open_ or done.failed or problems else 0

    return _run_with_post(store, access, given, work)


async def _until_told(custodian: Custodian) -> None:
    """Work until SIGTERM or SIGINT. Raises: LogBroken."""
    import trio

    from bwvd.custody.log import LogBroken

    broken: list[LogBroken] = []

    async def work() -> None:
        try:
            await custodian.run()
        except LogBroken as error:
            broken.append(error)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            nursery.start_soon(work)
            async for _ in received:
                nursery.cancel_scope.cancel()
                break
    if broken:
        raise broken[0]


def _run_with_post(
    store: str, access: dict[str, str], given: dict[str, Any], work: Callable[[Post], Awaitable[int]]
) -> int:
    """Run `work` with the store and the index open, which it leaves open. Raises: Failure."""

    async def with_post(opened: Store) -> int:
        post = await _post(opened, given)
        try:
            return await work(post)
        finally:
            post.index.close()

    try:
        return run_with_store(store, access, with_post)
    except EvidenceError as error:
        raise Failure(str(error), 2) from None


async def _post(store: Store, given: dict[str, Any]) -> Post:
    """What a custodian works with. Raises: Failure, EvidenceError, StoreError."""
    import trio

    from bwvd.custody.device import Post
    from bwvd.custody.log import CustodyLog
    from bwvd.custody.receipts import Desk
    from bwvd.evidence.keys.age import load_identities
    from bwvd.store.ports import Lock

    if not given["signers"] or not given["key"]:
        raise click.UsageError("a custodian needs --signers FILE and --key FILE")
    path = Path(given["signers"])
    signers = AllowedSigners.load(path)
    signer, name = desk_key(given["key"], given["by"], signers)
    desk = Desk(signer, name, signers)
    if reason := desk.unlisted():
        raise Failure(f"{path}: {reason}", 2)
    facts = await store.facts()
    if facts.lock is not Lock.OFFERED:
        warn(f"{facts.address}: {facts.detail or 'nothing shows that it locks what is put there'}")
    clock = SystemClock()
    return Post(
        store=store,
        index=_index(given["index_url"], facts.address),
        log=CustodyLog(store, signer, name, clock),
        desk=desk,
        clock=clock,
        signers_sha256=hashlib.sha256(read_regular(path, FILE_BYTES, follow=True)).hexdigest(),
        threads=trio.CapacityLimiter(given["jobs"] or os.cpu_count() or 1),
        identities=load_identities(list(given["identities"])),
    )


def _index(url: str, store: str | None) -> Index:
    """The index of the store with that address; None = to look into, and nothing of it is made or changed.

    Raises: Failure, exit code 2 for an index that can't be used, 1 where the database does not answer.
    """
    try:
        from bwvd.custody.index import Index, IndexLost
        from bwvd.custody.schema import IndexUnusable
    except ImportError as error:
        raise Failure(f"{error.name} is not installed: pip install 'bwvd[custody]'", 2) from None
    try:
        return Index.reading(url) if store is None else Index.open(url, store)
    except IndexUnusable as error:
        raise Failure(str(error), 2) from None
    except IndexLost as error:  # it may come later than we do: the unit is started again, as for 2 it is not
        raise Failure(str(error), 1) from None


# --- what a person reads ----------------------------------------------------------------------------------------------


def _printer(*, as_json: bool) -> Any:
    def told(done: Round) -> None:
        for one in done.outcomes:
            if as_json:
                print_json(_row_of(one), indent=None)
            elif one.state != "waits":
                detail = f": {one.detail}" if one.detail else ""
                click.echo(clean(f"{one.state.value:9} {one.recording} {one.verdict}{detail}", 600))
        for each in done.findings:
            if as_json:
                print_json(_finding_of(each), indent=None)
            elif not each.recording:
                click.echo(clean(f"{'finding':9} {each.device or 'the store'} {each.kind}: {each.detail}", 600))
        sys.stdout.flush()

    return told


def _row_of(one: Outcome) -> dict[str, str]:
    return {
        "id": one.recording,
        "device": one.device,
        "state": one.state.value,
        "verdict": one.verdict,
        "detail": one.detail,
    }


def _finding_of(one: Any) -> dict[str, str]:
    return {
        "finding": one.id,
        "device": one.device,
        "recording": one.recording,
        "kind": one.kind,
        "detail": one.detail,
    }


def _document(done: Pass, rounds: list[Round], open_: list[Any], problems: list[str]) -> dict[str, Any]:
    return {
        "devices": done.devices,
        "received": done.received,
        "waiting": done.waiting,
        "held": done.held,
        "bytes": done.bytes,
        "recordings": [_row_of(one) for each in rounds for one in each.outcomes],
        "findings": [dict(row) for row in open_],
        "failed": done.failed,
        "log": problems,
    }


def _print_pass(done: Pass, open_: list[Any]) -> None:
    waiting = f", {done.waiting} waiting for their journal" if done.waiting else ""
    held = f", {done.held} held back" if done.held else ""
    what = f"{counted(done.devices, 'device')}, {counted(done.received, 'recording')} received{waiting}{held}"
    click.echo(f"{what}; {counted(len(open_), 'open finding')}")
    for device, why in done.failed.items():
        warn(f"{device or 'the store'}: {why}")


def _print_findings(index_url: str, *, everything: bool, as_json: bool) -> int:
    from bwvd.custody import index as at

    if "://" not in index_url and not os.path.lexists(index_url):
        raise Failure(f"{index_url}: there is no index; name it with --index", 2)
    index = _index(index_url, None)
    try:
        rows = index.do(lambda db: at.all_findings(db, resolved=everything))
    except at.IndexLost as error:
        raise Failure(str(error), 1) from None
    finally:
        index.close()
    if as_json:
        print_json([dict(row) for row in rows])
    for row in rows if not as_json else []:
        resolved = f" (resolved {row['resolved_utc']}: {row['resolution']})" if row["resolved_utc"] else ""
        about = row["recording"] or row["device"] or "the store"
        line = f"{row['id']} {row['found_utc'][:19]}Z {row['kind']:14} {about}: {row['detail']}{resolved}"
        click.echo(clean(line, 1000))
    return 1 if any(not row["resolved_utc"] for row in rows) else 0


def _log(store: str, access: dict[str, str], given: dict[str, Any], *, as_json: bool) -> int:
    from bwvd.custody.log import Entered, read_logs

    if not given["signers"]:
        raise click.UsageError("whose logs count? give --signers FILE, with a line for bwvd-custody")
    rows: list[dict[str, Any]] = []

    def take(one: Entered) -> None:
        row = {"custodian": one.log, "utc": one.utc, "event": one.event, **one.detail}
        if as_json:
            rows.append(row)
        else:
            rest = " ".join(f"{name}={value}" for name, value in one.detail.items())
            click.echo(clean(f"{one.utc} {one.log} {one.event} {rest}", 1000))

    try:
        signers = AllowedSigners.load(given["signers"])
        own = desk_key(given["key"], given["by"], signers)[0].key if given["key"] else None
        problems = run_with_store(store, access, lambda opened: read_logs(opened, own, signers, take))
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    if as_json:
        print_json({"entries": rows, "problems": problems})
    for problem in problems:
        warn(problem)
    return 1 if problems else 0


def _resolve(store: str, access: dict[str, str], given: dict[str, Any], finding: str) -> int:
    from bwvd.custody import index as at
    from bwvd.custody.log import Act

    if not finding or not given["note"].strip():
        raise click.UsageError("which finding, and why is it none any more? resolve FINDING --note TEXT")
    note = clean(given["note"].strip(), 300)

    async def work(post: Post) -> int:
        row = post.index.do(lambda db: at.find_finding(db, finding))
        if row is None or row["resolved_utc"]:
            raise Failure(f"{finding} is {'resolved already' if row else 'no finding in this index'}", 1)
        why = f"{post.desk.name}: {note}"
        utc = await post.log.enter(Act("resolved", {"finding": finding, "why": why, "device": row["device"]}))
        post.index.do(lambda db: at.resolve(db, [finding], utc, why))
        click.echo(f"{finding} is resolved")
        return 0

    return _run_with_post(store, access, given, work)
