"""What `bwvd status` shows of the carrier, from the file that it keeps: the recorder knows nothing of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bwvd.text import counted

if TYPE_CHECKING:
    from bwvd.config.schema import Config


def with_offload(status: dict[str, Any], config: Config) -> dict[str, Any]:
    """The status with `offload`: the carrier's state, None where none runs; as it is where nothing is carried away."""
    if not config.offload.store and not config.witness.tsa:
        return status
    from bwvd.offload.state import read_state, state_file

    return {**status, "offload": read_state(state_file(), time.monotonic_ns())}


def offload_rows(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The lines of `bwvd status` for it."""
    if "offload" not in status:
        return
    from bwvd.offload.state import STALE_S

    offload = status["offload"]
    if offload is None:
        yield "offload", "no carrier runs; systemctl status bwvd-offload"
        return
    if offload["age_s"] > STALE_S:
        yield "offload", f"no sign of life for {offload['age_s']:.0f} s"
    waiting, sending = offload["waiting"], offload["sending"]
    told = [
        f"{counted(waiting['recordings'], 'recording')} waiting, {waiting['bytes'] / 1e6:.1f} MB",
        f"{offload['stored']} stored",
        f"{offload['receipts']} with a receipt",
        f"{offload['released']} released",
    ]
    if offload["unfit"]:
        told.append(f"{offload['unfit']} for a person to look at")
    if offload["store"]:
        yield "offload", f"{offload['store']}, {offload['doing']}: {', '.join(told)}"
    if sending:
        share = f"{sending['sent_files']} of {counted(sending['files'], 'file')}"
        yield "sending", f"{sending['recording']}, {share}"
    if offload.get("witness") is not None:
        yield "time", stamped_text(offload["witness"])
    yield from (("fault", f"{name}: {detail}") for name, detail in offload["faults"].items())


def stamped_text(witness: Mapping[str, Any]) -> str:
    """What there is of time-stamps, in a line."""
    waiting = f"{counted(witness['waiting'], 'recording')} waiting for a time-stamp"
    last = f", the last {witness['last_utc']} by {witness['last_by']}" if witness["last_utc"] else ""
    return f"{waiting}, {counted(witness['tokens'], 'token')} on the flash{last}"
