"""The carrier at the control socket: it sees the status and hands in receipts, and can do nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bwvd.controls.carrier_rights import USER, carrier_source, may_ask, without
from bwvd.messages import Answer, Command, Order

CARRIER = "socket:uid=987,"


@pytest.mark.parametrize("order", list(Order))
def test_the_carrier_may_give_no_order(order: Order) -> None:
    """Invariant 11: who breaks into the process that the network reaches ends no recording."""
    sent: list[Command] = []
    refused: list[str] = []
    answers: list[Answer] = []
    send = without(CARRIER, sent.append, lambda _, reason: refused.append(reason))
    send(Command(order, f"{CARRIER}pid=7", 1, reply=answers.append))
    assert sent == []
    assert refused == [f"{USER} may not ask for {order}"]
    assert [answer.ok for answer in answers] == [False]
    send(Command(order, "socket:uid=9876,pid=7", 1, reply=answers.append))
    assert [command.order for command in sent] == [order]


def test_of_the_requests_it_may_make_one() -> None:
    assert may_ask(CARRIER, f"{CARRIER}pid=7", "release")
    assert not may_ask(CARRIER, f"{CARRIER}pid=7", "log_access")
    assert may_ask(CARRIER, "socket:uid=1000,pid=7", "log_access")
    assert may_ask("", f"{CARRIER}pid=7", "log_access")


@pytest.mark.parametrize(
    ("users", "source"),
    [
        ("root:x:0:0::/root:/bin/sh\nbwvd-offload:x:987:987::/:/usr/sbin/nologin\n", CARRIER),
        ("root:x:0:0::/root:/bin/sh\nbwvd-offload-2:x:987:987::/:/x\n", ""),
        ("bwvd-offload:x\n", ""),
        ("bwvd-offload:x:nobody:\n", ""),
        ("", ""),
    ],
)
def test_its_user_is_found_by_name(tmp_path: Path, users: str, source: str) -> None:
    path = tmp_path / "passwd"
    path.write_text(users)
    assert carrier_source(path) == source
    assert carrier_source(tmp_path / "nothing") == ""


def test_where_there_is_no_such_user_nothing_changes() -> None:
    def send(_: Command) -> None:
        raise AssertionError("not called")

    assert without("", send, lambda *_: None) is send
