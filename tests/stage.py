"""The cast of the tests: a service asked over real HTTP, and a training that posts flushes to it."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from epochscope import wire
from epochscope_server.app import create_app
from epochscope_server.serving import listen, make_server
from epochscope_server.settings import Settings
from postgres import Cluster

_numbers = itertools.count(1)
_clusters: list[Cluster] = []  # none: stores are SQLite files


@contextmanager
def using(cluster: Cluster | None) -> Iterator[None]:
    """Within it every store lies in a database of ``cluster``; or in files, for None."""
    before = _clusters[:]
    _clusters[:] = [cluster] if cluster else []
    try:
        yield
    finally:
        _clusters[:] = before


def url_of(data_dir: Path) -> str | None:
    """The PostgreSQL database that stands for the folder ``data_dir``; None where it is a folder."""
    if not _clusters:
        return None
    return _clusters[-1].database("store_" + hashlib.sha256(str(data_dir).encode()).hexdigest()[:20])


@dataclass
class Service:
    """A running service; ``ask`` sends a request to ``/api/v1`` + path."""

    url: str
    data_dir: Path
    client: httpx2.Client
    stop: Callable[[], None]

    def ask(self, path: str, method: str = "GET", **more: Any) -> httpx2.Response:
        return self.client.request(method, f"/api/v1{path}", **more)

    def get(self, path: str, **query: Any) -> Any:
        """The answer's JSON; anything but success fails the test."""
        answer = self.ask(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


def start_service(data_dir: Path, port: int = 0, **more: Any) -> Service:
    """A real uvicorn on a free port, in a thread, until ``stop``; ``more`` are settings."""
    settings = Settings(
        "127.0.0.1", port, data_dir, None, no_browser=True, no_auth=False, database=url_of(data_dir), **more
    )
    server = make_server(create_app(settings))
    listener = listen("127.0.0.1", port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = httpx2.Client(base_url=url, timeout=30)

    def stop() -> None:
        client.close()
        server.should_exit = True
        thread.join()
        listener.close()

    return Service(url, data_dir, client, stop)


# The service's commands without the training side's, as a process of its own.
COMMAND = [
    sys.executable,
    "-c",
    "import argparse, sys; from epochscope_server.cli import add_commands; parser = argparse.ArgumentParser(); "
    "add_commands(parser.add_subparsers()); arguments = parser.parse_args(); sys.exit(arguments.run(arguments))",
]


def serve_process(data_dir: Path, *more: str) -> tuple[subprocess.Popen[str], str]:
    """A service as a process of its own, and its address; end it with a signal and ``communicate``."""
    store = url_of(data_dir)
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--no-browser", "--data-dir", str(data_dir), *more],
        env=os.environ | ({"EPOCHSCOPE_DATABASE": store} if store else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("epochscope: http"), (line, process.communicate())
    url = line.split()[1]
    for _ in range(200):
        try:
            httpx2.get(f"{url}/api/v1/health")
            break
        except httpx2.ConnectError:
            time.sleep(0.05)
    return process, url


@dataclass
class Training:
    """Posts flushes of one stream of one run, as a training would."""

    service: Service
    run: str = field(default_factory=lambda: f"run{os.getpid():x}z{next(_numbers):08d}")
    stream: str = "stream00"
    seq: int = 0
    class_names: tuple[str, ...] = ("cat", "dog", "eel")
    info: dict[str, Any] = field(default_factory=dict)

    def flush(self, **parts: Any) -> wire.Flush:
        """The next flush; the first one carries the run's info."""
        self.seq += 1
        if self.seq == 1 and "info" not in parts:
            parts["info"] = self.told()
        sent_ms = parts.pop("sent_ms", 1_700_000_000_000)
        return wire.Flush(wire.VERSION, self.run, self.stream, self.seq, sent_ms, **parts)

    def told(self) -> wire.RunInfo:
        values: dict[str, Any] = {"project": "animals", "name": "zoo", "started_ms": 1_700_000_000_000}
        values["outputs"] = [wire.Output("output", self.class_names)] if self.class_names else []
        return wire.RunInfo(**{**values, **self.info})

    def post(self, flush: wire.Flush | bytes, **headers: str) -> httpx2.Response:
        body = flush if isinstance(flush, bytes) else wire.encode(flush)
        return self.service.ask(
            f"/runs/{self.run}/streams/{self.stream}/flushes",
            "POST",
            content=body,
            headers={"content-type": wire.CONTENT_TYPE, **headers},
        )

    def send(self, **parts: Any) -> int:
        """Post the next flush and see it acknowledged."""
        answer = self.post(self.flush(**parts))
        assert answer.status_code == 200, answer.text
        return int(answer.json()["acked"])

    def get(self, path: str = "", **query: Any) -> Any:
        return self.service.get(f"/runs/{self.run}{path}", **query)

    def ask(self, path: str = "", **query: Any) -> httpx2.Response:
        return self.service.ask(f"/runs/{self.run}{path}", params=query)


def counted(
    batches: Sequence[tuple[Any, Any]], first: int = 1, split: wire.Split = "train", output: str = "output"
) -> wire.ConfusionColumns:
    """Confusion counts of consecutive batches of (true, predicted) labels, step ``first`` on."""
    cells: list[int] = []
    true: list[int] = []
    predicted: list[int] = []
    counts: list[int] = []
    for labels, guesses in batches:
        pairs, n = np.unique(np.stack([labels, guesses]), axis=1, return_counts=True)
        cells.append(len(n))
        true.extend(pairs[0])
        predicted.extend(pairs[1])
        counts.extend(n)
    steps = range(first, first + len(batches))
    return wire.ConfusionColumns.of(output, split, list(steps), cells, true, predicted, counts)
