"""What Chromium makes of a film's first frame: how large it is shown, and the colours of its middle line."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.support.stock import need

PATIENCE_S = 60.0

_PAGE = b"""<!doctype html><video muted preload="auto" src="/film"></video><script>
const film = document.querySelector("video")
const said = (what) => fetch("/said", {method: "POST", body: JSON.stringify(what)})
film.onerror = () => said({error: film.error.message})
film.onseeked = () => {
  const canvas = new OffscreenCanvas(film.videoWidth, film.videoHeight), at = canvas.getContext("2d")
  at.drawImage(film, 0, 0)
  const line = at.getImageData(0, film.videoHeight >> 1, film.videoWidth, 1).data
  said({width: film.videoWidth, height: film.videoHeight, line: Array.from(line)})
}
film.onloadeddata = () => { film.currentTime = 0.1 }
</script>"""


@dataclass(frozen=True)
class Seen:
    """A frame as the page sees it. line: red, green and blue of each place of its middle line."""

    width: int
    height: int
    line: list[tuple[int, int, int]]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        found = {"/": (_PAGE, "text/html"), "/film": (self.server.film, "video/mp4")}.get(self.path)
        data, kind = found if found is not None else (b"", "text/plain")
        self.send_response(200 if found is not None else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(data)

    def do_POST(self) -> None:
        self.server.said = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.server.answered.set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class calls it so
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, film: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.film = film
        self.said = b""
        self.answered = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that has left is no error."""


def seen(film: bytes) -> Seen:
    """Show a film to a browser without a screen. Raises: AssertionError with what it says is wrong with it."""
    with _Server(film) as server, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        command = [need("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command += [f"--user-data-dir={profile}", "--no-first-run", "--disable-background-networking"]
        command += ["--force-color-profile=srgb", f"http://127.0.0.1:{server.server_port}/"]
        environment = {**os.environ, "HOME": str(Path(profile))}
        browser = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, env=environment,
        )  # fmt: skip
        try:
            assert server.answered.wait(PATIENCE_S), "the browser has shown nothing"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
            server.shutdown()
            thread.join()
    answer = json.loads(server.said)
    assert "error" not in answer, answer["error"]
    line = answer["line"]
    return Seen(
        answer["width"],
        answer["height"],
        [(line[at], line[at + 1], line[at + 2]) for at in range(0, len(line), 4)],
    )
