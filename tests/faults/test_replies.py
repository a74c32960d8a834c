"""What each reply of a service calls for: how long is waited, what is believed, and who is never spoken to."""

from __future__ import annotations

import socket
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from epochscope import wire
from epochscope.connection import Connection
from epochscope.reply import Reply, seconds_asked
from epochscope.sender import Delivery, State
from epochscope.spool import Meta, Spool
from listener import Answer, Listener, free_port


class Scripted:
    """In the place of a connection: always the same reply."""

    url = "http://127.0.0.1:1"

    def __init__(self, status: int, retry_after: str | None = None, **content: Any) -> None:
        self.reply = Reply(status, content, seconds_asked(retry_after))

    def post(self, path: str, body: bytes) -> Reply:
        return self.reply


@pytest.fixture
def kept(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path, Meta("http://127.0.0.1:1", "run00000x", "stream0x"))
    spool.put(wire.encode(wire.Flush(wire.VERSION, "run00000x", "stream0x", 1, 1, info=wire.RunInfo("p", "n", 1))))
    return spool


def waits(spool: Spool, connection: Any, attempts: int = 1) -> list[float]:
    """How long is waited after each of several attempts."""
    delivery = Delivery(spool, connection, lambda text: None)
    found = []
    for _ in range(attempts):
        assert not delivery.send_oldest()
        found.append(delivery.try_again_at - time.monotonic())
    assert len(spool) == 1
    return found


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("20", 20, 24),
        ("1000000000", 300, 360),
        ("9" * 400, 300, 360),
        ("in 250 s", 240, 300),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 300, 360),
        ("Fri, 01 Jan 1999 00:00:00 GMT", 0, 0.5),
        ("-5", 0, 0.5),
        ("soon", 0, 0.5),
        ("", 0, 0.5),
    ],
)
def test_a_service_is_given_the_time_it_asks_for_within_bounds(
    kept: Spool, status: int, asked: str, least: float, most: float
) -> None:
    asked = formatdate(time.time() + 250, usegmt=True) if asked == "in 250 s" else asked
    (wait,) = waits(kept, Scripted(status, asked))
    assert least - 0.2 <= wait <= most


def test_a_service_that_says_at_once_is_not_asked_in_a_loop(kept: Spool) -> None:
    assert sum(waits(kept, Scripted(503, "0"), attempts=12)) > 5


@pytest.mark.parametrize("status", [500, 502, 503, 504, 418, 301, 302, 303, 307, 308])
def test_after_a_failure_the_wait_is_random_and_grows_to_half_a_minute(kept: Spool, status: int) -> None:
    several = [waits(kept, Scripted(status), attempts=12) for _ in range(40)]
    firsts, lasts = [one[0] for one in several], [one[-1] for one in several]
    assert max(firsts) <= 0.5
    assert 15 < max(lasts) <= 30
    assert min(lasts) < 10  # full jitter: clients that failed together do not come back together


@pytest.mark.parametrize("acked", [0, -1, 0.5, True, "1", None, [1]])
def test_an_answer_that_acknowledges_nothing_is_not_taken_for_one(kept: Spool, acked: Any) -> None:
    waits(kept, Scripted(200, acked=acked))


def test_an_answer_that_acknowledges_too_much_is_believed_for_what_was_sent_only(kept: Spool) -> None:
    kept.put(wire.encode(wire.Flush(wire.VERSION, "run00000x", "stream0x", 2, 1)))
    delivery = Delivery(kept, Scripted(200, acked=10**15), lambda text: None)  # type: ignore[arg-type]
    assert delivery.send_oldest()
    assert len(kept) == 1
    assert kept.oldest() is not None


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["another host", "another scheme", "the same service"])
def test_no_redirect_is_followed(status: int, where: str, listener: Listener, kept: Spool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        other = f"127.0.0.1:{elsewhere.getsockname()[1]}/api/v1/runs/run00000x/streams/stream0x/flushes"
        to = {"another host": f"http://{other}", "another scheme": f"https://{other}", "the same service": "/flushes"}
        listener.judge = lambda flush: Answer(status, headers={"Location": to[where]})
        delivery = Delivery(kept, Connection(listener.url, "secret"), lambda text: None)
        assert not delivery.send_oldest()
        assert (delivery.state, len(kept), len(listener.posts)) == (State.TROUBLED, 1, 1)
        delivery.connection.close()
        elsewhere.settimeout(0)
        with pytest.raises(BlockingIOError):  # nobody has so much as knocked, for a GET neither
            elsewhere.accept()


def test_no_proxy_stands_between(listener: Listener, kept: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    delivery = Delivery(kept, Connection(listener.url, None), lambda text: None)
    assert delivery.send_oldest()
    delivery.connection.close()


def test_a_service_that_puts_updates_off_is_worth_one_line_once_it_has_done_so_for_a_while(
    kept: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    reply = Scripted(503, "2", error={"message": "The disk is full"})
    delivery = Delivery(kept, reply, said.append, "waiting")  # type: ignore[arg-type]
    for _ in range(3):
        delivery.send_oldest()
    assert said == []
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 11)
    for _ in range(3):
        delivery.send_oldest()
    reply.reply = Reply(200, {"acked": 1}, None)
    assert delivery.send_oldest()
    assert said == [
        "http://127.0.0.1:1 takes no updates at present: The disk is full (HTTP 503); waiting",
        "connected to http://127.0.0.1:1",
    ]


@pytest.mark.parametrize("status", [500, 401, 302])
def test_when_updates_get_through_again_that_is_said_if_the_trouble_was(kept: Spool, status: int) -> None:
    said: list[str] = []
    connection = Scripted(status)
    delivery = Delivery(kept, connection, said.append)  # type: ignore[arg-type]
    for _ in range(3):
        assert not delivery.send_oldest()
    connection.reply = Reply(200, {"acked": 1}, None)
    assert delivery.send_oldest()
    assert len(said) == 2
    assert said[1] == "connected to http://127.0.0.1:1"


def test_a_name_that_could_never_be_looked_up_is_refused_at_once() -> None:
    for url in ("http://a..b:7010", "http://.b", f"http://{'a' * 64}.b", "http://a\0b:1", "http://a b:1"):
        with pytest.raises(ValueError, match="url must look like"):
            Connection(url, None)


def test_a_path_of_any_letters_is_asked_for(listener: Listener) -> None:
    connection = Connection(listener.url + "/z\u00fcge", None)
    with pytest.raises(ConnectionError):  # the listener knows no such address and hangs up
        connection.post("/flushes", b"")
