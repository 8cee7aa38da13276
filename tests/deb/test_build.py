"""What is in the Debian package, from small wheels of our own: nothing here needs a network, and only one test dpkg."""

from __future__ import annotations

import gzip
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from bwvd.cli.install import DEFAULT_COMMAND
from bwvd.cli.main import main
from deb.build import CONFIGURATION, EXTRAS, PYTHONS, SCRIPTS, SITE, VENV, BuildError, abi_of, lay_out, pack, unpack
from tests.support.source_tree import ROOT
from tests.support.stock import need

AT = 1_700_000_000


def wheel(folder: Path, name: str, tags: str, files: dict[str, str]) -> Path:
    """A wheel as pip leaves one in a folder."""
    path = folder / f"{name}-1.0-{tags}.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{about}/WHEEL": f"Tag: {tags}\n", f"{about}/RECORD": f"of {tags}\n"}.items():
            archive.writestr(file, text)
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "wheels"
    folder.mkdir()
    core = {"quick/__init__.py": "from quick import _core\n"}
    return [
        wheel(folder, "plain", "py3-none-any", {"plain.py": "x = 1\n", "plain-1.0.data/scripts/tool": "#!python\n"}),
        wheel(folder, "quick", "cp311-cp311-linux", core | {"quick/_core.cpython-311-aarch64-linux-gnu.so": "311"}),
        wheel(folder, "quick", "cp313-cp313-linux", core | {"quick/_core.cpython-313-aarch64-linux-gnu.so": "313"}),
    ]


@pytest.fixture
def stage(tmp_path: Path, wheels: list[Path]) -> Path:
    lay_out(tmp_path / "stage", wheels, "arm64", "1.2.3", AT)
    return tmp_path / "stage"


def control(stage: Path) -> dict[str, str]:
    lines = (stage / "DEBIAN/control").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if not line.startswith(" "))


def test_wheels_of_several_pythons_lie_in_one_folder(tmp_path: Path, wheels: list[Path]) -> None:
    unpack(wheels, tmp_path / "site")
    assert {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*") if path.is_file()} == {
        "plain.py",
        "plain-1.0.dist-info/WHEEL",
        "plain-1.0.dist-info/INSTALLER",
        "quick/__init__.py",
        "quick/_core.cpython-311-aarch64-linux-gnu.so",
        "quick/_core.cpython-313-aarch64-linux-gnu.so",
        "quick-1.0.dist-info/WHEEL",
        "quick-1.0.dist-info/INSTALLER",
    }


@pytest.mark.parametrize("file", ["quick/__init__.py", "quick-1.0.dist-info/METADATA"])
def test_wheels_that_differ_in_a_file_do_not_make_a_package(tmp_path: Path, file: str) -> None:
    """What one Python would import must not depend on which wheel came last."""
    one = wheel(tmp_path, "quick", "cp311-cp311-linux", {file: "1\n"})
    other = wheel(tmp_path, "quick", "cp313-cp313-linux", {file: "2\n"})
    with pytest.raises(BuildError, match=rf"cp313.*{file}: is there from another wheel, and different$"):
        unpack([one, other], tmp_path / "site")


def test_a_wheel_with_a_second_root_is_refused(tmp_path: Path) -> None:
    odd = wheel(tmp_path, "odd", "py3-none-any", {"odd-1.0.data/purelib/odd.py": ""})
    with pytest.raises(BuildError, match=r"odd-1\.0\.data/purelib/odd\.py"):
        unpack([odd], tmp_path / "site")


@pytest.mark.parametrize(
    ("name", "abi"),
    [
        ("av-18.1.0-cp311-abi3-manylinux_2_28_aarch64.whl", "abi3"),
        ("gpiod-2.5.0-cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64.whl", "cp311"),
        ("click-8.5.1-py3-none-any.whl", "none"),
    ],
)
def test_the_abi_of_a_wheel(name: str, abi: str) -> None:
    assert abi_of(Path(name)) == abi


def test_units_rules_and_users_are_the_very_files_that_install_puts_in_place(stage: Path) -> None:
    for source, target in {
        "systemd/bwvd.service": "systemd/system/bwvd.service",
        "systemd/bwvd-offload.service": "systemd/system/bwvd-offload.service",
        "systemd/sysusers.d/bwvd.conf": "sysusers.d/bwvd.conf",
        "systemd/tmpfiles.d/bwvd.conf": "tmpfiles.d/bwvd.conf",
        "systemd/modules-load.d/bwvd.conf": "modules-load.d/bwvd.conf",
        "udev/70-bwvd.rules": "udev/rules.d/70-bwvd.rules",
    }.items():
        assert (stage / "usr/lib" / target).read_bytes() == (ROOT / source).read_bytes()
    etc = [str(path.relative_to(stage)) for path in (stage / "etc").rglob("*") if path.is_file()]
    assert etc == [CONFIGURATION]
    assert (stage / CONFIGURATION).read_bytes() == (ROOT / "systemd/bwvd.toml").read_bytes()
    assert (stage / "DEBIAN/conffiles").read_text() == f"/{CONFIGURATION}\n"


def test_the_environment_is_that_of_whichever_python_is_there(stage: Path) -> None:
    assert (stage / VENV / "bin/python3").readlink() == Path("/usr/bin/python3")
    assert (stage / VENV / "pyvenv.cfg").read_text().splitlines()[0] == "home = /usr/bin"
    for python in PYTHONS:
        assert (stage / VENV / f"lib/python{python}/site-packages").resolve() == (stage / SITE).resolve()
    command = stage / DEFAULT_COMMAND.lstrip("/")
    assert (stage / "usr/bin/bwvd").readlink() == Path(DEFAULT_COMMAND)
    assert command.read_text().splitlines()[0] == f"#!/{VENV}/bin/python3"
    assert command.stat().st_mode & 0o777 == 0o755


def test_control_names_the_pythons_whose_wheels_are_in_it(stage: Path) -> None:
    told = control(stage)
    assert (told["Package"], told["Version"], told["Architecture"]) == ("bwvd", "1.2.3", "arm64")
    assert "python3 (>= 3.11), python3 (<< 3.14)" in told["Depends"]
    assert not re.search(r"gcc|-dev\b|build-essential", told["Depends"])  # no compiler on a board
    assert "@" not in "".join(value for name, value in told.items() if name != "Maintainer")
    assert int(told["Installed-Size"]) > 0


def test_every_file_has_its_sum(stage: Path) -> None:
    named = {line.split("  ", 1)[1] for line in (stage / "DEBIAN/md5sums").read_text().splitlines()}
    there = {str(path.relative_to(stage)) for path in stage.rglob("*") if path.is_file() and not path.is_symlink()}
    assert named == {name for name in there if not name.startswith("DEBIAN/")}


@pytest.mark.parametrize("name", [*SCRIPTS, "rtupdate"])
def test_maintainer_scripts_are_plain_sh(name: str) -> None:
    script = ROOT / "deb" / name
    assert script.read_text().startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", str(script)], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_maintainer_script_deletes_evidence_or_keys(name: str) -> None:
    """Invariant 8: what is not a release by a receipt does not delete."""
    text = (ROOT / "deb" / name).read_text().replace("\\\n", " ")
    code = [line.split(" #")[0].strip() for line in text.splitlines() if not line.startswith("#")]
    deleting = [line for line in code if re.search(r"\brm\b|-delete|\bunlink\b|\bdeluser\b|\buserdel\b|--purge", line)]
    byte_code = "find /opt/bwvd -depth \\( -name '*.pyc' -o -type d -empty \\) -delete"
    assert deleting.count(byte_code) == (name == "postrm")
    deleting = [line for line in deleting if line != byte_code]
    assert len(deleting) == sum(line.startswith("rm -") for line in deleting)
    for line in deleting:
        for word in line.split()[2:]:
            assert word == '"$restart"' or word.startswith("/etc/systemd/system/multi-user.target.wants/bwvd"), line


def test_all_that_a_camera_may_be_configured_to_use_is_in_it() -> None:
    """A board has no pip behind the package: `[offload]` to a bucket and `[witness]` work as it comes."""
    assert {"s3", "witness"} <= set(EXTRAS.split(","))


def test_the_manual_has_every_command(stage: Path) -> None:
    manual = gzip.decompress((stage / "usr/share/man/man1/bwvd.1.gz").read_bytes()).decode()
    for name, command in main.commands.items():
        assert command.hidden or f'.SS "bwvd {name}' in manual, name
    assert "\\-\\-json" in manual
    configuration = gzip.decompress((stage / "usr/share/man/man5/bwvd.toml.5.gz").read_bytes()).decode()
    for line in (ROOT / "systemd/bwvd.toml").read_text().splitlines():
        if line.startswith("["):
            assert line.split("#")[0].strip() in configuration


def test_packed_twice_it_is_the_same_package_and_roots(tmp_path: Path, stage: Path) -> None:
    dpkg = need("dpkg-deb")
    for name in ("one.deb", "two.deb"):
        pack(stage, tmp_path / name, AT)
    assert (tmp_path / "one.deb").read_bytes() == (tmp_path / "two.deb").read_bytes()
    listed = subprocess.run([dpkg, "--contents", str(tmp_path / "one.deb")], check=True, capture_output=True, text=True)
    assert {line.split()[1] for line in listed.stdout.splitlines()} == {"root/root"}
    assert any(line.endswith("./usr/bin/bwvd -> /opt/bwvd/venv/bin/bwvd") for line in listed.stdout.splitlines())
