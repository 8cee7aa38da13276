"""Requests on the control socket that are no orders to the recorder: an access to evidence, a receipt, a time-stamp.

Each leaves a line in the journal, or files on the flash, so they share the pace of the socket's commands, and leave
half of it to them. One that comes too soon waits for its turn: whoever hands in a hundred receipts need not count.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from bwvd.clock import NS
from bwvd.controls.carrier_rights import USER, may_ask
from bwvd.controls.command_rate import BURST, REFILL_NS, TOO_MANY, Pace
from bwvd.controls.socket import Handler
from bwvd.controls.socket_protocol import shown
from bwvd.daemon.daemon import Daemon
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.journal.events import clean

TURN_WITHIN_S = 10.0  # the command line waits for its answer for 15 s
LEFT_TO_COMMANDS = BURST // 2

Request = Callable[[Daemon, dict[str, Any], str], Awaitable[dict[str, Any]]]


async def log_access(daemon: Daemon, request: dict[str, Any], source: str) -> dict[str, Any]:
    """A command that read evidence on the device reports the access to the journal: verified, exported."""
    what, where, outcome = (request.get(key) for key in ("what", "where", "outcome"))
    if what not in ("verified", "exported") or not isinstance(where, str) or not isinstance(outcome, str):
        return {"ok": False, "error": 'log_access takes "what" (verified, exported), "where" and "outcome"'}
    daemon.evidence.enter(what, where=clean(where), outcome=clean(outcome), source=source)
    return {"ok": True, "text": "entered"}


async def release(daemon: Daemon, request: dict[str, Any], source: str) -> dict[str, Any]:
    """`bwvd release`: judge the receipt and let go of the recording, or the archive of the journal, that it is for."""
    from bwvd.evidence.keys.allowed_signers import AllowedSigners
    from bwvd.evidence.release.handing_in import AlreadyReleased, HandingIn, run_release
    from bwvd.evidence.release.receipt import ArchiveReceipt, Receipt, accept_archive_receipt, accept_receipt

    kind = "journal" if "journal" in request else "recording"
    name, receipt, signature = (request.get(key) for key in (kind, "receipt", "signature"))
    if not isinstance(name, str) or not isinstance(receipt, str) or not isinstance(signature, str | None):
        return {"ok": False, "error": 'release takes "recording" or "journal", "receipt" and "signature"'}
    release: HandingIn[Receipt] | HandingIn[ArchiveReceipt]
    try:
        signers = [await trio.to_thread.run_sync(AllowedSigners.load, path) for path in daemon.config.keys.release]
        now_s = daemon.clock.read().utc_ns / NS
        own = daemon.parts.signer.allowed_signers(daemon.config.device.id).encode()
        device = AllowedSigners.parse(own, daemon.config.keys.signing)
        blob = signature.encode() if signature else None
        if kind == "journal":
            archive = accept_archive_receipt(receipt.encode(), blob, signers, now_s, device=device)
            received, release = archive.receipt.journal, daemon.evidence.release_archive(archive)
        else:
            accepted = accept_receipt(receipt.encode(), blob, signers, now_s, device=device)
            received, release = accepted.receipt.recording, daemon.evidence.release(accepted, daemon.in_progress)
        if received != name:
            return {"ok": False, "error": f"the receipt is for {shown(received)}"}
        await run_release(daemon.parts.storage, release)
    except AlreadyReleased as error:  # whoever hands in a receipt twice has what he wants, and nothing has happened
        return {"ok": True, "text": str(error), kind: name}
    except (EvidenceError, OSError) as error:
        refused = {kind: clean(name), "source": source, "reason": clean(str(error))}
        daemon.evidence.enter("release_refused", **refused)
        return {"ok": False, "error": str(error)}
    return {"ok": True, "text": f"released {name}", kind: name}


async def keep_token(daemon: Daemon, request: dict[str, Any], source: str) -> dict[str, Any]:  # noqa: ARG001  as the others
    """`bwvd offload`: put a list of digests and an authority's answer to it beside the evidence."""
    from bwvd.evidence.write import token_files

    listed, authority, token = (request.get(key) for key in ("digests", "authority", "token"))
    if not isinstance(listed, str) or not isinstance(authority, str) or not isinstance(token, str):
        return {"ok": False, "error": 'keep_token takes "digests", "authority" and "token"'}
    try:
        answer = base64.b64decode(token, validate=True)
        text = listed.encode()
        await daemon.parts.storage.run(lambda volume: token_files.keep_token(volume, text, authority, answer))
    except (EvidenceError, OSError, ValueError) as error:
        return {"ok": False, "error": clean(str(error))}
    return {"ok": True, "text": "kept"}


SOCKET_REQUESTS = {
    "release": release,
    "keep_token": keep_token,
    "log_access": log_access,
    "did": log_access,  # its name up to 0.1; answered for one more version
}


def socket_requests(daemon: Daemon, pace: Pace, carrier: str = "") -> dict[str, Handler]:
    """The handlers for `bwvd.controls.socket.run_socket`. `carrier`: see `bwvd.controls.carrier_rights`.

    They wait until the storage is in order; once the end has begun they are refused: the journal takes its last entry.
    """

    def in_turn(name: str, handle: Request) -> Handler:
        async def take(request: dict[str, Any], source: str) -> dict[str, Any]:
            if not may_ask(carrier, source, name):
                return {"ok": False, "error": f"{USER} may not ask for {name}"}
            await daemon.wait_started()
            with trio.move_on_after(TURN_WITHIN_S) as waiting:
                # A look for each refill: the pace has no event, and no more than the socket's clients wait here.
                while not pace.lets_through(daemon.clock.monotonic_ns(), leaving=LEFT_TO_COMMANDS):  # noqa: ASYNC110  see above
                    await trio.sleep(REFILL_NS / NS)
            if waiting.cancelled_caught:
                return {"ok": False, "error": TOO_MANY, "retry": True}
            if daemon.ending:
                return {"ok": False, "error": "ending"}
            return await handle(daemon, request, source)

        return take

    return {name: in_turn(name, handle) for name, handle in SOCKET_REQUESTS.items()}
