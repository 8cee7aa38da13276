"""The answer to SIGHUP: reads the configuration again, and changes what can be changed while a camera runs."""

from __future__ import annotations

from pathlib import Path

from bwvd.config.load import load
from bwvd.config.schema import ConfigError
from bwvd.daemon.daemon import Daemon
from bwvd.log import get_logger
from bwvd.recorder.state_machine import Times

_log = get_logger("reload")

# Everything else is wired at the start: changing it means other devices, keys or files.
RELOADABLE = ("recording.post_roll_s", "recording.stop_confirm_s", "recording.max_s", "recording.reminder_s")


def reload_configuration(daemon: Daemon, path: Path) -> None:
    """Read `path` again and take over what RELOADABLE names; the rest is logged as needing a restart.

    A file that can't be used changes nothing, and raises the fault "config" until one can.
    """
    try:
        config = load(path)
    except ConfigError as error:
        daemon.hub.fault("config", str(error))
        return
    daemon.hub.clear("config")
    recording = config.recording
    daemon.recorder.machine.times = Times.of_seconds(
        recording.post_roll_s, recording.stop_confirm_s, recording.max_s, recording.reminder_s
    )
    waiting = [
        section
        for section in config.__struct_fields__
        if section != "recording" and getattr(config, section) != getattr(daemon.config, section)
    ]
    if recording.segment_s != daemon.config.recording.segment_s:
        waiting.append("recording.segment_s")
    _log.info("configuration_reloaded", path=str(path), taken_over=list(RELOADABLE), needs_restart=waiting)
