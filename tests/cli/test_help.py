"""`bwvd help`: the pages are found, shown and named where a topic is mistyped."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bwvd.cli import help as help_command
from bwvd.cli.main import main
from tests.support import documents
from tests.support.source_tree import ROOT


def give(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["help", *words])
    return done.exit_code, done.stdout, done.stderr


def test_without_a_topic_every_page_is_named_with_what_it_is_about() -> None:
    code, out, _ = give()
    assert code == 0
    rows = dict(re.findall(r"^  ([\w-]+) +(\S.*)$", out, re.MULTILINE))
    assert set(rows) == {*(page.stem for page in documents.pages()), "format"}
    assert all(len(about) > 10 for about in rows.values())


@pytest.mark.parametrize("page", documents.pages(), ids=lambda page: page.stem)
def test_into_a_pipe_a_page_goes_as_it_is(page: Path) -> None:
    assert give(page.stem) == (0, page.read_text("utf-8"), "")


def test_the_format_is_a_topic() -> None:
    assert give("FORMAT")[1].startswith("# The evidence format")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("instal", "bwvd: help: no page 'instal'; did you mean install?\n"),
        ("Fault", "bwvd: help: no page 'Fault'; did you mean faults?\n"),
        ("../../etc/passwd", "bwvd: help: no page '../../etc/passwd'; there are "),
        ("\x1b[2J", "bwvd: help: no page '\\x1b[2J'; there are "),
    ],
)
def test_an_unknown_topic_is_one_line_with_the_nearest(typed: str, said: str) -> None:
    code, out, err = give(typed)
    assert (code, out) == (2, "")
    assert err.startswith(said)
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("page", documents.pages(), ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]+)(#[\w-]+)?\)", page.read_text("utf-8")):
        file = page.parent / target
        assert file.is_file(), target
        headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
        assert not anchor or anchor[1:] in {re.sub(r"[^\w-]", "", one.lower().replace(" ", "-")) for one in headings}


def test_the_readmes_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#:]+)", documents.README.read_text("utf-8"))
    assert len(targets) > 10
    assert [target for target in targets if not (documents.README.parent / target).exists()] == []


def test_every_page_is_named_in_the_readme() -> None:
    text = documents.README.read_text("utf-8")
    assert [page.name for page in documents.pages() if f"(bwvd/docs/{page.name})" not in text] == []
    assert len(text.splitlines()) <= 200


def test_in_a_terminal_a_link_is_the_command_that_follows_it() -> None:
    pages = help_command.topics()
    text = (
        "see [install](install.md#keys), [FORMAT.md](../evidence/format/FORMAT.md), [age](https://age-encryption.org)"
    )
    assert help_command.for_terminal(text, pages) == (
        "see install (`bwvd help install`), FORMAT.md (`bwvd help format`), [age](https://age-encryption.org)"
    )


def test_in_a_terminal_a_page_goes_through_the_pager(monkeypatch: pytest.MonkeyPatch) -> None:
    paged: list[str] = []
    monkeypatch.setattr(click, "echo_via_pager", lambda text, **_: paged.append(text))
    help_command._page("# A: b\n\n| a | b |\n| --- | --- |\n| `c` | d |\n", {})
    (text,) = paged
    assert "c" in text
    assert "| ---" not in text


def test_less_is_told_that_colours_come(tmp_path: Path) -> None:
    """Without -R it shows their codes. Another pager is sent none."""
    for name, script in {"less": 'echo "LESS=$LESS"; cat', "more": "cat"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    said = {}
    for pager in ("less", "more"):
        environment = {name: value for name, value in os.environ.items() if name not in ("LESS", "NO_COLOR")}
        environment |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PAGER": pager, "TERM": "xterm-256color"}
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "bwvd", "help", "wearing"]
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT):
            os.close(theirs)
            said[pager] = b"".join(read_all(ours)).decode()
    assert said["less"].startswith("LESS=-R")
    assert "\x1b[" in said["less"]
    assert "\x1b[" not in said["more"]
    assert "wait until the green light blinks" in said["more"]


def read_all(fd: int) -> Iterator[bytes]:
    """What comes on a terminal until its other end is closed."""
    with suppress(OSError):
        while True:
            yield os.read(fd, 65_536)
    os.close(fd)


def test_a_pipe_needs_no_renderer() -> None:
    code = "import sys; from bwvd.cli.main import main; main(['help', 'install'], standalone_mode=False)"
    code += "; print(sorted({'rich', 'trio', 'av'} & {name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
