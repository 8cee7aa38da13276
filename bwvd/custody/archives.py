"""Receipts for archives of a journal: with them the recorder may let go of files that are full.

Given for each archive that the next file names by its digest, of a journal that holds and goes on from all that was
known of it. `devices/ID/receipts/STORAGE/journal-000001.json`: of the form that a recording's receipt has.
"""

from __future__ import annotations

import hashlib

from bwvd.custody import shelf
from bwvd.custody.journals import CheckedJournal
from bwvd.custody.log import Act, CustodyLog
from bwvd.custody.receipts import Desk, signed_receipt
from bwvd.evidence.release.receipt import ArchiveReceipt
from bwvd.log import get_logger
from bwvd.store import names
from bwvd.store.body import bytes_body
from bwvd.store.errors import ObjectDiffers
from bwvd.store.ports import Store

_log = get_logger("custody")


async def give(store: Store, log: CustodyLog, desk: Desk, device: str, checked: CheckedJournal) -> None:
    """Put each receipt that is due and not there. What lies in its place already the camera judges, as any receipt.

    Raises: StoreError, after which some are there: call it again; LogBroken.
    """
    signer = checked.report.signer
    if checked.findings or signer is None or signer.fingerprint == desk.key.fingerprint:
        return
    archives = sorted(checked.facts.archives.items())
    if not archives:
        return
    folder = f"{names.receipts_folder(device)}{checked.storage}/"
    there = (await shelf.folder(store, folder, shelf.MOST_ARCHIVES)).files
    for archive, sha512 in archives:
        name = names.archive_receipt(device, checked.storage, archive)
        if name.removeprefix(folder) in there:
            continue
        about = {"device": device, "storage": checked.storage, "archive": archive, "sha512": sha512}
        utc = await log.enter(Act("archive_receipt", {**about}))
        receipt = ArchiveReceipt(
            format=1, journal=archive, device=device, sha512=sha512, received_utc=utc, by=desk.name
        )  # fmt: skip
        data = signed_receipt(receipt, desk.signer)
        try:
            await store.put(name, bytes_body(data), size=len(data), sha256=hashlib.sha256(data).digest())
        except ObjectDiffers:  # another custodian was faster, or a stranger
            _log.warning("archive_receipt_is_there", name=name)
