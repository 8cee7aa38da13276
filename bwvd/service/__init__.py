"""The service: the daemon's relations to the system under it, each an actor or a pure part of one.

- `notify`, `watchdog` and `pulse`: systemd is told how things stand, and fed while every actor makes progress.
- `clock_watch` (rule: `clock_step`) notices steps of the wall clock; `power` (rules: `power_supply`, `battery_level`)
  the battery.
- `privacy` and `memory`: pages that leave no trace, and do not grow.
- `status_document` is the status as types; `metrics` and `textfile` make it Prometheus text.
- `backoff` says when to try a lost device again; `gpio_chip` finds a chip's device file.
- `evdev_library` is python-evdev, where it is installed.
"""
