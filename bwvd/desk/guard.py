"""Guard before the application: who may ask, from where, and what every answer forbids the browser.

A page that somebody else wrote can make a browser ask 127.0.0.1, and a name that somebody else owns can be made to mean
it; another user of this machine can connect. So every request has to name this host and no other, to come from this
page or from nowhere, to be made by the same system user, and to have the cookie that the address with the ticket gave.
"""

from __future__ import annotations

from urllib.parse import quote

import trio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bwvd.desk.desk import Desk
from bwvd.desk.page import page
from bwvd.desk.session import Session
from bwvd.desk.static_files import FOREVER, PREFIX

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), display-capture=()",
    "referrer-policy": "same-origin",  # without any, a browser gives a form's origin as "null"
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
FOUND = (200, 206, 304)
READING = ("GET", "HEAD")
OPEN_TO_ALL = ("/enter", PREFIX)  # what nobody's evidence is in
BEFORE_A_NAME = ("/who",)  # what who has come in may ask before saying who it is


class Guard:
    """ASGI middleware.

    **Synchronization:** trio's thread.
    """

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket, which this page never opens
            await send({"type": "websocket.close", "code": 1008})
            return
        static = scope["path"].startswith(PREFIX)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                # What is decrypted stays in memory, the browser's too.
                headers["cache-control"] = FOREVER if static and message["status"] in FOUND else "no-store"
            await send(message)

        answer = await self._judge(scope)
        await (answer or self._app)(scope, receive, guarded)

    async def _judge(self, scope: Scope) -> Response | None:
        """The refusal; None for what may go on."""
        headers, access = Headers(scope=scope), self._desk.access
        if headers.getlist("host") not in [[host] for host in access.hosts]:
            return _refused("this is another host's address", 421)
        uid = None
        if (client := scope.get("client")) is not None:
            uid = await trio.to_thread.run_sync(access.peer, tuple(client))
        if uid is not None and uid != access.uid and not access.of_proxy(uid):
            return _refused("this desk is another user's")
        if refusal := _from_elsewhere(scope, headers, access.origins):
            return refusal
        path = scope["path"]
        if path.startswith(OPEN_TO_ALL):
            return None
        request = Request(scope)
        session = self._session(request, headers, by_proxy=access.of_proxy(uid))
        if session is None:
            return page(request, "closed.html", 403)
        request.state.session = session
        if path.startswith(BEFORE_A_NAME) or (session.name and (session.reason or not access.reason_needed)):
            return None
        if scope["method"] in READING and headers.get("sec-fetch-dest", "document") == "document":
            asked = path + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            return RedirectResponse(f"/who?next={quote(asked, safe='')}", 303)
        return _refused("say first who you are, and why you look")

    def _session(self, request: Request, headers: Headers, *, by_proxy: bool) -> Session | None:
        access = self._desk.access
        session = self._desk.sessions.of(request.cookies.get(access.cookie, ""))
        if not by_proxy:
            # A session that a proxy has opened is no use to who has got hold of its cookie.
            return session if session is not None and not session.by else None
        for header in access.trusted:
            if len(values := headers.getlist(header)) == 1 and (name := values[0].strip()):
                return self._desk.sessions.of_proxy(name, header)
        return None


def _from_elsewhere(scope: Scope, headers: Headers, origins: frozenset[str]) -> Response | None:
    """The refusal of what another page has made the browser ask."""
    reading = scope["method"] in READING
    site = headers.get("sec-fetch-site", "")
    if (origin := headers.get("origin")) is not None:
        if headers.getlist("origin") == [origin] and origin in origins:
            return None
        return _refused("asked from another page")
    if not reading:
        return None if site == "same-origin" else _refused("asked from no page of this desk")
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if site in ("cross-site", "same-site") and not followed:
        return _refused("asked from another page")
    return None


def _refused(why: str, status: int = 403) -> Response:
    return PlainTextResponse(f"{why}\n", status)
