"""The page in Debian's Chromium: `bwvd desk` in a process of its own, a browser, and what is seen in it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.stock import need

WAIT_MS = 30_000  # for what takes a moment; on a machine that is busy it takes longer
NAME, REASON = "A. Tester", "test run"

# Reads the number that `bwvd.testing.picture` has drawn into the frame that a video element shows; null for none.
_NUMBER = """(video) => {
  const canvas = document.createElement("canvas");
  const [width, height] = [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  if (!width) return null;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0);
  const half = Math.floor(height / 2);
  const top = (row) => half + Math.floor((row * (height - half)) / 3);
  const values = [0, 1, 2].map((row) => {
    let value = 0;
    for (let column = 0; column < 8; column++) {
      const x = Math.floor(((2 * column + 1) * width) / 8 / 2);
      const y = Math.floor((top(row) + top(row + 1)) / 2);
      value = (value << 1) | (context.getImageData(x, y, 1, 1).data[1] > 126 ? 1 : 0);
    }
    return value;
  });
  return (values[0] ^ values[1] ^ 0xa5) === values[2] ? (values[0] << 8) | values[1] : null;
}"""

# True when a video element shows the frame of the moment that it was told to go to.
_SETTLED = "(video) => !video.seeking && video.readyState >= 2"


@contextlib.contextmanager
def served(*paths: Path, options: tuple[str, ...] = (), home: Path, tree: Path | None = None) -> Iterator[str]:
    """`bwvd desk` on these paths; gives the address that lets one browser in.

    home: where the desk keeps its log and its key, and puts what it hands out.
    tree: another working tree whose bwvd it is; None = this one's.
    """
    command = [sys.executable, "-m", "bwvd", "desk", *map(str, paths), "--no-browser", "--port", "0", *options]
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    environment |= {"PYTHONPATH": str(tree.resolve())} if tree is not None else {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment, cwd=home, text=True
    ) as desk:
        assert desk.stdout is not None
        try:
            said = ""
            while not (found := re.search(r"http://\S+", said)):
                line = desk.stdout.readline()
                assert line, f"bwvd desk ended before it gave its address: {said}"
                said += line
            yield found[0]
        finally:
            desk.terminate()
            desk.wait(20)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a screen."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=need("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
        )
        try:
            yield launched
        finally:
            launched.close()


class Visit:
    """One browser's visit to a desk, from the address that lets it in. Whatever the page complains of fails it.

    **Synchronization:** one thread.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context = context
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []  # addresses that were asked for and are not the desk's
        self.page = self._opened()
        self.origin = re.match(r"http://[^/]+", address)[0]  # type: ignore[index]  # an address begins so
        self.page.goto(address)
        if self.page.locator("input[name=name]").count():
            self.page.fill("input[name=name]", NAME)
            self.page.fill("input[name=reason]", REASON)
            self.page.click("main form button")
            self.page.wait_for_url(f"{self.origin}/")

    def _opened(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda asked: None if self._ours(asked.url) else self.elsewhere.append(asked.url))
        return page

    def _ours(self, url: str) -> bool:
        return url.startswith(("data:", "blob:", "http://127.0.0.1:"))

    def recording(self, number: int = 0, query: str = "", *, shown: bool = True) -> Page:
        """The page of a recording, by its place in the list; when its first frame is shown."""
        self.page.goto(f"{self.origin}/")
        links = self.page.locator("main a[href^='/r/']")
        links.first.wait_for()
        path = sorted({link.get_attribute("href") or "" for link in links.all()})[number]
        self.page.goto(f"{self.origin}{path}{query}")
        self.page.wait_for_selector("#recording[data-ready=true]")
        if shown:
            self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until the frame of the moment is shown."""
        video = self.page.locator("video").first.element_handle()
        self.page.wait_for_function(_SETTLED, arg=video)
        # What is decoded is painted with the next frame of the screen.
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def seek(self, seconds: float) -> None:
        self.page.evaluate("(us) => window.desk.player.seek(us)", seconds * 1e6)
        self.settle()

    def number(self) -> int | None:
        """Of the frame that the video element shows."""
        found: int | None = self.page.locator("video").first.evaluate(_NUMBER)
        return found

    def seconds(self) -> float:
        """Where the page says that it is."""
        return float(self.page.evaluate("() => window.desk.player.us")) / 1e6
