"""Entrance: the address with the ticket, who is looking, and why."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bwvd.desk.desk import Desk
from bwvd.desk.page import page
from bwvd.desk.session import Session, said

FORM_BYTES = 65_536  # a name, a reason, some numbers
MOST_FIELDS = 100


async def form(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name. One that is longer than any of ours, or has more, has none."""
    data = bytearray()
    async with aclosing(request.stream()) as pieces:
        async for piece in pieces:
            data += piece
            if len(data) > FORM_BYTES:
                return {}
    try:
        fields = parse_qs(data.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


def inside(address: str) -> str:
    """`address` if it is one of this page's; its front page for any other."""
    local = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if local else "/"


async def enter(request: Request) -> Response:
    """Let in who has the ticket. The answer is a page, because a browser sends no cookie with what it was redirected to
    from another program's link."""
    desk: Desk = request.app.state.desk
    session = desk.sessions.enter(request.query_params.get("token", ""))
    if session is None:
        if desk.sessions.of(request.cookies.get(desk.access.cookie, "")) is not None:
            return RedirectResponse("/", 303)  # the same address again, in the browser that it has let in
        return page(request, "closed.html", 403)
    request.state.session = session
    answer = page(request, "who.html", next="/", missing=False)
    answer.set_cookie(desk.access.cookie, session.id, httponly=True, samesite="strict", secure=desk.access.secure)
    return answer


async def who(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    session: Session = request.state.session
    if request.method != "POST":
        return page(request, "who.html", next=inside(request.query_params.get("next", "/")), missing=False)
    fields = await form(request)
    where = inside(fields.get("next", "/"))
    name = session.name if session.by else said(fields.get("name", ""))
    reason = said(fields.get("reason", ""))
    if not name or (desk.access.reason_needed and not reason):
        return page(request, "who.html", 422, next=where, missing=True)
    if (name, reason) != (session.name, session.reason) or "entered" not in session.seen:
        await desk.trail.enter(replace(session, name=name, reason=reason), "entered", {})
        session.name, session.reason = name, reason
        session.seen = {"entered"}  # under another name, or for another reason, everything is looked at anew
    return RedirectResponse(where, 303)


def routes() -> list[BaseRoute]:
    return [
        Route("/enter", enter),
        Route("/who", who, methods=["GET", "POST"]),
    ]
