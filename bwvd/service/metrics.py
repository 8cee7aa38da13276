"""A status as Prometheus text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bwvd.messages import State
from bwvd.service.status_document import Quantiles, Status

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family: `gauge` goes up and down, `counter` only up until the daemon starts again."""

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[Labels, float]]


def exposition(status: Status) -> str:
    """The text format, version 0.0.4. A family without samples is left out: nothing is better than a made-up zero."""
    return "".join(_family(metric) for metric in metrics(status) if metric.samples)


def metrics(status: Status) -> Iterable[Metric]:
    """Everything that a fleet's dashboards and alarms are made of."""
    loop, video, storage, recording = status.loop, status.video, status.storage, status.recording
    info = (("device", status.device), ("version", status.version), ("boot", status.boot))
    yield Metric("bwvd_info", "gauge", "Always 1; the labels say what runs where.", [(info, 1)])
    yield _gauge("bwvd_uptime_seconds", "Since the daemon started.", status.uptime_s)
    yield Metric(
        "bwvd_state",
        "gauge",
        "1 for the state that the camera is in.",
        [((("state", state.value),), float(state.value == status.state)) for state in State],
    )
    yield _gauge("bwvd_loop_seconds", "Held in RAM now.", loop.seconds)
    yield _gauge("bwvd_loop_capacity_seconds", "What the loop is to hold.", loop.capacity_s)
    yield _gauge("bwvd_loop_bytes", "Held in RAM now.", loop.bytes)
    yield _gauge("bwvd_recording_seconds", "Length of the recording in progress, or 0.", _of(recording, "seconds"))
    yield _gauge("bwvd_recording_committed_seconds", "Of it on flash, or 0 without one.", _of(recording, "committed_s"))
    yield _counter("bwvd_video_frames_total", "Frames delivered by the camera.", video.frames)
    yield _counter("bwvd_video_frames_dropped_total", "Frames lost before they were recorded.", video.dropped)
    yield _gauge("bwvd_storage_free_bytes", "Room for recordings.", storage.free_bytes)
    yield _gauge("bwvd_storage_left_seconds", "Recording time that fits.", _seconds(storage.minutes_left, 60))
    yield _gauge("bwvd_storage_refuses", "1 while no recording can begin.", float(bool(storage.refuses)))
    yield _gauge("bwvd_storage_backlog_bytes", "Waits in RAM for the flash.", storage.backlog_bytes)
    yield _gauge("bwvd_storage_backlog_peak_bytes", "The most that ever waited.", storage.backlog_peak_bytes)
    yield _counter("bwvd_storage_commits_total", "Segments that the flash has acknowledged.", storage.commits)
    yield _counter("bwvd_storage_errors_total", "Errors of the flash.", storage.errors)
    yield _quantiles("bwvd_storage_commit_seconds", "Time that a commit takes.", storage.commit_ms)
    yield _quantiles("bwvd_press_to_commit_seconds", "From a press to its first commit.", storage.press_to_commit_ms)
    yield _counter("bwvd_journal_lost_total", "Journal entries for which there was no room.", storage.journal_lost)
    quality = status.clock.quality
    yield _gauge(
        "bwvd_clock_synchronised", "1 while the kernel says so.", float(quality == "synchronised") if quality else None
    )
    uncertainty_us = status.clock.uncertainty_us
    yield _gauge("bwvd_clock_uncertainty_seconds", "The kernel's bound on the error.", _seconds(uncertainty_us, 1e-6))
    power = status.power
    yield _gauge("bwvd_battery_percent", "Of the battery, where there is one.", power.percent if power else None)
    yield Metric(
        "bwvd_power_flag",
        "gauge",
        "1 for each trouble of the supply.",
        [((("flag", flag),), 1.0) for flag in sorted(set(power.flags))] if power else [],
    )
    yield _gauge(
        "bwvd_officer_assigned", "1 while somebody is said to wear the camera.", float(status.officer_assigned)
    )
    yield _gauge("bwvd_audio_muted", "1 while the sound is off.", float(status.audio.muted) if status.audio else None)
    yield _gauge("bwvd_faults", "How many faults are active.", len(status.faults))
    yield Metric(
        "bwvd_fault",
        "gauge",
        "1 for each active fault.",
        [((("name", name),), 1.0) for name in sorted(set(status.faults))],
    )


def _gauge(name: str, text: str, value: float | None) -> Metric:
    return Metric(name, "gauge", text, [] if value is None else [((), value)])


def _counter(name: str, text: str, value: float) -> Metric:
    return Metric(name, "counter", text, [((), value)])


def _quantiles(name: str, text: str, found: Quantiles | None) -> Metric:
    """As gauges with a label: a summary would need a sum and a count since the start."""
    if found is None:
        return Metric(name, "gauge", text, [])
    return Metric(
        name, "gauge", text, [((("quantile", "0.5"),), found.p50 / 1000), ((("quantile", "0.99"),), found.p99 / 1000)]
    )


def _of(part: object, name: str) -> float:
    return 0.0 if part is None else float(getattr(part, name))


def _seconds(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _family(metric: Metric) -> str:
    text = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
    lines = [f"# HELP {metric.name} {text}", f"# TYPE {metric.name} {metric.kind}"]
    lines += [f"{metric.name}{_labels(labels)} {_value(value)}" for labels, value in metric.samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _value(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
