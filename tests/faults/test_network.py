"""What a network does to flushes: it cuts, repeats and reorders them. Each is stored once, or refused with a reason."""

from __future__ import annotations

import gzip
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from epochscope import Run, flusher, wire
from epochscope.connection import Connection
from epochscope.sender import Delivery
from epochscope.spool import Meta, Spool
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listener import Answer, Listener, until
from stage import Service, Training, counted, start_service

INFO = wire.RunInfo("p", "n", 1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("network"))
    yield running
    running.stop()


@contextmanager
def cutting(port: int, of_request: int | None, of_reply: int | None) -> Iterator[str]:
    """In front of ``port``: the first connection is cut after so many bytes; all others pass."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        first = True

        def pump(source: socket.socket, target: socket.socket, most: int | None) -> None:
            try:
                while most is None or most > 0:
                    data = source.recv(65536 if most is None else most)
                    if not data:
                        break
                    target.sendall(data)
                    most = None if most is None else most - len(data)
            except OSError:
                pass
            for one in (source, target):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

        def take() -> None:
            nonlocal first
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                server = socket.create_connection(("127.0.0.1", port))
                limits = (of_request, of_reply) if first else (None, None)
                first = False
                for source, target, most in ((client, server, limits[0]), (server, client, limits[1])):
                    threading.Thread(target=pump, args=(source, target, most), daemon=True).start()

        accepting = threading.Thread(target=take, daemon=True)
        accepting.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    accepting.join()


def delivered(listener: Listener, of_request: int | None, of_reply: int | None, folder: Path) -> None:
    """One flush is sent over a connection that is cut, until it is acknowledged."""
    with cutting(int(listener.url.rpartition(":")[2]), of_request, of_reply) as url:
        kept = Spool(folder, Meta(url, "run00000x", "stream0x", INFO))
        series = [wire.SeriesColumns.of("loss", "train", "batch", range(1, 60), [0.5] * 59)]
        kept.put(wire.encode(wire.Flush(wire.VERSION, "run00000x", "stream0x", 1, 1, info=INFO, series=series)))
        delivery = Delivery(kept, Connection(url, None), lambda text: None)
        tries = 0
        while len(kept):
            delivery.send_oldest()
            tries += 1
            assert tries < 5
        delivery.connection.close()
        kept.close()
    assert [flush.seq for flush in listener.flushes] == [1]


@pytest.mark.slow
def test_a_connection_cut_anywhere_stores_a_flush_once(tmp_path: Path) -> None:
    ways = [(cut, None) for cut in range(0, 1400, 64)] + [(None, cut) for cut in range(0, 160, 16)]
    for number, (of_request, of_reply) in enumerate(ways):
        listener = Listener()
        try:
            delivered(listener, of_request, of_reply, tmp_path / str(number))
        finally:
            listener.stop()


def test_a_flush_sent_ten_times_at_once_is_stored_once(service: Service) -> None:
    training = Training(service)
    training.send()
    flush = training.flush(confusion=[counted([([0, 1], [0, 2])])])
    with ThreadPoolExecutor(10) as together:
        answers = list(together.map(lambda _: training.post(flush), range(10)))
    assert [answer.json() for answer in answers] == [{"acked": 2}] * 10
    assert sum(map(sum, training.get("/confusion")["counts"])) == 2


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(1, 6), max_size=30))
def test_in_whatever_order_flushes_come_what_is_stored_is_as_if_they_came_in_order(
    service: Service, order: list[int]
) -> None:
    training = Training(service)
    flushes = [training.flush(confusion=[counted([([0], [seq % 3])], seq)]) for seq in range(1, 7)]
    stored = 0
    for seq in order:
        answer = training.post(flushes[seq - 1])
        if seq > stored + 1:
            assert answer.status_code == 409
            assert answer.json()["error"]["expected"] == stored + 1
        else:
            stored = max(stored, seq)
            assert answer.json() == {"acked": stored}
    if stored:
        expected = [sum(seq % 3 == guess for seq in range(1, stored + 1)) for guess in range(3)]
        assert training.get("/confusion")["counts"][0] == expected


def test_a_packed_body_is_refused_unread(service: Service) -> None:
    training = Training(service)
    bomb = gzip.compress(bytes(50 * 1024**2))
    answer = training.post(bomb, **{"content-encoding": "gzip"})
    assert answer.status_code in (415, 422)
    assert training.post(training.flush()).json() == {"acked": 1}


def test_a_flush_too_large_for_what_stands_between_is_set_aside_and_the_rest_goes_on(
    listener: Listener, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher, "GATHER_S", 0.05)
    large: Callable[[wire.Flush], bool] = lambda flush: len(wire.encode(flush)) > 10_000  # noqa: E731
    listener.judge = lambda flush: Answer(413) if large(flush) else None
    with Run(url=listener.url) as run:
        run.log(1, loss=1.0)
        until(lambda: listener.flushes and listener.series("loss")[0])
        run.recording.values("long", "train", "batch", range(1, 2000), [random.random() for _ in range(1999)])
        until(lambda: list(spool_dir.rglob("rejected/*.flush")))
        run.log(2, loss=0.5)
    assert listener.series("loss")[0] == [1, 2]
    assert [flush.seq for flush in listener.flushes] == list(range(1, len(listener.flushes) + 1))
