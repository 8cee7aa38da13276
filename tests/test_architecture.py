"""The structure that DESIGN describes, held against the files themselves."""

from __future__ import annotations

import ast
import re

import pytest

from tests.source_tree import PACKAGE, ROOT, files, imports, modules, reach, tree
from tests.suite_map import citations

MODULES = modules()

# Decides, and takes the time as an argument: tested by properties, without threads, devices or an event loop.
PURE_CORE = (
    "bwvd.recorder.loop",
    "bwvd.recorder.machine",
    "bwvd.controls.gesture",
    "bwvd.capture.timeline",
    "bwvd.evidence.manifest",
    "bwvd.feedback.patterns",
)

# Protocols and the types of their arguments: their signatures name trio, their code does nothing with it.
CONTRACTS = frozenset(
    {"bwvd.capture.source", "bwvd.controls.control", "bwvd.evidence.storage", "bwvd.feedback.lamp"}
)  # fmt: skip

AREAS = ("capture", "controls", "evidence", "feedback")

INVARIANTS = range(1, 13)

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


def test_the_areas_do_not_know_each_other() -> None:
    wrong = [
        f"{name} imports {found}"
        for name, path in MODULES.items()
        for found in imports(path)
        if name.count(".") and (own := name.split(".")[1]) in AREAS
        if found.startswith("bwvd.") and (other := found.split(".")[1]) in AREAS
        if own != other and found not in CONTRACTS
    ]
    assert wrong == []


def test_only_the_composition_roots_know_everybody() -> None:
    """The areas don't reach up: who wires them is not imported by them."""
    roots = {"bwvd.daemon", "bwvd.cli", "bwvd.demo", "bwvd.main"}
    wrong = [
        f"{name} imports {found}"
        for name, path in MODULES.items()
        for found in imports(path) & roots
        if name.count(".") and name.split(".")[1] in (*AREAS, "recorder", "service", "settings", "log")
    ]
    assert wrong == []


def test_nothing_that_ships_needs_the_test_libraries() -> None:
    found = {library.split(".")[0] for path in MODULES.values() for library in imports(path)}
    assert not found & {"pytest", "hypothesis", "tests", "pytest_trio"}


def test_the_vocabulary_imports_nothing_of_ours() -> None:
    assert not {name for name in imports(MODULES["bwvd.messages"]) if name.split(".")[0] in ("bwvd", "trio", "av")}


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
    for path in [*MODULES.values(), *sorted((ROOT / "tests").glob("*.py"))]:
        if path.name == "test_architecture.py":
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
                if isinstance(event, ast.Name) and name == "bwvd.hub":
                    continue  # the event's own type gives the name
                if not (isinstance(literal, str) and re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", literal)):
                    wrong.append(f"{name}:{node.lineno}")
    assert wrong == []


def test_nothing_of_one_machine_is_in_the_tree() -> None:
    """No path that exists on one machine only, and no host of a package registry."""
    anywhere = re.compile(r"(?<![\w.-])/(?:work|Users|tmp/venv)/\w")
    shipped = re.compile(r"(?<![\w.-])/(?:home|root)/\w")  # tests may use somebody's home as an example
    registries = ("pypi" + ".org", "python" + "hosted.org", "index" + "-url", "ghcr" + ".io", "docker" + ".io")
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
    assert list((PACKAGE / "profiles").glob("*.toml"))
