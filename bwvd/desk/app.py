"""Application: which module answers what, behind the guard."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from bwvd.desk import listing, recording
from bwvd.desk.desk import Desk
from bwvd.desk.page import page
from bwvd.desk.source import NotThere


async def _not_there(request: Request, error: Exception) -> Response:
    return page(request, "error.html", 404, what=str(error) if isinstance(error, NotThere) else "")


def application(desk: Desk) -> Starlette:
    """The page of a desk, as an ASGI application. Opens nothing; who made the desk closes it."""
    app = Starlette(
        routes=[
            *listing.routes(),
            *recording.routes(),
            Mount("/static", StaticFiles(packages=[("bwvd.desk", "static")]), name="static"),
        ],
        exception_handlers={404: _not_there, NotThere: _not_there},
    )
    app.state.desk = desk
    return app
