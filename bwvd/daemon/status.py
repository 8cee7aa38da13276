"""The daemon at one moment, as the document of `bwvd status --json`."""

from __future__ import annotations

from typing import Any, Protocol

from bwvd import __version__
from bwvd.capture.audio.drift_statistics import Corrections
from bwvd.clock import NS, Clock
from bwvd.config.schema import Config
from bwvd.daemon.event_bus import Hub
from bwvd.evidence.write.statistics import WriterStatistics
from bwvd.recorder.backlog import Inbox
from bwvd.recorder.recorder import Recorder
from bwvd.service.power_supply import PowerReading


class Booted(Protocol):
    @property
    def boot(self) -> str:
        """The kernel's boot id."""
        ...


class Observed(Protocol):
    """What a status is made of: the parts of a daemon that runs (`bwvd.daemon.daemon.Daemon`)."""

    config: Config
    clock: Clock
    hub: Hub
    started_ns: int
    inbox: Inbox
    corrections: Corrections
    controls: list[str]
    power: PowerReading | None
    recorder: Recorder

    def written(self) -> WriterStatistics:
        """What the writer has done."""
        ...

    def storage_status(self) -> dict[str, Any]:
        """The room, the reserve and the journal."""
        ...

    @property
    def parts(self) -> Booted: ...


def snapshot(daemon: Observed) -> dict[str, Any]:
    """Everything the contract names, and what an engineer on call asks next. Quick, pure of I/O."""
    recorder, config = daemon.recorder, daemon.config
    now_ns = daemon.clock.monotonic_ns()
    reading = daemon.clock.read()
    current, written, inbox = recorder.current, daemon.written(), daemon.inbox.statistics()
    recording = None
    if current is not None:
        since_ns = current.first_ns or now_ns
        mine = current.recording in (written.recording, written.began)
        recording = {
            # After a storage error it goes on under another id, which is where it is to be looked for.
            "id": (written.recording or current.recording) if mine else current.recording,
            "seconds": round((now_ns - since_ns) / NS, 3),
            "segments": written.segments if mine else 0,
            "committed_s": round(written.committed_s, 3) if mine else 0.0,
        }
    video, audio, power = recorder.video, recorder.audio, daemon.power
    return {
        "state": recorder.machine.state.value,
        "device": config.device.id,
        "version": __version__,
        "boot": daemon.parts.boot,
        "uptime_s": round((now_ns - daemon.started_ns) / NS, 3),
        "loop": {
            "seconds": round(recorder.loop.held_ns / NS, 3),
            "capacity_s": config.loop.seconds,
            "bytes": recorder.loop.bytes,
        },
        "recording": recording,
        "stop_asked": recorder.machine.stop_asked,
        "video": {
            "source": video.source if video else config.video.source,
            "encoder": video.encoder if video else "",
            "preset": video.preset if video else "",
            "width": video.width if video else 0,
            "height": video.height if video else 0,
            "frames": recorder.frames,
            "dropped": recorder.frames_lost,
        },
        "audio": {
            "source": audio.source if audio else config.audio.source,
            "up": audio is not None,
            "muted": recorder.machine.muted,
            "pre_event": config.audio.pre_event,
            **daemon.corrections.status(),
        },
        "storage": {
            **daemon.storage_status(),
            "backlog_bytes": inbox.backlog_bytes,
            "backlog_peak_bytes": inbox.peak_bytes,
            "commits": written.commits,
            "errors": written.errors,
            "commit_ms": _quantiles(written.commit_ms),
            "press_to_commit_ms": _quantiles(written.press_to_commit_ms),
        },
        "clock": {"utc": reading.utc, "quality": reading.quality, "uncertainty_us": reading.uncertainty_us},
        "power": {"percent": power.percent, "supply": power.supply, "flags": list(power.flags)} if power else None,
        "officer_assigned": bool(recorder.officer),
        "faults": sorted(daemon.hub.faults),
        "fault_details": {
            fault.name: {"detail": fault.detail, "since_s": round((now_ns - fault.at_ns) / NS, 1)}
            for fault in daemon.hub.faults.values()
        },
        "controls": list(daemon.controls),
    }


def _quantiles(values: object) -> dict[str, float] | None:
    """Median and 99th percentile of the last few hundred."""
    found = sorted(float(value) for value in values)  # type: ignore[attr-defined]  # a deque of floats
    if not found:
        return None
    return {
        "p50": round(found[len(found) // 2], 1),
        "p99": round(found[min(len(found) - 1, len(found) * 99 // 100)], 1),
    }
