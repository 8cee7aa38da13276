"""List of recordings: search, filters, and the verdicts that are known."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bwvd.desk.desk import Desk
from bwvd.desk.folder_source import FolderSource
from bwvd.desk.page import page


async def listing(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    rows = []
    for source in desk.sources:
        if isinstance(source, FolderSource):
            rows += [source.found(key, place) for key, place in (await source.look()).items()]
    return page(request, "list.html", rows=rows)


def routes() -> list[BaseRoute]:
    return [Route("/", listing, name="list")]
