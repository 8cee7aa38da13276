"""The units, users and rules, judged by systemd's own tools."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bwvd.cli.install import DROP_INS, install
from bwvd.config.schema import Config
from tests.support.documents import page
from tests.support.source_tree import ROOT
from tests.support.stock import need

MOST_EXPOSURE = 15  # tenths: 1.5


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def installed(root: Path, *drop_ins: str) -> Path:
    """The unit as it is installed, with a command that is there."""
    install(root, command=need("true"), drop_ins=drop_ins)
    return root / "etc/systemd/system/bwvd.service"


@pytest.mark.parametrize("drop_ins", [(), *((one,) for one in DROP_INS), DROP_INS])
def test_the_unit_verifies(tmp_path: Path, drop_ins: tuple[str, ...]) -> None:
    done = run(need("systemd-analyze"), "verify", str(installed(tmp_path, *drop_ins)))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_units_verify_for_other_paths(tmp_path: Path) -> None:
    """As systemd itself reads what is quoted and doubled."""
    (tmp_path / "etc/bwvd").mkdir(parents=True)
    (tmp_path / "etc/bwvd/bwvd.toml").write_text('[storage]\npath = "/srv/card 1/50%"\n')
    unit = installed(tmp_path)
    for one in (unit, unit.with_name("bwvd-offload.service")):
        assert one.with_name(f"{one.name}.d").joinpath("paths.conf").is_file()
        done = run(need("systemd-analyze"), "verify", str(one))
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    drop_in = unit.with_name("bwvd.service.d") / "paths.conf"
    drop_in.write_text(drop_in.read_text().replace('"-/srv/card 1/50%%"', "-/srv/card 1/50%%"))
    said = run(need("systemd-analyze"), "verify", str(unit)).stderr
    assert "1/50" in said, "without the quotes it would be two paths, one of which is none"


def test_verifying_would_find_a_misspelt_line(tmp_path: Path) -> None:
    unit = installed(tmp_path)
    unit.write_text(unit.read_text().replace("MemorySwapMax=", "MemorySwapMaximum="))
    assert "MemorySwapMaximum" in run(need("systemd-analyze"), "verify", str(unit)).stderr


def test_the_carrier_s_unit_verifies_and_is_tight(tmp_path: Path) -> None:
    """The one process of the camera's that the network reaches."""
    analyze, unit = need("systemd-analyze"), str(installed(tmp_path).with_name("bwvd-offload.service"))
    done = run(analyze, "verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    done = run(analyze, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}", unit)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_the_custodian_s_unit_verifies_and_is_tight(tmp_path: Path) -> None:
    install(tmp_path, command=need("true"), custody=True)
    analyze, unit = need("systemd-analyze"), str(tmp_path / "etc/systemd/system/bwvd-custody.service")
    done = run(analyze, "verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    done = run(analyze, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}", unit)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_the_custodian_has_a_user_of_its_own_whose_key_root_alone_writes(tmp_path: Path) -> None:
    if run("id", "-u").stdout.strip() != "0":
        pytest.skip("needs root, to give folders to others")
    install(tmp_path, command=need("true"), custody=True)
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).touch()
    done = run(need("systemd-sysusers"), f"--root={tmp_path}", "bwvd-custody.conf")
    assert (done.returncode, {line.split()[0] for line in done.stderr.splitlines()}) == (0, {"Creating"})
    done = run(need("systemd-tmpfiles"), f"--root={tmp_path}", "--create", "bwvd-custody.conf")
    assert (done.returncode, done.stderr) == (0, "")
    groups = dict(line.split(":")[:3:2] for line in (tmp_path / "etc/group").read_text().splitlines())
    folder = (tmp_path / "etc/bwvd-custody").stat()
    assert (folder.st_mode & 0o7777, folder.st_uid) == (0o750, 0)
    assert folder.st_gid == int(groups["bwvd-custody"])


def test_the_carrier_sees_no_key_and_no_witness() -> None:
    """Invariant 16: with the recorder's group it could read both; its unit shows it the storage and no more."""
    unit = (ROOT / "systemd/bwvd-offload.service").read_text()
    told = [line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#")]
    words = {
        name: [word.lstrip("-") for key, value in told if key == name for word in value.split()]
        for name in ("TemporaryFileSystem", "BindReadOnlyPaths", "BindPaths", "ReadWritePaths", "SupplementaryGroups")
    }
    config = Config()
    hidden = [word.removesuffix(":ro") for word in words["TemporaryFileSystem"]]
    assert words["SupplementaryGroups"] == ["bwvd"]
    assert words["BindPaths"] == []
    assert words["ReadWritePaths"] == ["/mnt"]
    for path in (config.keys.signing, "/var/lib/bwvd-witness"):
        assert any(Path(path).is_relative_to(folder) for folder in hidden), path
        assert not any(Path(path).is_relative_to(shown) for shown in words["BindReadOnlyPaths"]), path
    for path in (config.storage.path, config.offload.credentials, "/etc/bwvd/bwvd.toml"):
        assert path in words["BindReadOnlyPaths"]


@pytest.mark.parametrize("drop_ins", [(), ("hardware-encoder",), ("ribbon-camera",)])
def test_the_sandbox_is_tight(tmp_path: Path, drop_ins: tuple[str, ...]) -> None:
    analyze, unit = need("systemd-analyze"), str(installed(tmp_path, *drop_ins))
    done = run(analyze, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}", unit)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_a_ribbon_camera_opens_no_more_than_it_says(tmp_path: Path) -> None:
    """Its program is a child in the recorder's sandbox: devices, and a socket to the kernel; no network, no rights."""
    analyze = need("systemd-analyze")
    open_now = []
    for name, drop_ins in (("without", ()), ("with", ("ribbon-camera",))):
        unit = str(installed(tmp_path / name, *drop_ins))
        text = run(analyze, "security", "--offline=true", "--no-pager", unit).stdout
        open_now.append({line.split()[1] for line in text.splitlines() if line.startswith("✗")})
    without, with_camera = open_now
    assert with_camera - without == {"RestrictAddressFamilies=~AF_NETLINK"}


def test_a_network_camera_opens_no_more_than_the_network(tmp_path: Path) -> None:
    analyze = need("systemd-analyze")
    open_now = []
    for name, drop_ins in (("without", ()), ("with", ("network-camera",))):
        unit = str(installed(tmp_path / name, *drop_ins))
        text = run(analyze, "security", "--offline=true", "--no-pager", unit).stdout
        open_now.append({line.split()[1] for line in text.splitlines() if line.startswith("✗")})
    without, with_network = open_now
    assert {name.split("=")[0] for name in with_network - without} == {
        "PrivateNetwork",
        "RestrictAddressFamilies",
        "IPAddressDeny",
    }


def test_users_and_groups_are_made(tmp_path: Path) -> None:
    installed(tmp_path)
    tool = need("systemd-sysusers")
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).touch()
    done = run(tool, f"--root={tmp_path}")
    assert done.returncode == 0, done.stderr
    # A line that it does not understand it leaves out, and goes on.
    assert {line.split()[0] for line in done.stderr.splitlines()} == {"Creating"}
    groups = {line.split(":")[0]: line.split(":")[3] for line in (tmp_path / "etc/group").read_text().splitlines()}
    for group in ("video", "audio", "input", "dialout", "gpio"):
        assert groups[group] == "bwvd"
    (entry,) = (line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("bwvd:"))
    assert entry.split(":")[5] == "/var/lib/bwvd"
    assert entry.endswith("nologin")
    users = {line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    units = [path.read_text() for path in (tmp_path / "etc/systemd/system").glob("*.service")]
    assert users == {name for unit in units for name in re.findall("(?m)^User=(.*)$", unit)}


def test_folders_are_made(tmp_path: Path) -> None:
    installed(tmp_path)
    tool = need("systemd-tmpfiles")
    if run("id", "-u").stdout.strip() != "0":
        pytest.skip("needs root, to give folders to others")
    run(need("systemd-sysusers"), f"--root={tmp_path}")
    done = run(tool, f"--root={tmp_path}", "--create", "bwvd.conf")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "etc/bwvd").stat().st_mode & 0o7777 == 0o750
    evidence = (tmp_path / "var/lib/bwvd").stat()
    assert evidence.st_mode & 0o7777 == 0o750
    users = dict(line.split(":")[:3:2] for line in (tmp_path / "etc/passwd").read_text().splitlines())
    assert evidence.st_uid == int(users["bwvd"])


# --- udev ------------------------------------------------------------------------------------------------------------

RULES = (Path(__file__).parents[2] / "udev/70-bwvd.rules").read_text()

# udev(7): which keys there are, and which operators each takes.
MATCH = {"==", "!="}
ASSIGN = {"=", "+=", "-=", ":="}
KEYS = {
    **dict.fromkeys(("ACTION", "SUBSYSTEM", "SUBSYSTEMS", "KERNEL", "KERNELS", "DRIVERS"), MATCH),
    **dict.fromkeys(("ATTR", "ATTRS"), MATCH),
    **dict.fromkeys(("GROUP", "MODE"), ASSIGN - {"-="}),
    **dict.fromkeys(("SYMLINK", "TAG"), ASSIGN | MATCH),
    "OPTIONS": {"=", "+="},
    "RUN": {"=", "+=", ":="},
    "ENV": MATCH | {"=", "+="},
}
TOKEN = re.compile(r'([A-Z_]+)(?:\{([^}]+)\})?(==|!=|\+=|-=|:=|=)"([^"]*)"')


def rules() -> list[list[tuple[str, str, str, str]]]:
    found = []
    for line in RULES.splitlines():
        if line and not line.startswith("#"):
            tokens, end = [], 0
            for token in TOKEN.finditer(line):
                assert line[end : token.start()] in {"", ", "}, line[end:]
                tokens.append((token[1], token[2] or "", token[3], token[4]))
                end = token.end()
            assert end == len(line), line[end:]
            found.append(tokens)
    return found


def test_rules_are_written_as_udev_reads_them() -> None:
    assert len(rules()) >= 5
    for tokens in rules():
        for key, attribute, operator, value in tokens:
            assert operator in KEYS[key], key
            assert bool(attribute) == (key in {"ATTR", "ATTRS", "ENV"}), key
            assert value
            if key == "MODE":
                assert re.fullmatch("0[0-7]{3}", value)
                assert not int(value, 8) & 0o007  # nothing for everybody
        kinds = [operator in MATCH for _, _, operator, _ in tokens]
        assert kinds == sorted(kinds, reverse=True)  # matches first, then what they lead to
        assert any(key == "SUBSYSTEM" for key, *_ in tokens)


def test_groups_of_the_rules_exist() -> None:
    users = (Path(__file__).parents[2] / "systemd/sysusers.d/bwvd.conf").read_text()
    groups = set(re.findall(r"(?m)^(?:[gu]|m bwvd) (\w+)", users))
    named = {value for tokens in rules() for key, _, _, value in tokens if key == "GROUP"}
    named |= set(re.findall(r"chgrp (\w+)", RULES))
    assert named
    assert named <= groups


def test_a_card_that_is_put_in_starts_the_daemon() -> None:
    """By the label that bwvd/docs/install.md gives it; not when its file system is made or checked, for that is done
    while it is stopped on purpose."""
    install_page = page("install")
    (label,) = set(re.findall(r"mkfs\.ext4 -L (\w+)", install_page))
    (card,) = [tokens for tokens in rules() if any(attribute == "ID_FS_LABEL" for _, attribute, *_ in tokens)]
    assert set(card) == {
        ("ACTION", "", "==", "add"),
        ("SUBSYSTEM", "", "==", "block"),
        ("ENV", "ID_FS_LABEL", "==", label),
        ("TAG", "", "+=", "systemd"),
        ("ENV", "SYSTEMD_WANTS", "+=", "bwvd.service"),
    }


def test_udev_itself_agrees_where_it_can_be_asked(tmp_path: Path) -> None:
    udevadm = need("udevadm")
    if int(run(udevadm, "--version").stdout) < 254:
        pytest.skip("udevadm verify is there from 254 on")
    path = tmp_path / "70-bwvd.rules"
    path.write_text(RULES)
    done = run(udevadm, "verify", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
