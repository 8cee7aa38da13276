"""The daemon: the one place that knows every area, wires them to each other and ends them in order.

Start at `daemon.Daemon`, the composition root; `process.run_forever` is the process around it (`bwvd run`).

- `board` makes the real parts that a configuration names; tests bring virtual ones.
- `control_actors` and `peripherals` are what runs around the core; `event_bus` is how they hear of events.
- `status` takes the snapshot, `reload` answers SIGHUP, `socket_requests` what is no order to the recorder.
"""
