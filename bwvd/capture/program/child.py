"""A child process that delivers video: started in a group of its own, read without ever blocking for long, ended whole.

It dies with the daemon, also where that is killed: a few lines of Python between fork and exec ask the kernel to see to
it (PR_SET_PDEATHSIG). What it writes to stderr is logged, and its last line says why it ended; the passwords of its
command line are blotted out there.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from bwvd.capture.program.secrets import Secrets
from bwvd.capture.source import DeviceLost, SourceRefused, Stopped
from bwvd.log import get_logger
from bwvd.text import one_line

_log = get_logger("program")

SLICE_MS = 200  # between two looks at whether we are to stop
OPENING_S = 14.0  # until its first byte; just before the device's thread would be given up
SILENCE_S = 2.5  # without a byte later on; the same
TERM_S = 0.5  # what it gets to end by itself
KILL_S = 1.0  # what the kernel gets to end it: longer only where it hangs in a driver
LAST_WORDS_S = 0.2  # for what it still has to say on stderr after its end
PIPE_BYTES = 1 << 20  # asked of the kernel for a pipe of media: a raw frame, or a second of coded ones
LINE_BYTES = 4096  # of stderr, at most: the rest of a longer line is left out
LINES = 20  # logged within WINDOW_S
WINDOW_S = 10.0

# Runs as the child, and becomes the program. Python ignores SIGPIPE, which a program would inherit, and a thread from
# before the daemon took its signals has them blocked: the program could not be asked to end. The recorder is protected
# from the kernel's killer of processes, what it has started need not be.
_GUARD = """
import ctypes, os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
try:
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("0")
except OSError:
    pass
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    print(f"{sys.argv[2]}: {error.strerror}", file=sys.stderr)
    os._exit(127)
"""
_NOT_FOR_IT = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Child:
    """One run of a program.

    **Synchronization:** one thread, which has to outlive it: with its thread the kernel ends it.
    """

    def __init__(
        self,
        words: Sequence[str],
        shown: str,
        key: str,
        stopping: Callable[[], bool],
        *,
        stdout: bool = True,
        meant: Sequence[tuple[str, str]] = (),
    ) -> None:
        """words: the program and its arguments. shown: for messages. key: of the configuration that names it.
        stopping: asked every `SLICE_MS` while nothing comes. stdout: read it; else it goes nowhere. meant: what stands
        in its last words, and what that means in words for a person.

        Raises: SourceRefused where there is no such program; DeviceLost where it can't be started now.
        """
        self.shown = shown
        self.last_words = ""  # on stderr; of errors, where it has called something that
        self._meant = meant
        self._secrets = Secrets(words[1:])
        self._stopping = stopping
        self._torn = b""  # a line of stderr without its end yet
        self._since_s = time.monotonic()  # of a window in which lines are counted
        self._lines = 0
        self._heard = False  # a byte of media has come
        path = shutil.which(words[0])
        if path is None:
            raise SourceRefused(f"{key}: {words[0]}: no such program")
        guard = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), path, *words[1:]]
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_IT}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - what the configuration, which is root's, says
                guard,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                process_group=0,
            )
        except OSError as error:
            raise DeviceLost(f"{shown}: {error.strerror}") from error
        assert self._process.stderr is not None  # noqa: S101 - narrows the type
        self._stderr = self._process.stderr.fileno()
        self._told_end = False  # of stderr
        os.set_blocking(self._stderr, False)
        self.stdout = -1
        if self._process.stdout is not None:
            self.stdout = self._process.stdout.fileno()
            os.set_blocking(self.stdout, False)
            widen(self.stdout)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, *files: int) -> list[int]:
        """Wait until something can be read from one of `files`, and return those.

        Raises: Stopped; DeviceLost where it is silent for too long, or has ended and left nothing to be read.
        """
        patience_s = SILENCE_S if self._heard else OPENING_S
        deadline_s = time.monotonic() + patience_s
        poller = select.poll()
        for file in files:
            poller.register(file, select.POLLIN)
        if not self._told_end:
            poller.register(self._stderr, select.POLLIN)
        while True:
            if self._stopping():
                raise Stopped
            ended = self.has_ended()  # before the look: what it wrote before its end is seen then
            ready = [file for file, _ in poller.poll(0 if ended else SLICE_MS)]
            if self._stderr in ready and not self._hear():
                poller.unregister(self._stderr)
            found = [file for file in ready if file != self._stderr]
            if found:
                self._heard = True
                return found
            if ended:
                raise DeviceLost(self.why_ended())
            if time.monotonic() > deadline_s:
                self._signal(signal.SIGKILL)  # it hangs: there is nothing to be waited for
                raise DeviceLost(f"{self.shown} delivered nothing for {patience_s:g} s{self._words()}")

    def read(self, limit: int) -> bytes:
        """Up to `limit` bytes of its stdout; b"" at its end. Raises: as `wait`."""
        while True:
            self.wait(self.stdout)
            try:
                return os.read(self.stdout, limit)
            except BlockingIOError:
                continue

    def has_ended(self) -> bool:
        """Looks without reaping it: until we have killed its group, its number must not be another's."""
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def why_ended(self) -> str:
        """One line: how it ended, or that it closed its output, and its last words."""
        deadline_s = time.monotonic() + LAST_WORDS_S
        while time.monotonic() < deadline_s and not (self._told_end and self.has_ended()):
            self._hear_for(0.01)
        if self._torn.strip():  # its last line had no end
            self._remember(self._torn)
            self._torn = b""
        status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if status is None:
            how = "closed its output"
        elif status.si_code == os.CLD_EXITED:
            how = f"ended with exit code {status.si_status}"
        else:
            how = f"was ended by {signal.Signals(status.si_status).name}"
        return f"{self.shown} {how}{self._words()}"

    def end(self) -> None:
        """End it and everything that it has started in its group, and reap it; takes `TERM_S` + `KILL_S` at most."""
        if self._process.returncode is not None:
            return
        for number, patience_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
            if number == signal.SIGKILL or not self.has_ended():
                self._signal(number)
            deadline_s = time.monotonic() + patience_s
            while not self.has_ended() and time.monotonic() < deadline_s:
                self._hear_for(0.02)
        if self.has_ended():
            self._process.wait()
        else:  # it hangs in a driver; subprocess reaps it when it starts the next one
            _log.warning("program_not_ended", source=self.shown, pid=self._process.pid)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(PermissionError):  # it has become another user's; its end is that of its output
            os.killpg(self._process.pid, number)

    def _hear_for(self, seconds: float) -> None:
        """Wait, and read what it says meanwhile, so that it can't wait for us."""
        if self._told_end:
            time.sleep(seconds)
            return
        poller = select.poll()
        poller.register(self._stderr, select.POLLIN)
        if poller.poll(seconds * 1000):
            self._hear()

    def _hear(self) -> bool:
        """Read its stderr once; False at the end of it."""
        try:
            data = os.read(self._stderr, 1 << 16)
        except BlockingIOError:
            return True
        if not data:
            self._told_end = True
            return False
        *lines, torn = (self._torn + data).split(b"\n")
        self._torn = torn[:LINE_BYTES]
        lines = [line for line in lines if line.strip()]
        self._count(len(lines))
        for line in lines[: max(LINES + len(lines) - self._lines, 0)]:
            _log.info("program_says", source=self.shown, line=self._text_of(line))
        for line in lines[-LINES:]:
            self._remember(line)
        return True

    def _remember(self, line: bytes) -> None:
        text = self._text_of(line)
        if "ERROR" in text or "ERROR" not in self.last_words:
            self.last_words = text

    def _count(self, lines: int) -> None:
        now_s = time.monotonic()
        if now_s - self._since_s > WINDOW_S:
            if self._lines > LINES:
                _log.warning("program_lines_left_out", source=self.shown, lines=self._lines - LINES)
            self._since_s, self._lines = now_s, 0
        self._lines += lines

    def _words(self) -> str:
        meaning = next((f"{meaning}: " for part, meaning in self._meant if part in self.last_words), "")
        return f": {meaning}{self.last_words}" if self.last_words else ""

    def _text_of(self, line: bytes) -> str:
        try:
            return one_line(self._secrets.blotted(_COLOURS.sub("", line[:LINE_BYTES].decode())))
        except UnicodeDecodeError:  # it may be media
            return f"{len(line)} bytes that are no text"


def widen(pipe: int) -> None:
    """Give a pipe `PIPE_BYTES`, where the kernel lets us have them."""
    import fcntl

    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:  # a user's pipes have a limit together; it goes on with the usual size
        return
