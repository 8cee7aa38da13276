"""The structure that DESIGN describes, held against the files themselves."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.source_tree import PACKAGE, ROOT, files, imports, modules, reach, tree
from tests.support.suite_map import citations

MODULES = modules()

# Decides, and takes the time as an argument: tested by properties, without threads, devices or an event loop.
PURE_CORE = (
    "bwvd.recorder.loop",
    "bwvd.recorder.state_machine",
    "bwvd.controls.gesture",
    "bwvd.capture.timestamps",
    "bwvd.capture.program.annexb",
    "bwvd.capture.program.arrival_beat",
    "bwvd.evidence.format.records",
    "bwvd.evidence.format.chain_reader",
    "bwvd.evidence.format.decode",
    "bwvd.feedback.patterns",
    "bwvd.offload.book",
)

# Protocols and the types of their arguments: their signatures name trio, their code does nothing with it.
CONTRACTS = frozenset(
    {"bwvd.capture.source", "bwvd.controls.ports", "bwvd.evidence.flash.volume", "bwvd.feedback.ports"}
)  # fmt: skip

# Who may import whom, by room: a package, or one file of it where no more may be used. A room's own files import each
# other. What stands in no list is forbidden, also under TYPE_CHECKING and inside functions.
GROUND = {"", "clock", "hashing", "text"}  # "" is the version
VOCABULARY = {*GROUND, "media", "messages"}
ON_THE_CAMERA = {*VOCABULARY, "config.schema", "log", "service.backoff", "service.supervised", "service.pulse"}
FORMAT = {"evidence.errors", "evidence.flash", "evidence.keys", "evidence.format"}
ALLOWED: dict[str, set[str]] = {
    "__main__": {"cli"},
    "clock": set(),
    "hashing": set(),
    "text": set(),
    "media": {"clock"},
    "messages": {"media"},
    "config": {"hashing", "text", "messages", "media.presets"},
    "log": {"clock", "text"},
    "service": ON_THE_CAMERA,
    "recorder": ON_THE_CAMERA,
    "capture": ON_THE_CAMERA,
    "capture.audio": {*ON_THE_CAMERA, "capture"},
    "capture.video": {*ON_THE_CAMERA, "capture"},
    "capture.program": {*ON_THE_CAMERA, "capture"},
    "capture.device": {*ON_THE_CAMERA, "capture", "capture.audio", "capture.program", "capture.video"},
    "controls": {*ON_THE_CAMERA, "service.gpio_chip", "service.evdev_library"},
    "feedback": {*ON_THE_CAMERA, "service.gpio_chip", "service.evdev_library"},
    "position": {*ON_THE_CAMERA},
    "evidence.errors": set(),
    "evidence.flash": {*GROUND, "evidence.errors", "evidence.format.layout"},  # layout: names alone, imports nothing
    "evidence.keys": {*GROUND, "evidence.errors", "evidence.flash"},
    "evidence.format": {*GROUND, "evidence.errors", "evidence.flash", "evidence.keys"},
    "evidence.write": {*ON_THE_CAMERA, *FORMAT},
    "evidence.journal": {*ON_THE_CAMERA, *FORMAT},
    "evidence.verify": {*GROUND, "media", *FORMAT},
    "evidence.release": {*ON_THE_CAMERA, *FORMAT, "evidence.write", "evidence.journal", "evidence.verify"},
    "evidence.startup": {*ON_THE_CAMERA, *FORMAT, "evidence.write", "evidence.journal", "evidence.verify"},
    "evidence.export": {*GROUND, "media", *FORMAT, "evidence.verify"},
    "evidence.evidence_side": {
        *ON_THE_CAMERA, *FORMAT, "evidence.write", "evidence.journal", "evidence.release", "evidence.startup",
    },
    # Where recordings go: the carrier, the custodian and the desk reach a store through it.
    "store": {
        *GROUND, "service.backoff", "evidence.flash.volume", "evidence.flash.regular_file", "evidence.format.layout",
        "evidence.format.recording_id",
    },
    "store.s3": {*GROUND, "store", "service.backoff", "evidence.flash.regular_file"},
    "store.open": {"store", "store.s3"},
    # Carries from the flash to the store: holds no key, knows the recorder by its socket alone.
    "offload": {
        *ON_THE_CAMERA, "service", "controls.client", "store", "store.open", "store.s3.http", "evidence.errors",
        "evidence.flash", "evidence.format", "evidence.keys.rfc3161",
    },
    # Takes recordings over on a machine of its own: it reads what the camera wrote, and signs receipts.
    "custody": {
        *GROUND, *FORMAT, "log", "service.backoff", "store", "evidence.verify", "evidence.release.receipt",
        "evidence.release.issue", "evidence.export.sealed_text", "evidence.export.search",
    },
    # Shows, verifies and hands out on a machine of its own. Of the custodian's it reads the index and the store's
    # folders, and writes a log of the same make.
    "desk": {
        *GROUND, *FORMAT, "media", "store", "store.open", "evidence.verify", "evidence.export",
        "evidence.release.receipt", "evidence.release.issue", "custody.bridge", "custody.shelf", "custody.index",
        "custody.schema", "custody.texts", "custody.log", "custody.verify_store", "custody.journals", "custody.judge",
    },
    "daemon": {
        *ON_THE_CAMERA, "config", "service", "recorder", "capture", "capture.device", "capture.video.encoder_choice",
        "position", "capture.audio.drift_statistics", "controls", "feedback", "evidence.evidence_side",
        "evidence.errors", "evidence.flash", "evidence.keys",
        "evidence.format", "evidence.write", "evidence.journal.events", "evidence.journal.witness",
        "evidence.release", "evidence.startup",
    },
    "cli": {
        *ON_THE_CAMERA, "config", "daemon", "service", "controls", "capture", "capture.device",
        "capture.program.rpicam_cameras", "capture.video.encoder_choice", "capture.video.jpeg", "feedback",
        "evidence.errors", "evidence.flash", "evidence.format",
        "evidence.keys", "evidence.verify", "evidence.export", "evidence.release.receipt", "evidence.release.issue",
        "offload", "custody", "desk", "store", "store.open", "position",
        "evidence.startup.admission",
    },
    "testing": {
        *VOCABULARY, "config.schema", "capture", "capture.video.presentation",
        "capture.video.encoder", "capture.video.pixel_format", "controls",
        "feedback.ports", "service", "evidence.flash.volume", "evidence.errors", "evidence.journal.witness",
        "capture.video.libav_encoder", "store", "position",
    },
    "testing.conformance": {
        *VOCABULARY, "capture.source", "controls.ports", "controls.serial", "feedback.ports", "service",
        "evidence.flash.volume", "evidence.journal.witness", "store", "position", "testing.receiver",
    },
    "testing.flash": {"evidence.flash.volume"},
}  # fmt: skip

INVARIANTS = range(1, 17)

MAX_LINES = 450  # a file of this length holds two concepts


@pytest.mark.parametrize("name", PURE_CORE)
def test_the_core_is_pure(name: str) -> None:
    assert name in MODULES
    direct = {found.split(".")[0] for found in imports(MODULES[name])}
    assert not direct & {"trio", "av", "time", "threading", "os", "asyncio"}
    loaded = reach(name, stop=CONTRACTS)
    for library in ("trio", "av"):
        through = sorted(f"{by} imports {module}" for module, by in loaded.items() if module.split(".")[0] == library)
        assert through == [], f"{name} reaches {library}"


@pytest.mark.parametrize("name", ["bwvd.evidence.export.catalogue", "bwvd.evidence.export.describe"])
def test_what_only_looks_at_recordings_needs_no_cryptography(name: str) -> None:
    assert not [found for found in reach(name) if found.startswith(("cryptography", "bwvd.evidence.keys"))]


def room_of(module: str) -> str:
    """The key of ALLOWED that a module belongs to: its package, or itself where it stands for itself."""
    inside = module.removeprefix("bwvd").removeprefix(".")
    if inside in ALLOWED:
        return inside
    return inside if MODULES[module].name == "__init__.py" else inside.rpartition(".")[0]


@pytest.mark.parametrize("name", MODULES)
def test_a_room_imports_only_what_it_may(name: str) -> None:
    """HOUSE's table of who may import whom."""
    room = room_of(name)
    allowed = ALLOWED.get(room, ALLOWED.get(room.rpartition(".")[0], set()))
    for found in sorted(imports(MODULES[name], typing=True)):
        if found not in MODULES or room_of(found) == room:
            continue
        inside = found.removeprefix("bwvd").removeprefix(".")
        assert inside in allowed or room_of(found) in allowed, (
            f"{name} imports {found}: the room {room!r} may import {', '.join(sorted(allowed)) or 'nothing of ours'}"
        )


def test_the_table_names_rooms_that_are_there() -> None:
    there = {name.removeprefix("bwvd").removeprefix(".") for name in MODULES}
    named = {*ALLOWED, *(room for allowed in ALLOWED.values() for room in allowed)}
    assert sorted(named - there) == []
    rooms = {room_of(name) for name, path in MODULES.items() if path.name != "__init__.py"}
    assert sorted(rooms - ALLOWED.keys() - {""}) == []


def test_no_circle_of_files() -> None:
    """Also under TYPE_CHECKING and inside functions."""
    todo = {name: {found for found in imports(path, typing=True) if found in MODULES} for name, path in MODULES.items()}
    while leaves := {name for name, found in todo.items() if not found - {name}}:
        todo = {name: found - leaves for name, found in todo.items() if name not in leaves}
    assert sorted(todo) == [], "these import each other, or what does"


def test_nothing_that_ships_needs_the_test_libraries() -> None:
    found = {library.split(".")[0] for path in MODULES.values() for library in imports(path)}
    assert not found & {"pytest", "hypothesis", "tests", "pytest_trio"}


def test_the_vocabulary_imports_nothing_but_what_a_sample_is() -> None:
    found = {name for name in imports(MODULES["bwvd.messages"]) if name.split(".")[0] in ("bwvd", "trio", "av")}
    assert found <= {"bwvd.media.samples"}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_for_and_holds_one_concept(name: str) -> None:
    path = MODULES[name]
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES
    if lines:  # an empty __init__ has nothing to say
        assert ast.get_docstring(tree(path))


def test_no_name_that_names_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "base"}
    assert [name for name in MODULES if name.rpartition(".")[2] in vague] == []


def test_what_is_switched_off_says_why() -> None:
    """Every `noqa` names its rule and every `type: ignore` its error, and a reason stands beside it."""
    comment = re.compile(r"#\s*(noqa|type:\s*ignore)(.*)$")
    reasoned = re.compile(r"(: [A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)*|\[[a-z, -]+\])\W+\w+")
    wrong = []
    for path in [*MODULES.values(), *sorted((ROOT / "tests").rglob("*.py"))]:
        if path.name == "repo/test_architecture.py":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = comment.search(line)
            if found and not reasoned.match(found[2]):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert wrong == []


def test_log_events_have_stable_names() -> None:
    wrong = []
    for name, path in MODULES.items():
        for node in ast.walk(tree(path)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            of = node.func.value
            is_log = isinstance(of, ast.Name) and of.id in ("_log", "log", "logger")
            if is_log and node.func.attr in ("debug", "info", "warning", "error", "critical", "exception"):
                event = node.args[0]
                literal = event.value if isinstance(event, ast.Constant) else None
                if isinstance(event, ast.Name) and name == "bwvd.daemon.event_bus":
                    continue  # the event's own type gives the name
                if not (isinstance(literal, str) and re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", literal)):
                    wrong.append(f"{name}:{node.lineno}")
    assert wrong == []


def test_nothing_of_one_machine_is_in_the_tree() -> None:
    """No path that exists on one machine only, and no host of a package registry."""
    anywhere = re.compile(r"(?<![\w.-])/(?:work|Users|tmp/venv)/\w")
    shipped = re.compile(r"(?<![\w.-])/(?:home|root)/\w")  # tests may use somebody's home as an example
    registries = (
        *("pypi" + ".org", "python" + "hosted.org", "index" + "-url", "ghcr" + ".io", "docker" + ".io"),
        *("deb.debian" + ".org", "security.debian" + ".org", "ftp.debian" + ".org"),
    )
    wrong = []
    for path in files():
        text = path.read_text(encoding="utf-8", errors="replace")
        in_tests = path.is_relative_to(ROOT / "tests")
        found = [
            *anywhere.findall(text),
            *([] if in_tests else shipped.findall(text)),
            *(host for host in registries if host in text),
        ]
        wrong += [f"{path.relative_to(ROOT)}: {needle}" for needle in found]
    assert wrong == []


def test_every_invariant_is_proved_by_a_test_that_cites_it() -> None:
    found = citations()
    missing = [number for number in INVARIANTS if number not in found]
    assert missing == [], f"no test cites invariant {', '.join(map(str, missing))}"
    assert found.keys() <= set(INVARIANTS)


def test_data_files_are_in_the_package() -> None:
    """What is read at run time lies beside the code, so that the wheel has it."""
    assert (PACKAGE / "py.typed").is_file()
    assert list((PACKAGE / "config" / "profiles").glob("*.toml"))
