"""A camera on the ribbon cable under the whole sandbox: its program as a child of the daemon, behind the drop-in.

No machine here has the camera. Its program is the verified fake, after what libcamera does before the first frame: it
opens the graph of media devices and a netlink socket for the kernel's word of changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.machine.installed import CONFIGURATION, LOOP_S, Installed
from tests.machine.results import Results
from tests.machine.sandbox import exposure, main_pid, nothing_refused, sandboxed
from tests.support.source_tree import ROOT

PROGRAM = """\
#!/opt/bwvd/venv/bin/python
import glob, os, socket, sys
try:
    what = "a media device"
    for node in glob.glob("/dev/media*") or [what]:
        what = node
        os.close(os.open(node, os.O_RDWR))
    what = "netlink"
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15) as changes:  # NETLINK_KOBJECT_UEVENT
        changes.bind((0, 2))
except OSError as error:
    print(f"ERROR: *** {what}: {error.strerror} ***", file=sys.stderr)
    sys.exit(255)
os.environ["FAKE_RPICAM"] = "{}"
os.execv(sys.executable, [sys.executable, "-m", "bwvd.testing.rpicam_vid", *sys.argv[1:]])
"""
RIBBON = CONFIGURATION.replace(
    'source = "v4l2:/dev/bwvd/camera"\n', 'source = "rpicam:0"\nencoder = "copy"\nstamp = false\n'
)
DROP_IN = "ribbon-camera"


@pytest.fixture
def ribbon(standby: Installed) -> Iterator[Installed]:
    """Configured for the ribbon camera, without the drop-in, and stopped; afterwards as it was."""
    machine = standby.machine
    machine.sh("cat > /usr/local/bin/rpicam-vid && chmod 755 /usr/local/bin/rpicam-vid", text=PROGRAM)
    assert RIBBON != CONFIGURATION
    standby.configure(RIBBON)
    machine.sh("systemctl stop bwvd", limit_s=200)
    try:
        yield standby
    finally:
        standby.configure()
        machine.sh(
            f"rm -f /usr/local/bin/rpicam-vid /etc/systemd/system/bwvd.service.d/{DROP_IN}.conf;"
            " systemctl daemon-reload; systemctl restart bwvd",
            limit_s=200,
        )


def _documented() -> tuple[str, str]:
    """The exposure with the drop-in and without it, as the drop-in says them."""
    text = (ROOT / f"systemd/bwvd.service.d/{DROP_IN}.conf").read_text("utf-8")
    said = re.search(r"counts (\d\.\d), for (\d\.\d)\n# without it", text)
    assert said is not None
    return said[1], said[2]


def _child(subject: Installed) -> str:
    """The daemon's only child."""
    (child,) = subject.machine.sh(f"ps --ppid {main_pid(subject.machine, 'bwvd')} -o pid=").split()
    return child


def test_it_records_under_the_whole_sandbox(ribbon: Installed, results: Results) -> None:
    """Invariants 3 and 4: through the drop-in, and not without it; the loop whole, the program gone with its daemon."""
    machine = ribbon.machine
    with_it, without = _documented()
    assert exposure(machine, "bwvd") == without
    machine.sh("systemctl start --no-block bwvd")  # it is ready when its camera is
    refused = "/dev/media[0-9]*: Operation not permitted"
    machine.until(f"journalctl -b -u bwvd -o cat | grep '{refused}'", 120)
    ribbon.until(lambda now: "camera" in now["faults"])

    machine.sh(f"bwvd install --drop-in {DROP_IN} && systemctl daemon-reload", limit_s=200)
    assert exposure(machine, "bwvd") == with_it
    with nothing_refused(machine, "bwvd"):
        machine.sh("systemctl restart bwvd", limit_s=200)
        ribbon.standby()
        child = _child(ribbon)
        assert "bwvd.testing.rpicam_vid" in machine.sh(f"tr '\\0' ' ' < /proc/{child}/cmdline")
        inside = sandboxed(machine, child)
        assert (inside.user, inside.confined) == ("bwvd", True)
        machine.sh("bed gpio click 400")
        now = ribbon.until(lambda now: (now["recording"] or {}).get("segments", 0) > LOOP_S + 3, 120)
        recording = now["recording"]["id"]
        ribbon.stop_recording()

        machine.sh("systemctl kill -s KILL --kill-whom=main bwvd")
        machine.until(f"test ! -e /proc/{child}", 10)
        ribbon.standby()
        assert _child(ribbon) != child
        assert machine.sh("pgrep -c -f bwvd.testing.rpicam_vid") == "1"
    (report,) = [report for report in ribbon.verify() if report["id"] == recording]
    assert report["verdict"] == "authentic"
    assert LOOP_S - 1.5 <= report["pre_event_s"] <= LOOP_S + 1.5
    results.add(
        "a ribbon camera's program under the whole sandbox",
        1,
        f"refused without the drop-in; with it exposure {with_it}, {report['duration_s']:.1f} s authentic,"
        " nothing refused; killed with its daemon",
    )
