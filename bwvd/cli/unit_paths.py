"""What the unit's sandbox has to open for a configuration: the folders into which the daemon writes elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from bwvd.config.schema import Config

OPENED = ("/var/lib/bwvd", "/var/lib/bwvd-witness", "/run/bwvd")  # by bwvd.service itself
# Where a unit with ProtectHome=yes and PrivateTmp=yes sees nothing.
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - names of folders, nothing is written there

DROP_IN = "paths.conf"

_HEAD = """\
# What the configuration names elsewhere. Written by `bwvd install` from it: after a change there, run that again.
[Unit]
"""


def paths_elsewhere(config: Config) -> Iterator[tuple[str, str]]:
    """Each key and the folder that the daemon writes into for it, where the unit does not open that by itself."""
    folders = [("storage.path", config.storage.path), ("socket.path", str(PurePosixPath(config.socket.path).parent))]
    if config.storage.witness not in ("", "auto"):
        folders.append(("storage.witness", config.storage.witness))
    if config.metrics.textfile:
        folders.append(("metrics.textfile", str(PurePosixPath(config.metrics.textfile).parent)))
    for key, folder in folders:
        if not any(PurePosixPath(folder).is_relative_to(opened) for opened in OPENED):
            yield key, folder


def hidden_in(folder: str) -> str:
    """The folder whose content no service of ours sees, if `folder` lies there; else ""."""
    return next((hidden for hidden in HIDDEN if PurePosixPath(folder).is_relative_to(hidden)), "")


def recorder_drop_in(config: Config) -> str:
    """The drop-in of bwvd.service; "" where none is needed."""
    folders = dict.fromkeys(folder for _, folder in paths_elsewhere(config))
    if not folders:
        return ""
    lines = [f"RequiresMountsFor={_quoted(folder)}\n" for folder in folders]
    # The dash: where it is missing the daemon says so, in a line that names the key, and not the service manager.
    opened = [f"ReadWritePaths={_quoted('-' + folder)}\n" for folder in folders]
    return _HEAD + "".join(lines) + "\n[Service]\n" + "".join(opened)


def carrier_drop_in(config: Config) -> str:
    """The drop-in of bwvd-offload.service, which reads the storage and writes none of it; "" where none is needed."""
    storage = dict(paths_elsewhere(config)).get("storage.path")
    if storage is None:
        return ""
    mounts = f"RequiresMountsFor={_quoted(storage)}\n"
    return f"{_HEAD}{mounts}\n[Service]\nBindReadOnlyPaths={_quoted('-' + storage)}\n"


def _quoted(path: str) -> str:
    """As systemd.syntax(7) has it: quoted, and % means nothing. A colon would separate what is bound from where to."""
    plain = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{plain}"'
