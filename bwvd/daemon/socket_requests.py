"""Requests on the control socket that are no orders to the recorder: an access to evidence, and a receipt."""

from __future__ import annotations

from typing import Any

import trio

from bwvd.clock import NS
from bwvd.controls.socket_protocol import shown
from bwvd.daemon.daemon import Daemon
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.journal.events import clean


async def log_access(daemon: Daemon, request: dict[str, Any], source: str) -> dict[str, Any]:
    """A command that read evidence on the device reports the access to the journal: verified, exported."""
    what, where, outcome = (request.get(key) for key in ("what", "where", "outcome"))
    if what not in ("verified", "exported") or not isinstance(where, str) or not isinstance(outcome, str):
        return {"ok": False, "error": 'log_access takes "what" (verified, exported), "where" and "outcome"'}
    daemon.evidence.enter(what, where=clean(where), outcome=clean(outcome), source=source)
    return {"ok": True, "text": "entered"}


async def release(daemon: Daemon, request: dict[str, Any], source: str) -> dict[str, Any]:
    """`bwvd release`: judge the receipt and let go of the recording that it is for."""
    from bwvd.evidence.keys.allowed_signers import AllowedSigners
    from bwvd.evidence.release.receipt import accept_receipt
    from bwvd.evidence.release.release import run_release

    recording, receipt, signature = (request.get(key) for key in ("recording", "receipt", "signature"))
    if not isinstance(recording, str) or not isinstance(receipt, str) or not isinstance(signature, str | None):
        return {"ok": False, "error": 'release takes "recording", "receipt" and "signature"'}
    try:
        signers = [await trio.to_thread.run_sync(AllowedSigners.load, path) for path in daemon.config.keys.release]
        now_s = daemon.clock.read().utc_ns / NS
        own = daemon.parts.signer.allowed_signers(daemon.config.device.id).encode()
        device = AllowedSigners.parse(own, daemon.config.keys.signing)
        blob = signature.encode() if signature else None
        accepted = accept_receipt(receipt.encode(), blob, signers, now_s, device=device)
        if accepted.receipt.recording != recording:
            return {"ok": False, "error": f"the receipt is for {shown(accepted.receipt.recording)}"}

        await run_release(daemon.parts.storage, daemon.evidence.release(accepted, daemon.in_progress))
    except (EvidenceError, OSError) as error:
        daemon.evidence.enter("release_refused", recording=clean(recording), source=source, reason=clean(str(error)))
        return {"ok": False, "error": str(error)}
    return {"ok": True, "text": f"released {recording}", "recording": recording}


SOCKET_REQUESTS = {
    "release": release,
    "log_access": log_access,
    "did": log_access,  # its name up to 0.1; answered for one more version
}
