"""The package, laid out from wheels and this tree's own files, and packed by dpkg-deb. Nothing is compiled.

    python -m deb.build arm64 [--out FOLDER] [--version VERSION]

The environment is one folder of packages for all of PYTHONS: what is compiled carries its Python's name in its own, or
is good for all of them (abi3), and the rest is the same for each. So a board may change to the next release of Debian.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterable
from email.utils import formatdate
from pathlib import Path

from bwvd import __version__
from bwvd.cli.install import DEFAULT_COMMAND, install
from deb.manual import command_page, configuration_page

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

PYTHONS = ("3.11", "3.12", "3.13")
"""Debian 12 has 3.11, Debian 13 has 3.13; Raspberry Pi OS has theirs. With the one between it is a range."""

MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}
LIBC = "2.34"  # the newest that a wheel may ask for; Debian 12 has 2.36
PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
FOR_ANY = ("none", "abi3")  # in the name of a wheel: good for this Python and later ones
EXTRAS = "s3,witness"  # what a camera may be configured to use: offload to a bucket, time-stamps

VENV = "opt/bwvd/venv"
SITE = f"{VENV}/lib/site-packages"
DEBIANS = "/usr/lib/python3/dist-packages"  # of modules that are Debian's to compile
FROM_DEBIAN = ("evdev",)  # no wheels for ARM; recommended, and not there for this environment without a link
CONFIGURATION = "etc/bwvd/bwvd.toml"
SCRIPTS = ("postinst", "prerm", "postrm")
MAINTAINER = ("bwvd maintainers", "bwvd@invalid.invalid")  # DEBFULLNAME and DEBEMAIL say who builds it


class BuildError(Exception):
    """No package can be made. One line."""


# --- wheels ----------------------------------------------------------------------------------------------------------


def abi_of(wheel: Path) -> str:
    """The ABI tag in a wheel's name."""
    return wheel.stem.split("-")[-2]


def fetch(arch: str, folder: Path) -> list[Path]:
    """Ready wheels of this tree and of everything that it needs, for `arch` and all of PYTHONS.

    Versions are those that pip chooses for the oldest Python. Raises BuildError where something has no wheel.
    """
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)])
    (own,) = folder.glob("bwvd-*.whl")
    first, *others = PYTHONS
    _download(arch, first, folder, [f"{own}[{EXTRAS}]"])
    named = [wheel.name.split("-")[:2] for wheel in sorted(folder.glob("*.whl")) if abi_of(wheel) not in FOR_ANY]
    for python in others:
        _download(arch, python, folder, ["--no-deps", *(f"{name}=={version}" for name, version in named)])
    return sorted(folder.glob("*.whl"))


def _download(arch: str, python: str, folder: Path, what: list[str]) -> None:
    platforms = [word for name in PLATFORMS for word in ("--platform", f"{name}_{MACHINES[arch]}")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), "--only-binary", ":all:"]
    _run([*command, "--python-version", python, "--implementation", "cp", *platforms, *what])


def unpack(wheels: Iterable[Path], site: Path) -> None:
    """All wheels into one folder. Raises BuildError where two of them differ in a file that both have."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                parts = Path(name).parts
                if parts[0].endswith(".data") and parts[1] in ("purelib", "platlib"):
                    raise BuildError(f"{wheel.name}: {name}: is in a folder that is not unpacked here")
                if name.endswith("/") or parts[0].endswith(".data"):
                    continue  # programs and headers: the daemon has no use for them
                about = parts[0].endswith(".dist-info")
                if about and parts[-1] == "RECORD":
                    continue  # dpkg knows what is there
                data, target = archive.read(name), site / name
                if target.exists():
                    if target.read_bytes() != data and not (about and parts[-1] == "WHEEL"):
                        raise BuildError(f"{wheel.name}: {name}: is there from another wheel, and different")
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
    for folder in site.glob("*.dist-info"):
        (folder / "INSTALLER").write_text("dpkg\n", encoding="utf-8")


# --- layout ----------------------------------------------------------------------------------------------------------


def lay_out(stage: Path, wheels: list[Path], arch: str, version: str, at: int) -> None:
    """Everything that is in the package, and what dpkg has to know, below `stage`; `at` is its date, Unix seconds."""
    unpack(wheels, stage / SITE)
    _environment(stage)
    _system_files(stage)
    about = stage / "usr/share/doc/bwvd"
    _write(about / "copyright", (HERE / "copyright").read_text("utf-8"))
    _write(about / "wheels.txt", "".join(f"{_sha256(wheel)}  {wheel.name}\n" for wheel in wheels))
    changes = f"bwvd ({version}) stable; urgency=medium\n\n  * This version.\n\n -- {_maintainer()}  {formatdate(at)}\n"
    _compress(about / "changelog.gz", changes)
    manual = stage / "usr/share/man"
    _compress(manual / "man1/bwvd.1.gz", command_page(version))
    _compress(manual / "man5/bwvd.toml.5.gz", configuration_page(version, (stage / CONFIGURATION).read_text("utf-8")))
    _write(stage / "usr/share/lintian/overrides/bwvd", (HERE / "lintian-overrides").read_text("utf-8"))
    _write(stage / "usr/share/python3/runtime.d/bwvd.rtupdate", (HERE / "rtupdate").read_text("utf-8"), 0o755)
    (stage / "usr/bin").mkdir(parents=True, exist_ok=True)
    (stage / "usr/bin/bwvd").symlink_to(DEFAULT_COMMAND)
    for path in [stage, *stage.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
        elif not path.is_symlink() and not path.stat().st_mode & 0o100:
            path.chmod(0o644)
    _control(stage, arch, version)


def _environment(stage: Path) -> None:
    """A virtual environment of the system's Python: one folder of packages, whichever of PYTHONS that is."""
    venv = stage / VENV
    _write(venv / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    (venv / "bin").mkdir()
    (venv / "bin/python3").symlink_to("/usr/bin/python3")
    for python in PYTHONS:
        folder = venv / "lib" / f"python{python}"
        folder.mkdir()
        (folder / "site-packages").symlink_to("../site-packages")
    for name in FROM_DEBIAN:
        (stage / SITE / name).symlink_to(f"{DEBIANS}/{name}")
    script = f"#!/{VENV}/bin/python3\nimport sys\n\nfrom bwvd.cli.main import main\n\nsys.exit(main())\n"
    _write(stage / DEFAULT_COMMAND.lstrip("/"), script, 0o755)


def _system_files(stage: Path) -> None:
    """What `bwvd install` puts in place, where a package has it: below /usr/lib; the configuration stays in /etc."""
    with tempfile.TemporaryDirectory() as name:
        install(Path(name), command=DEFAULT_COMMAND)
        for path in sorted(Path(name).rglob("*")):
            if path.is_file():
                place = str(path.relative_to(name))
                if place != CONFIGURATION:
                    place = place.replace("etc/", "usr/lib/", 1)
                _write(stage / place, path.read_text("utf-8"))


def _control(stage: Path, arch: str, version: str) -> None:
    files = sorted(path for path in stage.rglob("*") if path.is_file() and not path.is_symlink())
    size = sum((path.stat().st_size + 1023) // 1024 for path in files)
    last = PYTHONS[-1].split(".")
    fields = {
        "VERSION": version,
        "ARCH": arch,
        "SIZE": str(size),
        "LIBC": LIBC,
        "FIRST": PYTHONS[0],
        "BEHIND": f"{last[0]}.{int(last[1]) + 1}",
        "MAINTAINER": _maintainer(),
    }
    text = (HERE / "control").read_text("utf-8")
    for name, value in fields.items():
        text = text.replace(f"@{name}@", value)
    told = stage / "DEBIAN"
    _write(told / "control", text)
    _write(told / "conffiles", f"/{CONFIGURATION}\n")
    sums = (
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(stage)}\n"
        for path in files
    )
    _write(told / "md5sums", "".join(sums))
    for name in SCRIPTS:
        _write(told / name, (HERE / name).read_text("utf-8"), 0o755)
    told.chmod(0o755)


# --- the package -----------------------------------------------------------------------------------------------------


def pack(stage: Path, out: Path, at: int) -> None:
    """By dpkg-deb, owned by root whoever builds it, with no date later than `at`."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(at)}
    _run(["dpkg-deb", "--root-owner-group", "-Zxz", "-z4", "--build", str(stage), str(out)], environment)


def build(arch: str, out: Path, version: str = __version__) -> Path:
    """Make `bwvd_VERSION_ARCH.deb` in the folder `out`; returns its path. Needs a network. Raises BuildError."""
    if arch not in MACHINES:
        raise BuildError(f"no such architecture: {arch}; there are {', '.join(MACHINES)}")
    at = _date()
    with tempfile.TemporaryDirectory(prefix="bwvd-deb-") as name:
        folder = Path(name)
        (folder / "wheels").mkdir()
        lay_out(folder / "stage", fetch(arch, folder / "wheels"), arch, version, at)
        out.mkdir(parents=True, exist_ok=True)
        package = out / f"bwvd_{version}_{arch}.deb"
        pack(folder / "stage", folder / package.name, at)
        shutil.move(folder / package.name, package)
    return package


def _date() -> int:
    """SOURCE_DATE_EPOCH, or the time of the commit that is checked out, or now."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, check=False, capture_output=True, text=True) if shutil.which("git") else None
    return int(done.stdout) if done is not None and done.returncode == 0 else int(time.time())


def _maintainer() -> str:
    return f"{os.environ.get('DEBFULLNAME', MAINTAINER[0])} <{os.environ.get('DEBEMAIL', MAINTAINER[1])}>"


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise BuildError(f"{' '.join(command[:4])} …: {done.stderr.strip()[-2000:]}")


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _compress(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deb.build")
    parser.add_argument("arch", choices=sorted(MACHINES))
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--version", default=tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
    asked = parser.parse_args()
    try:
        print(build(asked.arch, asked.out, asked.version))
    except BuildError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
