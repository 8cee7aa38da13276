"""Page of one recording, and what its player and its timeline ask for."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bwvd.clock import NS
from bwvd.desk import address_number  # noqa: F401  registers `number` of addresses
from bwvd.desk.background import FAILURES
from bwvd.desk.desk import Desk
from bwvd.desk.document import document, verdict
from bwvd.desk.hls import Media, Served
from bwvd.desk.page import page, translator
from bwvd.desk.plain import PlainSegments
from bwvd.desk.query import PAGE_ROWS, Query
from bwvd.desk.receipts import Taken
from bwvd.desk.source import Found, Key, NotThere
from bwvd.desk.timeline import WITHHELD, Timeline, signed_lines, timeline, without_files
from bwvd.desk.trail import about
from bwvd.desk.where import where, words_of
from bwvd.evidence.export.sealed_text import reader
from bwvd.evidence.export.track import track_of
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.verify.folder import Folder
from bwvd.text import printable

T = TypeVar("T")

KEPT = 8  # recordings whose timelines are kept in memory: four at once, and those that were looked at before

_HOLD = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
MOST = 4  # recordings beside each other
OTHERS = 50  # that a page names


@dataclass(slots=True)
class Opened:
    """The recordings that were looked at last.

    **Synchronization:** trio's thread.
    """

    media: OrderedDict[Key, Media] = field(default_factory=OrderedDict)
    plain: PlainSegments = field(default_factory=PlainSegments)
    _reading: dict[Key, trio.Lock] = field(default_factory=dict)

    async def of(self, desk: Desk, found: Found, *, anew: bool = False) -> Media:
        """A recording as it was read last; `anew` reads it again: it may be growing.

        Who asks while it is read waits for that: a page asks for its timeline and its first frame at once.

        Raises: NotThere where its manifest can't be read; what `Found.read` raises.
        """
        before = self.media.get(found.key) if anew else None
        lock = self._reading.setdefault(found.key, trio.Lock())
        try:
            async with lock:
                known = self.media.get(found.key)
                if known is None or known is before:
                    return await self._read(desk, found)
                self.media.move_to_end(found.key)
                return known
        finally:
            if not (lock.locked() or lock.statistics().tasks_waiting):
                self._reading.pop(found.key, None)

    async def _read(self, desk: Desk, found: Found) -> Media:

        def read(folder: Folder) -> Media:
            try:
                names = folder.names()
                with folder.open(MANIFEST) as file:
                    line = timeline(signed_lines(file), reader(folder, desk.identities))
            except OSError as error:
                raise NotThere(f"its manifest can't be read: {error.strerror}") from None
            return Media(line.lacking(without_files(names, lambda _: False)), desk.identities, self.plain)

        media = await found.read(read)
        if (before := self.media.pop(found.key, None)) is not None:
            before.close()
        self.media[found.key] = media
        while len(self.media) > KEPT:
            self.media.popitem(last=False)[1].close()
        return media


def opened(request: Request) -> Opened:
    """What the application keeps in memory of recordings."""
    state = request.app.state
    if not hasattr(state, "opened"):
        state.opened = Opened()
    kept: Opened = state.opened
    return kept


async def find(request: Request) -> Found:
    """The recording of an address, once the log says that it is looked at. Raises: NotThere, TrailLost."""
    desk: Desk = request.app.state.desk
    found = await desk.find(request.path_params["device"], request.path_params["recording"])
    await desk.trail.viewed(request.state.session, found)
    return found


async def recording(request: Request) -> Response:
    """The page."""
    found = await find(request)
    request.app.state.desk.background.pause.begin()
    # The first frame is not to wait until the page's modules have found out what to ask for.
    from_begin = not request.query_params.keys() & {"t", "altered"}
    return page(request, "recording.html", found=found, from_begin=from_begin)


async def timeline_json(request: Request) -> Response:
    """The timeline, read anew: where a recording grows, so does its page."""
    found = await find(request)
    media = await opened(request).of(request.app.state.desk, found, anew=True)
    if media.line.open is None:
        raise NotThere("its manifest opens no recording")
    return JSONResponse({**document(media.line, media), "playlist": media.playlist()})


async def verdict_json(request: Request) -> Response:
    """What is known of its verification; asked for again until it is known, or has failed."""
    found = await find(request)
    desk: Desk = request.app.state.desk
    desk.background.pause.end()  # the page asks behind its first frame
    try:
        media = await opened(request).of(desk, found)
    except NotThere:  # without a manifest; the verification says so, and what else there is
        media = Media(Timeline())
    report = desk.background.known(found)
    if report is None and (why := desk.background.failed.get(found.key)) is not None:
        return JSONResponse({"known": False, "failed": why})
    if report is not None and (excerpt := report.excerpt) is not None:
        media.line = media.line.lacking(lambda one: "" if excerpt.first <= one.segment <= excerpt.last else WITHHELD)
    taken = await _taken(desk, found) if report is not None else None
    return JSONResponse(verdict(media.line, report, taken))


async def _taken(desk: Desk, found: Found) -> Taken | None:
    """The receipt for a recording, as its row of the list has it."""
    for source in desk.sources:
        with suppress(*FAILURES):
            rows = await source.rows(Query(text=found.name), 0, PAGE_ROWS, desk.memory)
            for row in rows.rows:
                if row.key == found.key:
                    return row.receipt
    return None


async def verify(request: Request) -> Response:
    """Verify it again: somebody may have mended, or altered, what the page has a verdict on."""
    desk: Desk = request.app.state.desk
    found = await find(request)
    await desk.trail.enter(request.state.session, "verifying", dict(about(found)))
    desk.background.again(found)
    return RedirectResponse(found.key.path, 303)


async def others_json(request: Request) -> Response:
    """Recordings of other cameras of which a part lies in this one's time."""
    found = await find(request)
    desk: Desk = request.app.state.desk
    line = (await opened(request).of(desk, found)).line
    first = line.index.segments[0].stamp if line.index.segments else None
    if first is None or first.quality == "not_set":
        return JSONResponse({"others": []})
    device = line.open.device if line.open is not None else ""
    rows = await desk.overlapping(device, first.utc, (line.end_ns - line.first_ns) / NS)
    others = [
        {"device": one.key.device, "recording": one.key.recording, "name": printable(one.found.name)} for one in rows
    ]
    return JSONResponse({"others": others[:OTHERS]})


async def track_json(request: Request) -> Response:
    """Where it was: read when it is asked for, because sealed positions are opened one by one."""
    found = await find(request)
    desk: Desk = request.app.state.desk
    line = (await opened(request).of(desk, found)).line

    words = words_of(translator(request))

    def read(folder: Folder) -> dict[str, Any]:
        try:
            with folder.open(MANIFEST) as file:
                track = track_of((one.record for one in signed_lines(file)), desk.identities)
        except OSError as error:
            raise NotThere(f"its manifest can't be read: {error.strerror}") from None
        return where(track, line, words)  # here: half a second for twelve hours of positions

    return JSONResponse(await found.read(read))


async def playlist(request: Request) -> Response:
    found = await find(request)
    media = await opened(request).of(request.app.state.desk, found)
    altered = request.query_params.get("altered") == "1"
    return Response(media.playlist(altered=altered), media_type="application/vnd.apple.mpegurl")


async def init(request: Request) -> Response:
    found = await find(request)
    media = await opened(request).of(request.app.state.desk, found)
    data = media.init(request.path_params["epoch"])
    return Response(data, media_type="video/mp4") if data is not None else Response(status_code=404)


async def segment(request: Request) -> Response:
    """A media segment, decrypted; or what is played in its place, and why."""
    altered = request.query_params.get("altered") == "1"
    number = request.path_params["number"]
    served = await _media(request, lambda media, folder: media.segment(folder, number, altered=altered))
    return _served(served)


async def hold(request: Request) -> Response:
    """What is played where there is no segment."""
    match = _HOLD.fullmatch(request.path_params["span"])
    if match is None:
        return Response(status_code=404)
    begin, end = int(match[1]), int(match[2])
    return _served(await _media(request, lambda media, folder: media.hold(folder, begin, end)))


async def frames(request: Request) -> Response:
    """When each frame of a segment is shown, on the timeline's axis."""
    number = request.path_params["number"]

    def read(media: Media, folder: Folder) -> list[int]:
        first_ns = media.line.first_ns
        return [-(-(at_ns - first_ns) // 1000) for at_ns in media.frames(folder, number) or []]

    return JSONResponse({"frames": await _media(request, read)})


async def _media(request: Request, job: Callable[[Media, Folder], T]) -> T:
    found = await find(request)
    media = await opened(request).of(request.app.state.desk, found)
    return await found.read(lambda folder: job(media, folder))


def _served(served: Served | None) -> Response:
    if served is None:
        return Response(status_code=404)
    return Response(served.data, media_type="video/mp4", headers={"bwvd-why": served.why} if served.why else {})


async def several(request: Request) -> Response:
    """Up to four recordings beside each other, on one clock."""
    desk: Desk = request.app.state.desk
    asked = request.query_params.getlist("r")[:MOST]
    chosen: list[Found] = []
    for one in dict.fromkeys(asked):
        device, _, name = one.partition("/")
        found = await desk.find(device, name)
        await desk.trail.viewed(request.state.session, found)
        chosen.append(found)
    if not chosen:
        raise NotThere("name recordings: ?r=DEVICE/RECORDING&r=…")
    return page(request, "several.html", chosen=chosen)


def routes() -> list[BaseRoute]:
    """All below `/r/`, and several beside each other."""
    below = "/r/{device}/{recording}"
    return [
        Route(below, recording, name="recording"),
        Route(f"{below}/timeline.json", timeline_json),
        Route(f"{below}/verdict.json", verdict_json),
        Route(f"{below}/verify", verify, methods=["POST"]),
        Route(f"{below}/others.json", others_json),
        Route(f"{below}/track.json", track_json),
        Route(f"{below}/playlist.m3u8", playlist),
        Route(f"{below}/init-{{epoch:number}}.mp4", init),
        Route(f"{below}/seg/{{number:number}}.m4s", segment),
        Route(f"{below}/hold/{{span}}.m4s", hold),
        Route(f"{below}/frames/{{number:number}}.json", frames),
        Route("/several", several, name="several"),
    ]
