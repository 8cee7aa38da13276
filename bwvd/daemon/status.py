"""The snapshot of a running daemon: the values that socket, serial line, metrics and text file show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from bwvd import __version__
from bwvd.capture.audio.drift_statistics import Corrections
from bwvd.clock import NS, Clock, Reading
from bwvd.config.schema import Config
from bwvd.daemon.event_bus import Hub
from bwvd.evidence.write.statistics import WriterStatistics
from bwvd.messages import TimeSource
from bwvd.recorder.backlog import Backlog
from bwvd.recorder.recorder import Recorder
from bwvd.service.power_supply import PowerReading
from bwvd.service.status_document import (
    AudioStatus,
    ClockStatus,
    FaultDetail,
    LoopStatus,
    PositionStatus,
    PowerStatus,
    Quantiles,
    RecordingStatus,
    Status,
    StorageStatus,
    VideoStatus,
)
from bwvd.text import source_address


class StatusParts(Protocol):
    """The parts that a daemon was made of, as far as a status shows them."""

    @property
    def boot(self) -> str: ...  # the kernel's boot id
    @property
    def transport(self) -> Callable[[], str]: ...  # by which a network camera's packets come


class StatusSource(Protocol):
    """The parts of a running daemon that a status shows (`bwvd.daemon.daemon.Daemon`)."""

    config: Config
    clock: Clock
    hub: Hub
    started_ns: int
    backlog: Backlog
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
    def parts(self) -> StatusParts: ...


def snapshot(daemon: StatusSource) -> Status:
    """Everything the contract names, and what an engineer on call asks next. Quick, pure of I/O."""
    recorder, config = daemon.recorder, daemon.config
    now_ns = daemon.clock.monotonic_ns()
    reading = daemon.clock.read()
    written = daemon.written()
    video, audio, power, corrections = recorder.video, recorder.audio, daemon.power, daemon.corrections
    return Status(
        state=recorder.machine.state.value,
        device=config.device.id,
        version=__version__,
        boot=daemon.parts.boot,
        uptime_s=round((now_ns - daemon.started_ns) / NS, 3),
        loop=LoopStatus(
            seconds=round(recorder.loop.held_ns / NS, 3), capacity_s=config.loop.seconds, bytes=recorder.loop.bytes
        ),
        recording=_recording(recorder, written, now_ns),
        stop_asked=recorder.machine.stop_asked,
        video=VideoStatus(
            source=video.source if video else source_address(config.video.source),
            encoder=video.encoder if video else "",
            preset=video.preset if video else "",
            width=video.width if video else 0,
            height=video.height if video else 0,
            transport=daemon.parts.transport() if video else "",
            frames=recorder.frames,
            dropped=recorder.frames_lost,
        ),
        audio=AudioStatus(
            source=audio.source if audio else source_address(config.audio.source),
            up=audio is not None,
            muted=recorder.machine.muted,
            pre_event=config.audio.pre_event,
            samples_put_in=corrections.put_in,
            samples_left_out=corrections.left_out,
            gaps=corrections.gaps,
            gap_s=round(corrections.gap_ns / NS, 3),
        ),
        storage=StorageStatus(
            **daemon.storage_status(),
            backlog_bytes=daemon.backlog.bytes,
            backlog_peak_bytes=daemon.backlog.peak_bytes,
            commits=written.commits,
            errors=written.errors,
            commit_ms=_quantiles(written.commit_ms),
            press_to_commit_ms=_quantiles(written.press_to_commit_ms),
        ),
        clock=_clock(reading, recorder.known.time),
        power=PowerStatus(percent=power.percent, supply=power.supply, flags=list(power.flags)) if power else None,
        position=_position(daemon, now_ns) if config.gnss.source else None,
        officer_assigned=bool(recorder.officer),
        faults=sorted(daemon.hub.faults),
        fault_details={
            fault.name: FaultDetail(detail=fault.detail, since_s=round((now_ns - fault.at_ns) / NS, 1))
            for fault in daemon.hub.faults.values()
        },
        controls=list(daemon.controls),
    )


def _clock(reading: Reading, source: TimeSource | None) -> ClockStatus:
    found = ClockStatus(utc=reading.utc, quality=reading.quality, uncertainty_us=reading.uncertainty_us)
    if source is None:
        return found
    return msgspec.structs.replace(found, by=source.by, reference=source.reference, services=list(source.services))


def _position(daemon: StatusSource, now_ns: int) -> PositionStatus:
    source, fix = daemon.config.gnss.source, daemon.recorder.known.fix
    receiver = "lost" if "gnss" in daemon.hub.faults else "answers"
    if fix is None:
        return PositionStatus(source=source, receiver=receiver)
    return PositionStatus(
        source=source,
        receiver=receiver,
        mode=fix.mode,
        satellites=fix.satellites,
        error_m=fix.error_m,
        age_s=round((now_ns - fix.at_ns) / NS, 1),
    )


def _recording(recorder: Recorder, written: WriterStatistics, now_ns: int) -> RecordingStatus | None:
    current = recorder.current
    if current is None:
        return None
    seconds = round((now_ns - (current.first_ns or now_ns)) / NS, 3)
    if current.recording not in (written.recording, written.began):
        return RecordingStatus(id=current.recording, seconds=seconds, segments=0, committed_s=0.0)
    return RecordingStatus(
        # After a storage error it goes on under another id, which is where it is to be looked for.
        id=written.recording or current.recording,
        seconds=seconds,
        segments=written.segments,
        committed_s=round(written.committed_s, 3),
    )


def _quantiles(values: Iterable[float]) -> Quantiles | None:
    """Median and 99th percentile of the last few hundred."""
    found = sorted(values)
    if not found:
        return None
    return Quantiles(
        p50=round(found[len(found) // 2], 1), p99=round(found[min(len(found) - 1, len(found) * 99 // 100)], 1)
    )
