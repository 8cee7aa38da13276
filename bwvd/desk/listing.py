"""List of recordings: search and filters in the address, verdicts as they are found."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bwvd.desk.background import FAILURES
from bwvd.desk.desk import Desk
from bwvd.desk.facts import Facts, Listed, Row, Rows, merged
from bwvd.desk.page import page, translator
from bwvd.desk.query import PAGE_ROWS, UNKNOWN, Query
from bwvd.desk.session import Session
from bwvd.desk.source import Key
from bwvd.evidence.export.private_text import PrivateText
from bwvd.evidence.verify.report import OF_RECORDINGS
from bwvd.text import clean, readable

SHOWN_TEXTS = 3  # markers and officers in a cell; how many more there are is said
SHOWN_CHARACTERS = 80  # of each
MOST_PROBLEMS = 20  # lines above the list
MOST_KEYS = PAGE_ROWS  # of one question for verdicts

Translator = Callable[..., str]


async def listing(request: Request) -> Response:
    """The list that the address asks for."""
    desk: Desk = request.app.state.desk
    session: Session = request.state.session
    query = Query.of(request.query_params)
    await desk.trail.once(session, "searched" if query.narrow else "listed", dict(query.fields()))
    found = await rows_of(desk, query)
    desk.background.want(found.rows)
    t = translator(request)
    pages = max(1, -(-found.total // PAGE_ROWS))
    return page(
        request,
        "list.html",
        query=query,
        rows=[(row, shown(row, t, desk)) for row in found.rows],
        found=found,
        problems=[*found.problems, *_said(desk)],
        first=query.first + 1,
        pages=pages,
        before=query.address(query.page - 1) if query.page > 1 else "",
        behind=query.address(query.page + 1) if query.page < pages else "",
        verdicts=[*OF_RECORDINGS, UNKNOWN],
        # By what stands on this page: what was found out since it was begun is to be asked for as well.
        pending=any(
            not (row.verdict and row.facts.whole) and row.key not in desk.background.failed for row in found.rows
        ),
    )


async def rows_of(desk: Desk, query: Query) -> Rows:
    """The rows of one page, from all sources, each with why it can't tell if it can't: it hides no other's."""
    parts: list[Rows] = []
    alone = len(desk.sources) == 1  # of several the newest of each are needed, to merge them
    first, most = (query.first, PAGE_ROWS) if alone else (0, query.first + PAGE_ROWS)

    async def ask(source: Listed) -> None:
        try:
            parts.append(await source.rows(query, first, most, desk.memory))
        except FAILURES as error:
            parts.append(Rows(problems=[f"{source.name}: {clean(str(error))}"]))

    async with trio.open_nursery() as nursery:
        for source in desk.sources:
            nursery.start_soon(ask, source)
    return merged(parts, query.first - first, PAGE_ROWS)


async def verdicts(request: Request) -> Response:
    """What is known by now of the rows that the page names: JSON, each by its key, and whether more is to come."""
    desk: Desk = request.app.state.desk
    t = translator(request)
    background, memory = desk.background, desk.memory
    answer = {}
    pending = False
    for text in request.query_params.getlist("k")[:MOST_KEYS]:
        device, _, recording = text.partition("/")
        key = Key(device, recording)
        told: dict[str, str] = {}
        if (facts := memory.facts.get(key)) is not None:
            told |= shown_facts(facts, t)
        if (known := memory.verdicts.get(key)) is not None:
            told |= {
                "verdict": known.verdict,
                "verdict_text": t(f"judged.{known.verdict}"),
                "why": readable(known.why),
            }
        elif (why := background.failed.get(key)) is not None:
            told |= {"verdict": UNKNOWN, "verdict_text": t("judged.failed"), "why": readable(why)}
        else:
            pending = True
        answer[text] = told
    return JSONResponse({"rows": answer, "pending": pending, "problems": _said(desk)})


def _said(desk: Desk) -> list[str]:
    """What is wrong with storages themselves, as far as it was found."""
    return [line for source in desk.sources for line in source.said()][:MOST_PROBLEMS]


def shown(row: Row, t: Translator, desk: Desk) -> dict[str, str]:
    """What stands in the cells of a row, all of it text."""
    verdict, why = row.verdict, ""
    if not row.judged_by and (known := desk.memory.verdicts.get(row.key)) is not None:
        why = known.why
    failed = desk.background.failed.get(row.key, "") if not verdict else ""
    receipt = row.receipt
    return {
        **shown_facts(row.facts, t),
        "name": readable(row.found.name),
        "where": readable(row.found.where),
        "verdict": verdict or UNKNOWN,
        "verdict_text": t(f"judged.{verdict}") if verdict else t("judged.failed" if failed else "judged.pending"),
        "why": readable(why or failed),
        "judged_by": t(f"list.by_{row.judged_by}") if row.judged_by else "",
        "receipt": f"{moment(receipt.received_utc)} · {readable(receipt.by)}" if receipt is not None else "",
        "receipt_note": t("list.receipt_unvouched") if receipt is not None and not receipt.vouched else "",
    }


def shown_facts(facts: Facts, t: Translator) -> dict[str, str]:
    """The cells that come from the recording's own records."""
    return {
        "device": readable(facts.device),
        "officers": texts(facts.officers, t),
        "started": moment(facts.started) or t("list.no_time"),
        "clock": t("list.clock_not_set") if facts.clock == "not_set" else "",
        "length": length(facts.seconds),
        "pre_event": f"{facts.pre_event_s:.1f} s" if facts.pre_event_s is not None else "",
        "markers": texts(facts.markers or (), t),
        "encrypted": t("list.encrypted") if facts.encrypted else "",
        "missing": t("list.missing", seconds=f"{facts.missing_s:.1f}") if facts.missing_s else "",
    }


def texts(found: Iterable[PrivateText], t: Translator) -> str:
    """Markers or officers in one line."""
    every = [_cut(readable(one.text)) if not one.unknown else t("list.sealed") for one in found]
    more = len(every) - SHOWN_TEXTS
    line = ", ".join(one or t("list.unnamed") for one in every[:SHOWN_TEXTS])
    return f"{line} {t('list.more', count=more)}" if more > 0 else line


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def moment(utc: str) -> str:
    """`2026-11-22 07:15:03` of a time in UTC; of anything else what it says, cut."""
    plain = len(utc) >= 19 and utc[10:11] == "T" and utc[:10].replace("-", "").isdigit()
    return f"{utc[:10]} {utc[11:19]}" if plain else readable(utc[:32])


def length(seconds: float | None) -> str:
    """`1:02:03` or `2:03`."""
    if seconds is None or not 0 <= seconds < 1e9:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def routes() -> list[BaseRoute]:
    return [Route("/", listing, name="list"), Route("/verdicts", verdicts)]
