"""Recovery: every recording that has no end gets one, a signed record that names what was found. Nothing is deleted.

What a power cut or a kill leaves, and what is written about it into `recovered.found`:

    torn_line          bytes behind the last record of the manifest whose signature holds. If they don't end in a
                       newline one is appended first; offset, length and digest count it.
    unsigned_lines     the same, but no power cut leaves such bytes. They are named without their digest, so that no
                       reader takes them for accounted for: the recording was altered, and stays so
    file_without_line  a file whose commit was not finished: never acknowledged, kept all the same
    line_without_file  a committed file that is gone, and
    short_file         one that is shorter than its record says: no power cut does that. They are named, and counted in
                       `recovered.missing`; the recording is altered, and stays so. SHA256SUMS goes on to list what
                       is gone. The device tells it at each start
    not_a_file         a folder, link or device in the place of a file
    not_named          how many more there are: a line has room for a few thousand. SHA256SUMS lists their files
    no_manifest        the power went before the first record: see below

Where the journal says that a recording came to an end, was opened, or had come so far, and its manifest knows nothing
of it, somebody has taken it away: `recovered.end_removed` repeats what the journal says, `recovered.missing` counts the
segments whose lines are gone, and the recording is altered. So it is where this device's sums lie beside a manifest
without an end, and where the file of the journal that may have told of an end is gone: then nobody can tell that it was
a power cut. That too is told at each start, from the record itself: the journal may never get to know. A closed
recording by another key in the place of one that the journal knows, another recording of the device's in this one's
place, an end that is not the one in the journal, and bytes behind an end, are told and left as they are.

A recording that was cut while it was being made has no `open` record. Its manifest then begins with the `recovered`
record, as record 0 (behind the torn bytes, if there are any): no file is renamed, and its number stays counted. A
verifier takes a manifest whose first record is `recovered` for a recording that never began.

A manifest that another device began, or another key than this device's, is left as it is: an end under it would make
an altered recording of one that only lacks its end. That holds after a change of the key too, as nothing on the card
tells it from a second device of the same id; the recording verifies as not closed, and the former key can still end it.

The work can be cut at every operation and is then done again, with the same outcome. What is named is synced before it
is named: after a kill it was read from the cache. A start on a full flash spends the reserve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from bwvd import hashing
from bwvd.clock import Clock
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.new_file import synced
from bwvd.evidence.flash.pieces import digest, pieces
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.flash.steps import Steps, at_once, digest_steps
from bwvd.evidence.flash.volume import NO_ROOM, Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, Chain, Signer
from bwvd.evidence.format.chain_tail import Ending, absorb, ending_steps
from bwvd.evidence.format.decode import MAX_LINE
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS, is_convenience, is_litter
from bwvd.evidence.format.recording_id import device_of, serial_of
from bwvd.evidence.format.totals import Contents
from bwvd.evidence.format.utc import stamp_at
from bwvd.evidence.journal.totals import BEGUN, PROGRESS, UNKNOWN
from bwvd.evidence.startup.closed import Closed, closed_steps, goes_on_steps, is_of, last_signer
from bwvd.evidence.startup.newest import on_the_flash
from bwvd.evidence.startup.outcome import RecoveryResult
from bwvd.evidence.write.finalize import finish_steps
from bwvd.log import get_logger
from bwvd.text import printable

Finish = Callable[[Volume, str, Signer], Steps[None]]
Said = Callable[[str, int], records.Removed | None]  # a recording and its number to what the journal says of it

_FOUND_BYTES = MAX_LINE - 65_536  # of one record: a line that is longer is none to any reader

_log = get_logger("recovery")


def nothing_said(_recording: str, _serial: int) -> None:
    """No journal is asked."""


def recover(
    volume: Volume,
    signer: Signer,
    clock: Clock,
    boot: str,
    *,
    reserve: Reserve,
    said: Said = nothing_said,
    rolled_back: bool = False,
    leave: frozenset[str] = frozenset(),
    folders: Iterable[str] | None = None,
    finish: Finish = finish_steps,
) -> list[RecoveryResult]:
    """Bring every recording to its end that has none, before anything new is recorded.

    Args:
        boot: the kernel's boot id now.
        reserve: spent if the flash is full; setting it aside again is the caller's.
        rolled_back: the storage is not as the device had left it; what is recovered says so.
        said: what the journal says of a recording (id, serial number) and a manifest must hold, None for nothing.
        leave: recordings that are not this start's business: being released, another device's, left to the look.
        folders: the names in `recordings/`, where they are at hand.

    One recording that can't be brought to its end does not keep the others from theirs: its result says why.
    Blocking. Raises OSError if `recordings/` itself can't be read or synced.
    """
    # A kill may have left a folder in the cache alone; nothing is vouched for in a folder that may vanish.
    volume.sync_dir(RECORDINGS)
    results = []
    for name in volume.names(RECORDINGS) if folders is None else folders:
        recording = name.removesuffix("/")
        if recording == name or recording in leave:
            continue
        result = recover_one(
            volume, signer, clock, boot, recording, reserve=reserve, said=said, rolled_back=rolled_back, finish=finish
        )
        if result is not None:
            results.append(result)
    return results


def recover_one(
    volume: Volume,
    signer: Signer,
    clock: Clock,
    boot: str,
    recording: str,
    *,
    reserve: Reserve,
    said: Said = nothing_said,
    rolled_back: bool = False,
    finish: Finish = finish_steps,
) -> RecoveryResult | None:
    """All of `recover_steps` in one. Blocking."""
    return at_once(
        recover_steps(
            volume, signer, clock, boot, recording, reserve=reserve, said=said, rolled_back=rolled_back, finish=finish
        )
    )


def recover_steps(
    volume: Volume,
    signer: Signer,
    clock: Clock,
    boot: str,
    recording: str,
    *,
    reserve: Reserve,
    said: Said = nothing_said,
    rolled_back: bool = False,
    finish: Finish = finish_steps,
) -> Steps[RecoveryResult | None]:
    """Bring one recording to its end, at start-up or when an I/O error has broken it off; arguments as for `recover`.

    Returns None where nothing is to be done: it has its end and all that is made from it, or it is no recording's name.
    Its folder must be durable. In steps; never raises OSError: the result says what kept the recording from its end.
    """
    serial = serial_of(recording)
    if serial is None:
        return None
    case = _Case(volume, signer, clock, boot, recording, serial, said, rolled_back, finish)
    try:
        try:
            return (yield from case.close())
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            reserve.spend(volume)
            return (yield from case.close())
    except (OSError, NotOurs) as error:
        _log.error("recording_not_recovered", recording=recording, error=str(error))
        removed = error.said if isinstance(error, NotOurs) else None
        return RecoveryResult(recording, serial, "unknown", error=str(error), end_removed=removed)


class NotOurs(EvidenceError):
    """The manifest is another device's; nothing was written. One line that says why."""

    said: records.Removed | None = None  # what this device's journal says of that recording


class _Case:
    """One recording's folder."""

    def __init__(
        self,
        volume: Volume,
        signer: Signer,
        clock: Clock,
        boot: str,
        recording: str,
        serial: int,
        said: Said,
        rolled_back: bool,
        finish: Finish,
    ) -> None:
        self._volume = volume
        self._signer = signer
        self._clock = clock
        self._boot = boot
        self._recording = recording
        self._serial = serial
        self._said = said
        self._rolled_back = rolled_back
        self._finish = finish
        self._folder = f"{RECORDINGS}/{recording}"

    def close(self) -> Steps[RecoveryResult | None]:
        """Bring the recording to its end; None if it has one and nothing is missing. Raises OSError, NotOurs."""
        names = self._volume.names(self._folder)
        closed = yield from closed_steps(self._volume, self._folder, names)
        ours = closed is not None and closed.key == self._signer.public_key
        if closed is not None and closed.whole and closed.manifest_matches:
            return self._told(closed, ours=ours)
        yield
        if MANIFEST in names:
            path = f"{self._folder}/{MANIFEST}"
            ending, contents = yield from ending_steps(self._volume, path, MANIFEST, MANIFEST_NAMESPACE, Contents)
        else:
            ending, contents = Ending(0, 0, 0, None, False, []), Contents()
        self._keep_off(contents.open)
        # This device's sums over another manifest: it has had its end, whatever it holds now.
        changed = closed is not None and ours and not closed.manifest_matches
        if not contents.ended:
            end_removed = yield from self._end_removed(contents)
            if changed and closed is not None and (end_removed is None or end_removed.event == UNKNOWN):
                end_removed = records.Removed(event="closed", segments=closed.segments)
            yield
            result = self._end(names, ending, contents, end_removed)
        else:
            missing = self._missing(contents)
            changed = changed or (yield from self._exchanged(ending, contents))
            end_removed = contents.end.end_removed if isinstance(contents.end, records.Recovered) else None
            result = RecoveryResult(
                self._recording,
                self._serial,
                "told" if changed else "finished",
                contents.segments,
                missing=missing,
                end_removed=end_removed,
                changed=changed,
            )
            if changed or self._cut_short(contents):
                return result  # sums that are made anew would be over what somebody has made of it
            # Synced in any case: a kill may have left the end in the cache, and the sums must not outlive it.
            self._append(b"\n" if ending.newline_missing and ending.torn is None else b"")
        yield from self._finish(self._volume, self._folder, self._signer)
        return result

    def _exchanged(self, ending: Ending, contents: Contents) -> Steps[bool]:
        """Whether a manifest with an end is another than the one that this device has ended, whoever has signed it."""
        path = f"{self._folder}/{MANIFEST}"
        if not is_of(contents.open or contents.end, self._recording):
            return True
        if contents.open is not None and ending.torn is None:
            # It says that it is by this key; one that another key has signed all the same is none of ours.
            signer = last_signer(self._volume, path, ending.size)
            if signer != self._signer.public_key:
                return True
        if isinstance(contents.end, records.Recovered) and contents.end.end_removed is not None:
            return False  # it is what an earlier start has made of what the journal remembers, and says so
        said = self._entered()
        if said is None or said.event == "opened":
            return False
        if said.event == PROGRESS:
            return not (yield from goes_on_steps(self._volume, path, said))
        if not said.manifest_sha512:
            return said.segments != contents.segments
        size = min(ending.end, ending.size)
        sha512 = hashing.sha512()
        yield from digest_steps(sha512, self._volume, path, 0, size)
        sha512.update(b"\n" * (ending.end - size))
        return sha512.hexdigest() != said.manifest_sha512

    def _cut_short(self, contents: Contents) -> bool:
        """A file is there and is not whole: its name in new sums would say that it is."""
        sizes = self._volume.sizes(self._folder)
        return any(sizes.get(name, stored.bytes) < stored.bytes for name, stored in contents.files.items())

    def _told(self, closed: Closed, *, ours: bool) -> RecoveryResult | None:
        """What there is to tell of a recording that is as it was left at its end."""
        end_removed, missing, segments = None, None, 0
        if not ours:
            # By an earlier key, or by somebody's. Not where this device has recorded it under the key that it has now.
            end_removed = self._entered()
        elif isinstance(closed.end, records.Recovered):
            # A power cut may have kept the journal from saying so; and whoever looks today has not seen it either.
            end_removed, missing, segments = closed.end.end_removed, closed.end.missing, closed.end.segments
        if end_removed is None and missing is None:
            return None
        return RecoveryResult(self._recording, self._serial, "told", segments, missing=missing, end_removed=end_removed)

    def _keep_off(self, opening: records.Open | None) -> None:
        """Raises NotOurs if the manifest says that it is another device's."""
        if opening is None:
            return
        why = ""
        if opening.device != device_of(self._recording):
            why = f"holds a manifest of device {printable(opening.device[:80])}; it stays as it is"
        elif opening.signer != self._signer.public_key:
            why = f"was begun under another key, {printable(opening.signer[:100])}; it stays as it is"
        if why:
            error = NotOurs(why)
            error.said = self._entered()
            raise error

    def _reason(self, contents: Contents) -> str:
        if contents.open is None:
            return "unknown"
        return "killed" if contents.open.boot == self._boot else "power_cut"

    # --- what is there -----------------------------------------------------------------------------------------------

    def _end_removed(self, contents: Contents) -> Steps[records.Removed | None]:
        """What the journal says of this recording that a manifest without an end does not hold."""
        said = self._said(self._recording, self._serial)
        if said is None or said.event not in BEGUN or contents.open is None:
            return said
        path = f"{self._folder}/{MANIFEST}"
        holds = said.event != PROGRESS or (yield from goes_on_steps(self._volume, path, said))
        return None if holds else said

    def _entered(self) -> records.Removed | None:
        """What the journal says of it, where it does."""
        said = self._said(self._recording, self._serial)
        return None if said is not None and said.event == UNKNOWN else said

    def _missing(self, contents: Contents, removed: records.Removed | None = None) -> records.Missing | None:
        """What signed lines name and is not there whole, and what the journal knows of lines that are gone."""
        sizes = self._volume.sizes(self._folder)
        gone = [stored for name, stored in contents.files.items() if sizes.get(name, -1) < stored.bytes]
        spans = [stored.span for stored in gone if stored.span is not None]
        segments, texts = len(spans), len(gone) - len(spans)
        if removed is not None and removed.event == PROGRESS and removed.segments > contents.segments:
            segments += removed.segments - contents.segments
            spans.append((contents.duration_ns, removed.duration_ns))
        if not segments + texts:
            return None
        return records.Missing(
            segments=segments,
            from_ns=_int64(min((from_ns for from_ns, _ in spans), default=0)),
            to_ns=_int64(max((to_ns for _, to_ns in spans), default=0)),
            texts=texts,
        )

    def _found(self, names: list[str], ending: Ending, contents: Contents) -> list[records.Found]:
        found = []
        if ending.named is not None:
            found.append(ending.named)
        elif contents.open is None:
            found.append(records.Found(what="no_manifest", where=MANIFEST))
        there = set(names)
        sizes = self._volume.sizes(self._folder)
        for name, stored in contents.files.items():
            if name not in sizes:
                what = "not_a_file" if name in there else "line_without_file"
                found.append(records.Found(what=what, where=harmless(name)))
            elif sizes[name] < stored.bytes:
                found.append(self._named("short_file", name))
        for name in names:
            if name == MANIFEST or name in contents.files or is_convenience(name) or is_litter(name):
                continue
            if name in sizes:
                found.append(self._without_line(name))
            else:
                found.append(records.Found(what="not_a_file", where=harmless(name.rstrip("/"))))
        return found

    def _without_line(self, name: str) -> records.Found:
        """A file that no record names: made durable, then hashed."""
        with synced(self._volume.append(f"{self._folder}/{name}")):
            pass
        return self._named("file_without_line", name)

    def _named(self, what: str, name: str) -> records.Found:
        path = f"{self._folder}/{name}"
        size = self._volume.size(path)
        sha256 = digest(hashing.sha256(), pieces(self._volume, path, 0, size))
        return records.Found(what=what, where=harmless(name), bytes=size, sha256=sha256)

    # --- what is written ---------------------------------------------------------------------------------------------

    def _end(
        self, names: list[str], ending: Ending, contents: Contents, end_removed: records.Removed | None
    ) -> RecoveryResult:
        """Append the `recovered` record, durable when this returns."""
        reason = self._reason(contents)
        found = _fitting(self._found(names, ending, contents))
        missing = self._missing(contents, end_removed)
        chain = Chain(self._signer, MANIFEST_NAMESPACE)
        path = f"{self._folder}/{MANIFEST}"
        if MANIFEST in names:
            absorb(chain, self._volume, path, ending)
        reading = self._clock.read()
        record = records.Recovered(
            n=chain.n,
            reason=reason,
            boot=self._boot,
            segments=contents.segments,
            frames=_int64(contents.frames),
            audio_frames=_int64(contents.audio_frames),
            silent_frames=_int64(contents.silent_frames),
            bytes=_int64(contents.bytes),
            duration_ns=_int64(contents.duration_ns),
            found=found,
            missing=missing,
            end_removed=end_removed,
            rolled_back=self._rolled_back,
            stamp=stamp_at(reading.mono_ns, reading),
        )
        if contents.open is None:  # the record has to say itself whose it is
            before = on_the_flash(self._volume, device_of(self._recording), self._serial - 1)
            record = msgspec.structs.replace(record, recording=self._recording, before=before)
        lines = b"\n" if ending.newline_missing else b""
        lines += chain.line(records.padded(record, chain.size))
        if MANIFEST not in names:
            self._volume.create(path).close()
        # The names of what the record vouches for, and of the manifest itself.
        self._volume.sync_dir(self._folder)
        self._append(lines)
        return RecoveryResult(
            self._recording,
            self._serial,
            reason,
            contents.segments,
            tuple(found),
            missing,
            end_removed,
            manifest_sha512=chain.head(MANIFEST).sha512,
        )

    def _append(self, lines: bytes) -> None:
        with synced(self._volume.append(f"{self._folder}/{MANIFEST}")) as file:
            file.write(lines)


def _fitting(found: list[records.Found]) -> list[records.Found]:
    """What one line can hold of it, and a word about the rest."""
    size = 0
    for index, thing in enumerate(found):
        size += len(msgspec.json.encode(thing)) + 1
        if size > _FOUND_BYTES:
            return [*found[:index], records.Found(what="not_named", where=f"{len(found) - index} more")]
    return found


def _int64(total: int) -> int:
    """A total as a record can hold it: numbers that each fit may come from a stranger, and not fit together."""
    return max(-(2**63), min(total, 2**63 - 1))
