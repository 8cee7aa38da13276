"""What `bwvd install` puts where, and what it leaves alone."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from bwvd.cli.install import DEFAULT_COMMAND, DROP_INS, InstallError, install, shipped_files
from bwvd.cli.main import main
from bwvd.config.load import parse
from bwvd.config.schema import Config

ROOT = Path(__file__).parents[2]
SERVICE = "etc/systemd/system/bwvd.service"
CONFIGURATION = "etc/bwvd/bwvd.toml"


def tree(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def exec_start(root: Path) -> str:
    return next(line for line in (root / SERVICE).read_text().splitlines() if line.startswith("ExecStart="))


def test_everything_is_put_in_place(tmp_path: Path) -> None:
    told = install(tmp_path)
    assert set(tree(tmp_path)) == {
        SERVICE,
        "etc/systemd/system/bwvd-offload.service",
        CONFIGURATION,
        "etc/sysusers.d/bwvd.conf",
        "etc/tmpfiles.d/bwvd.conf",
        "etc/modules-load.d/bwvd.conf",
        "etc/udev/rules.d/70-bwvd.rules",
    }
    assert sum(line.startswith("wrote ") for line in told) == 7
    assert f"    systemctl --root={tmp_path} enable bwvd" in told
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in tmp_path.rglob("*") if path.is_file())


def test_what_a_package_has_put_there_is_not_copied_over(tmp_path: Path) -> None:
    """A file in /etc would stand in for the package's, and for that of its next version."""
    install(tmp_path)
    for name in sorted(tree(tmp_path)):
        if name != CONFIGURATION:
            packaged = tmp_path / name.replace("etc/", "usr/lib/", 1)
            packaged.parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).rename(packaged)
    before = tree(tmp_path)
    told = install(tmp_path)
    assert tree(tmp_path) == before
    assert sum(line.startswith("packaged ") for line in told) == 6
    install(tmp_path, drop_ins=["network-camera"])
    assert set(tree(tmp_path)) - set(before) == {"etc/systemd/system/bwvd.service.d/network-camera.conf"}
    (tmp_path / "usr/lib/systemd/system/bwvd.service").write_text("of another version\n")
    assert f"wrote      {tmp_path / SERVICE}" in install(tmp_path)


@pytest.mark.parametrize("name", ["card", "a card's root"])
def test_what_comes_next_is_done_to_that_root(tmp_path: Path, name: str) -> None:
    """Every command that is printed for another machine's file system names it, and a shell takes its name whole."""
    root = tmp_path / name
    told = install(root)
    commands = [line.strip() for line in told[told.index("next:") + 1 :]]
    assert commands[-1].startswith("bwvd check ")  # on the machine itself
    for command in commands[:-1]:
        for word in shlex.split(command):
            for path in re.findall(r"(?<!\w)/[\w/]+", word.replace(str(root), "ROOT")):
                raise AssertionError(f"{command}: {path} is this machine's")
    assert f"bwvd keygen {shlex.quote(str(root / 'etc/bwvd'))}" in commands


def test_a_second_time_changes_nothing_and_says_so(tmp_path: Path) -> None:
    install(tmp_path, drop_ins=DROP_INS)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}
    told = install(tmp_path, drop_ins=DROP_INS)
    assert {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()
    } == before
    assert sum(line.startswith("unchanged ") for line in told) == len(before) == 11


def test_a_custodian_s_machine_gets_nothing_of_a_camera(tmp_path: Path) -> None:
    told = install(tmp_path, custody=True)
    unit = "etc/systemd/system/bwvd-custody.service"
    assert set(tree(tmp_path)) == {
        unit,
        "etc/bwvd-custody/custody.conf",
        "etc/sysusers.d/bwvd-custody.conf",
        "etc/tmpfiles.d/bwvd-custody.conf",
    }
    assert f"ExecStart={DEFAULT_COMMAND} custody ${{STORE}} " in tree(tmp_path)[unit]
    assert f"    systemctl --root={tmp_path} enable bwvd-custody" in told
    with pytest.raises(InstallError, match="a custodian has none"):
        install(tmp_path, custody=True, drop_ins=DROP_INS)
    configuration = tmp_path / "etc/bwvd-custody/custody.conf"
    configuration.write_text("STORE=file:/mnt/card\n")
    install(tmp_path, custody=True)
    assert configuration.read_text() == "STORE=file:/mnt/card\n"


def test_the_custodian_s_unit_names_what_its_command_takes(tmp_path: Path) -> None:
    """What systemd makes of it, with the configuration as it is shipped and a store named in it."""
    install(tmp_path, custody=True)
    files = tree(tmp_path)
    lines = files["etc/bwvd-custody/custody.conf"].splitlines()
    values = dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line))
    values["STORE"] = f"file:{tmp_path}"
    (start,) = re.findall(r"^ExecStart=(.*)$", files["etc/systemd/system/bwvd-custody.service"], re.MULTILINE)
    words = []
    for word in start.replace("/etc/bwvd-custody", str(tmp_path)).split()[1:]:
        if word == "$OPTIONS":
            words += values["OPTIONS"].split()
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], word))
    (tmp_path / "signers").write_text("")
    done = CliRunner().invoke(main, words, env={name: value for name, value in values.items() if name[:3] == "AWS"})
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(f"bwvd: {tmp_path}/")  # the list or the key: every word was taken


def test_a_configuration_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "etc/bwvd").mkdir(parents=True)
    (tmp_path / CONFIGURATION).write_text('[device]\nid = "MINE"\n')
    for _ in range(2):
        told = install(tmp_path)
        assert (tmp_path / CONFIGURATION).read_text() == '[device]\nid = "MINE"\n'
        assert (tmp_path / f"{CONFIGURATION}.new").read_text() == (ROOT / "systemd/bwvd.toml").read_text()
        assert any(line.startswith("kept ") and f"{CONFIGURATION}.new" in line for line in told)


def test_our_own_files_are_brought_up_to_date(tmp_path: Path) -> None:
    install(tmp_path)
    (tmp_path / SERVICE).write_text("[Service]\nExecStart=/bin/old\n")
    told = install(tmp_path)
    assert f"replaced   {tmp_path / SERVICE}" in told
    assert exec_start(tmp_path) == f"ExecStart={DEFAULT_COMMAND} run"


def test_the_command_is_put_into_the_unit_and_nothing_else_changes(tmp_path: Path) -> None:
    install(tmp_path, command="/usr/lib/bwvd/bin/bwvd")
    assert exec_start(tmp_path) == "ExecStart=/usr/lib/bwvd/bin/bwvd run"
    shipped = (ROOT / "systemd/bwvd.service").read_text()
    assert (tmp_path / SERVICE).read_text() == shipped.replace(DEFAULT_COMMAND, "/usr/lib/bwvd/bin/bwvd")


@pytest.mark.parametrize(
    "command", ["bwvd", "", "/opt/my bwvd", "/opt/%h/bwvd", "/opt/b\nUser=root", "/opt/$HOME/bwvd"]
)
def test_a_command_that_a_unit_would_read_otherwise_is_refused(tmp_path: Path, command: str) -> None:
    with pytest.raises(InstallError, match="ExecStart"):
        install(tmp_path, command=command)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("command", ["/home/pi/venv/bin/bwvd", "/root/bwvd", "/tmp/bin/bwvd"])  # noqa: S108 - only a name
def test_a_command_that_the_sandbox_hides_is_told(tmp_path: Path, command: str) -> None:
    assert any(line.startswith("beware: ") and "/opt" in line for line in install(tmp_path, command=command))


def test_drop_ins_are_put_beside_the_unit(tmp_path: Path) -> None:
    install(tmp_path, drop_ins=["network-camera"])
    assert (tmp_path / f"{SERVICE}.d/network-camera.conf").is_file()
    assert not (tmp_path / f"{SERVICE}.d/hardware-encoder.conf").exists()
    with pytest.raises(InstallError, match="no such drop-in: nonsense"):
        install(tmp_path, drop_ins=["nonsense"])


def test_what_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file where a folder has to be")
    with pytest.raises(InstallError, match=r"^.*/etc.*: .*[a-z]$") as refused:
        install(tmp_path)
    assert "\n" not in str(refused.value)


def test_nothing_half_written_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("bwvd.cli.install.os.fsync", full)
    with pytest.raises(InstallError, match="No space left on device"):
        install(tmp_path)
    assert tree(tmp_path) == {}


def test_it_is_found_in_a_wheel_and_in_a_source_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped_files() == ROOT
    package = tmp_path / "site-packages/bwvd"
    (package / "install/systemd").mkdir(parents=True)
    monkeypatch.setattr("bwvd.cli.install.files", lambda _: package)
    with pytest.raises(InstallError, match="missing from this installation"):
        shipped_files()
    (package / "install/systemd/bwvd.service").touch()
    assert shipped_files() == package / "install"


def test_the_wheel_is_told_to_carry_what_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {
        "systemd": "bwvd/install/systemd",
        "udev": "bwvd/install/udev",
    }


def test_on_this_machine_the_unit_runs_this_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ExecStart is the `bwvd` beside the interpreter that installs."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/bwvd").touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    written: dict[str, str] = {}
    monkeypatch.setattr("bwvd.cli.install._write", lambda target, text: written.update({str(target): text}))
    told = install(Path("/"))
    if "/etc/systemd/system/bwvd.service" in written:  # unless the very same is there
        assert f"ExecStart={tmp_path}/bin/bwvd run" in written["/etc/systemd/system/bwvd.service"]
    assert "    systemctl enable --now bwvd" in told


# --- a configuration that names other places -------------------------------------------------------------------------

RECORDER, CARRIER = f"{SERVICE}.d/paths.conf", "etc/systemd/system/bwvd-offload.service.d/paths.conf"


def configured(root: Path, text: str) -> None:
    (root / "etc/bwvd").mkdir(parents=True, exist_ok=True)
    (root / CONFIGURATION).write_text(text)


def test_the_units_are_for_the_configured_paths(tmp_path: Path) -> None:
    """The recorder writes there, the carrier reads, both wait for the mount; with the usual ones nothing is added."""
    configured(tmp_path, '[storage]\npath = "/srv/card 1/50%"\n[metrics]\ntextfile = "/var/lib/node/bwvd.prom"\n')
    told = install(tmp_path)
    assert f"wrote      {tmp_path / RECORDER}" in told
    recorder, carrier = ((tmp_path / one).read_text().splitlines() for one in (RECORDER, CARRIER))
    assert 'RequiresMountsFor="/srv/card 1/50%%"' in recorder
    assert 'ReadWritePaths="-/srv/card 1/50%%"' in recorder
    assert 'ReadWritePaths="-/var/lib/node"' in recorder
    assert 'BindReadOnlyPaths="-/srv/card 1/50%%"' in carrier
    assert not any("ReadWrite" in line or "node" in line for line in carrier)
    assert f"unchanged  {tmp_path / RECORDER}" in install(tmp_path)
    configured(tmp_path, '[storage]\npath = "/var/lib/bwvd/card"\n')
    assert f"removed    {tmp_path / RECORDER}" in install(tmp_path)
    assert not (tmp_path / RECORDER).exists()
    assert not (tmp_path / CARRIER).exists()


def test_a_path_that_no_service_sees_is_told(tmp_path: Path) -> None:
    configured(tmp_path, '[storage]\npath = "/home/pi/evidence"\n')
    assert "beware: storage.path: /home/pi/evidence lies in /home, which the service can't see" in install(tmp_path)


def test_a_configuration_that_can_not_be_read_is_told_and_stays(tmp_path: Path) -> None:
    configured(tmp_path, "[storage]\npaht = 1\n")
    (line,) = [line for line in install(tmp_path) if line.startswith("beware: ")]
    assert "paht" in line
    assert not (tmp_path / RECORDER).exists()


# --- the commented configuration -------------------------------------------------------------------------------------

SHIPPED = (ROOT / "systemd/bwvd.toml").read_text()


def test_the_shipped_configuration_is_the_default_one() -> None:
    assert parse(SHIPPED, "bwvd.toml") == Config()


def test_every_line_that_is_commented_out_shows_the_default() -> None:
    tables = SHIPPED.split("# --- controls")[0].replace("# profile", "# (profile)")
    said = re.sub(r"(?m)^# (?=[a-z_]+ = )", "", tables)
    assert parse(said, "bwvd.toml") == Config()
    written = tomllib.loads(said)
    for name in (
        "device",
        "video",
        "audio",
        "loop",
        "recording",
        "storage",
        "keys",
        "socket",
        "feedback",
        "power",
        "metrics",
        "offload",
    ):
        section = getattr(Config(), name)
        assert set(written[name]) == set(section.__struct_fields__), name


def test_the_controls_and_indicators_shown_can_be_switched_on() -> None:
    devices = SHIPPED.split("# --- controls")[1]
    said = re.sub(r"(?m)^# (?=[a-z_]+ = |\[)", "", "#" + devices)
    config = parse(said, "bwvd.toml")
    assert (len(config.gpio), len(config.input), len(config.serial)) == (1, 1, 1)
    assert (len(config.led), len(config.haptic), len(config.tone)) == (3, 1, 1)
    assert config.gpio == Config(gpio=[type(config.gpio[0])()]).gpio
    assert config.input == Config(input=[type(config.input[0])()]).input
    assert config.serial == Config(serial=[type(config.serial[0])()]).serial


# --- the units, as far as they can be judged without a service manager -----------------------------------------------


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign] # keys of units are case sensitive
    parser.read_string((ROOT / "systemd/bwvd.service").read_text())
    return parser


def test_memory_neither_swaps_nor_dumps() -> None:
    """Invariant 1: the unit forbids both, also where the process could not."""
    service = unit()["Service"]
    assert service["LimitCORE"] == "0"
    assert service["MemorySwapMax"] == "0"
    assert service["LimitMEMLOCK"] == "infinity"
    assert service["CapabilityBoundingSet"] == ""


def test_groups_and_folders_of_the_unit_are_made() -> None:
    service = unit()["Service"]
    users = (ROOT / "systemd/sysusers.d/bwvd.conf").read_text().splitlines()
    made = {line.split()[1] for line in users if line.startswith("g ")}
    members = {line.split()[2] for line in users if line.startswith("m bwvd ")}
    assert set(service["SupplementaryGroups"].split()) == members
    known = {"video", "audio", "input", "dialout", "render"}  # systemd's own basic.conf makes these
    drop_in = (ROOT / "systemd/bwvd.service.d/hardware-encoder.conf").read_text()
    assert members | set(re.findall(r"(?m)^SupplementaryGroups=(\w+)", drop_in)) <= made | known
    assert any(line.startswith(f"u {service['User']} ") for line in users)
    config = Config()
    storage, witness = service["StateDirectory"].split()
    assert Path(config.storage.path) == Path("/var/lib") / storage
    assert witness.endswith("witness")  # by which the daemon knows it among its folders
    assert Path(config.socket.path).parent == Path("/run") / service["RuntimeDirectory"]
