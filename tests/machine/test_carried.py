"""The two other units under the whole sandbox: the carrier takes a recording to a dock, the custodian signs for it, the
recorder lets go of it.

The dock is a disk with a FAT file system, as one on USB is: all of it belongs to whoever it is mounted for, so that
two users of one machine can share it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.machine.install_page import commands
from tests.machine.installed import CONFIGURATION, LOOP_S, STORAGE, Installed
from tests.machine.machine import Machine
from tests.machine.results import Results
from tests.machine.sandbox import exposure, main_pid, nothing_refused, sandboxed
from tests.support.documents import section

DOCK = "/mnt/dock"
STORE = f"file:{DOCK}"
BY = "evidence-server"
CARRIER, CUSTODIAN = "bwvd-offload", "bwvd-custody"
PASSED_ON = (
    CONFIGURATION
    + f"""
[keys]
release = ["/etc/bwvd/receipt_signers"]

[offload]
store = "{STORE}"
when = "always"
"""
)


def _custody_conf(index: str) -> str:
    return f"STORE={STORE}\nBY={BY}\nINDEX={index}\nOPTIONS=\n"


def _put_in_place(subject: Installed) -> None:
    """The dock, the keys and the lists; the custodian by the commands of its page."""
    machine = subject.machine
    machine.sh(
        f"truncate -s 64M /root/dock.img && mkfs.vfat /root/dock.img && mkdir -p {DOCK} &&"
        f" mount -o loop,umask=000 /root/dock.img {DOCK}"
    )
    machine.sh("/opt/bwvd/venv/bin/pip install --quiet sqlalchemy 'psycopg[binary]'", limit_s=600)  # bwvd[custody]
    machine.sh(
        f"cd /root && ssh-keygen -q -t ed25519 -N '' -C {BY} -f custody_key && cp /etc/bwvd/allowed_signers cameras &&"
        f" echo '{BY} namespaces=\"bwvd-receipt,bwvd-custody\"' $(cut -d' ' -f1,2 custody_key.pub)"
        " > /etc/bwvd/receipt_signers"
    )
    lines = commands("As a service", page="custody")
    assert lines[-1] == f"sudo systemctl enable --now {CUSTODIAN}"
    for line in lines[:-1]:
        if "nano" not in line:
            machine.sh(f"cd /root && {line}", limit_s=300)
    subject.configure(PASSED_ON)


@pytest.fixture
def passed_on(standby: Installed) -> Iterator[Installed]:
    """With a dock, a carrier and a custodian, both not started, and an empty card; afterwards as it was."""
    machine = standby.machine
    standby.new_card()
    _put_in_place(standby)
    machine.sh("systemctl start bwvd", limit_s=200)
    try:
        yield standby
    finally:
        standby.configure()
        machine.sh(
            f"systemctl disable --now {CARRIER} {CUSTODIAN}; systemctl reset-failed; umount {DOCK};"
            " rm -rf /root/dock.img /root/custody_key* /etc/bwvd/receipt_signers /etc/bwvd-custody;"
            f" rm -f /etc/systemd/system/{CUSTODIAN}.service; systemctl daemon-reload; systemctl restart bwvd",
            limit_s=300,
        )


def _carried(machine: Machine) -> dict[str, Any]:
    """What the carrier says of itself."""
    document: dict[str, Any] = json.loads(machine.sh("cat /run/bwvd-offload/state.json"))
    return document


def test_carried_away_signed_for_and_released(passed_on: Installed, results: Results) -> None:
    """The recorder lets go of what the custodian has signed for, and of nothing before."""
    machine = passed_on.machine
    passed_on.standby()
    assert passed_on.ask(cmd="press")["ok"]
    now = passed_on.until(lambda now: (now["recording"] or {}).get("segments", 0) > LOOP_S + 2, 120)
    recording = now["recording"]["id"]
    passed_on.stop_recording()

    with nothing_refused(machine, CARRIER):
        machine.sh(f"systemctl enable --now {CARRIER}", limit_s=200)
        machine.until("jq -e '.stored == 1 and .waiting.recordings == 0' /run/bwvd-offload/state.json", 240)
        there = machine.sh(f"cd {STORAGE}/recordings/{recording} && find . -type f -exec sha256sum {{}} + | sort")
        copy = f"{DOCK}/devices/BWV-0001/recordings/{recording}"
        assert machine.sh(f"cd {copy} && find . -type f -exec sha256sum {{}} + | sort") == there
        carrier = sandboxed(machine, main_pid(machine, CARRIER))
        assert (carrier.user, carrier.confined) == (CARRIER, True)

        # A database first that is not there: its driver works under the sandbox.
        machine.sh("cat > /etc/bwvd-custody/custody.conf", text=_custody_conf("postgresql://bwvd@127.0.0.1:9/bwvd"))
        machine.sh(f"systemctl enable --now {CUSTODIAN}", limit_s=200)
        machine.until(f"journalctl -b -u {CUSTODIAN} -o cat | grep -i 'connection refused'", 120)
        # Which is no reason to give it up: systemd starts it again.
        machine.until(f"test $(systemctl show {CUSTODIAN} -p NRestarts --value) -ge 1", 60)

        with nothing_refused(machine, CUSTODIAN):
            index = "/var/lib/bwvd-custody/index.sqlite"
            machine.sh("cat > /etc/bwvd-custody/custody.conf", text=_custody_conf(index))
            machine.sh(f"systemctl restart {CUSTODIAN}", limit_s=200)
            machine.until(f"test -e {DOCK}/devices/BWV-0001/receipts/{recording}.json", 240)
            custodian = sandboxed(machine, main_pid(machine, CUSTODIAN))
            assert (custodian.user, custodian.confined) == (CUSTODIAN, True)
            pid = main_pid(machine, CUSTODIAN)
            assert machine.sh(f"readlink /proc/{pid}/ns/user") != machine.sh("readlink /proc/1/ns/user")
            assert machine.sh(f"stat -c '%U %a' {index}").split()[0] == CUSTODIAN
            machine.until(f"test ! -e {STORAGE}/recordings/{recording}", 240)
            machine.until("jq -e '.released == 1 and .faults == {}' /run/bwvd-offload/state.json", 60)
    (released,) = [entry["detail"] for entry in passed_on.journal() if entry["event"] == "released"]
    assert released["recording"] == recording
    assert machine.sh(f"cd {copy} && find . -type f -exec sha256sum {{}} + | sort") == there
    signers = "--signers /root/cameras"
    said = machine.sh(f"cd /root && bwvd verify {signers} {STORE}", limit_s=300)
    assert "authentic" in said
    documented = re.search(r"exposure (\d\.\d)", section("custody", "As a service"))
    assert documented is not None
    exposed = {unit: exposure(machine, unit) for unit in (CARRIER, CUSTODIAN)}
    assert exposed[CUSTODIAN] == documented[1]
    results.add(
        "carrier and custodian under their whole sandboxes",
        1,
        f"carried, signed for, released; exposure {exposed[CARRIER]} and {exposed[CUSTODIAN]}, nothing refused;"
        " a database that is not there: psycopg asked it, and again",
    )
