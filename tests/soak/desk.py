"""The dock's desk: every recording that has ended is verified, looked at frame by frame, received and released."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bwvd.clock import NS
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.format import records
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner, armour
from bwvd.evidence.release.receipt import RECEIPT_NAMESPACE
from bwvd.evidence.verify.recording import verify_recording
from tests.support.desk import SIGNERS
from tests.support.process import DEVICE
from tests.support.recorded import Frame, Gap, Hole, Recorded, has_begun, naming

SERVER = KeySigner(Ed25519PrivateKey.from_private_bytes(b"the evidence server's, for tests"))
SERVER_NAME = "evidence-server"
ALLOWED = f'{SERVER_NAME} namespaces="{RECEIPT_NAMESPACE}" {SERVER.public_key}\n'

REFUSALS = 3
SETTLED_S = 3.0  # the signature's file is there before it has been written

Excused = Callable[[int, int], bool]
"""Whether the camera was taken away between two times (CLOCK_MONOTONIC, nanoseconds)."""


def receipt_for(recording: str, manifest: bytes) -> tuple[str, str]:
    """What the evidence server gives for a recording that it has taken over: the text and its signature."""
    text = json.dumps(
        {
            "type": "receipt",
            "format": 1,
            "recording": recording,
            "device": DEVICE,
            "manifest_sha512": hashlib.sha512(manifest).hexdigest(),
            "received_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "by": SERVER_NAME,
        }
    )
    return text, armour(SERVER.sign(hashlib.sha512(text.encode()).digest(), RECEIPT_NAMESPACE))


def _is_final(folder: Path) -> bool:
    """Its sums are signed, and not just now; a recording that an error broke off gets them when it is mended."""
    try:
        return time.time() - (folder / "SHA256SUMS.sig").stat().st_mtime > SETTLED_S
    except FileNotFoundError:
        return False


@dataclass
class Desk:
    """Args:

    recordings: the storage's folder of them. rate, cycle: of the numbered camera. loop_s: what each should begin with;
    post_roll_s: how far each goes on behind a stop, at least.
    """

    recordings: Path
    rate: float
    cycle: int
    loop_s: float
    post_roll_s: float
    signers: AllowedSigners = SIGNERS
    identities: Sequence[Any] = ()
    excused: Excused = lambda _from_ns, _to_ns: False

    seen: int = 0
    released: int = 0
    unbegun: int = 0  # whose first commit failed: what was to be in them went on in another
    frames: int = 0
    lost: int = 0
    absent: int = 0  # frames that a camera which was away can't have taken, each in a gap record
    verdicts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    # of recordings that another one goes on with: the last frame, and the gaps that reach beyond it
    _last: dict[str, tuple[Frame, list[Gap]]] = field(default_factory=dict)
    _looked_at: set[str] = field(default_factory=set)
    _refused: Counter[str] = field(default_factory=Counter)

    def sweep(self, in_progress: str, ask: Callable[..., dict[str, Any]]) -> None:
        """Look at whatever has ended, and let the daemon let go of it. Blocking."""
        for folder in sorted(self.recordings.iterdir(), key=lambda path: serial_of(path.name) or 0):
            if folder.name == in_progress or not _is_final(folder):
                continue
            if folder.name not in self._looked_at:
                self._looked_at.add(folder.name)
                self.look(folder)
            text, signature = receipt_for(folder.name, (folder / "manifest.jsonl").read_bytes())
            answer = ask(cmd="release", recording=folder.name, receipt=text, signature=signature)
            if answer["ok"]:
                self.released += 1
                self._looked_at.discard(folder.name)
                continue
            # A sync that was to fail may have been the release's: it is tried again at the next sweep.
            self._refused[folder.name] += 1
            if self._refused[folder.name] >= REFUSALS:
                self.problems.append(f"{folder.name}: not released: {answer['error']}")

    def look(self, folder: Path) -> None:
        """Verify one recording, and count its frames."""
        report = verify_recording(folder, self.signers, self.identities, decode=bool(self.identities))
        self.seen += 1
        self.verdicts[report.verdict] += 1
        if not report.good:
            self.problems.append(f"{folder.name}: {report.verdict}: {report.findings[0].what}")
            return
        if not has_begun(list(signed_records(folder))):
            self.unbegun += 1
            return
        recorded = Recorded.read(folder, self.identities)
        if len(recorded.frames) != report.frames:
            found = f"{report.frames} frames by its records, {len(recorded.frames)} decoded"
            self.problems.append(f"{folder.name}: {found}")
        self.count(recorded)

    def count(self, recorded: Recorded) -> None:
        """Count the frames of one recording, and what is missing."""
        self.frames += len(recorded.frames)
        self._pre_event(recorded)
        self._continued(recorded)
        self._to_the_end(recorded)
        for hole in recorded.holes(self.rate, self.cycle):
            self._hole(recorded.id, hole)
        if recorded.frames:
            end = recorded.frames[-1]
            self._last[recorded.id] = end, [gap for gap in recorded.gaps if gap.to_ns > end.at_ns]
            for old in list(self._last)[:-8]:
                del self._last[old]

    def _pre_event(self, recorded: Recorded) -> None:
        before = recorded.opening.pre_event
        if before.got_s < self.loop_s and not before.reason and not recorded.opening.continues:
            self.problems.append(f"{recorded.id}: {before.got_s:.1f} s before the press, and no reason given")

    def _continued(self, recorded: Recorded) -> None:
        """What goes on after an error begins with the very next frame; or the loss is named, on either side of it."""
        if recorded.opening.continues not in self._last or not recorded.frames:
            return
        last, told = self._last[recorded.opening.continues]
        first = recorded.frames[0]
        step_ns = NS / self.rate
        if first.number == (last.number + 1) % self.cycle and abs(first.at_ns - last.at_ns - step_ns) <= 5e6:
            return
        passed = round((first.at_ns - last.at_ns) / step_ns) - 1
        # What lies before the first frame has no length on a recording's own time, but its frames are counted.
        before = [gap for gap in recorded.gaps if gap.track != "audio" and gap.to_ns <= first.at_ns]
        named = next((gap for gap in before if gap.frames >= passed), None)
        if named is None:  # committed before the error was, as a gap that reaches beyond the end
            named = naming([*told, *recorded.gaps], last.at_ns, first.at_ns, 2 * step_ns)
        self._hole(recorded.id, Hole(last, first, passed, named))

    def _to_the_end(self, recorded: Recorded) -> None:
        """What was stopped has pictures up to the end of its post-roll; or their loss is named."""
        end = recorded.manifest[-1]
        if not isinstance(end, records.Close) or end.reason != "stop" or not recorded.frames:
            return
        stops_ns = [
            one.at_ns for one in recorded.manifest if isinstance(one, records.State) and one.state == "post_roll"
        ]
        if not stops_ns:  # it was asked for in the recording that this one continues
            return
        ends_ns = recorded.opening.origin_mono_ns + stops_ns[-1] + round(self.post_roll_s * NS)
        last, step_ns = recorded.frames[-1], NS / self.rate
        missing = round((ends_ns - last.at_ns) / step_ns) - 1
        if missing > 0:
            after = Frame(ends_ns, (last.number + missing + 1) % self.cycle)
            named = naming(recorded.gaps, last.at_ns, ends_ns, 2 * step_ns)
            self._hole(recorded.id, Hole(last, after, missing, named))

    def _hole(self, recording: str, hole: Hole) -> None:
        missing = max(1, hole.missing)
        if hole.named is not None and self.excused(hole.before.at_ns, hole.after.at_ns):
            self.absent += missing
            return
        self.lost += missing
        self.problems.append(f"{recording}: lost: {hole}")
