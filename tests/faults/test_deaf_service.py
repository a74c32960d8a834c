"""A service that takes a flush and never answers: what is recorded meanwhile lies on disk as soon as ever."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from epochscope import Run, flusher, wire
from epochscope.connection import Connection
from listener import until
from saved import updates


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher, "GATHER_S", 0.05)
    monkeypatch.setattr(flusher, "_SOONEST_S", 0.02)


def kept(spool_dir: Path) -> set[int]:
    """The steps whose loss is in the spool."""
    columns = [one for body in updates(spool_dir) for one in wire.decode(body).series if one.key == "loss"]
    return {step for one in columns for step in one.arrays()[0].tolist()}


def test_what_is_recorded_while_an_answer_is_awaited_is_kept_at_once(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochscope.connection.READ_TIMEOUT_S", 4.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        run = Run("p", "n", url=f"http://127.0.0.1:{deaf.getsockname()[1]}", spool_dir=spool_dir)
        connection, _ = deaf.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(100).startswith(b"POST")  # a flush is on its way, and stays there
            run.log(1, loss=0.5)
            until(lambda: 1 in kept(spool_dir), 2.0)
            run.log(2, loss=0.4)
            until(lambda: 2 in kept(spool_dir), 2.0)


def test_nothing_is_dropped_while_an_answer_is_awaited_and_the_disk_is_there(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochscope.connection.READ_TIMEOUT_S", 4.0)
    monkeypatch.setattr("epochscope.recording.VALUES_LIMIT", 100_000)  # about 160 values
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        run = Run("p", "n", url=f"http://127.0.0.1:{deaf.getsockname()[1]}", spool_dir=spool_dir)
        connection, _ = deaf.accept()
        with connection:
            for first in range(1, 1001, 100):
                for step in range(first, first + 100):
                    run.log(step, loss=0.5)
                until(lambda last=first + 99: last in kept(spool_dir), 2.0)  # type: ignore[misc]
            assert run.recording.dropped == 0
            assert os.listdir(spool_dir)


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A service whose every connection is given to ``answer``."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        answer(connection)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:  # where the test fails, too: else its process would never end
            listening.shutdown(socket.SHUT_RDWR)
    serving.join()


@pytest.mark.parametrize(
    ("head", "more"),
    [(b"HTTP/1.1 200 OK\r\nX: ", b"x"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
     (b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b" "), (b"HTTP/1.1 200 OK\r\n\r\n", b" ")],
    ids=["a head", "go on", "a body", "a body without a length"],
)  # fmt: skip
def test_an_answer_that_comes_byte_by_byte_and_has_no_end_is_given_up(
    head: bytes, more: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochscope.connection.READ_TIMEOUT_S", 0.3)

    def dribble(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(head)
        for _ in range(150):  # 3 s
            time.sleep(0.02)
            connection.sendall(more)

    with answering(dribble) as url:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            Connection(url, None).post("/", b"x")
        assert time.monotonic() - began < 2


def test_over_a_slow_line_a_large_flush_gets_the_time_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochscope.connection.READ_TIMEOUT_S", 0.3)
    body = bytes(8 * 1024**2)  # more than any buffer between
    monkeypatch.setattr("epochscope.connection.SLOWEST", len(body) / 10)

    def slowly(connection: socket.socket) -> None:
        left = len(body)
        while left > 0:
            time.sleep(0.01)
            left -= len(connection.recv(2**17))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    with answering(slowly) as url:
        began = time.monotonic()
        kept = Connection(url, None)
        assert [kept.post("/", body).status for _ in range(2)] == [200, 200]
        assert time.monotonic() - began > 0.6
