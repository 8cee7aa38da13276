"""The requests of the control socket: one JSON object a line. Pure.

{"cmd": "record"}   {"cmd": "mark", "label": "…"}   {"cmd": "assign", "officer": "…"}   {"cmd": "status"}   …
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import msgspec

from bwvd.messages import Answer, Order

MAX_REQUEST_BYTES = 65_536  # a signed receipt with thousands of segments fits
MAX_TEXT_CHARS = 1000
_BREAKING = frozenset({"Cc", "Zl", "Zp"})  # control characters, line and paragraph separators

# The orders of the socket, and the key that holds their text.
ORDERS = {
    "record": (Order.RECORD, ""),
    "press": (Order.PRESS, ""),
    "stop": (Order.STOP, ""),
    "mark": (Order.MARK, "label"),
    "sleep": (Order.SLEEP, ""),
    "wake": (Order.WAKE, ""),
    "mute": (Order.MUTE, ""),
    "unmute": (Order.UNMUTE, ""),
    "assign": (Order.ASSIGN, "officer"),
}


class BadRequest(Exception):
    """The text is one line for the client."""


def parse_request(line: bytes) -> tuple[str, dict[str, Any]]:
    """The command's name and the whole request, whose texts can all be written as UTF-8. Raises BadRequest.

    msgspec, unlike Python's json, refuses half of a surrogate pair: no file, record or log line could hold it.
    """
    try:
        request = msgspec.json.decode(line)
    except (ValueError, RecursionError) as error:
        raise BadRequest("a request is one JSON object a line") from error
    if not isinstance(request, dict):
        raise BadRequest("a request is one JSON object a line")
    name = request.get("cmd")
    if not isinstance(name, str) or not name:
        raise BadRequest('a request has a "cmd"')
    return name, request


def parse_order(name: str, request: dict[str, Any]) -> tuple[Order, str]:
    """The order of a request whose name is in ORDERS, and its text. Raises BadRequest."""
    order, key = ORDERS[name]
    for other in request:
        if other not in ("cmd", key):
            raise BadRequest(f"{name} takes no {shown(other)}")
    text = request.get(key, "") if key else ""
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
        raise BadRequest(f'"{key}" is a text of up to {MAX_TEXT_CHARS} characters')
    if order is Order.MARK:
        text = one_label(text)
    elif not text.isprintable():  # an id is compared and looked for: nothing in it may be invisible
        raise BadRequest(f'"{key}" is one line of printable characters')
    return order, text.strip()


def one_label(text: str) -> str:
    """A label in any script on one line: control characters and line breaks become spaces, joiners and marks stay."""
    return "".join(" " if unicodedata.category(letter) in _BREAKING else letter for letter in text)


def shown(text: str) -> str:
    """A stranger's text, quoted, short and on one line."""
    return json.dumps(text if len(text) <= 40 else text[:40] + "…")


def answer_reply(answer: Answer) -> dict[str, Any]:
    said = {"text": answer.text} if answer.ok else {"error": answer.text}
    return {"ok": answer.ok, **said, "recording": answer.recording}


def error_reply(text: str) -> dict[str, Any]:
    return {"ok": False, "error": text}


def encode_reply(reply: dict[str, Any]) -> bytes:
    return json.dumps(reply, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
