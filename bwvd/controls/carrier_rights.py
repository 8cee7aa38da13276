"""The carrier among the clients of the control socket: told by its user, it may see the status and hand in
receipts and time-stamp tokens.

It is the one process of the camera's that the network reaches. Whoever breaks into it must not be able to end a
recording, put the camera to sleep or mute it; so of all commands its user may give none, whatever `socket.allow` says.
"""

from __future__ import annotations

from pathlib import Path

from bwvd.controls.ports import Refused, Send
from bwvd.messages import Answer, Command

USER = "bwvd-offload"
MAY_ASK_FOR = frozenset({"release", "keep_token"})  # of the requests that are no orders; the status anybody may see

_USERS = Path("/etc/passwd")  # where sysusers enters it; no other directory of users is asked for at the start


def carrier_source(users: Path = _USERS) -> str:
    """What the source of each of the carrier's commands begins with; "" where there is no such user. Blocking."""
    try:
        lines = users.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fields = next((line.split(":") for line in lines if line.startswith(f"{USER}:")), [])
    return f"socket:uid={int(fields[2])}," if len(fields) > 2 and fields[2].isdecimal() else ""


def without(carrier: str, send: Send, refused: Refused) -> Send:
    """A `send` that says no to every command whose source begins with `carrier`; "" = there is none."""
    if not carrier:
        return send

    def send_others(command: Command) -> None:
        if not command.source.startswith(carrier):
            send(command)
            return
        reason = f"{USER} may not ask for {command.order}"
        refused(command, reason)
        command.answer(Answer(ok=False, text=reason))

    return send_others


def may_ask(carrier: str, source: str, request: str) -> bool:
    """Whether this source may make a request that is no order."""
    return not carrier or not source.startswith(carrier) or request in MAY_ASK_FOR
