"""Mutants of how the daemon ends, of what it lets through to its journal, and of what `bwvd check` calls good
(invariants 5 and 12)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant


def _good(area: str, text: str) -> str:
    """The end of a function of `bwvd.cli.probe` that opens nothing."""
    return f"""
    async def good() -> list[Finding]:
        return [Finding({area}, True, {text})]

    if True:
        return good
"""


DAEMON = (
    Mutant(
        "announce an end by a bug when all is written",
        12,
        "daemon/daemon.py",
        '            self.shut_down("error")\n            raise\n',
        "            raise\n",
        ("daemon/test_end_order.py",),
    ),
    Mutant(
        "ask for no patience while the last commits are made",
        12,
        "daemon/process.py",
        "if (starting or ending) and not stuck:",
        "if starting and not stuck:",
        ("daemon/test_end_order.py",),
    ),
    Mutant(
        "ask for patience once, when the end begins",
        12,
        "daemon/process.py",
        "        with trio.move_on_after(PATIENCE_S / 3):\n",
        "        with trio.move_on_after(1e9):\n",
        ("daemon/test_end_order.py",),
    ),
    Mutant(
        "feed no watchdog while the last commits are made",
        12,
        "daemon/daemon.py",
        '                await self.evidence.drain("error" if self._failures else "shutdown")\n'
        "                await self._stop_serving()\n",
        "                await self._stop_serving()\n"
        '                await self.evidence.drain("error" if self._failures else "shutdown")\n',
        ("daemon/test_end_order.py",),
    ),
    Mutant(
        "end the peripherals before the writer",
        12,
        "daemon/daemon.py",
        "            await written.wait()\n",
        "            await self._stop_serving()\n            await written.wait()\n",
        ("daemon/test_end_order.py",),
    ),
    Mutant(
        "enter every request of the socket at once",
        5,
        "daemon/socket_requests.py",
        "while not pace.lets_through(daemon.clock.monotonic_ns(), leaving=LEFT_TO_COMMANDS):",
        "while False:",
        ("daemon/test_socket_requests.py",),
    ),
    Mutant(
        "leave no commands to a socket whose requests flood",
        5,
        "daemon/socket_requests.py",
        "LEFT_TO_COMMANDS = BURST // 2",
        "LEFT_TO_COMMANDS = 0",
        ("daemon/test_socket_requests.py",),
    ),
    Mutant(
        "pass on every command of a flood",
        5,
        "controls/command_rate.py",
        "        if bucket.lets_through(clock.monotonic_ns()):\n",
        "        if bucket is not None:\n",
        ("controls/test_command_rate.py",),
    ),
    Mutant(
        "let a flood of entries take the room of a press",
        5,
        "evidence/journal/actor.py",
        "current_buffer_used < QUEUE_BOUND - PRESS_ROOM:",
        "current_buffer_used < QUEUE_BOUND:",
        ("evidence/journal/test_actor.py",),
    ),
    # A source, a control or a lamp that is called good and is not: nobody hears of it before the press.
    Mutant(
        "call every camera good",
        5,
        "cli/probe.py",
        '    return partial(_try_source, "camera",',
        _good('"camera"', "address") + '    return partial(_try_source, "camera",',
        ("cli/test_check.py",),
    ),
    Mutant(
        "ask no camera for its own sound",
        5,
        "cli/probe.py",
        '("video", "audio") if config.audio.source == "video" else ("video",)',
        '("video",)',
        ("cli/test_probe.py",),
    ),
    Mutant(
        "call every microphone good",
        5,
        "cli/probe.py",
        '    return partial(_try_source, "microphone",',
        _good('"microphone"', "address") + '    return partial(_try_source, "microphone",',
        ("cli/test_check.py",),
    ),
    Mutant(
        "call every button good",
        5,
        "cli/probe.py",
        "            except ControlLost as error:\n                return [_lost(area, text, error)]\n",
        "            except ControlLost:\n                pass\n",
        ("cli/test_check.py",),
    ),
    Mutant(
        "call every serial line good",
        5,
        "cli/probe.py",
        "            with port.open():\n                return",
        "            if port is not None:\n                return",
        ("cli/test_check.py",),
    ),
    Mutant(
        "call every lamp good",
        5,
        "cli/probe.py",
        "            indicator.open().close()\n",
        "            pass\n",
        ("cli/test_check.py",),
    ),
    Mutant(
        "take a camera that opens for one that delivers",
        5,
        "cli/probe.py",
        '                if event.device == "microphone":\n                    self.missing.discard("audio")\n',
        "                self.missing.clear()\n",
        ("cli/test_probe.py",),
    ),
    Mutant(
        "open nothing that can be opened",
        5,
        "cli/check.py",
        "probe=probe and not (held or answered))",
        "probe=False)",
        ("cli/test_check.py",),
    ),
)
