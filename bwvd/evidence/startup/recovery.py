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
                       is gone. Of a recording that had its end, the device tells it at each start
    not_a_file         a folder, link or device in the place of a file
    not_named          how many more there are: a line has room for a few thousand. SHA256SUMS lists their files
    no_manifest        the power went before the first record: see below

Where the journal says that a recording came to an end, or was opened, and its manifest knows nothing of it, somebody
has taken it away: `recovered.end_removed` repeats what the journal says, and the recording is altered.

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

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from bwvd.clock import NS, Clock, Reading
from bwvd.evidence.errors import EvidenceError, SignatureBad
from bwvd.evidence.flash.new_file import synced
from bwvd.evidence.flash.pieces import digest, pieces
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.flash.volume import NO_ROOM, NOT_A_FILE, Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, Chain, Signer
from bwvd.evidence.format.chain_tail import Ending, absorb, read_ending
from bwvd.evidence.format.decode import MAX_LINE
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS, SUMS, SUMS_SIGNATURE, is_convenience
from bwvd.evidence.format.recording_id import device_of, serial_of
from bwvd.evidence.format.sums import read_sums
from bwvd.evidence.format.totals import Contents
from bwvd.evidence.format.utc import stamp_at
from bwvd.evidence.journal.journal import Draft
from bwvd.evidence.startup.newest import on_the_flash
from bwvd.evidence.write.finalize import finish_recording
from bwvd.log import get_logger
from bwvd.text import printable

Finish = Callable[[Volume, str, Signer], None]
Said = Callable[[str, int], records.Removed | None]  # a recording and its number to what the journal says of it

_FOUND_BYTES = MAX_LINE - 65_536  # of one record: a line that is longer is none to any reader

_log = get_logger("recovery")


def nothing_said(_recording: str, _serial: int) -> None:
    """No journal is asked."""


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """What became of one recording that was not as it should be."""

    recording: str
    serial: int
    reason: str  # "power_cut", "killed", "unknown"; "finished": it had its end, and only the conveniences were missing
    segments: int = 0
    found: tuple[records.Found, ...] = ()
    missing: records.Missing | None = None
    end_removed: records.Removed | None = None
    manifest_sha512: str = ""
    error: str = ""  # why it could not be brought to an end; the next start tries again


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
    finish: Finish = finish_recording,
) -> list[RecoveryResult]:
    """Bring every recording to its end that has none, before anything new is recorded.

    Args:
        boot: the kernel's boot id now.
        reserve: spent if the flash is full; setting it aside again is the caller's.
        rolled_back: the storage is not as the device had left it; what is recovered says so.
        said: what the journal says of a recording (id, serial number) and a manifest must hold, None for nothing.
        leave: recordings that are being released, which is the journal's business.

    One recording that can't be brought to its end does not keep the others from theirs: its result says why.
    Blocking. Raises OSError if `recordings/` itself can't be read or synced.
    """
    # A kill may have left a folder in the cache alone; nothing is vouched for in a folder that may vanish.
    volume.sync_dir(RECORDINGS)
    results = []
    for name in volume.names(RECORDINGS):
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
    finish: Finish = finish_recording,
) -> RecoveryResult | None:
    """Bring one recording to its end, at start-up or when an I/O error has broken it off; arguments as for `recover`.

    Returns None where nothing is to be done: it has its end and all that is made from it, or it is no recording's name.
    Its folder must be durable. Blocking; never raises OSError: the result says what kept the recording from its end.
    """
    serial = serial_of(recording)
    if serial is None:
        return None
    case = _Case(volume, signer, clock, boot, recording, serial, said, rolled_back, finish)
    try:
        try:
            return case.close()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            reserve.spend(volume)
            return case.close()
    except (OSError, NotOurs) as error:
        _log.error("recording_not_recovered", recording=recording, error=str(error))
        return RecoveryResult(recording, serial, "unknown", error=str(error))


def drafts_of(results: Sequence[RecoveryResult], reading: Reading) -> list[Draft]:
    """The journal's entries about a recovery."""
    made = []
    for result in results:
        event = "recovered" if result.reason != "finished" and not result.error else "recovery"
        detail: dict[str, str | int | float | bool | None] = {
            "recording": harmless(result.recording),
            "serial": result.serial,
            "reason": result.reason,
            "segments": result.segments,
            "found": ", ".join(sorted({found.what for found in result.found})),
        }
        if result.error:
            detail["error"] = result.error
        if result.manifest_sha512:
            detail["manifest_sha512"] = result.manifest_sha512
        made.append(Draft(event, detail, reading))
        if tells := evidence_missing(result):
            detail = {"recording": harmless(result.recording), "serial": result.serial, "what": tells}
            made.append(Draft("evidence_missing", detail, reading))
    return made


def evidence_missing(result: RecoveryResult) -> str:
    """What a recording has lost that was acknowledged, in one line; "" if nothing is known to be gone."""
    told: list[str] = []
    if (missing := result.missing) is not None:
        span = f"between {missing.from_ns / NS:.1f} s and {missing.to_ns / NS:.1f} s" if missing.segments else ""
        texts = f"{missing.texts} sealed texts" if missing.texts else ""
        segments = f"{missing.segments} acknowledged segments {span}" if missing.segments else ""
        told.append(" and ".join(part for part in (segments, texts) if part) + " are gone or cut short")
    if (removed := result.end_removed) is not None:
        told.append(f"it was {removed.event} with {removed.segments} segments, and its manifest holds that no more")
    return "; ".join(told)


class NotOurs(EvidenceError):
    """The manifest is another device's; nothing was written. One line that says why."""


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

    def close(self) -> RecoveryResult | None:
        """Bring the recording to its end; None if it has one and nothing is missing. Raises OSError, NotOurs."""
        names = self._volume.names(self._folder)
        if self._is_finished(names):
            return None
        if MANIFEST in names:
            path = f"{self._folder}/{MANIFEST}"
            ending, contents = read_ending(self._volume, path, MANIFEST, MANIFEST_NAMESPACE, Contents)
        else:
            ending, contents = Ending(0, 0, 0, None, False, []), Contents()
        self._keep_off(contents.open)
        if not contents.ended:
            result = self._end(names, ending, contents)
        else:
            missing = self._missing(contents)
            result = RecoveryResult(self._recording, self._serial, "finished", contents.segments, missing=missing)
            # Synced in any case: a kill may have left the end in the cache, and the sums must not outlive it.
            self._append(b"\n" if ending.newline_missing and ending.torn is None else b"")
        self._finish(self._volume, self._folder, self._signer)
        return result

    def _keep_off(self, opening: records.Open | None) -> None:
        """Raises NotOurs if the manifest says that it is another device's."""
        if opening is None:
            return
        if opening.device != device_of(self._recording):
            raise NotOurs(f"holds a manifest of device {printable(opening.device[:80])}; it stays as it is")
        if opening.signer != self._signer.public_key:
            raise NotOurs(f"was begun under another key, {printable(opening.signer[:100])}; it stays as it is")

    def _is_finished(self, names: list[str]) -> bool:
        """Whether the conveniences are whole: they are written after the end is durable, their signature last.

        Names may have reached the flash in another order than they were made in, so each one is looked for.
        """
        if SUMS not in names or SUMS_SIGNATURE not in names or MANIFEST not in names:
            return False
        try:
            # An interrupted second attempt may have left the signature of the first beside other sums.
            listed = read_sums(self._volume, self._folder)
        except (SignatureBad, ValueError):
            return False
        except OSError as error:
            if error.errno not in NOT_A_FILE:
                raise
            return False
        return listed.keys() <= set(names)

    def _reason(self, contents: Contents) -> str:
        if contents.open is None:
            return "unknown"
        return "killed" if contents.open.boot == self._boot else "power_cut"

    # --- what is there -----------------------------------------------------------------------------------------------

    def _end_removed(self, contents: Contents) -> records.Removed | None:
        """What the journal says of this recording that a manifest without an end does not hold."""
        said = self._said(self._recording, self._serial)
        return None if said is not None and said.event == "opened" and contents.open is not None else said

    def _missing(self, contents: Contents) -> records.Missing | None:
        """What signed lines name and is not there whole. A line was only written behind its durable file."""
        sizes = self._volume.sizes(self._folder)
        gone = [stored for name, stored in contents.files.items() if sizes.get(name, -1) < stored.bytes]
        if not gone:
            return None
        spans = [stored.span for stored in gone if stored.span is not None]
        return records.Missing(
            segments=len(spans),
            from_ns=min((from_ns for from_ns, _ in spans), default=0),
            to_ns=_int64(max((to_ns for _, to_ns in spans), default=0)),
            texts=len(gone) - len(spans),
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
            if name == MANIFEST or name in contents.files or is_convenience(name):
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
        sha256 = digest(hashlib.sha256(), pieces(self._volume, path, 0, size))
        return records.Found(what=what, where=harmless(name), bytes=size, sha256=sha256)

    # --- what is written ---------------------------------------------------------------------------------------------

    def _end(self, names: list[str], ending: Ending, contents: Contents) -> RecoveryResult:
        """Append the `recovered` record, durable when this returns."""
        reason = self._reason(contents)
        found = _fitting(self._found(names, ending, contents))
        missing, end_removed = self._missing(contents), self._end_removed(contents)
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
            chain.head(MANIFEST).sha512,
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
