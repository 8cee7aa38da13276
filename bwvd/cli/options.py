"""The part that commands share: options, configuration, one line when one fails, an exit code."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bwvd.text import clean

if TYPE_CHECKING:
    from bwvd.config.schema import Config

DEFAULT_CONFIG = "/etc/bwvd/bwvd.toml"

_MESSAGE_CHARACTERS = 2000
_CONTROL = re.compile("[\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Command = TypeVar("Command", bound=Callable[..., Any])


class Failure(click.ClickException):
    """One line on stderr and an exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: Any = None) -> None:
        # Names and answers come from outside; a terminal obeys control characters.
        click.echo(f"bwvd: {clean(self.message, _MESSAGE_CHARACTERS)}", err=True, file=file)


class _Name(click.ParamType[str]):
    """The name of a file, a folder or a recording. An empty one would be the current folder, or no list at all."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raises: click.BadParameter, which ends the command with exit code 2."""
        if not value:
            self.fail("an empty name; is a variable of the shell not set?", param, ctx)
        return value


NAME = _Name()


def config_option(command: Command) -> Command:
    return click.option(
        "-c",
        "--config",
        "config_path",
        default=DEFAULT_CONFIG,
        show_default=True,
        help="Configuration file.",
        metavar="FILE",
    )(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else.")(
        command
    )


def identity_option(purpose: str) -> Callable[[Command], Command]:
    """--identity, which may be given again; the command gets it as `identities`."""
    return click.option("--identity", "identities", multiple=True, type=NAME, metavar="FILE", help=purpose)


def signers_option(
    purpose: str = "allowed_signers file: only these keys count.",
) -> Callable[[Command], Command]:
    """--signers; the command gets it as `signers`."""
    return click.option("--signers", type=NAME, metavar="FILE", help=purpose)


def tsa_certs_option(command: Command) -> Command:
    """--tsa-certs; the command gets it as `tsa_certs`."""
    return click.option(
        "--tsa-certs",
        type=NAME,
        metavar="FILE",
        help="Root certificates (PEM) of time-stamp authorities: say before when each recording existed.",
    )(command)


def load_config(path: str) -> Config:
    # Here, as below: a desk has no configuration, and its commands would wait for what reads one.
    from bwvd.config.load import load
    from bwvd.config.schema import ConfigError

    try:
        return load(Path(path))
    except ConfigError as error:
        # os.path, which takes any name for one that is not there
        hint = "" if os.path.lexists(path) else "; name another with -c FILE, or put one in place with: bwvd install"
        raise Failure(f"{error}{hint}", 2) from None


def request(config_path: str, payload: dict[str, Any], timeout_s: float = 15.0) -> dict[str, Any]:
    """One request to the daemon and its reply, whatever it says; an unreachable daemon is exit 3."""
    from bwvd.controls.client import Unreachable
    from bwvd.controls.client import request as send

    config = load_config(config_path)
    try:
        return send(config.socket.path, payload, timeout_s)
    except Unreachable as error:
        raise Failure(str(error), 3) from None


def ask(config_path: str, payload: dict[str, Any], timeout_s: float = 15.0) -> dict[str, Any]:
    """The same; a refusal is exit 1."""
    answer = request(config_path, payload, timeout_s)
    if not answer["ok"]:
        raise Failure(str(answer.get("error") or answer.get("text") or "refused"), 1)
    return answer


def print_json(document: Any, indent: int | None = 2) -> None:
    """One document on stdout. A terminal obeys more control characters than JSON has to escape."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    click.echo(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def load_config_or_default(config_path: str) -> Config:
    """For commands on files, which work without a configuration: on an agency's desk there is none."""
    if _unconfigured(config_path):
        from bwvd.config.schema import Config

        return Config()
    return load_config(config_path)


def _unconfigured(config_path: str) -> bool:
    return config_path == DEFAULT_CONFIG and not Path(config_path).exists()


def find_recording(config_path: str, name: str) -> Path:
    """The folder of a recording of this device, or any folder by its name. Raises: Failure."""
    from bwvd.evidence.errors import EvidenceError
    from bwvd.evidence.export.catalogue import NoSuchRecording, find, named_folder

    if _unconfigured(config_path) and (folder := named_folder(name)) is not None:
        return folder
    try:
        return find(Path(load_config_or_default(config_path).storage.path), name)
    except NoSuchRecording as error:
        raise Failure(str(error), 1) from None
    except EvidenceError as error:
        raise Failure(str(error), 2) from None


def log_access(config_path: str, what: str, path: Path, outcome: str) -> None:
    """Let the device's journal say that its evidence was read; nothing to do where no daemon holds that storage."""
    if not Path(config_path).exists():
        return
    config = load_config(config_path)
    if Path(config.storage.path).resolve() not in (path.resolve(), *path.resolve().parents):
        return
    from bwvd.controls.client import Unreachable, request

    payload = {"cmd": "log_access", "what": what, "where": path.name, "outcome": outcome}
    with contextlib.suppress(Unreachable):
        request(config.socket.path, payload, 5)
