"""GET /live: which run has something new, and nothing else."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from queue import Queue
from typing import Any

import httpx2
import pytest
from listening import listening
from stage import Service, Training, counted, serve_process


def after(rev: int, events: Queue[dict[str, Any]]) -> dict[str, Any]:
    """The first event after revision ``rev``. Services on one PostgreSQL tell each other, later than they answer: there
    a viewer may be told of ``rev`` itself first."""
    event = events.get(timeout=10)
    if os.environ.get("EPOCHSCOPE_TEST_DATABASE") == "postgres" and event["data"]["rev"] == rev:
        event = events.get(timeout=10)
    return event


def test_a_flush_is_told_with_run_revision_and_state(training: Training) -> None:
    with listening(training.service, runs=[training.run]) as events:
        training.send(confusion=[counted([([0], [0])])])
        event = events.get(timeout=10)
    assert event["event"] == "run"
    assert event["data"] == {"run": training.run, "rev": 1, "status": "running"}
    assert training.get()["rev"] == 1


def test_a_repeated_flush_is_not_told_again(training: Training) -> None:
    flush = training.flush()
    training.post(flush)
    with listening(training.service, runs=[training.run]) as events:
        training.post(flush)
        training.send()
        assert after(1, events)["data"]["rev"] == 2


def test_ids_grow_so_that_a_reconnect_misses_nothing(service: Service) -> None:
    first, second = Training(service), Training(service)
    with listening(service, runs=[first.run]) as events:
        first.send()
        seen = int(events.get(timeout=10)["id"])
    first.send()
    second.send()
    with listening(service, seen, [first.run, second.run]) as events:
        missed = [events.get(timeout=10) for _ in range(2)]
    assert [(event["data"]["run"], event["data"]["rev"]) for event in missed] == [(first.run, 2), (second.run, 1)]
    assert seen < int(missed[0]["id"]) < int(missed[1]["id"])


def test_a_slow_viewer_is_told_only_the_latest(service: Service) -> None:
    training = Training(service)
    with listening(service, runs=[training.run]) as events:
        for _ in range(40):
            training.send()
        last = events.get(timeout=10)
        count = 1
        while last["data"]["rev"] < 40:
            last = events.get(timeout=10)
            count += 1
    assert count < 40


def test_a_deleted_run_is_told(training: Training) -> None:
    training.send()
    with listening(training.service, runs=[training.run]) as events:
        training.service.ask(f"/runs/{training.run}", "DELETE")
        assert after(1, events)["data"]["status"] == "deleted"


@pytest.mark.slow
def test_the_service_stops_at_once_although_a_viewer_listens(tmp_path: Path) -> None:
    process, url = serve_process(tmp_path)
    service = Service(url, tmp_path, httpx2.Client(base_url=url), process.kill)
    with listening(service):
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - began < 3
    service.client.close()
    assert errors == ""
