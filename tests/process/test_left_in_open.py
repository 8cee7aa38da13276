"""A whole process that is ended while libav is opening an address: nothing is torn down under a thread inside it."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from bwvd.capture.device.device_thread import STOP_S
from tests.support.process import Process

SPREAD_S = 0.6  # within which the process ends, once the thread is given up


class SilentServer:
    """Takes a connection and says nothing, until it hangs up: then libav returns, in the middle of whatever is."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.connected = threading.Event()
        self._hang_up = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            self.connected.set()
            self._hang_up.wait(30)

    def hang_up(self) -> None:
        self._hang_up.set()
        self._thread.join(5)
        self._listening.close()


def end_in_open(folder: Path, after_s: float) -> None:
    """One start and end; the server hangs up so long after the signal."""
    server = SilentServer()
    try:
        with Process(folder, f'[video]\nsource = "rtsp://127.0.0.1:{server.port}/live"\nencoder = "copy"\n') as daemon:
            assert server.connected.wait(20)
            asked = time.monotonic()
            daemon.process.terminate()
            time.sleep(after_s)
            server.hang_up()
            assert daemon.process.wait(20) == 0, daemon.log()
            assert time.monotonic() - asked < STOP_S + 5
            lines = daemon.log().splitlines()
    finally:
        server.hang_up()
    assert [json.loads(line)["event"] for line in lines].count("shutting_down") == 1, "each line is whole"
    assert "Fatal" not in "".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [STOP_S + 0.1, STOP_S + 0.25, STOP_S + SPREAD_S])
def test_an_end_while_libav_opens_is_an_end_in_order(tmp_path: Path, after_s: float) -> None:
    """Invariant 12."""
    end_in_open(tmp_path, after_s)


@pytest.mark.complete
def test_however_libav_comes_back_while_the_process_ends(tmp_path: Path) -> None:
    """Invariant 12, at a hundred moments of the end."""
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        end_in_open(folder, STOP_S + SPREAD_S * number / 100)
