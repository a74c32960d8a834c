"""The service says that a flush is stored when it is, and not before."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import stage
from sealing import sealer
from stage import Service, Training, counted, start_service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with stage.using(None):
        running = start_service(tmp_path / "store")
        yield running
        running.stop()


def at_commit(service: Service, work: Callable[..., None]) -> Callable[[], None]:
    """Has ``work`` done before each commit of the service, until what is returned is called."""
    writer = sealer(service)._database.writer
    sa.event.listen(writer, "commit", work)
    return lambda: sa.event.remove(writer, "commit", work)


def test_no_acknowledgement_leaves_before_the_commit(service: Service) -> None:
    training = Training(service)
    training.send(confusion=[counted([([0], [1])])])
    held, reached = threading.Event(), threading.Event()

    def hold(connection: Any) -> None:
        reached.set()
        assert held.wait(20)

    release = at_commit(service, hold)
    answers: list[int] = []
    post = threading.Thread(target=lambda: answers.append(training.send(confusion=[counted([([0], [1])], 2)])))
    post.start()
    assert reached.wait(10)
    post.join(0.3)
    assert answers == []
    held.set()
    post.join(10)
    release()
    assert answers == [2]


def test_a_commit_that_fails_acknowledges_nothing_and_the_same_flush_is_taken_later(service: Service) -> None:
    training = Training(service)
    training.send(confusion=[counted([([0], [1])])])

    def fail(connection: Any) -> None:
        raise sa.exc.OperationalError("COMMIT", None, sqlite3.OperationalError("database or disk is full"))

    release = at_commit(service, fail)
    flush = training.flush(confusion=[counted([([0], [1])], 2)])
    refused = training.post(flush)
    release()
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert training.post(flush).json() == {"acked": 2}
    assert training.get("/confusion")["counts"][0][1] == 2


def test_a_commit_is_synced_to_the_disk(service: Service) -> None:
    with sealer(service)._database.writer.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL: the log is synced at each commit
