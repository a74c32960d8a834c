"""A small service for the tests of the training side: it takes flushes as the real one does, or refuses on demand."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from epochscope import wire
from numpy.typing import NDArray

Matrix = NDArray[np.int64]


@dataclass
class Answer:
    """What to answer instead of storing a flush. ``status`` 0: close the connection without a word."""

    status: int
    error: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    stored: bool = False  # keep the flush all the same
    text: bytes | None = None


Judge = Callable[[wire.Flush], Answer | None]


class Listener:
    """Stores each (run, stream, seq) once, in order, like the service; ``judge`` may decide otherwise."""

    def __init__(self, port: int = 0) -> None:
        self.flushes: list[wire.Flush] = []
        self.posts: list[tuple[wire.Flush, dict[str, str]]] = []
        self.judge: Judge = lambda flush: None
        self._bodies: dict[tuple[str, str, int], bytes] = {}
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                flush = wire.decode(body)
                assert self.path == f"/api/v1/runs/{flush.run}/streams/{flush.stream}/flushes"
                assert self.headers["Content-Type"] == wire.CONTENT_TYPE
                with listener._lock:
                    listener.posts.append((flush, dict(self.headers.items())))
                    answer = listener.judge(flush)
                    if answer is None or answer.stored:
                        stored = listener._store(flush, body)
                        answer = answer or stored
                time.sleep(answer.after_s)
                if not answer.status:
                    self.close_connection = True
                    return
                content = {"error": answer.error} if answer.status != 200 else answer.error
                text = answer.text if answer.text is not None else json.dumps(content).encode()
                try:
                    self.send_response(answer.status)
                    for name, value in {"Content-Length": str(len(text)), **answer.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    self.close_connection = True  # the client has lost patience

            def setup(self) -> None:
                super().setup()
                listener._connections.append(self.connection)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.hang_up()
        self._thread.join()

    def hang_up(self) -> None:
        """Closes the connections that clients keep alive."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _store(self, flush: wire.Flush, body: bytes) -> Answer:
        key = (flush.run, flush.stream, flush.seq)
        last = max((seq for run, stream, seq in self._bodies if (run, stream) == key[:2]), default=0)
        if flush.seq > last + 1:
            return Answer(409, {"code": "out_of_order", "message": "too early", "expected": last + 1})
        if key in self._bodies:
            same = self._bodies[key] == body
            return Answer(200, {"acked": last}) if same else Answer(409, {"code": "conflict", "message": "other"})
        if flush.info is None and not any(run == flush.run for run, _, _ in self._bodies):
            return Answer(422, {"code": "invalid", "message": "the first flush of a run must carry info"})
        self._bodies[key] = body
        self.flushes.append(flush)
        return Answer(200, {"acked": flush.seq})

    # -- what was stored

    @property
    def runs(self) -> list[str]:
        return list(dict.fromkeys(flush.run for flush in self.flushes))

    def of(self, run: str | None = None) -> list[wire.Flush]:
        """The flushes of one run; of the only one."""
        if run is None:
            (run,) = self.runs
        return [flush for flush in self.flushes if flush.run == run]

    def info(self, run: str | None = None) -> wire.RunInfo:
        """The latest word on a run."""
        return [flush.info for flush in self.of(run) if flush.info is not None][-1]

    def ends(self, run: str | None = None) -> list[wire.End]:
        return [flush.end for flush in self.of(run) if flush.end is not None]

    def series(
        self, key: str, split: str = "train", by: str = "batch", run: str | None = None
    ) -> tuple[list[int], list[float]]:
        """Steps and values in the order in which they were stored."""
        steps: list[int] = []
        values: list[float] = []
        for flush in self.of(run):
            for series in flush.series:
                if (series.key, series.split, series.by) == (key, split, by):
                    some_steps, some_values = series.arrays()
                    steps += some_steps.tolist()
                    values += some_values.tolist()
        return steps, values

    def keys(self, split: str = "train", by: str = "batch", run: str | None = None) -> set[str]:
        return {
            series.key for flush in self.of(run) for series in flush.series if (series.split, series.by) == (split, by)
        }

    def matrices(self, split: str = "train", output: str = "output", run: str | None = None) -> dict[int, Matrix]:
        """The confusion matrix of each step; rows are the true class."""
        (size,) = [o.indices for o in self.info(run).outputs if o.name == output]
        found: dict[int, Matrix] = {}
        for flush in self.of(run):
            for part in flush.confusion:
                if (part.split, part.output) != (split, output):
                    continue
                steps, cells, true, predicted, counts = part.arrays()
                owner = np.repeat(steps, cells)
                for step in steps.tolist():
                    found.setdefault(step, np.zeros((size, size), np.int64))
                for step, i, j, count in zip(owner, true, predicted, counts, strict=True):
                    found[int(step)][i, j] += int(count)
        return found

    def spans(self, split: str, run: str | None = None) -> list[tuple[int, int, int]]:
        """Finished spans: epoch, start, stop."""
        return [
            (span.epoch, span.start, span.stop)
            for flush in self.of(run)
            for span in flush.spans
            if span.split == split and span.stop
        ]


def free_port() -> int:
    """A port at which, for the moment, nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Waits for ``condition``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def lines(text: str) -> Sequence[str]:
    """What epochscope said at the console, but for the greeting."""
    said = [line.removeprefix("epochscope: ") for line in text.splitlines() if line.startswith("epochscope: ")]
    return [line for line in said if not line.startswith("run ")]
