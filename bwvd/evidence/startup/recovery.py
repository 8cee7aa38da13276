"""At start-up: every recording that has no end gets one, a signed record that names what was found. Nothing is deleted.

What a power cut or a kill leaves, and what is written about it into `recovered.found`:

    torn_line          bytes behind the last record of the manifest whose signature holds. If they don't end in a
                       newline one is appended first; offset, length and digest count it.
    unsigned_lines     the same, but no power cut leaves such bytes. They are named without their digest, so that no
                       reader takes them for accounted for: the recording was altered, and stays so
    file_without_line  a file whose commit was not finished: never acknowledged, kept all the same
    line_without_file  a committed file that is gone, and
    short_file         one that is shorter than its record says: no power cut does that, a failing flash may
    not_a_file         a folder, link or device in the place of a file
    not_named          how many more there are: a line has room for a few thousand. SHA256SUMS lists their files
    no_manifest        the power went before the first record: see below

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

import errno
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from bwvd.clock import Clock, Reading
from bwvd.evidence.errors import EvidenceError, SignatureBad
from bwvd.evidence.flash.new_file import synced
from bwvd.evidence.flash.pieces import digest, pieces
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, Chain, Signer
from bwvd.evidence.format.chain_tail import Ending, absorb, read_ending
from bwvd.evidence.format.decode import MAX_LINE
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import CONVENIENCES, MANIFEST, RECORDINGS, SUMS, SUMS_SIGNATURE
from bwvd.evidence.format.recording_id import device_of, serial_of
from bwvd.evidence.format.sums import SUMS_BYTES, check_signature, parse_sums
from bwvd.evidence.format.totals import Contents
from bwvd.evidence.journal.journal import Draft
from bwvd.evidence.write.finalize import finish_recording
from bwvd.log import get_logger
from bwvd.text import printable

Finish = Callable[[Volume, str, Signer], None]

MANIFEST_FIRST_BYTES = 8192  # f2fs returns from fdatasync of a smaller, inline file without a flush
_FOUND_BYTES = MAX_LINE - 65_536  # of one record: a line that is longer is none to any reader
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_A_FILE = (errno.ELOOP, errno.EPERM)

_log = get_logger("recovery")


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """What became of one recording that was not as it should be."""

    recording: str
    serial: int
    reason: str  # "power_cut", "killed", "unknown"; "finished": it had its end, and only the conveniences were missing
    segments: int = 0
    found: tuple[records.Found, ...] = ()
    error: str = ""  # why it could not be brought to an end; the next start tries again


def recover(
    volume: Volume,
    signer: Signer,
    clock: Clock,
    boot: str,
    *,
    reserve: Reserve,
    leave: frozenset[str] = frozenset(),
    finish: Finish = finish_recording,
) -> list[RecoveryResult]:
    """Bring every recording to its end that has none, before anything new is recorded.

    Args:
        boot: the kernel's boot id now.
        reserve: spent if the flash is full; setting it aside again is the caller's.
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
        result = recover_one(volume, signer, clock, boot, recording, reserve=reserve, finish=finish)
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
    finish: Finish = finish_recording,
) -> RecoveryResult | None:
    """Bring one recording to its end, at start-up or when an I/O error has broken it off; arguments as for `recover`.

    Returns None where nothing is to be done: it has its end and all that is made from it, or it is no recording's name.
    Its folder must be durable. Blocking; never raises OSError: the result says what kept the recording from its end.
    """
    serial = serial_of(recording)
    if serial is None:
        return None
    case = _Case(volume, signer, clock, boot, recording, serial, finish)
    try:
        try:
            return case.close()
        except OSError as error:
            if error.errno not in _NO_ROOM:
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
        made.append(Draft(event, detail, reading))
    return made


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
        finish: Finish,
    ) -> None:
        self._volume = volume
        self._signer = signer
        self._clock = clock
        self._boot = boot
        self._recording = recording
        self._serial = serial
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
        found: list[records.Found] = []
        reason = "finished"
        if not contents.ended:
            reason = self._reason(contents)
            found = _fitting(self._found(names, ending, contents))
            self._end(names, ending, contents, reason, found)
        else:
            # Synced in any case: a kill may have left the end in the cache, and the sums must not outlive it.
            self._append(b"\n" if ending.newline_missing and ending.torn is None else b"")
        self._finish(self._volume, self._folder, self._signer)
        return RecoveryResult(self._recording, self._serial, reason, contents.segments, tuple(found))

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
            sums = self._volume.read(f"{self._folder}/{SUMS}", 0, SUMS_BYTES)
            # An interrupted second attempt may have left the signature of the first beside other sums.
            check_signature(sums, self._volume.read(f"{self._folder}/{SUMS_SIGNATURE}", 0, 65_536))
            listed = parse_sums(sums)
        except (SignatureBad, ValueError):
            return False
        except OSError as error:
            if error.errno not in _NOT_A_FILE:
                raise
            return False
        return listed.keys() <= set(names)

    def _reason(self, contents: Contents) -> str:
        if contents.open is None:
            return "unknown"
        return "killed" if contents.open.boot == self._boot else "power_cut"

    # --- what is there -----------------------------------------------------------------------------------------------

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
            if name == MANIFEST or name in contents.files or _is_convenience(name):
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

    def _end(
        self,
        names: list[str],
        ending: Ending,
        contents: Contents,
        reason: str,
        found: list[records.Found],
    ) -> None:
        """Append the `recovered` record, durable when this returns."""
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
            stamp=records.Stamp(
                mono_ns=reading.mono_ns,
                utc=reading.utc,
                quality=reading.quality,
                uncertainty_us=reading.uncertainty_us,
            ),
        )
        missing = MANIFEST_FIRST_BYTES - chain.size - len(msgspec.json.encode(record))
        lines = b"\n" if ending.newline_missing else b""
        lines += chain.line(msgspec.structs.replace(record, pad=" " * max(0, missing)))
        if MANIFEST not in names:
            self._volume.create(path).close()
        # The names of what the record vouches for, and of the manifest itself.
        self._volume.sync_dir(self._folder)
        self._append(lines)

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


def _is_convenience(name: str) -> bool:
    """Made anew by `finish`, as it makes them."""
    return name in CONVENIENCES or (name.startswith("init") and name.endswith(".mp4"))
