"""`bwvd help`: the pages of bwvd/docs and FORMAT.md, in a terminal by rich and through a pager, else as they are."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

import click

from bwvd.cli.options import Failure
from bwvd.config.nearest import did_you_mean

FORMAT = "format"
_TITLE = re.compile(r"# ([^:\n]+)(?:: (.*))?")
_LINK = re.compile(r"\[([^\]]+)\]\((?:[\w./-]*/)?(\w+)\.md(?:#[\w-]*)?\)")


@click.command("help")
@click.argument("topic", default="")
def help_(topic: str) -> None:
    """Show a page of the documentation; without TOPIC the pages that there are."""
    pages = topics()
    if not topic:
        click.echo("bwvd help TOPIC shows a page:\n")
        for name, page in pages.items():
            click.echo(f"  {name:14} {title(page.read_text('utf-8'))}")
        click.echo("\nbwvd COMMAND --help shows the options of a command.")
        return
    found = pages.get(topic.casefold())
    if found is None:
        near = did_you_mean(topic, pages) or f"there are {', '.join(pages)}"
        raise Failure(f"help: no page {topic!r}; {near}", 2)
    text = found.read_text("utf-8")
    if sys.stdout.isatty():
        _page(text, pages)
    else:
        click.echo(text, nl=False)


def topics() -> Mapping[str, Traversable]:
    """The pages by topic, as they are installed."""
    package = files("bwvd")
    pages = sorted(
        (page for page in (package / "docs").iterdir() if page.name.endswith(".md")), key=lambda one: one.name
    )
    found = {page.name.removesuffix(".md"): page for page in pages}
    return {**found, FORMAT: package / "evidence/format/FORMAT.md"}


def title(text: str) -> str:
    """What a page is about, by its heading `# Name: what it is about`."""
    found = _TITLE.match(text)
    return (found[2] or found[1]).strip() if found else ""


def for_terminal(text: str, pages: Mapping[str, Traversable]) -> str:
    """Links to other pages become the command that shows them."""

    def shown(link: re.Match[str]) -> str:
        topic = link[2].casefold()
        return f"{link[1]} (`bwvd help {topic}`)" if topic in pages else link[1]

    return _LINK.sub(shown, text)


def _page(text: str, pages: Mapping[str, Traversable]) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.capture() as captured:
        console.print(Markdown(for_terminal(text, pages), hyperlinks=False))
    click.echo_via_pager(captured.get())  # which tells less of the colours, and leaves them out for another pager
