"""The Debian package on the machine: installed, upgraded from the version before while it records, removed, purged.

On a machine of its own, as it comes from the image: nothing of what the page "Install" tells to do has been done there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deb.build import build
from tests.machine.host import HostTooSlow, first_boot
from tests.machine.image import cache
from tests.machine.install_page import commands
from tests.machine.installed import CONFIGURATION, LOOP_S, STORAGE, Installed
from tests.machine.machine import Machine
from tests.machine.results import Results

BEFORE, NOW = "0.0.1", "9.0.0"
UNIT = "/usr/lib/systemd/system/bwvd.service"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """This tree's package, as two versions: as the one before, and as the one to which it is upgraded."""
    folder = tmp_path_factory.mktemp("deb")
    given = os.environ.get("BWVD_MACHINE_DEB")  # one that is built already
    made = Path(given) if given else build("amd64", folder)
    stage = folder / "stage"
    subprocess.run(["dpkg-deb", "--raw-extract", str(made), str(stage)], check=True, timeout=300)
    control = stage / "DEBIAN/control"
    text = control.read_text()
    packages = {version: folder / f"bwvd_{version}_amd64.deb" for version in (BEFORE, NOW)}
    for version, package in packages.items():
        control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", text, flags=re.MULTILINE))
        pack = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(stage), str(package)]
        subprocess.run(pack, check=True, capture_output=True, timeout=300)
    return packages


@pytest.fixture
def bare(untouched: Machine, pytestconfig: pytest.Config) -> Iterator[Installed]:
    """A machine from the same image, on, with an empty card."""
    machine = Machine(untouched._image, cache() / f"{untouched.folder.name}-package")

    def renew() -> None:
        machine.install_system()
        machine.card.replace(512)

    try:
        renew()
        try:
            first_boot(machine, renew)
        except HostTooSlow as slow:
            pytest.skip(str(slow))
        yield Installed(machine)
    finally:
        machine.close()
        if not pytestconfig.getoption("--keep"):
            shutil.rmtree(machine.folder)


def test_installed_upgraded_while_it_records_removed_and_purged(
    bare: Installed, packages: dict[str, Path], results: Results
) -> None:
    """Invariants 8 and 12: an upgrade closes what is recorded in order, and goes on; a purge deletes no evidence."""
    machine = bare.machine
    for package in packages.values():
        machine.put(package, to="/root")
    install, *others = commands("From the package", page="hardware")
    said = machine.sh(f"cd /root && {install.replace('*_arm64', f'{BEFORE}_amd64')} 2>&1", limit_s=900)
    assert "next: bwvd keygen" in said
    assert machine.sh("stat -c '%U:%G %a' /etc/bwvd /etc/bwvd/bwvd.toml").splitlines() == [
        "root:bwvd 750",
        "root:root 644",
    ]
    assert machine.sh("bwvd install").count("packaged ") == 6  # and nothing is copied over it
    assert machine.sh("systemctl show bwvd -p FragmentPath --value").endswith("lib/systemd/system/bwvd.service")
    assert machine.sh("dpkg --verify bwvd") == ""
    bare.mount_card()
    for line in others:
        if "nano" in line:
            bare.configure(CONFIGURATION)
        else:
            machine.sh(line, limit_s=300)
    bare.standby()

    assert bare.ask(cmd="record")["ok"]
    bare.until(lambda now: bool(now["recording"]) and now["recording"]["committed_s"] > LOOP_S, 120)
    recording = bare.status()["recording"]["id"]
    pid = machine.sh("systemctl show bwvd -p MainPID --value")
    machine.sh(f"cd /root && {install.replace('*_arm64', f'{NOW}_amd64')} 2>&1", limit_s=900)
    assert machine.sh("dpkg-query -W -f '${Version}' bwvd") == NOW
    assert machine.sh("systemctl show bwvd -p MainPID --value") not in (pid, "0")
    bare.standby()
    (report,) = [report for report in bare.verify() if report["id"] == recording]
    assert report["verdict"] == "authentic", "closed by the version that began it, not recovered by the next"
    assert machine.sh("cat /etc/bwvd/bwvd.toml").strip() == CONFIGURATION.strip()  # the administrator's, kept

    machine.sh("dpkg --remove bwvd 2>&1", limit_s=300)
    assert machine.run("systemctl is-active bwvd").stdout.strip() in ("inactive", "failed")
    assert machine.run(f"test -e {UNIT} -o -e /opt/bwvd -o -e /usr/bin/bwvd").returncode == 1
    assert machine.sh("test -e /etc/bwvd/bwvd.toml && echo kept") == "kept"
    said = machine.sh("dpkg --purge bwvd 2>&1", limit_s=300)
    assert f"{STORAGE} is left as it is" in said
    assert "/etc/bwvd is left as it is" in said
    assert machine.sh(f"ls {STORAGE}/recordings").split().count(recording) == 1
    assert machine.sh("test ! -e /etc/bwvd/bwvd.toml && stat -c %a /etc/bwvd/device_key") == "640"
    results.add("the package", 1, "installed; upgraded while recording: authentic, in standby again; removed, purged")
