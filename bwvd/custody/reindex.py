"""Rebuilding of an index from the store: the logs say what was found and when, the recordings and receipts the rest.

A recording that has a receipt is not verified again: its manifest, which the receipt names by its digest, is read, and
from it comes the row. All else is judged as if it had just come.
"""

from __future__ import annotations

from sqlalchemy import Connection

from bwvd.custody import index as at
from bwvd.custody.device import Post
from bwvd.custody.findings import ABOUT_A_RECORDING, KINDS, Finding
from bwvd.custody.journals import KnownHead
from bwvd.custody.log import Entered, read_logs

MOST_ENTRIES = 1_000_000  # of findings and what became of them


async def replay(post: Post) -> list[str]:
    """Empty the index, and enter what the logs say; returns what is wrong with these, a line each.

    Each log is taken in its order, whatever its clock did; between logs the clocks decide. So what a person resolved
    stays resolved, and no resolution is taken for one of a finding that had not been made.

    Behind it a custodian's `once` enters the rest. Raises: StoreError, IndexLost.
    """
    found: list[tuple[str, Entered]] = []
    left_off = 0
    reached: dict[str, str] = {}  # UTC that each log has come to: a clock that was set back puts nothing before it
    heads: dict[tuple[str, str], tuple[str, KnownHead]] = {}

    def take(one: Entered) -> None:
        nonlocal left_off
        utc = reached[one.log] = max(reached.get(one.log, ""), one.utc)
        if one.event in ("finding", "resolved"):
            if len(found) < MOST_ENTRIES:
                found.append((utc, one))
            else:
                left_off += 1
        elif one.event == "head":
            match one.detail:
                case {
                    "device": str(device),
                    "storage": str(storage),
                    "number": int(number),
                    "bytes": int(size),
                    "sha512": str(sha512),
                }:
                    key = device, storage
                    if key not in heads or heads[key][0] <= utc:
                        heads[key] = utc, KnownHead(number, size, sha512)

    problems = await read_logs(post.store, post.desk.signer.key, post.desk.signers, take)
    if left_off:
        what = f"{MOST_ENTRIES} entries of findings and their resolutions, and not {left_off} more that the logs have"
        problems.append(f"the index has {what}: findings are missing in it, or open that are not")
    found.sort(key=lambda one: one[0])

    def enter(connection: Connection) -> None:
        at.empty(connection)
        for (device, storage), (_, head) in heads.items():
            at.set_device(connection, device)
            at.set_head(connection, device, storage, head)
        early: dict[str, Entered] = {}
        for _, one in found:
            _enter(connection, one, early)
        for _, one in found:
            match one.event, one.detail:
                case "resolved", {"finding": str(id_), "why": str(why)} if why != at.SEEN:
                    at.resolve_for_good(connection, id_, one.utc, why)

    await post.index.run(enter)
    return problems


def _enter(connection: Connection, one: Entered, early: dict[str, Entered]) -> None:
    """Enter a finding, or that a custodian saw that it is so no more.

    Args:
        early: what was seen to be so no more before it was found, by the finding's id: by another one's clock.
    """
    match one.event, one.detail:
        case "finding", {"device": str(device), "recording": str(recording), "kind": str(kind), "what": str(what)}:
            if kind in KINDS and (kind in ABOUT_A_RECORDING) == bool(recording):
                found = Finding(device, kind, what, recording)
                if not at.is_known(connection, found):
                    if device:  # "" = of what lies beside the devices
                        at.set_device(connection, device)
                    at.add_finding(connection, found, one.utc)
                    if (seen := early.pop(found.id, None)) is not None:
                        at.resolve(connection, [found.id], seen.utc, at.SEEN)
        case "resolved", {"finding": str(id_), "why": at.SEEN}:
            if at.find_finding(connection, id_) is None:
                early.setdefault(id_, one)
            at.resolve(connection, [id_], one.utc, at.SEEN)
