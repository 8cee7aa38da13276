"""SeaweedFS on the loopback interface: one process with S3 and object lock, for tests and for the benchmark."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ADMIN, CAMERA, CUSTODIAN = "ADMINKEY000000000001", "CAMERAKEY00000000001", "CUSTODYKEY0000000001"
SECRETS = {ADMIN: "admin/secret+of=the/tests", CAMERA: "camera/secret+of=the/tests", CUSTODIAN: "custodian/secret"}
BUCKET = "evidence"
# What the camera and the custodian may: more than they need. Write holds deleting, so that it is the lock that holds.
_MORE = [f"{what}:{BUCKET}*" for what in ("Read", "Write", "List", "GetObjectRetention", "PutObjectRetention")]
_MAY = {ADMIN: ["Admin"], CAMERA: _MORE, CUSTODIAN: _MORE}
UP_S = 60.0


@dataclass(frozen=True, slots=True)
class Engine:
    """A running SeaweedFS."""

    endpoint: str
    folder: Path
    pid: int
    master: str = ""  # for `weed shell`

    def credentials(self, key: str) -> Path:
        """A file in AWS' shared format with the access key."""
        path = self.folder / f"{key}.credentials"
        path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {SECRETS[key]}\n")
        path.chmod(0o600)
        return path


def command() -> str | None:
    """The engine's program: that of the extra `engines`, beside this Python, or one that is installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def rights_of(text: str) -> list[dict[str, object]]:
    """An ADMIN, and a CAMERA and a CUSTODIAN with the rights that the page gives them."""
    (found,) = re.findall(r"```json\n(\{\n  \"identities\".*?)```", text, re.DOTALL)
    named = {one["name"]: one["actions"] for one in json.loads(found)["identities"]}
    actions = {ADMIN: ["Admin"], CAMERA: named["BWV-0001"], CUSTODIAN: named["custodian"]}
    return [_identity(key, actions[key]) for key in SECRETS]


def why_not() -> str:
    """Why it can't be run here; "" if it can."""
    return "" if command() else "weed is not installed (the extra `engines`)"


@contextlib.contextmanager
def running(folder: Path, identities: Sequence[Mapping[str, object]] = ()) -> Iterator[Engine]:
    """Start it in `folder`, wait until it serves S3, and kill it at the end. identities: those of SECRETS if none."""
    program = command()
    assert program is not None
    (folder / "data").mkdir(parents=True)
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": list(identities) or [_identity(key, _MAY[key]) for key in SECRETS]}))
    ports = _free_ports(8)
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    arguments = [f"-{name}={port}" for name, port in zip(names, ports[:4], strict=True)]
    arguments += [f"-{name}.grpc={port}" for name, port in zip(names, ports[4:], strict=True)]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program, "-logtostderr", "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                "-volume.max=100", "-master.volumeSizeLimitMB=256", "-s3", f"-s3.config={config}", "-iam=false",
                "-s3.port.iceberg=0", "-s3.port.lance=0", *arguments,
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
    try:
        _wait(ports[3], process)
        yield Engine(f"http://127.0.0.1:{ports[3]}", folder, process.pid, f"127.0.0.1:{ports[0]}.{ports[4]}")
    finally:
        process.kill()  # in order it takes up to 30 s, for data that nobody wants any more
        process.wait()


def _identity(key: str, actions: Sequence[str]) -> dict[str, object]:
    credentials = [{"accessKey": key, "secretKey": SECRETS[key]}]
    return {"name": key.lower(), "credentials": credentials, "actions": list(actions)}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + UP_S
    while time.monotonic() < end:
        assert process.poll() is None, "weed has ended"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise TimeoutError(f"weed does not serve S3 after {UP_S:.0f} s")
