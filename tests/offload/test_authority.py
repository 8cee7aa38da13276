"""An authority over HTTP, by openssl: good answers, and each way in which one can be none."""

from __future__ import annotations

import datetime
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from bwvd.clock import NS, Reading
from bwvd.evidence.keys.rfc3161 import TokenBad, load_certificates, new_request
from bwvd.offload import authority as http
from bwvd.offload.authority import HttpAuthority
from tests.support.time_authority import ANSWER, Authority, TimeServer, honest, time_server

DATA = b"bwvd digest list 1\n"


class Clock:
    """The machine's clock, so far off, of that quality."""

    def __init__(self, off_s: float = 0.0, quality: str = "synchronised") -> None:
        self._off_ns, self._quality = round(off_s * NS), quality

    def monotonic_ns(self) -> int:
        return 0

    def read(self) -> Reading:
        now_ns = round(datetime.datetime.now(datetime.UTC).timestamp() * NS)
        return Reading(0, now_ns + self._off_ns, self._quality, None)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture
def server(authority: Authority) -> Iterator[TimeServer]:
    with time_server(honest(authority)) as running:
        yield running


async def test_a_token_comes_back(authority: Authority, server: TimeServer) -> None:
    asked = HttpAuthority(server.url, load_certificates(authority.root), Clock())
    answer, token = await asked.stamp(DATA)
    assert token.by == "CN=time authority of the tests"
    assert len(server.requests) == 1
    assert answer.startswith(b"0")


async def refused(asked: HttpAuthority) -> str:
    with pytest.raises(TokenBad) as error:
        await asked.stamp(DATA)
    assert str(error.value).startswith(f"{asked.label}: ")
    return str(error.value).removeprefix(f"{asked.label}: ")


def said(answer: tuple[int, str, bytes], _: bytes) -> tuple[int, str, bytes]:
    return answer


async def test_what_is_no_answer(authority: Authority, server: TimeServer) -> None:
    asked = HttpAuthority(server.url, load_certificates(authority.root), Clock())
    for answer, why in (
        ((200, "text/html", b"<html>log in first</html>"), "answers text/html instead of a time-stamp"),
        ((200, ANSWER, b"<html>log in first</html>"), "the answer is no time-stamp"),
        ((200, ANSWER, bytes(100_000)), "answers more than 16384 bytes"),
        ((503, ANSWER, b""), "answers with status 503"),
        ((302, ANSWER, b""), "answers with status 302"),
        ((200, ANSWER, authority.reply(new_request(b"something else").der)), "the token is for something else"),
        ((200, ANSWER, authority.reply(new_request(DATA).der)), "the token has another nonce"),
    ):
        server.answer = partial(said, answer)
        assert why in await refused(asked)


async def test_an_untrusted_one_is_named_and_without_certificates_it_is_for_who_verifies(
    server: TimeServer, tmp_path: Path
) -> None:
    other = load_certificates(Authority(tmp_path).root)
    assert "the authority's certificate" in await refused(HttpAuthority(server.url, other, Clock()))
    await HttpAuthority(server.url, None, Clock()).stamp(DATA)


@pytest.mark.parametrize(("off_s", "said"), [(3600.0, "behind us"), (-3600.0, "ahead of us")])
async def test_one_that_lies_about_the_time(server: TimeServer, off_s: float, said: str) -> None:
    assert said in await refused(HttpAuthority(server.url, None, Clock(off_s)))
    for quality in ("free", "not_set"):  # then it is the camera's clock that may be wrong
        await HttpAuthority(server.url, None, Clock(off_s, quality)).stamp(DATA)


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            try:
                while True:
                    taken.append(server.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in taken:
                one.close()


async def test_one_that_hangs_and_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_WITHIN_S", 0.2)
    with silent_server() as port:
        assert await refused(HttpAuthority(f"http://127.0.0.1:{port}/", None, Clock())) == "no answer within 0 s"
    monkeypatch.undo()
    assert "connect" in await refused(HttpAuthority(f"http://127.0.0.1:{port}/", None, Clock()))
