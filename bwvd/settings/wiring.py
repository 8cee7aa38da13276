"""What must hold of the controls and indicators: each has one target, and no two have the same. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bwvd.config import Config, Gestures, Haptic, Led, Section, Tone
from bwvd.settings.problem import Problem, shown
from bwvd.settings.walk import numbered, sections

_TARGETS: dict[type[Section], tuple[str, ...]] = {
    Led: ("name", "device", "chip"),
    Haptic: ("device", "chip"),
    Tone: ("device", "pwm", "chip"),
}
_KINDS = ("gpio", "input", "serial", "led", "haptic", "tone")


def problems(config: Config, document: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong. `document` is what was written, for rules about what was said and not left to its default."""
    yield from _unheard(document)
    yield from _gestures(config)
    yield from _targets(config, document)
    yield from _shared(config)
    yield from _grabbed(config)


def _unheard(document: dict[str, Any]) -> Iterator[Problem]:
    """Gestures that were written for something that has no button would be ignored: say so."""
    for kind in ("gpio", "input", "serial"):
        tables = document.get(kind, [])
        for index, table in enumerate(tables):
            name = numbered(kind, index, len(tables))
            if "gestures" not in table:
                continue
            if table.get("mode") == "switch":
                yield Problem(f'{name}.gestures, {name}.mode = "switch"', "a switch has two positions and no gestures")
            if kind == "serial" and not table.get("button"):
                yield Problem(f"{name}.gestures", f'there is no button: {name}.button is ""')


def _gestures(config: Config) -> Iterator[Problem]:
    for name, section in sections(config):
        if isinstance(section, Gestures) and section.double_ms >= section.hold_s * 1000:
            yield Problem(
                f"{name}.double_ms = {section.double_ms}, {name}.hold_s = {section.hold_s:g}",
                "a hold must take longer than the wait for a second press",
            )


def _targets(config: Config, document: dict[str, Any]) -> Iterator[Problem]:
    for kind in ("led", "haptic", "tone"):
        entries: list[Section] = getattr(config, kind)
        for index, entry in enumerate(entries):
            name = numbered(kind, index, len(entries))
            keys = _TARGETS[type(entry)]
            given = [key for key in keys if getattr(entry, key)]
            if not given:
                yield Problem(name, f"drives nothing: set one of {', '.join(keys)}")
            elif len(given) > 1:
                yield Problem(
                    f"{name}.{given[0]}, {name}.{given[1]}", f"drives two things: set one of {', '.join(keys)}"
                )
            elif given != ["chip"] and "line" in document.get(kind, [])[index]:
                yield Problem(f"{name}.line", f"a line belongs to a chip, and {name} drives {name}.{given[0]}")
            elif given == ["chip"] and "line" not in document.get(kind, [])[index]:
                yield Problem(f"{name}.chip", f"which line of it? set {name}.line")


def _shared(config: Config) -> Iterator[Problem]:
    """Two tables on one line, port or key: one of them would never be heard or seen."""
    seen: dict[str, str] = {}
    for kind in _KINDS:
        entries: list[Section] = getattr(config, kind)
        for index, entry in enumerate(entries):
            name = numbered(kind, index, len(entries))
            target = _target(kind, entry)
            first = seen.setdefault(target, name)
            if target and first != name:
                yield Problem(f"{first}, {name}", f"both are on {target}")


def _grabbed(config: Config) -> Iterator[Problem]:
    """Who grabs an input device has it alone: a second table on it would fail to open, or hear nothing."""
    for index, entry in enumerate(config.input):
        for later, other in enumerate(config.input[index + 1 :], index + 1):
            if entry.device == other.device and (entry.grab or other.grab):
                names = [numbered("input", number, len(config.input)) for number in (index, later)]
                yield Problem(
                    f"{names[0]}.grab, {names[1]}.grab", f"both are on {shown(entry.device)}: set both to false"
                )


def _target(kind: str, entry: Any) -> str:
    """What the table is about, in words; the same words for the same thing."""
    if getattr(entry, "chip", ""):
        return f"line {shown(entry.line)} of {shown(entry.chip)}"
    match kind:
        case "input":
            return f"{entry.key} of {shown(entry.device)}"
        case "serial":
            return shown(entry.port)
        case "led" if entry.device:
            return f"{entry.led} of {shown(entry.device)}"
        case "led":
            return f"the LED {shown(entry.name)}"
        case "tone" if entry.pwm:
            return f"the PWM channel {entry.pwm.replace('/pwm', '/')}"
        case _:
            return f"the {kind} of {shown(entry.device)}"
