"""Checks of each value by itself: its range, its grammar, its characters. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bwvd.config import schema as c
from bwvd.config import syntax as grammar
from bwvd.config.keys import join, sections
from bwvd.config.limits import AAC_RATES, BAUDS, LIMITS, MAX_LINE
from bwvd.config.problem import Problem, shown


def problems(config: c.Config) -> Iterator[Problem]:
    """What is wrong, table by table, in the order of the types."""
    for table, section in sections(config):
        limits = LIMITS.get(type(section), {})
        judges = _JUDGES.get(type(section), {})
        for key in section.__struct_fields__:
            value = getattr(section, key)
            if isinstance(value, str) and not value.isprintable():
                yield Problem(join(table, key), "holds a character that can't be printed")
            elif isinstance(value, list):
                yield from _entries(join(table, key), value)
            elif key in limits and not limits[key].allows(value):
                yield Problem(f"{join(table, key)} = {shown(value)}", f"must be {limits[key].text}")
            elif key in judges and (wrong := judges[key](value)):
                yield Problem(f"{join(table, key)} = {shown(value)}", wrong)


def _entries(key: str, entries: list[object]) -> Iterator[Problem]:
    judge = _ENTRY_JUDGES.get(key.rpartition(".")[2])
    for index, entry in enumerate(entries):
        if judge is None or not isinstance(entry, str):
            continue
        wrong = judge(entry) if entry.isprintable() else "holds a character that can't be printed"
        if wrong:
            yield Problem(f"{key}, entry {index + 1}", wrong)


def _or_empty(judge: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: judge(text) if text else ""


def _folder(text: str) -> str:
    wrong = grammar.absolute(text)
    if not wrong and not text.strip("/"):
        return "must be a folder of its own, not the root"
    return wrong


def _file_name(text: str) -> str:
    return "" if grammar.FILE_NAME.fullmatch(text) else "must be one name, without /"


def _gpio_line(line: int | str) -> str:
    if isinstance(line, int):
        return "" if 0 <= line <= MAX_LINE else f"must be from 0 to {MAX_LINE}, or a line's name"
    return "" if line.strip() else "must be a line's number or its name"


def _gesture(text: str) -> str:
    if text == "assign":
        return "needs the wearer's id, which a gesture can't give"
    return grammar.order(text) if text else ""


def _baud(value: int) -> str:
    return "" if value in BAUDS else f"must be one of {', '.join(str(baud) for baud in BAUDS)}"


def _aac_rate(value: int) -> str:
    return "" if value in AAC_RATES else f"must be one of AAC's, {', '.join(str(rate) for rate in AAC_RATES)}"


def _textfile(text: str) -> str:
    wrong = grammar.absolute(text)
    if not wrong and not text.endswith(".prom"):
        return "must end with .prom: the collector reads no other file"
    return wrong


_PLACE = {"chip": _or_empty(grammar.gpio_chip), "line": _gpio_line}

_JUDGES: dict[type[c.Section], dict[str, Callable[[Any], str]]] = {
    c.Device: {"id": grammar.device_id},
    c.Video: {
        "source": grammar.video_source,
        "size": grammar.size,
        "encoder": grammar.codec_word,
        "preset": _or_empty(grammar.codec_word),
        "ca_file": _or_empty(grammar.absolute),
        "pixel_format": _or_empty(grammar.codec_word),
    },
    c.Audio: {"source": grammar.audio_source, "rate": _aac_rate},
    c.Storage: {"path": _folder, "witness": lambda text: "" if text in ("", "auto") else _folder(text)},
    c.Keys: {"signing": grammar.absolute},
    c.Socket: {"path": grammar.socket_path},
    c.Gestures: dict.fromkeys(("press", "hold", "double", "press_hold"), _gesture),
    c.Gpio: {"chip": grammar.gpio_chip, "line": _gpio_line},
    c.Input: {"device": grammar.absolute, "key": grammar.key_name},
    c.Serial: {"port": grammar.absolute, "baud": _baud},
    c.Led: {"name": _or_empty(_file_name), "device": _or_empty(grammar.absolute), **_PLACE},
    c.Haptic: {"device": _or_empty(grammar.absolute), **_PLACE},
    c.Tone: {"device": _or_empty(grammar.absolute), "pwm": _or_empty(grammar.pwm_channel), **_PLACE},
    c.Power: {"supply": _or_empty(_file_name)},
    c.Metrics: {"textfile": _or_empty(_textfile)},
    c.Offload: {
        "store": grammar.store,
        "endpoint": _or_empty(grammar.endpoint),
        "region": grammar.region,
        "credentials": grammar.absolute,
    },
    c.Gnss: {"source": grammar.receiver, "baud": _baud},
    c.Witness: {"certs": _or_empty(grammar.absolute)},
}

_ENTRY_JUDGES: dict[str, Callable[[str], str]] = {
    "allow": grammar.order,
    "recipients": grammar.recipient,
    "release": grammar.absolute,
    "tsa": grammar.authority,
}
