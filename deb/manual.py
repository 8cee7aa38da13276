"""Manual pages: bwvd(1) of the command line as it is, bwvd.toml(5) of the commented configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from bwvd.cli.main import main


def command_page(version: str) -> str:
    """bwvd(1): every command with its options, as `--help` has them."""
    context = click.Context(main, info_name="bwvd")
    lines = [
        f'.TH BWVD 1 "" "bwvd {version}" "User Commands"',
        ".SH NAME",
        "bwvd \\- body\\-worn video camera daemon",
        ".SH SYNOPSIS",
        ".B bwvd",
        ".I COMMAND",
        "[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...",
        ".SH DESCRIPTION",
        *_paragraphs(main.help or ""),
        "The pages of the documentation:",
        ".B bwvd help",
        ".SH OPTIONS",
        *_options(main, context),
        ".SH COMMANDS",
    ]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        usage = " ".join(["bwvd", name, *command.collect_usage_pieces(inner)])
        lines += [f'.SS "{_escaped(usage)}"', *_paragraphs(command.help or ""), *_options(command, inner)]
    lines += [
        ".SH EXIT STATUS",
        "0: good; 1: the answer is no; 2: usage or configuration, in one line; 3: the daemon cannot be reached.",
        ".SH FILES",
        *(f".TP\n.I {file}\n{_escaped(what)}" for file, what in _FILES),
        ".SH SEE ALSO",
        ".BR bwvd.toml (5),",
        ".BR journalctl (1),",
        ".BR ssh\\-keygen (1)",
    ]
    return "\n".join(lines) + "\n"


def configuration_page(version: str, text: str) -> str:
    """bwvd.toml(5): the commented configuration `text`, which has every key with its default."""
    shown = [_escaped(line) for line in text.splitlines()]
    return "\n".join(
        [
            f'.TH BWVD.TOML 5 "" "bwvd {version}" "File Formats"',
            ".SH NAME",
            "bwvd.toml \\- configuration of the body\\-worn video camera daemon",
            ".SH DESCRIPTION",
            "TOML. Every key has a default; an unknown one is an error that names the nearest.",
            ".B bwvd check",
            "tries all of it. This is the file as it is installed:",
            ".PP",
            ".nf",
            *shown,
            ".fi",
            ".SH SEE ALSO",
            ".BR bwvd (1)",
            "",
        ]
    )


_FILES = (
    ("/etc/bwvd/bwvd.toml", "the configuration"),
    ("/etc/bwvd/device_key", "the device's key, made by bwvd keygen"),
    ("/var/lib/bwvd", "recordings and journal"),
    ("/run/bwvd/control.sock", "the control socket; members of the group bwvd may use it"),
)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            what = _escaped(_one_line(record[1])) or "\\&"  # nothing, where roff wants a line
            yield f".TP\n\\fB{_escaped(record[0])}\\fR\n{what}"


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text.replace("\f", "")):
        if "\b" in paragraph:  # click's mark of what is not to be wrapped
            yield (
                ".PP\n.nf\n" + "\n".join(map(_escaped, paragraph.replace("\b", "").strip("\n").splitlines())) + "\n.fi"
            )
        elif paragraph.strip():
            yield f".PP\n{_escaped(_one_line(paragraph))}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """For roff: a backslash, a hyphen that is to stay one, and what would be a request at the beginning of a line."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("~", "\\(ti")
    return f"\\&{text}" if text[:1] in (".", "'") else text
