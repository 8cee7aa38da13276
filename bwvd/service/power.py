"""The actor that watches the power.

It reads sysfs every 10 s, which costs some tens of microseconds. Uevents would tell changes sooner, but only those that
a driver cares to announce: many fuel gauges never call power_supply_changed() for a falling percentage, so one
would have to poll beside them, and the sandbox would have to let AF_NETLINK through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from bwvd.config.schema import Power
from bwvd.service.battery_level import Level, PowerGauge
from bwvd.service.power_supply import PowerReading, SupplyLost, read_power
from bwvd.service.pulse import Pulse

READ_EVERY_S = 10.0
# A gauge on a wedged I2C bus answers after the kernel's own timeout, a second or so per attribute.
READ_WITHIN_S = 60.0


async def read_in_thread(supply: str) -> PowerReading:
    """The power as the kernel shows it now. Raises SupplyLost. **Cancellation:** the read ends by itself."""
    return await trio.to_thread.run_sync(read_power, supply, abandon_on_cancel=True)


async def run_power(
    config: Power,
    on_reading: Callable[[PowerReading], None],
    on_level: Callable[[Level, PowerReading], None],
    fault: Callable[[str, bool, str], None],
    *,
    read: Callable[[], Awaitable[PowerReading]] | None = None,
    pulse: Pulse | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Read the power until cancelled. Returns at once if the configuration says not to look.

    Args:
        on_reading: called with the first reading, and whenever it is another one than the last.
        on_level: called when the battery's level becomes another one: `Level.CRITICAL` means close in order.
        fault: called with "power" when the configured supply is not there, a flag is up, or the battery is low, and
            when that is over; with what it is about in words.
        read: reads the power, or raises SupplyLost; `read_in_thread` of the configured supply by default.

    The callbacks must not block.
    """
    task_status.started()
    if config.supply == "none":
        return
    read = read or partial(read_in_thread, config.supply)
    gauge = PowerGauge(config.warn_percent, config.critical_percent)
    pulse = pulse or Pulse("power")
    last: PowerReading | None = None
    told = ""
    while True:
        with pulse.working(READ_WITHIN_S):
            try:
                reading = await read()
                trouble = ""
            except SupplyLost as lost:
                reading = PowerReading(None, "unknown")
                trouble = str(lost)
        if reading != last:
            last = reading
            on_reading(reading)
        before = gauge.level
        if gauge.take(reading) is not before:
            on_level(gauge.level, reading)
        trouble = trouble or _trouble(gauge.level, reading)
        if trouble != told:
            told = trouble
            fault("power", bool(trouble), trouble)
        await trio.sleep(READ_EVERY_S)


def _trouble(level: Level, reading: PowerReading) -> str:
    """What is wrong, in words that do not change with every percent."""
    low = {Level.GOOD: [], Level.WARN: ["battery low"], Level.CRITICAL: ["battery critical"]}[level]
    return ", ".join(low + [flag.replace("_", " ") for flag in reading.flags])
