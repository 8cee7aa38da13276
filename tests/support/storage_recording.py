"""Recordings on a virtual volume, written by the real code, with a note of what was acknowledged when."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bwvd.clock import NS
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.trust import Trust
from bwvd.evidence.write.finalize import finish_recording
from bwvd.evidence.write.recording_folder import Device, RecordingFolder
from bwvd.messages import Marked, OpenRecording, PreEvent
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.faults import Operation
from bwvd.testing.flash.medium import Tree
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.desk import SIGNERS
from tests.support.evidence_folder import PRESS_NS, START_NS, media
from tests.support.evidence_keys import fixed_signer

SIGNER = fixed_signer()
BOOT = "boot-1"


def recording_id(serial: int) -> str:
    return f"20261122T071505Z-BWV-0001-{serial:06d}"


def virtual_clock() -> VirtualClock:
    return VirtualClock(seconds=lambda: 2.0)


@dataclass(frozen=True)
class Acknowledged:
    """What a return of the writer's code has promised, and after which operation."""

    at: int
    serial: int
    files: Mapping[str, bytes] = field(default_factory=dict)  # below the recording's folder
    closed: bool = False


def opening(serial: int) -> OpenRecording:
    clip = media()
    return OpenRecording(
        recording=recording_id(serial),
        serial=serial,
        press_source="gpio:record",
        press_ns=PRESS_NS,
        handled_ns=PRESS_NS + 3_000_000,
        pre_event=PreEvent(2 * NS, PRESS_NS - START_NS, "started"),
        video=clip.video,
        audio=None,
        pre_event_audio=False,
        officer="",
    )


def write_recording(
    volume: VirtualVolume,
    serial: int,
    *,
    segments: int = 3,
    close: bool = True,
    finish: bool = True,
    journal: JournalHead | None = None,
    acknowledged: list[Acknowledged] | None = None,
    before_commit: Callable[[int], None] = lambda _: None,
    after_commit: Callable[[RecordingFolder], None] = lambda _: None,
) -> list[Acknowledged]:
    """Open, commit so many segments with a marker among them, close, finish. Appends to `acknowledged` as it goes."""
    told = acknowledged if acknowledged is not None else []
    folder = RecordingFolder(volume, Device("BWV-0001", BOOT, 1.0, SIGNER, None), opening(serial), virtual_clock())
    path = f"recordings/{recording_id(serial)}"
    clip = media()

    def tell(files: Mapping[str, bytes], *, closed: bool = False) -> None:
        told.append(Acknowledged(volume.gate.count, serial, files, closed))

    for index in range(segments):
        start_ns = START_NS + (index - index % 4) * NS
        gop = clip.gop(index % 4, sound=False, start_ns=start_ns)
        if index == 0:
            folder.create(gop, journal)
            tell({})
        before_commit(index)
        folder.commit([gop], [Marked(gop.start_ns, "gpio:record", "a door")] if index == 1 else [])
        name = f"{index + 1:06d}.m4s"
        tell({name: volume.tree()[f"{path}/{name}"] or b""})
        after_commit(folder)
    if not segments:
        folder.create(None, journal)
        tell({})
    if close:
        folder.close("stop")
        tell({}, closed=True)
        if finish:
            finish_recording(volume, path, SIGNER)
    else:
        folder.let_go()
    return told


def new_volume(
    *, trace: bool = False, max_write: int | None = None, omit: Callable[[Operation], bool] | None = None
) -> VirtualVolume:
    """With `recordings/`, which the daemon's first start has made; nothing of that is in the trace."""
    return VirtualVolume.from_state({"recordings": None}, trace=trace, max_write=max_write, omit=omit)


class TreeFolder:
    """A recording's folder inside a tree, for verification: `bwvd.evidence.verify.folder.Folder`."""

    def __init__(self, tree: Tree, path: str) -> None:
        self.path = path
        self._files = {
            name.removeprefix(f"{path}/"): content for name, content in tree.items() if name.startswith(f"{path}/")
        }

    def names(self) -> dict[str, str]:
        return {name: "" if content is not None else "a folder" for name, content in self._files.items()}

    def size(self, name: str) -> int:
        return len(self._content(name))

    def open(self, name: str) -> io.RawIOBase:
        return _Raw(self._content(name))

    def _content(self, name: str) -> bytes:
        content = self._files.get(name)
        if content is None:
            raise FileNotFoundError(2, "No such file or directory", name)
        return content


class _Raw(io.RawIOBase):
    def __init__(self, content: bytes) -> None:
        self._left = memoryview(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # the type of a writable buffer has a name only from Python 3.12 on
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def verified(tree: Tree, serial: int) -> Report:
    """What the verifier says of a recording."""
    return Verification(TreeFolder(tree, f"recordings/{recording_id(serial)}"), Trust(SIGNERS)).run()
