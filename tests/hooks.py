"""A receiver of webhooks: keeps what it is sent, and answers as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T0P-s3cret/path"


@dataclass
class Receiver:
    """``posts``: (path, body) of each request. ``answers``: a status for each request to come, then 200; 0 hangs up."""

    url: str = ""
    posts: list[tuple[str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """All alerts that were taken, in JSON's body."""
        return [alert for _, body in self.posts for alert in body["alerts"]]

    def wait(self, posts: int, timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while len(self.posts) < posts:
            assert time.monotonic() < deadline, f"{len(self.posts)} of {posts} posts came"
            time.sleep(0.02)


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            receiver.posts.append((self.path, body))
            time.sleep(receiver.delay_s)
            status = receiver.answers.pop(0) if receiver.answers else 200
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def do_GET(self) -> None:  # a redirect that is followed comes as one
            receiver.posts.append((self.path, {"alerts": []}))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/{SECRET}"
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()
