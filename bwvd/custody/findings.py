"""Findings: what a person has to see, because no receipt is given for it. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bwvd.text import clean

DETAIL_CHARACTERS = 400

ABOUT_A_DEVICE = {
    "rollback": "the journal, or the whole card, is at an earlier state than one that was here",
    "fork": "the journal is not a continuation of the one that was here",
    "journal": "the journal is not what the device has signed",
    "missing_serial": "a recording that the device has numbered is not in the store, though later ones are",
    "same_serial": "two recordings have one serial number",
    "stranger": "an object that none of the device's is",
    "object_replaced": "an object has other versions than the first: somebody else has put or hidden it",
}
ABOUT_A_RECORDING = {
    "altered": "not what the device has signed",
    "unreadable": "can't be read as a recording",
    "unvouched": "signed by a key that the list does not have",
    "not_closed": "has no end, though its folder was finished",
    "journal_cut": "began with a state of the journal that is not in the journal",
    "journal_late": "the journal that it began with has not come",
    "receipt": "a receipt is there that is not for this, or by nobody who may",
    "replaced": "a file of it has other versions than the first: somebody else has put or hidden it",
    "own_key": "signed by the custodian's own key",
}
KINDS = {**ABOUT_A_DEVICE, **ABOUT_A_RECORDING}

# As long as one of these is open, nothing of the device gets a receipt: its newest recordings may not be all.
BLOCKING = frozenset({"rollback", "fork", "journal", "same_serial"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    device: str
    kind: str  # of KINDS
    detail: str  # one line
    recording: str = ""  # "" = about the device

    @property
    def id(self) -> str:
        """The same for the same finding, in every index. Its kind may be told with more or with less certainty."""
        text = "\0".join((self.device, self.recording, self.detail))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def finding(device: str, kind: str, detail: str, recording: str = "") -> Finding:
    """A finding whose texts may come from outside: made harmless, and cut."""
    if (kind in ABOUT_A_RECORDING) != bool(recording):
        raise ValueError(f"{kind} of {recording!r}")
    return Finding(clean(device), kind, clean(detail, DETAIL_CHARACTERS), clean(recording))


def act_of(one: Finding) -> dict[str, str | int | float | bool | None]:
    """What the log has of a finding."""
    return {
        "finding": one.id,
        "device": one.device,
        "recording": one.recording,
        "kind": one.kind,
        "what": one.detail,
    }
