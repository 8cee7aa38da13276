"""The desk's page on recordings as they might be found: each answer is one that the page means to give, and only text.

`page` signs what it gets, because whoever has a key of their own can make a desk show anything; `page_files` changes a
file of a recording behind its signatures.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import trio

from bwvd.evidence.format.chain import MANIFEST_NAMESPACE
from bwvd.evidence.format.layout import MANIFEST
from tests.fuzz.recordings import (
    OTHERS,
    altered,
    files,
    mutate_lines,
    put,
    record_lines,
    recording,
    records_seeds,
    sign_lines,
    storage,
    verify_seeds,
)
from tests.fuzz.target import Target, hold, scratch
from tests.support.desk_page import desk_of

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(1)</script>\"'><b a=`{{7*7}}${7*7}\x1b[2J‮\u2028"
LONGEST_S = 20  # by the clock: a machine with other work is slow
MOST_MEDIA = 6  # addresses of one playlist that are asked for

_ANSWERS = (200, 404, 502)  # shown; not there; what lies there can't be read
_MADE = {
    *("html", "head", "meta", "title", "link", "body", "a", "header", "nav", "main", "footer", "section", "div"),
    *("span", "p", "b", "i", "h1", "h2", "ul", "ol", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th"),
    *("td", "form", "search", "label", "input", "select", "option", "button", "output", "video", "svg", "path"),
    *("dialog", "kbd", "noscript", "script", "strong", "small", "details", "summary", "fieldset", "legend", "time"),
}
_LINE = re.compile(
    r'#EXT(M3U|INF:[0-9]+\.[0-9]{9},|-X-(MAP:URI="init-[0-9]+\.mp4"|[A-Z-]+(:[A-Z0-9]+)?))'
    r"|seg/[0-9]+\.m4s(\?altered=1)?|hold/[0-9]+-[0-9]+\.m4s|"
)


class _Markup(HTMLParser):
    """Holds that a page has the elements of its templates, and scripts of its own."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        hold(tag in _MADE, f"an element of nobody's: {tag}")
        hold(not any(name.startswith("on") or name == "style" for name in named), f"{tag} obeys: {named!r:.300}")
        if tag == "script":
            source = named.get("src") or ""
            hold(named.get("type") == "application/json" or source.startswith("/static/"), f"a script: {named!r:.300}")
        for name in ("href", "src", "action", "formaction"):
            address = named.get(name) or "/"
            inside = address.startswith(("/", "#", "?")) and not address.startswith("//")
            inside = inside or (tag, address) == ("link", "data:,")  # the icon, which is none
            hold(inside, f"{name} leads away: {address!r:.300}")


def shown(root: Path) -> None:
    """Ask a desk on `root` for everything that its page asks for."""

    async def ask() -> None:
        with trio.fail_after(LONGEST_S):
            async with desk_of(root) as asked:
                await _recording(asked.client, await _list(asked.client))
                await _list(asked.client)

    trio.run(ask)


async def _list(client: httpx.AsyncClient) -> str:
    """The address of the one recording."""
    found = await _page(client, "/")
    await _page(client, "/?text=alert&marker=img")
    places = re.findall(r'href="(/r/[^"]+)"', found)
    hold(len(set(places)) == 1, f"rows of the list: {places!r:.300}")
    return str(places[0])


async def _recording(client: httpx.AsyncClient, place: str) -> None:
    await _page(client, place)
    await _page(client, f"/several?r={place[3:]}")
    await _json(client, f"{place}/timeline.json")
    await _json(client, f"{place}/others.json")
    known: Any = await _json(client, f"{place}/verdict.json")
    while known is not None and not known["known"] and "failed" not in known:
        await trio.sleep(0.002)
        known = await _json(client, f"{place}/verdict.json")
    for address in (f"{place}/playlist.m3u8", f"{place}/playlist.m3u8?altered=1"):
        answer = await _asked(client, address)
        lines = answer.text.split("\n") if answer.status_code == 200 else []
        for line in lines:
            hold(_LINE.fullmatch(line), f"a line of the playlist: {line!r:.300}")
        media = [line for line in lines if line and not line.startswith("#")]
        media += re.findall(r'URI="([^"]+)"', answer.text)
        for one in [*media[:MOST_MEDIA], *media[-2:]]:
            await _asked(client, f"{place}/{one}")
    for number in (1, 2, 3):
        await _json(client, f"{place}/frames/{number}.json")


async def _asked(client: httpx.AsyncClient, address: str) -> httpx.Response:
    """Raises: whatever the application raises, which a server would call an error of its own."""
    answer = await client.get(address)
    hold(answer.status_code in _ANSWERS, f"{address}: {answer.status_code}")
    if answer.headers.get("content-type", "").startswith("text/html"):
        markup = _Markup()
        markup.feed(answer.text)
        markup.close()
    return answer


async def _page(client: httpx.AsyncClient, address: str) -> str:
    answer = await _asked(client, address)
    hold(answer.status_code == 200, f"{address}: {answer.status_code}")
    return answer.text


async def _json(client: httpx.AsyncClient, address: str) -> Any:
    answer = await _asked(client, address)
    return answer.json() if answer.status_code == 200 else None


# --- targets ----------------------------------------------------------------------------------------------------------


def _card(name: str) -> tuple[Path, Path]:
    """A card of its own for a target, and the folder of the recording on it."""
    root = scratch() / name
    if not root.is_dir():
        shutil.copytree(storage(), root)
    return root, root / "recordings" / recording().name


def page(data: bytes) -> None:
    root, folder = _card("page")
    put(folder / MANIFEST, sign_lines(data, MANIFEST_NAMESPACE))
    shown(root)


def page_files(data: bytes) -> None:
    root, folder = _card("page_files")
    name, after = altered(data)
    put(folder / name, after)
    try:
        shown(root)
    finally:
        put(folder / name, files()[name])


def page_seeds() -> Iterable[bytes]:
    """Those of the records; and hostile text in every place for a text, one after the other and all at once."""
    yield from (seed for seed in records_seeds() if len(seed) < 20_000)
    lines = record_lines(files()[MANIFEST])
    more = [json.dumps({"n": number, **other}).encode() for number, other in enumerate(OTHERS, len(lines))]
    whole = [*lines, *more]
    yield b"\n".join(json.dumps(_all_hostile(json.loads(line))).encode() for line in whole)
    for at, line in enumerate(whole):
        hostile = json.dumps(_all_hostile(json.loads(line))).encode()
        yield b"\n".join([*whole[:at], hostile, *whole[at + 1 :]])


KEPT = ("type", "format", "file", "sha256", "init", "utc", "kind", "mono_ns")  # without which a line says nothing


def _all_hostile(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _all_hostile(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_all_hostile(inner, name) for inner in value]
    return HOSTILE if isinstance(value, str) and name not in KEPT else value


def mutate_page(data: bytes, seed: int) -> bytes:
    """As the records are, and now and then a text that is hostile."""
    chosen = random.Random(seed)
    changed = mutate_lines(data, seed)
    texts = list(re.finditer(rb'(?<=:)"[^"\\]{0,80}"', changed))
    if texts and chosen.random() < 0.5:
        one = chosen.choice(texts)
        changed = changed[: one.start()] + json.dumps(HOSTILE).encode() + changed[one.end() :]
    return changed


TARGETS = (
    Target("page", page, page_seeds, mutate_page, weight=2),
    Target("page_files", page_files, verify_seeds),
)
