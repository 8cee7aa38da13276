"""Chromium: a page of one film, from a server on this machine, as it plays no playlist from a file."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.players.players import Running, seconds_said
from tests.support.stock import need

_PAGE = """<!doctype html><style>*{margin:0;background:#777;overflow:hidden}
video{width:320px;height:240px;object-fit:fill}</style>
<video autoplay></video><script>
const film = document.querySelector("video"), at = new URLSearchParams(location.search).get("at")
const said = (what) => fetch("/said", {method: "POST", body: what})
film.onended = () => said("ended")
film.onerror = () => said("error " + film.error.message)
film.onloadedmetadata = () => { said("length " + film.duration); if (at > 0) film.currentTime = at }
if (at > 0) { film.style.visibility = "hidden"; film.onseeked = () => film.style.visibility = "" }
film.src = new URLSearchParams(location.search).get("film")
</script>"""


_TYPES = {".m3u8": "application/vnd.apple.mpegurl", ".mp4": "video/mp4", ".m4s": "video/iso.segment"}


class _Handler(http.server.SimpleHTTPRequestHandler):
    """The folder of a film, the page, and what the page says. Parts of a file are answered: a seek asks for one."""

    extensions_map = _TYPES
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        if self.path.startswith("/?"):
            self._answer(200, _PAGE.encode(), "text/html")
            return
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            self._answer(404, b"", "text/plain")
            return
        data, kind = file.read_bytes(), self.guess_type(str(file))
        asked = self.headers.get("Range", "")
        if not asked.startswith("bytes="):
            self._answer(200, data, kind)
            return
        first, last = asked.removeprefix("bytes=").split("-")
        start, end = int(first), min(int(last or len(data) - 1), len(data) - 1)
        self._answer(206, data[start : end + 1], kind, f"bytes {start}-{end}/{len(data)}")

    def do_POST(self) -> None:
        words = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.words += words + "\n"
        self._answer(200, b"", "text/plain")
        if not words.startswith("length"):
            self.server.ended.set()

    def _answer(self, status: int, data: bytes, kind: str, part: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class calls it so
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
        self.ended = threading.Event()
        self.words = ""

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that has left is no error."""


@contextlib.contextmanager
def chromium(film: Path, at_s: float) -> Iterator[Running]:
    with _Server(film.parent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/?film={film.name}&at={at_s:.3f}"
            command = [
                "sh",
                "-c",
                'exec "$0" --user-data-dir="$HOME/profile" "$@"',
                need("chromium"),
                "--no-sandbox",
                "--kiosk",
                "--window-position=0,0",
                "--window-size=320,240",
            ]
            command += ["--autoplay-policy=no-user-gesture-required", "--no-first-run", "--disable-gpu"]
            command += ["--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"]
            command += ["--disable-breakpad"]
            yield Running(
                [*command, address],
                server.ended.is_set,
                lambda: server.words,
                reported=seconds_said(r"length ([\d.]+)"),
                sought_s=4.0,
            )
        finally:
            server.shutdown()
            thread.join()
