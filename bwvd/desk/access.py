"""Access: which names, origins, users and headers the page listens to. Pure, but for the look at who has connected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"

NOBODY = -1  # no system user has it: a connection that the kernel does not list

# Connections of this machine: "sl local_address rem_address st … uid …". A program may reach 127.0.0.1 by a socket of
# either kind.
_TABLES = Path("/proc/net/tcp"), Path("/proc/net/tcp6")
_MAPPED = "0000000000000000FFFF0000"  # before an IPv4 address that is written as one of IPv6 (RFC 4291, 2.5.5.2)
_LOOKS = 2  # a table that changes while it is read may lack a line


@dataclass(frozen=True, slots=True)
class Access:
    """What the guard judges by.

    `trusted` are names of headers, lower case, in which a proxy says who is looking. They are believed on connections
    of the system user `proxy_uid` alone: any program of this machine can connect, and write what it likes.
    """

    port: int
    uid: int  # the system user who runs the desk
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    trusted: tuple[str, ...] = ()
    proxy_uid: int | None = None
    reason_needed: bool = False
    secure: bool = False  # people reach it by https
    user: str = ""  # the system user's name, for the log
    peers: Sequence[Path] = _TABLES

    @classmethod
    def loopback(cls, port: int, uid: int, user: str, *, reason_needed: bool = False) -> Access:
        """For a browser on this machine, of the same user."""
        names = [f"{host}:{port}" for host in (LOOPBACK, "localhost")]
        return cls(
            port,
            uid,
            frozenset(names),
            frozenset(f"http://{name}" for name in names),
            reason_needed=reason_needed,
            user=user,
        )

    @property
    def cookie(self) -> str:
        """The session's: cookies know no ports, so that each desk has a name of its own."""
        return f"bwvd-desk-{self.port}"

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def of_proxy(self, uid: int | None) -> bool:
        """Whether a connection is the proxy's."""
        return self.proxy_uid is not None and uid == self.proxy_uid

    def peer(self, address: tuple[str, int] | None) -> int | None:
        """The system user at the other end of a connection from this machine. Blocking.

        None if that can't be told, because this machine shows no table; NOBODY if no table has the connection.
        """
        if address is None:
            return None
        for _ in range(_LOOKS):
            told = False
            for path in self.peers:
                try:
                    text = path.read_text(encoding="ascii")
                except (OSError, UnicodeDecodeError):
                    continue
                told = True
                if (uid := peer_uid(text, address, (LOOPBACK, self.port))) is not None:
                    return uid
            if not told:
                return None
        return NOBODY


def peer_uid(table: str, client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """The owner of the socket that is `client`, connected to `server`, in one of the kernel's tables of connections."""
    ends = [_hexadecimal(*client), _hexadecimal(*server)]
    wanted = [ends, [_MAPPED + end for end in ends]]
    for line in table.splitlines()[1:]:
        parts = line.split()
        if len(parts) > 7 and parts[1:3] in wanted and parts[7].isdigit():
            return int(parts[7])
    return None


def _hexadecimal(host: str, port: int) -> str:
    """As the table writes addresses: an IPv4 address as a number, in the order of bytes of a little-endian machine."""
    try:
        parts = [int(part) for part in host.split(".")]
    except ValueError:
        return ""
    return "".join(f"{part:02X}" for part in reversed(parts)) + f":{port:04X}"


def public_names(url: str) -> tuple[str, str]:
    """Host and origin of the address by which people reach a proxy. Raises: ValueError, one line."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError(f"{url}: must be https://HOST or https://HOST:PORT")
    host = parts.netloc.rpartition("@")[2].lower()
    return host, f"{parts.scheme}://{host}"
