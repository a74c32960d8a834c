"""How tests listen: the events of GET /live, as they come."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import httpx2
from stage import Service


@contextmanager
def listening(
    service: Service, last_event_id: int | None = None, runs: Collection[str] = ()
) -> Iterator[Queue[dict[str, Any]]]:
    """The events of one stream, as they come; with ``runs`` of these alone, since a run of an earlier test may be given
    up for lost meanwhile, and that is told as well."""
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
                        data = json.loads(event["data"])
                        if not runs or data["run"] in runs:
                            events.put({**event, "data": data})
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
    try:
        yield events
    finally:
        closing.set()
        client.close()
