"""GET /live: which run has something new, and nothing else."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import httpx2
from stage import Service, Training, counted, serve_process


@contextmanager
def listening(service: Service, last_event_id: int | None = None) -> Iterator[Queue[dict[str, Any]]]:
    """The events of one stream, as they come."""
    events: Queue[dict[str, Any]] = Queue()
    open_ = threading.Event()
    headers = {} if last_event_id is None else {"last-event-id": str(last_event_id)}
    client = httpx2.Client(base_url=service.url, timeout=httpx2.Timeout(5, read=30))
    closing = threading.Event()

    def listen() -> None:
        try:
            with client.stream("GET", "/api/v1/live", headers=headers) as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                open_.set()
                event: dict[str, Any] = {}
                for line in stream.iter_lines():
                    name, _, value = line.partition(": ")
                    if not line and event:
                        events.put({**event, "data": json.loads(event["data"])})
                        event = {}
                    elif name in ("event", "id", "data"):
                        event[name] = value
        except (httpx2.HTTPError, httpx2.StreamError, OSError, RuntimeError):
            if not closing.is_set():
                raise

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert open_.wait(10)
    time.sleep(0.1)  # the stream's mailbox opens with its first turn on the loop
    yield events
    closing.set()
    client.close()


def test_a_flush_is_told_with_run_revision_and_state(training: Training) -> None:
    with listening(training.service) as events:
        training.send(confusion=[counted([([0], [0])])])
        event = events.get(timeout=10)
    assert event["event"] == "run"
    assert event["data"] == {"run": training.run, "rev": 1, "status": "running"}
    assert training.get()["rev"] == 1


def test_a_repeated_flush_is_not_told_again(training: Training) -> None:
    flush = training.flush()
    training.post(flush)
    with listening(training.service) as events:
        training.post(flush)
        training.send()
        assert events.get(timeout=10)["data"]["rev"] == 2


def test_ids_grow_so_that_a_reconnect_misses_nothing(service: Service) -> None:
    first, second = Training(service), Training(service)
    with listening(service) as events:
        first.send()
        seen = int(events.get(timeout=10)["id"])
    first.send()
    second.send()
    with listening(service, seen) as events:
        missed = [events.get(timeout=10) for _ in range(2)]
    assert [(event["data"]["run"], event["data"]["rev"]) for event in missed] == [(first.run, 2), (second.run, 1)]
    assert seen < int(missed[0]["id"]) < int(missed[1]["id"])


def test_a_slow_viewer_is_told_only_the_latest(service: Service) -> None:
    training = Training(service)
    with listening(service) as events:
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
    with listening(training.service) as events:
        training.service.ask(f"/runs/{training.run}", "DELETE")
        assert events.get(timeout=10)["data"]["status"] == "deleted"


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
