"""The status document: what is in it, how it is watched, and what is measured of it."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from trio.testing import MockClock

from bwvd.cli.watch import show, view
from bwvd.service.metrics import exposition
from bwvd.service.status_document import Status, StatusUnreadable, read_status
from bwvd.service.textfile import run_textfile, write_textfile
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from tests.support.rig import Rig, configuration

CONTRACT: dict[str, Any] = {
    "state": "recording",
    "device": "BWV-0001",
    "uptime_s": 3725.5,
    "loop": {"seconds": 15.0, "capacity_s": 30.0, "bytes": 7_500_000},
    "recording": {"id": "20261122T071503Z-BWV-0001-000042", "seconds": 12.5, "segments": 11, "committed_s": 11.0},
    "video": {"source": "v4l2:/dev/video0", "encoder": "libx264", "frames": 1000, "dropped": 2},
    "audio": None,
    "storage": {"free_bytes": 12_000_000_000, "minutes_left": 300, "backlog_bytes": 0},
    "faults": [],
    "controls": ["gpio:record", "socket"],
}
FULL: dict[str, Any] = {
    **CONTRACT,
    "version": "0.1.0",
    "boot": "b0071d",
    "stop_asked": True,
    "officer_assigned": True,
    "audio": {"source": "alsa:default", "up": True, "muted": True, "pre_event": False},
    "storage": {
        **CONTRACT["storage"],
        "backlog_bytes": 1_234_567,
        "refuses": "the flash is full",
        "commits": 11,
        "commit_ms": {"p50": 12.5, "p99": 240.0},
        "press_to_commit_ms": None,
    },
    "clock": {"utc": "2026-11-22T07:15:03.000Z", "quality": "synchronised", "uncertainty_us": 1500},
    "power": {"percent": 63, "supply": "battery", "flags": ["undervoltage"]},
    "position": {
        "source": "gpsd://127.0.0.1:2947",
        "receiver": "answers",
        "mode": 3,
        "satellites": 8,
        "error_m": 5.0,
        "age_s": 0.4,
    },
    "faults": ["audio", "power"],
    "fault_details": {"audio": {"detail": "unplugged", "since_s": 3.0}},
}


def test_the_contract_is_enough_and_what_is_new_is_ignored() -> None:
    status = read_status({**CONTRACT, "invented": {"later": 1}})
    assert status.loop.capacity_s == 30
    assert set(CONTRACT) <= set(status.document())
    assert read_status(status.document()) == status


@pytest.mark.parametrize("missing", sorted(CONTRACT))
def test_every_field_of_the_contract_is_needed(missing: str) -> None:
    with pytest.raises(StatusUnreadable, match=f"^not a status: .*`{missing}`"):
        read_status({name: value for name, value in CONTRACT.items() if name != missing})


def test_a_status_survives_json() -> None:
    assert read_status(json.loads(json.dumps(read_status(FULL).document()))) == read_status(FULL)


# --- watching --------------------------------------------------------------------------------------------------------


def seen(status: Status, width: int = 100) -> str:
    """What a person reads: the panel without colours."""
    console = Console(width=width, record=True, file=io.StringIO(), force_terminal=True)
    console.print(view(status))
    return console.export_text()


def test_a_person_sees_what_matters() -> None:
    text = seen(read_status(FULL))
    for part in (
        "R E C O R D I N G",
        "BWV-0001",
        "up 1:02:05",
        "15.0 of 30 s, 7.5 MB",
        "12 s, 11 s on flash in 11 segments",
        "20261122T071503Z-BWV-0001-000042",
        "1000 frames, 2 dropped",
        "alsa:default",
        "muted",
        "12.0 GB free for recordings, 5:00:00 left, 1.2 MB waiting for the flash",
        "the flash is full",
        "12.5 ms, one in a hundred 240 ms",
        "synchronised within 1.5 ms",
        "63 %, battery, undervoltage",
        "gpsd://127.0.0.1:2947: in three dimensions by 8 satellites ±5 m, 0.4 s ago",
        "gpio:record",
        "assigned",
        "press again to confirm the stop",
        "! audio  unplugged",
        "! power",
    ):
        assert part in text, part


def rows_of(status: Status, height: int, width: int = 80) -> list[str]:
    """The view as a terminal of so many rows shows it: Live cuts off what is below."""
    console = Console(width=width, height=height, record=True, file=io.StringIO(), force_terminal=True)
    console.print(view(status))
    return console.export_text().splitlines()


@pytest.mark.parametrize("height", [6, 8, 12, 16, 24, 50])
def test_the_state_and_the_faults_stay_in_sight_on_a_short_terminal(height: int) -> None:
    rows = rows_of(read_status(FULL), height)
    inside = "\n".join(rows[: height - 1])  # the last row may be the mark that more was cut off
    for part in ("2 faults", "R E C O R D I N G", "! audio  unplugged", "! power"):
        assert part in inside, part


@pytest.mark.parametrize(("rows", "columns"), [(8, 60), (6, 60), (9, 40), (24, 30)])
def test_the_detail_of_one_fault_hides_no_other(rows: int, columns: int) -> None:
    """A long detail is worth less than that there is another fault, or how many there are."""
    names = ["camera", "storage:stalled", "privacy:swap", "clock"]
    details = {name: {"detail": "as a driver says it, " * 9, "since_s": 3.0} for name in names}
    status = read_status({**FULL, "stop_asked": False, "faults": names, "fault_details": details})
    lines = rows_of(status, rows, columns)
    inside = "\n".join(lines[: rows - 1])
    for part in ("4 faults", *names):
        assert part in inside, part


def test_on_a_terminal_that_is_tall_enough_nothing_is_cut() -> None:
    tall = rows_of(read_status(FULL), 50)
    flat = rows_of(read_status(FULL), len(tall) - 3)
    assert len(flat) <= len(tall) - 3
    assert {line.strip(" │") for line in tall} - {line.strip(" │") for line in flat} <= {""}


def test_the_state_is_one_block_across_the_panel() -> None:
    console = Console(width=80, height=50, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(view(read_status({**CONTRACT, "state": "standby"})))
    drawn = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    green = [len(found[1]) for found in re.finditer(r"\x1b\[[0-9;]*42m([^\x1b]*)\x1b", drawn)]
    lines = [line for line in drawn.splitlines() if re.search(r"\x1b\[[0-9;]*42m", line)]
    assert len(lines) == 5
    assert sum(green) == 5 * (80 - 4)


def test_the_bar_is_as_full_as_the_loop() -> None:
    cells = [
        sum(
            cell == "━"
            for cell in seen(read_status({**CONTRACT, "loop": {"seconds": s, "capacity_s": 30.0, "bytes": 0}}))
        )
        for s in (30.0, 45.0)
    ]
    assert cells == [40, 40]
    half = Console(width=100, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    half.print(view(read_status(CONTRACT)))
    drawn = half.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    first = re.search(r"\x1b\[[0-9;]*m(━+)\x1b", drawn)
    assert first is not None
    assert len(first[1]) == 20


EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x00\r\n\u202etxt\u2066[bold red]x[/]\x7f"


def poisoned(value: Any) -> Any:
    """Every text of a document with something in it that a terminal would obey."""
    match value:
        case str():
            return value + EVIL
        case dict():
            return {name + EVIL if name == "audio" else name: poisoned(inner) for name, inner in value.items()}
        case list():
            return [poisoned(inner) for inner in value]
        case _:
            return value


def test_no_text_can_command_the_terminal() -> None:
    """Names, labels and details come from devices and from people."""
    document = poisoned(FULL) | {"audio": poisoned(FULL["audio"])}
    console = Console(width=120, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(view(read_status(document)))
    drawn = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    left = re.sub(r"\x1b\[[0-9;]*m", "", drawn)  # rich's own colours and nothing else
    assert "owned" in left
    assert [c for c in left if not c.isprintable() and c != "\n"] == []
    assert "\x1b[2J" not in drawn
    assert "[bold red]" in left  # shown, not obeyed


@given(st.text(max_size=40))
def test_no_text_whatever_can_command_the_terminal(text: str) -> None:
    document = {**CONTRACT, "device": text, "state": text, "faults": [text], "controls": [text]}
    drawn = seen(read_status(document))
    assert [c for c in drawn if not c.isprintable() and c != "\n"] == []


def test_watching_shows_each_document_until_there_are_no_more_or_ctrl_c() -> None:
    console = Console(width=100, file=io.StringIO(), force_terminal=True)

    def documents() -> Iterator[Mapping[str, Any]]:
        yield CONTRACT
        yield {**CONTRACT, "state": "post_roll"}
        raise KeyboardInterrupt

    show(documents(), console)
    drawn = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    assert "R E C O R D I N G" in drawn
    assert "P O S T   R O L L" in drawn
    show([], console)


# --- metrics ---------------------------------------------------------------------------------------------------------

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (-?(?:[0-9.]+(?:e[+-]?[0-9]+)?|Inf)|NaN)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """A strict reader of the Prometheus text format: each family once, HELP and TYPE before its samples, no doubles."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    families: set[str] = set()
    helped = typed = ""
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            helped = line.split(" ")[2]
            assert helped not in families
            families.add(helped)
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            assert typed == helped
            assert kind in {"gauge", "counter"}
            assert (kind == "counter") == typed.endswith("_total")
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample[1] == typed
            labels, rest = [], sample[2] or ""
            while rest:
                label = LABEL.match(rest)
                assert label is not None, rest
                value = re.sub(r"\\(.)", lambda escaped: {"n": "\n"}.get(escaped[1], escaped[1]), label[2])
                labels.append((label[1], value))
                rest = rest[label.end() :]
            key = (sample[1], tuple(labels))
            assert key not in found
            found[key] = float(sample[3])
    return found


def test_metrics_say_what_the_status_says() -> None:
    found = parsed(exposition(read_status(FULL)))
    assert found["bwvd_info", (("device", "BWV-0001"), ("version", "0.1.0"), ("boot", "b0071d"))] == 1
    states = {labels[0][1]: value for (name, labels), value in found.items() if name == "bwvd_state"}
    assert states == {"asleep": 0, "standby": 0, "recording": 1, "post_roll": 0}
    plain = {name: value for (name, labels), value in found.items() if not labels}
    assert plain["bwvd_loop_seconds"] == 15
    assert plain["bwvd_storage_left_seconds"] == 18_000
    assert plain["bwvd_video_frames_dropped_total"] == 2
    assert plain["bwvd_battery_percent"] == 63
    assert plain["bwvd_clock_uncertainty_seconds"] == pytest.approx(0.0015)
    assert plain["bwvd_faults"] == 2
    assert found["bwvd_storage_commit_seconds", (("quantile", "0.99"),)] == 0.24
    assert found["bwvd_fault", (("name", "audio"),)] == 1


def test_what_is_not_known_is_left_out() -> None:
    names = {name for name, _ in parsed(exposition(read_status(CONTRACT)))}
    assert not names & {"bwvd_battery_percent", "bwvd_storage_commit_seconds", "bwvd_clock_synchronised", "bwvd_fault"}
    assert "bwvd_faults" in names


@given(st.text(), st.lists(st.text(), max_size=4), st.floats(0, 1e12))
def test_metrics_are_well_formed_whatever_the_texts(device: str, faults: list[str], uptime_s: float) -> None:
    document = {**FULL, "device": device, "faults": faults, "uptime_s": uptime_s}
    found = parsed(exposition(read_status(document)))
    info = next(labels for name, labels in found if name == "bwvd_info")
    assert info[0] == ("device", device)
    assert {labels[0][1] for name, labels in found if name == "bwvd_fault"} == set(faults)
    assert found["bwvd_uptime_seconds", ()] == uptime_s


def test_the_file_is_replaced_as_a_whole_and_links_are_not_followed(tmp_path: Path) -> None:
    path, other = tmp_path / "bwvd.prom", tmp_path / "other"
    other.write_text("precious")
    (tmp_path / ".bwvd.prom.new").symlink_to(other)
    write_textfile(path, "one\n")
    before = path.stat().st_ino
    with path.open() as held:
        write_textfile(path, "two\n")
        assert held.read() == "one\n"
    assert path.read_text() == "two\n"
    assert path.stat().st_ino != before
    assert path.stat().st_mode & 0o777 == 0o644
    assert other.read_text() == "precious"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bwvd.prom", "other"]


async def test_the_actor_writes_tells_trouble_once_and_cleans_up(tmp_path: Path, mock_clock: MockClock) -> None:
    path = tmp_path / "metrics" / "bwvd.prom"
    faults: list[tuple[str, bool, str]] = []
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[None]) -> None:
            await run_textfile(
                path, lambda: read_status(FULL), lambda *fault: faults.append(fault), task_status=task_status
            )

        await nursery.start(run)
        await until(lambda: bool(faults))
        assert faults == [("metrics", True, f"{path}: No such file or directory")]
        mock_clock.jump(15)
        path.parent.mkdir()
        mock_clock.jump(15)
        await until(path.exists)
        await until(lambda: len(faults) == 2)
        assert faults[1] == ("metrics", False, "")
        assert parsed(path.read_text())["bwvd_uptime_seconds", ()] == 3725.5
        nursery.cancel_scope.cancel()
    assert list(path.parent.iterdir()) == []


async def until(holds: Any) -> None:
    """Let trio's threads come back until something holds; the clock of the test stands still meanwhile."""
    for _ in range(10_000):
        if holds():
            return
        await trio.to_thread.run_sync(os.sched_yield)
    raise AssertionError("it never held")


def test_the_contract_is_that_of_the_types() -> None:
    needed = {field.name for field in msgspec.structs.fields(Status) if field.required}
    assert needed == set(CONTRACT)


async def test_what_a_daemon_says_is_a_status(autojump_clock: MockClock) -> None:
    """The document of a whole daemon, in standby and while it records, keeps the contract to the letter."""
    clock = VirtualClock()
    rig = Rig(clock=clock, camera=VirtualCamera(clock, rate=10, gop_frames=10))
    async with rig.running() as daemon:
        await trio.sleep(5)
        standby = daemon.status()
        await rig.press()
        await trio.sleep(5)
        recording = daemon.status()
        await rig.stop()
        await rig.closed()
    for document in (standby, recording):
        assert read_status(json.loads(json.dumps(document))).document() == document
        assert set(CONTRACT) <= set(document)
        for part in ("loop", "video", "storage"):
            assert set(CONTRACT[part]) <= set(document[part])
        parsed(exposition(read_status(document)))
    assert set(recording["recording"]) >= set(CONTRACT["recording"])
    assert "R E C O R D I N G" in seen(read_status(recording))


async def test_a_program_that_has_given_nothing_yet_is_shown_by_its_name(autojump_clock: MockClock) -> None:
    """Its arguments may hold a password, and nothing says yet what was opened."""
    source = "exec:camera --password hunter2"
    rig = Rig(config=configuration(video={"source": source, "format": "nut"}), clock=VirtualClock())
    async with rig.running() as daemon:
        status = daemon.status()
    assert status["video"]["source"] == "exec:camera"
