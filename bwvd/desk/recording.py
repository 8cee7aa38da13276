"""Page of one recording."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bwvd.desk.desk import Desk
from bwvd.desk.page import page


async def recording(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    found = await desk.find(request.path_params["device"], request.path_params["recording"])
    return page(request, "recording.html", found=found)


def routes() -> list[BaseRoute]:
    """All below `/r/`."""
    return [Route("/r/{device}/{recording}", recording, name="recording")]
