"""The command line: one short function a command. What is heavy is imported where it is used: `bwvd status` must answer
at once on a small board.

Exit codes: 0 good · 1 the answer is no · 2 usage or configuration, one line naming the key or the file · 3 the daemon
can't be reached.
"""

from __future__ import annotations

import errno
import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bwvd import __version__
from bwvd.cli.offload_state import with_offload
from bwvd.cli.options import NAME, Failure, ask, config_option, json_option, load_config, print_json, request
from bwvd.text import clean

if TYPE_CHECKING:
    from bwvd.config.schema import Config

# Commands in modules of their own, each imported when it is asked for.
ELSEWHERE = {
    "list": ("list", "list_"),
    "show": ("show", "show"),
    "verify": ("verify", "verify"),
    "export": ("export", "export"),
    "statement": ("statement", "statement"),
    "journal": ("journal", "journal"),
    "receipt": ("receipt", "receipt"),
    "custody": ("custody", "custody"),
    "desk": ("desk", "desk"),
    "release": ("release", "release"),
    "offload": ("offload", "offload"),
    "keygen": ("keygen", "keygen"),
    "help": ("help", "help_"),
}


CANT_PRINT = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


@contextmanager
def _one_line() -> Iterator[None]:
    """Say in one line what is wrong with what was typed, and that what is printed can't be."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        more = f" ({error.ctx.command_path} --help)" if error.ctx is not None else ""
        raise Failure(f"{error.format_message().rstrip('.')}{more}", 2) from None
    except OSError as error:
        # Of a file that is opened by name the name is in the error. What has none of these numbers is a fault of ours.
        if error.filename is not None or error.errno not in CANT_PRINT:
            raise
        raise Failure(f"what is printed can't be written: {error.strerror}", 1) from None


class Commands(click.Group):
    """The commands of this module, and those of ELSEWHERE."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        with _one_line():
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_line():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, name = ELSEWHERE[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"bwvd.cli.{module}"), name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bwvd")
def main() -> None:
    """Body-worn video: a rolling loop in RAM, and recordings on flash that hold up."""


# --- the daemon ------------------------------------------------------------------------------------------------------


@main.command()
@config_option
def run(config_path: str) -> None:
    """Run the daemon."""
    gc.disable()  # what is imported stays: looking through it again and again while it grows finds nothing
    from bwvd.service.signals_held import hold_signals

    hold_signals()  # before what takes a second to import: a signal to a process that starts waits for its handler
    from bwvd.service.put_off import import_lightly

    import_lightly()
    from bwvd.evidence.keys.openssl import share_openssl

    share_openssl()
    from bwvd.daemon.process import leave, run_forever

    leave(run_forever(load_config(config_path), Path(config_path)))


@main.command()
@click.option("--headless", is_flag=True, help="No keyboard: loop, press, recording, stop, verification, one MP4.")
@click.option("--loop", "loop_s", default=30.0, show_default=True, help="Length of the loop in seconds.")
@click.option("--record", "record_s", default=5.0, show_default=True, help="With --headless: seconds to record.")
@click.option("--source", default="", help="A video source instead of the synthetic camera, e.g. v4l2:/dev/video0.")
@click.option(
    "--keep", "folder", default="", metavar="DIR", help="Where the evidence goes; default: a temporary folder."
)
@click.option("--desk", "in_desk", is_flag=True, help="At its end open what was recorded in the desk.")
def demo(headless: bool, loop_s: float, record_s: float, source: str, folder: str, in_desk: bool) -> None:
    """Try it: a synthetic camera and microphone, no configuration, no root."""
    from bwvd.cli.demo import run_demo

    options = {"loop_s": loop_s, "record_s": record_s}
    sys.exit(run_demo(headless=headless, source=source, folder=folder, in_desk=in_desk, **options))


@main.command()
@config_option
@json_option
@click.option("--no-probe", is_flag=True, help="Only look: open no camera, microphone, control or light.")
def check(config_path: str, as_json: bool, no_probe: bool) -> None:
    """Validate configuration, devices, keys and storage."""
    from bwvd.cli.check import check_all, print_findings

    findings = check_all(load_config(config_path), probe=not no_probe)
    if as_json:
        found = list(findings)
        print_json([finding.as_dict() for finding in found])
        good = all(finding.ok for finding in found)
    else:
        good = print_findings(findings)
    sys.exit(0 if good else 2)


# --- orders to the daemon --------------------------------------------------------------------------------------------


@main.command()
@config_option
@json_option
@click.option("--watch", is_flag=True, help="A live view; with --json a document a line.")
def status(config_path: str, as_json: bool, watch: bool) -> None:
    """What the daemon does now."""
    if watch:
        _watch(load_config(config_path), as_json=as_json)
        return
    answer = with_offload(ask(config_path, {"cmd": "status"})["status"], load_config(config_path))
    if as_json:
        print_json(answer)
    else:
        from bwvd.cli.printing import print_status

        print_status(answer)


def _watch(config: Config, *, as_json: bool) -> None:
    """A live view for a terminal; into a pipe the same lines as without it, or one JSON document a line."""
    from bwvd.controls.client import Unreachable, watch

    try:
        statuses = (with_offload(reply["status"], config) for reply in watch(config.socket.path))
        if as_json:
            for status in statuses:
                print_json(status, indent=None)
        elif sys.stdout.isatty():
            from bwvd.cli.watch import show

            show(statuses)
        else:
            from bwvd.cli.printing import print_status

            for status in statuses:
                print_status(status)
                click.echo()
    except Unreachable as error:
        raise Failure(str(error), 3) from None
    except KeyboardInterrupt:
        return


def _order(config_path: str, as_json: bool, payload: dict[str, Any]) -> None:
    if as_json:
        answer = request(config_path, payload)
        print_json(answer)
        sys.exit(0 if answer["ok"] else 1)
    answer = ask(config_path, payload)
    click.echo(clean(str(answer.get("recording") or answer.get("text", ""))))


def _add_order(name: str, text: str) -> None:
    """The command of an order that takes nothing."""

    @main.command(name, help=text)
    @config_option
    @json_option
    def order(config_path: str, as_json: bool) -> None:
        _order(config_path, as_json, {"cmd": name})


_add_order("record", "Ensure that a recording runs; prints its id.")
_add_order("stop", "Ask to stop and confirm in one; the post-roll follows. Prints the recording's id.")
_add_order("sleep", "Close camera and microphone and wipe the loop.")
_add_order("wake", "Open camera and microphone: the loop turns again.")


@main.command()
@config_option
@json_option
@click.argument("label", default="")
def mark(config_path: str, as_json: bool, label: str) -> None:
    """Set a marker in the recording in progress; prints its id."""
    _order(config_path, as_json, {"cmd": "mark", "label": label})


@main.command()
@config_option
@json_option
@click.option("--off", is_flag=True, help="Audio on again.")
def mute(config_path: str, as_json: bool, off: bool) -> None:
    """Switch the audio off (or on) until the next such order."""
    _order(config_path, as_json, {"cmd": "unmute" if off else "mute"})


@main.command()
@config_option
@json_option
@click.option("--none", "clear", is_flag=True, help="Nobody wears the device.")
@click.argument("officer", default="")
def assign(config_path: str, as_json: bool, clear: bool, officer: str) -> None:
    """Say who wears the device; kept over restarts, and in recordings only where it is encrypted or nothing is."""
    if clear == bool(officer):
        raise click.UsageError("give an id, or --none")
    _order(config_path, as_json, {"cmd": "assign", "officer": officer})


# --- devices, installation ------------------------------------------------------------------------------------------


@main.command()
@json_option
def devices(as_json: bool) -> None:
    """List cameras, microphones, receivers and what can be a control, each with what to write in the configuration."""
    from bwvd.cli.devices import found_devices, print_devices

    found = found_devices()
    if as_json:
        print_json(found)
    else:
        print_devices(found)


@main.command()
@click.option("--root", default="/", show_default=True, type=NAME, metavar="DIR", help="Where the file system begins.")
@click.option(
    "--drop-in",
    "drop_ins",
    multiple=True,
    metavar="NAME",
    help="gpsd, hardware-encoder, network-camera, ribbon-camera.",
)
@click.option("--custody", is_flag=True, help="What the machine needs where recordings arrive; nothing of a camera's.")
def install(root: str, drop_ins: tuple[str, ...], *, custody: bool) -> None:
    """Put units, rules, users and a commented configuration in place."""
    from bwvd.cli.install import InstallError
    from bwvd.cli.install import install as put

    try:
        for line in put(Path(root), drop_ins=drop_ins, custody=custody):
            click.echo(line)
    except (InstallError, OSError) as error:
        raise Failure(str(error), 2) from None
