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

    Behind it a custodian's `once` enters the rest. Raises: StoreError, IndexLost.
    """
    found: list[Entered] = []
    heads: dict[tuple[str, str], tuple[str, KnownHead]] = {}

    def take(one: Entered) -> None:
        if one.event in ("finding", "resolved") and len(found) < MOST_ENTRIES:
            found.append(one)
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
                    if key not in heads or heads[key][0] <= one.utc:
                        heads[key] = one.utc, KnownHead(number, size, sha512)

    problems = await read_logs(post.store, post.desk.signer.key, post.desk.signers, take)
    found.sort(key=lambda one: one.utc)

    def enter(connection: Connection) -> None:
        at.empty(connection)
        for (device, storage), (_, head) in heads.items():
            at.set_device(connection, device)
            at.set_head(connection, device, storage, head)
        for one in found:
            _enter(connection, one)

    await post.index.run(enter)
    return problems


def _enter(connection: Connection, one: Entered) -> None:
    match one.event, one.detail:
        case "finding", {"device": str(device), "recording": str(recording), "kind": str(kind), "what": str(what)}:
            if kind in KINDS and (kind in ABOUT_A_RECORDING) == bool(recording):
                found = Finding(device, kind, what, recording)
                if not at.is_known(connection, found):
                    if device:  # "" = of what lies beside the devices
                        at.set_device(connection, device)
                    at.add_finding(connection, found, one.utc)
        case "resolved", {"finding": str(id_), "why": str(why)}:
            at.resolve(connection, [id_], one.utc, why)
