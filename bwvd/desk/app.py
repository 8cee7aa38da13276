"""Application: which module answers what, behind the guard."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from bwvd.desk import entrance, listing, out, recording, static_files
from bwvd.desk.desk import Desk
from bwvd.desk.guard import Guard
from bwvd.desk.page import page
from bwvd.desk.source import NotThere
from bwvd.desk.trail import TrailLost
from bwvd.evidence.errors import EvidenceError
from bwvd.store.errors import StoreError
from bwvd.text import clean


async def _not_there(request: Request, error: Exception) -> Response:
    return page(request, "error.html", 404, what=str(error) if isinstance(error, NotThere) else "", kind="not_there")


async def _no_trail(request: Request, error: Exception) -> Response:
    """Nothing is shown of which the log says nothing."""
    return page(request, "error.html", 503, what=clean(str(error)), kind="no_trail")


async def _unusable(request: Request, error: Exception) -> Response:
    """What lies there can't be read, or what it lies in does not answer."""
    return page(request, "error.html", 502, what=clean(str(error)), kind="unusable")


def application(desk: Desk) -> Starlette:
    """The page of a desk, as an ASGI application. Opens nothing; who made the desk closes it."""
    app = Starlette(
        routes=[
            *entrance.routes(),
            *listing.routes(),
            *recording.routes(),
            *out.routes(),
            Mount(static_files.address(), StaticFiles(packages=[("bwvd.desk", "static")]), name="static"),
        ],
        middleware=[Middleware(Guard, desk=desk)],
        exception_handlers={
            404: _not_there,
            NotThere: _not_there,
            TrailLost: _no_trail,
            EvidenceError: _unusable,
            StoreError: _unusable,
            OSError: _unusable,
        },
    )
    app.state.desk = desk
    return app
