"""What an insider with the card in his hand changes: he knows every format, and holds every key but the device's."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, MANIFEST_NAMESPACE, SUMS_NAMESPACE, Chain
from bwvd.evidence.format.chain_reader import ChainReader, Signed
from bwvd.evidence.format.layout import is_convenience
from bwvd.evidence.journal.totals import PROGRESS
from bwvd.evidence.journal.witness import Remembered
from bwvd.evidence.keys.sshsig import armour
from tests.faults.recorded import entries_of
from tests.support.evidence_keys import fixed_signer
from tests.tampering.life import CONFIG, Kept, Life

FOREIGN: Final = fixed_signer(66)  # the insider's own key
CUTS: Final = 30  # of the power, to find one in a recording of which the journal knows how far it has come
SUMS, SUMS_SIGNATURE, MANIFEST, JOURNAL = "SHA256SUMS", "SHA256SUMS.sig", "manifest.jsonl", "journal.jsonl"


@dataclass
class Card:
    """A card that can be changed, and what the insider has beside it."""

    life: Life
    chosen: random.Random
    tree: dict[str, bytes | None] = field(init=False)
    remembered: tuple[Remembered, ...] = field(init=False)  # by the system's disk, which he has not

    def __post_init__(self) -> None:
        self.take_out(self.life.kept[-1])

    def take_out(self, kept: Kept) -> None:
        """It is taken out of the camera with this on it."""
        self.tree, self.remembered = dict(kept.tree), kept.remembered

    # --- what is there -----------------------------------------------------------------------------------------------

    @property
    def recordings(self) -> list[str]:
        """Their ids, the oldest first."""
        names = {path.split("/")[1] for path in self.tree if path.startswith("recordings/")}
        return sorted(names, key=lambda name: name[-6:])

    @property
    def archives(self) -> list[str]:
        return sorted(path for path in self.tree if path.startswith("journal-"))

    def signed(self, path: str) -> list[Signed]:
        """The records of a file with a chain."""
        namespace = MANIFEST_NAMESPACE if path.endswith(MANIFEST) else JOURNAL_NAMESPACE
        return list(ChainReader(io.BytesIO(self.tree[path] or b""), path, namespace))

    def manifest(self, recording: str) -> list[Signed]:
        return self.signed(f"recordings/{recording}/{MANIFEST}")

    def files(self, recording: str) -> list[str]:
        folder = f"recordings/{recording}/"
        return sorted(path.removeprefix(folder) for path in self.tree if path.startswith(folder))

    def segments(self, recording: str) -> list[records.Segment]:
        return [one.record for one in self.manifest(recording) if isinstance(one.record, records.Segment)]

    def ended(self) -> list[str]:
        """The recordings of the key in force that have an end and segments."""
        return [name for name in self.recordings if self._is_ours(name) and self._has_end(name) and self.segments(name)]

    def _is_ours(self, recording: str) -> bool:
        opening = next((one.record for one in self.manifest(recording)), None)
        return isinstance(opening, records.Open) and opening.signer == self.life.signer.public_key

    def _has_end(self, recording: str) -> bool:
        last = self.manifest(recording)[-1].record
        return isinstance(last, records.Close | records.Recovered)

    def one(self) -> str | None:
        """One of the recordings that have an end; None if there is none."""
        ended = self.ended()
        return self.chosen.choice(ended) if ended else None

    # --- what is done to it ------------------------------------------------------------------------------------------

    def remove(self, path: str) -> None:
        for name in [name for name in self.tree if name == path or name.startswith(f"{path}/")]:
            del self.tree[name]

    def cut(self, path: str, end: int) -> None:
        self.tree[path] = (self.tree[path] or b"")[:end]

    def put_back(self, kept: Kept, path: str) -> None:
        """What is at `path` is as it was."""
        self.remove(path)
        self.tree.update(
            {name: data for name, data in kept.tree.items() if name == path or name.startswith(f"{path}/")}
        )


Change = Callable[[Card], bool]
"""Changes the card; False where it has nothing of the kind, and is as it was."""


@dataclass(frozen=True)
class Kind:
    """A kind of change.

    shows: the card alone shows it, so that `verify` tells it before the device is started with it. A state of the card
    as it once was, whole, shows nothing: the system's disk remembers that there was more.
    causes: how many things are not as they were, each of which has a line of its own.
    takes_out: he takes the card out of a camera that records; whatever else he changes comes behind that.
    """

    name: str
    change: Change
    shows: bool = True
    causes: int = 1
    takes_out: bool = False


# --- ends and lines --------------------------------------------------------------------------------------------------


def _cut_end(card: Card, name: str | None, *, keep_files: bool) -> bool:
    """The end, and some of the records before it."""
    if name is None:
        return False
    signed = card.manifest(name)
    last = card.chosen.randrange(1, len(signed))  # the first record that goes
    card.cut(f"recordings/{name}/{MANIFEST}", signed[last].offset)
    if not keep_files:
        named = {one.record.file for one in signed[last:] if isinstance(one.record, records.Segment)}
        for file in card.files(name):
            if file in named or is_convenience(file) or (file.startswith("sealed-") and last == 1):
                card.remove(f"recordings/{name}/{file}")
    return True


def cut_end(card: Card) -> bool:
    return _cut_end(card, card.one(), keep_files=False)


def cut_end_only(card: Card) -> bool:
    return _cut_end(card, card.one(), keep_files=True)


def cut_to_nothing(card: Card) -> bool:
    """As if the power had gone as the recording was begun."""
    if (name := card.one()) is None:
        return False
    for file in card.files(name):
        card.remove(f"recordings/{name}/{file}")
    return True


def cut_in_a_line(card: Card) -> bool:
    """As a power cut tears a line, but of a recording that has its end."""
    if (name := card.one()) is None:
        return False
    signed = card.manifest(name)
    path = f"recordings/{name}/{MANIFEST}"
    # More than its newline: that says nothing, and the device puts the very same byte back.
    card.cut(path, signed[-1].offset + card.chosen.randrange(1, signed[-1].end - signed[-1].offset - 1))
    for file in card.files(name):
        if is_convenience(file):
            card.remove(f"recordings/{name}/{file}")
    return True


def acknowledged_cut(card: Card) -> bool:
    """The power goes while something is recorded; of its segments that the journal knows the last go, with their lines.

    As if the power had gone earlier. What lies behind the journal's last word of it shows nothing, and is not enough.
    """
    for _ in range(CUTS):
        card.take_out(card.life.boots[-1].cut(card.chosen))
        for name in card.recordings:
            signed = card.manifest(name)
            known = _known_segments(card, name)
            if not known or not card._is_ours(name) or isinstance(signed[-1].record, records.Close | records.Recovered):
                continue
            ends = [i for i, one in enumerate(signed) if getattr(one.record, "segment", known + 1) <= known]
            last = card.chosen.choice(ends)
            card.cut(f"recordings/{name}/{MANIFEST}", signed[last].offset)
            before = [one.record for one in signed[:last]]
            named = {getattr(getattr(record, "sealed", None) or record, "file", "") for record in before}
            kept = named | {MANIFEST}
            for file in card.files(name):
                if file not in kept:
                    card.remove(f"recordings/{name}/{file}")
            return True
    return False


def end_and_its_entry(card: Card) -> bool:
    """The end, and the file of the journal that says how it ended: nothing on the card tells any more that it did."""
    archives = {
        str(one.record.detail.get("recording")): path
        for path in card.archives
        for one in card.signed(path)
        if isinstance(one.record, records.Entry) and one.record.event in ("closed", "recovered")
    }
    names = [name for name in card.ended() if name in archives]
    if not names:
        return False
    name = card.chosen.choice(names)
    card.remove(archives[name])
    return _cut_end(card, name, keep_files=False)


def _known_segments(card: Card, recording: str) -> int:
    """How many the journal says that a recording had."""
    entries = [entry.detail for entry in entries_of(card.tree) if entry.event == PROGRESS]
    return max((int(one["segments"] or 0) for one in entries if one["recording"] == recording), default=0)


# --- files -----------------------------------------------------------------------------------------------------------


def _segment(card: Card) -> str | None:
    if (name := card.one()) is None:
        return None
    return f"recordings/{name}/{card.chosen.choice(card.segments(name)).file}"


def delete_segment(card: Card) -> bool:
    if (path := _segment(card)) is None:
        return False
    card.remove(path)
    return True


def delete_all_segments(card: Card) -> bool:
    if (name := card.one()) is None:
        return False
    for segment in card.segments(name):
        card.remove(f"recordings/{name}/{segment.file}")
    return True


def empty_segment(card: Card) -> bool:
    if (path := _segment(card)) is None:
        return False
    card.cut(path, 0)
    return True


def shorten_segment(card: Card) -> bool:
    if (path := _segment(card)) is None:
        return False
    card.cut(path, card.chosen.randrange(1, len(card.tree[path] or b"")))
    return True


def alter_segment(card: Card) -> bool:
    """As long as it was: what a look at the sizes does not see."""
    if (path := _segment(card)) is None:
        return False
    data = bytearray(card.tree[path] or b"")
    data[card.chosen.randrange(len(data))] ^= 1 << card.chosen.randrange(8)
    card.tree[path] = bytes(data)
    return True


def exchange_segments(card: Card) -> bool:
    names = [name for name in card.ended() if len(card.segments(name)) > 1]
    if not names:
        return False
    name = card.chosen.choice(names)
    one, other = card.chosen.sample([f"recordings/{name}/{segment.file}" for segment in card.segments(name)], 2)
    card.tree[one], card.tree[other] = card.tree[other], card.tree[one]
    return True


def unnamed_file(card: Card) -> bool:
    if (name := card.one()) is None:
        return False
    card.tree[f"recordings/{name}/{len(card.segments(name)) + 1:06d}.m4s"] = b"not from this camera" * 9
    return True


# --- whole recordings ------------------------------------------------------------------------------------------------


def delete_recording(card: Card) -> bool:
    if (name := card.one()) is None:
        return False
    card.remove(f"recordings/{name}")
    return True


def rename_recording(card: Card) -> bool:
    """It takes another's number, and that one is gone."""
    ended = card.ended()
    if len(ended) < 2:
        return False
    one, other = card.chosen.sample(ended, 2)
    card.remove(f"recordings/{other}")
    for path in [path for path in card.tree if path == f"recordings/{one}" or path.startswith(f"recordings/{one}/")]:
        card.tree[path.replace(one, other)] = card.tree.pop(path)
    return True


def earlier_recording(card: Card) -> bool:
    """A recording that has grown since is put back as it was after an earlier boot."""
    for kept in reversed(card.life.kept[:-1]):
        for name in card.ended():
            path = f"recordings/{name}/{MANIFEST}"
            if kept.tree.get(path) not in (None, card.tree[path]):
                card.put_back(kept, f"recordings/{name}")
                return True
    return False


# --- the journal -----------------------------------------------------------------------------------------------------


def _openings(card: Card) -> list[tuple[str, Signed, records.Entry]]:
    """Where the journal's file in force says that a recording was opened."""
    return [
        (str(one.record.detail.get("recording")), one, one.record)
        for one in card.signed(JOURNAL)
        if isinstance(one.record, records.Entry) and one.record.event == "opened"
    ]


def journal_cut_to_match(card: Card) -> bool:
    """The last recordings are taken away, and the journal is cut where it first speaks of them: an earlier state."""
    openings = _openings(card)
    if not openings:
        return False
    name, signed, _ = card.chosen.choice(openings)
    card.cut(JOURNAL, signed.offset)
    for recording in card.recordings:
        if recording[-6:] >= name[-6:]:
            card.remove(f"recordings/{recording}")
    return True


def journal_end_cut(card: Card) -> bool:
    """The last entries, of which no recording on the card knows."""
    signed = card.signed(JOURNAL)
    openings = [one.record for name in card.ended() for one in card.manifest(name)[:1]]
    heads = [one.journal for one in openings if isinstance(one, records.Open) and one.journal]
    here = {one.end: one.sha512.hex() for one in signed}  # others are of archives
    known = max((head.bytes for head in heads if here.get(head.bytes) == head.sha512), default=0)
    ends = [one.offset for one in signed[1:] if one.offset >= known]
    if not ends:
        return False
    card.cut(JOURNAL, card.chosen.choice(ends))
    return True


def journal_deleted(card: Card) -> bool:
    card.remove(JOURNAL)
    return bool(card.ended())


def journals_deleted(card: Card) -> bool:
    """With all its archives."""
    for name in (JOURNAL, *card.archives):
        card.remove(name)
    return bool(card.ended())


def journal_put_back(card: Card) -> bool:
    """All files of the journal as they were after an earlier boot, the recordings as they are."""
    kept = card.chosen.choice(card.life.kept[:-1])
    if JOURNAL not in kept.tree:
        return False
    for name in (JOURNAL, *card.archives):
        card.remove(name)
    card.tree.update({name: data for name, data in kept.tree.items() if name.startswith("journal")})
    return True


def archive_deleted(card: Card) -> bool:
    if not card.archives:
        return False
    card.remove(card.chosen.choice(card.archives))
    return True


def archives_deleted(card: Card) -> bool:
    for name in card.archives:
        card.remove(name)
    return bool(card.life.kept[-1].tree.keys() - card.tree.keys())


def archive_altered(card: Card) -> bool:
    if not card.archives:
        return False
    name = card.chosen.choice(card.archives)
    data = bytearray(card.tree[name] or b"")
    data[card.chosen.randrange(len(data))] ^= 1 << card.chosen.randrange(8)
    card.tree[name] = bytes(data)
    return True


# --- what was once good ----------------------------------------------------------------------------------------------


def card_put_back(card: Card) -> bool:
    """The whole card as it was after an earlier boot."""
    card.tree = dict(card.chosen.choice(card.life.kept[:-1]).tree)
    return card.tree != card.life.kept[-1].tree and any(name.startswith("recordings/") for name in card.tree)


def officer_put_back(card: Card) -> bool:
    """The file of the officer's id is as it was when another one carried the camera."""
    earlier = [kept.tree[".wearer"] for kept in card.life.kept[:-1] if ".wearer" in kept.tree]
    earlier = [data for data in earlier if data != card.tree.get(".wearer")]
    kept = [one for one in entries_of(card.tree) if one.event == "officer_kept"]
    if not earlier or not kept or not kept[-1].detail["sha256"]:
        return False  # or nobody is assigned
    card.tree[".wearer"] = card.chosen.choice(earlier)
    return True


def release_entered_again(card: Card) -> bool:
    """A signed entry of a release is copied to the journal's end, and its recording taken away with another one."""
    released = [
        one
        for path in (*card.archives, JOURNAL)
        for one in card.signed(path)
        if isinstance(one.record, records.Entry) and one.record.event == "released"
    ]
    name = card.one()
    if not released or name is None:
        return False
    entry = card.chosen.choice(released).record
    assert isinstance(entry, records.Entry)
    chain = _going_on(card)
    detail = {**entry.detail, "recording": name, "serial": int(name[-6:])}
    card.tree[JOURNAL] = (card.tree[JOURNAL] or b"") + chain.line(
        msgspec.structs.replace(entry, n=chain.n, detail=detail)
    )
    card.remove(f"recordings/{name}")
    return True


# --- another key -----------------------------------------------------------------------------------------------------


def _going_on(card: Card) -> Chain:
    """The journal's chain behind all that is there, in the insider's hand."""
    chain = Chain(FOREIGN, JOURNAL_NAMESPACE)
    chain.absorb(card.tree[JOURNAL] or b"", card.signed(JOURNAL)[-1].record.n + 1)
    return chain


def _signed_anew(data: bytes, namespace: str) -> bytes:
    """The same records by the insider's key."""
    chain = Chain(FOREIGN, namespace)
    lines = b""
    for one in ChainReader(io.BytesIO(data), "lines", namespace):
        record = one.record
        assert isinstance(record, records.Record)
        if isinstance(record, records.Open | records.Journal):
            record = msgspec.structs.replace(record, signer=FOREIGN.public_key)
        lines += chain.line(record)
    return lines


def recording_of_another_key(card: Card) -> bool:
    """A recording is signed anew, whole, as the insider would have it."""
    if (name := card.one()) is None:
        return False
    path = f"recordings/{name}/{MANIFEST}"
    card.tree[path] = _signed_anew(card.tree[path] or b"", MANIFEST_NAMESPACE)
    for file in card.files(name):
        if is_convenience(file):
            card.remove(f"recordings/{name}/{file}")
    return True


def recording_planted(card: Card) -> bool:
    """One more, under the next number, by the insider's key."""
    if (name := card.one()) is None:
        return False
    serial = max(int(each[-6:]) for each in card.recordings) + 1
    planted = f"{name[:-6]}{serial:06d}"
    for file in card.files(name):
        if not is_convenience(file):
            card.tree[f"recordings/{planted}/{file}"] = card.tree[f"recordings/{name}/{file}"]
    card.tree[f"recordings/{planted}"] = None
    path = f"recordings/{planted}/{MANIFEST}"
    chain, lines = Chain(FOREIGN, MANIFEST_NAMESPACE), b""
    for one in card.manifest(name):
        record = one.record
        assert isinstance(record, records.Record)
        if isinstance(record, records.Open):
            record = msgspec.structs.replace(record, signer=FOREIGN.public_key, recording=planted, serial=serial)
        lines += chain.line(record)
    card.tree[path] = lines
    return True


def sums_of_another_key(card: Card) -> bool:
    """A segment is another one, and the sums say so, signed by the insider."""
    if (path := _segment(card)) is None:
        return False
    folder, _, file = path.rpartition("/")
    if f"{folder}/{SUMS}" not in card.tree:
        return False
    before, data = card.tree[path] or b"", b"not from this camera" * 9
    card.tree[path] = data
    sums = (card.tree[f"{folder}/{SUMS}"] or b"").replace(
        hashlib.sha256(before).hexdigest().encode(), hashlib.sha256(data).hexdigest().encode()
    )
    card.tree[f"{folder}/{SUMS}"] = sums
    blob = FOREIGN.sign(hashlib.sha512(sums).digest(), SUMS_NAMESPACE)
    card.tree[f"{folder}/{SUMS_SIGNATURE}"] = armour(blob).encode()
    return file != ""


def journal_of_another_key(card: Card) -> bool:
    """The journal in force, signed anew without its last entries."""
    data = card.tree[JOURNAL] or b""
    card.tree[JOURNAL] = _signed_anew(data, JOURNAL_NAMESPACE)
    return True


def journal_goes_on_by_another_key(card: Card) -> bool:
    last = card.signed(JOURNAL)[-1].record
    assert isinstance(last, records.Entry)
    chain = _going_on(card)
    card.tree[JOURNAL] = (card.tree[JOURNAL] or b"") + chain.line(msgspec.structs.replace(last, n=chain.n))
    return True


# --- other cards -----------------------------------------------------------------------------------------------------


def recording_of_another_device(card: Card) -> bool:
    """A recording of another camera of the fleet lies among this one's."""
    if (name := card.one()) is None:
        return False
    planted = name.replace(CONFIG.device.id, "BWV-0002")
    card.tree[f"recordings/{planted}"] = None
    for file in card.files(name):
        card.tree[f"recordings/{planted}/{file}"] = card.tree[f"recordings/{name}/{file}"]
    return True


KINDS: Final = (
    Kind("a closed recording's end and last segments removed, with its sums", cut_end),
    Kind("a closed recording's end removed, with the archive that tells of it", end_and_its_entry, causes=2),
    Kind("a closed recording's last records removed, its files and sums kept", cut_end_only),
    Kind("a closed recording torn in its last line, without its sums", cut_in_a_line),
    Kind("everything in a closed recording's folder removed", cut_to_nothing),
    Kind(
        "acknowledged segments of a recording that the power cut, removed with their lines",
        acknowledged_cut,
        takes_out=True,
    ),
    Kind("a segment deleted", delete_segment),
    Kind("all segments of a recording deleted", delete_all_segments),
    Kind("a segment cut to 0 bytes", empty_segment),
    Kind("a segment cut short", shorten_segment),
    Kind("a bit of a segment changed", alter_segment),
    Kind("two segments exchanged", exchange_segments),
    Kind("a file that no record names", unnamed_file),
    Kind("a recording deleted", delete_recording),
    Kind("a recording under another's name", rename_recording, causes=2),
    Kind("a recording put back to before its end", earlier_recording),
    Kind("the journal cut to match, with the recordings behind it", journal_cut_to_match, shows=False),
    Kind("the journal's last entries removed", journal_end_cut, shows=False),
    Kind("the journal in force deleted", journal_deleted),
    Kind("the journal deleted, with its archives", journals_deleted),
    Kind("the journal put back to an earlier boot's", journal_put_back),
    Kind("an archive of the journal deleted", archive_deleted),
    Kind("all archives of the journal deleted", archives_deleted),
    Kind("a bit of an archive changed", archive_altered),
    Kind("the whole card put back to an earlier boot's", card_put_back, shows=False),
    Kind("the officer's id put back", officer_put_back),
    Kind("a release entered for a recording that is taken away", release_entered_again, causes=2),
    Kind("a recording signed anew by another key", recording_of_another_key),
    Kind("a recording of another key planted", recording_planted),
    Kind("a segment and its sums by another key", sums_of_another_key),
    Kind("the journal signed anew by another key", journal_of_another_key),
    Kind("the journal gone on with by another key", journal_goes_on_by_another_key),
    Kind("a recording of another device planted", recording_of_another_device),
)
