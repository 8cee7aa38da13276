"""Receipts: fetched from the store, within bounds, and handed to the recorder, which alone judges them and deletes.

Nothing of a receipt is believed here (invariants 8 and 16): a store may hold anything under that name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from bwvd.controls import client
from bwvd.store.errors import ObjectMissing
from bwvd.store.ports import Store

RECEIPT_BYTES = 16_384  # of the object; a receipt has about 700, and one request of the control socket holds 65,536
ANSWER_S = 600  # a recording of hours is read before it is let go of

HandIn = Callable[[str, str, str], Awaitable[dict[str, Any]]]
"""Hand a receipt to the recorder: "recording" or "journal", its name, the receipt's text; the recorder's answer.

Raises bwvd.controls.client.Unreachable."""


class NoReceiptText(Exception):
    """What lies in a receipt's place can't be one. One line."""


async def fetch_receipt(store: Store, name: str) -> str | None:
    """The text of a receipt; None as long as there is none.

    Raises: NoReceiptText; StoreError.
    """
    text = bytearray()
    try:
        async with store.get(name, 0, RECEIPT_BYTES + 1) as pieces:
            async for piece in pieces:
                text += piece
                if len(text) > RECEIPT_BYTES:
                    raise NoReceiptText(f"{name} is larger than {RECEIPT_BYTES} bytes")
    except ObjectMissing:
        return None
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise NoReceiptText(f"{name} is not text") from None


def socket_hand_in(path: str) -> HandIn:
    """Hands receipts in by the recorder's control socket, as `bwvd release` does."""

    async def hand_in(kind: str, name: str, text: str) -> dict[str, Any]:
        payload = {"cmd": "release", kind: name, "receipt": text, "signature": None}
        ask = partial(client.request, path, payload, ANSWER_S)
        # Given up when we end: the recorder does what it was asked for, whether we hear of it or not.
        return await trio.to_thread.run_sync(ask, abandon_on_cancel=True)

    return hand_in
