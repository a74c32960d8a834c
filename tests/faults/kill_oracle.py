"""Who sees what the kill loop is judged by: every acknowledgement on its way, the spool, the store and its answers.

Nothing here asks the code that is judged. Between client and service stands a recorder that writes down each
acknowledgement before the client can see it; spools and stores are read by their formats alone.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import sqlite3
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import psycopg

Name = tuple[str, str]  # run and stream

_ADDRESS = re.compile(r"/api/v1/runs/(\w+)/streams/(\w+)/flushes")
_STREAMS = """
    SELECT run.uid, stream.uid, stream.next_seq - 1, COUNT(flush.seq), COALESCE(MAX(flush.seq), 0)
    FROM run JOIN stream ON stream.run_id = run.id
    LEFT JOIN flush ON flush.run_id = run.id AND flush.stream_id = stream.stream_id
    GROUP BY run.uid, stream.uid, stream.next_seq
"""


class Recorder:
    """A proxy in front of the service on ``port``. Now and then it is a bad network: it hangs up before a flush has
    got through or after, or delivers it twice.
    """

    def __init__(self, port: int, seed: str) -> None:
        self.acked: dict[Name, int] = {}  # the highest number that the service has acknowledged
        self.posts = 0
        self.trouble: list[str] = []  # answers that a sound service never gives here
        self._busy = 0
        self._change = threading.Condition()
        self._chance = random.Random(seed)
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = recorder._passed_on(port, self.path, body, dict(self.headers))
                if reply is None:
                    self.close_connection = True
                    return
                status, text = reply
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    self.close_connection = True  # the client is dead

            def handle(self) -> None:
                with contextlib.suppress(OSError):  # killed in the middle of a flush
                    super().handle()

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def told(self) -> dict[Name, int]:
        """What is acknowledged, once everything is written down that a dead service still said."""
        with self._change:
            self._change.wait_for(lambda: not self._busy, timeout=10)
            return dict(self.acked)

    def _passed_on(self, port: int, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes] | None:
        with self._change:
            mood = self._chance.random()
            self.posts += 1
        if mood < 0.03:
            return None
        reply = self._exchange(port, path, body, headers)
        if mood < 0.08:
            reply = self._exchange(port, path, body, headers) or reply
        if reply is None:
            return (502, b"{}") if mood < 0.5 else None
        return reply if mood < 0.9 else None

    def _exchange(self, port: int, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes] | None:
        """Posts to the service and writes down what it acknowledges."""
        with self._change:
            self._busy += 1
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
                text = response.read()
            self._write_down(path, body, response.status, text)
            return response.status, text
        except (OSError, http.client.HTTPException):
            return None
        finally:
            with self._change:
                self._busy -= 1
                self._change.notify_all()

    def _write_down(self, path: str, body: bytes, status: int, text: bytes) -> None:
        found = _ADDRESS.fullmatch(path)
        assert found
        seq = msgspec.msgpack.decode(body)["seq"]
        with self._change:
            if status == 200:
                acked = json.loads(text)["acked"]
                name = (found[1], found[2])
                self.acked[name] = max(self.acked.get(name, 0), acked)
                if acked < seq:
                    self.trouble.append(f"{name}: {acked} acknowledged for {seq}")
            elif status != 503:
                self.trouble.append(f"{found[1]} {found[2]} {seq}: {status} {text!r}")


def spooled(folder: Path) -> tuple[int, set[int]]:
    """Of one stream: up to which number its client holds an acknowledgement, and the numbers of its whole frames."""
    acked, salt = 0, zlib.crc32(folder.name.encode())
    if (folder / "ack").exists():
        for number, checksum, _ in struct.iter_unpack("<QII", (folder / "ack").read_bytes()):
            if checksum == zlib.crc32(struct.pack("<Q", number)):
                acked = max(acked, number)
    return acked, {seq for path in folder.glob("*.seg") for seq in _frames(path.read_bytes(), salt)}


def _frames(data: bytes, salt: int) -> Iterator[int]:
    at = 0
    while at + 20 <= len(data):
        sync, _, _, length, seq, checksum = struct.unpack_from("<2sBBIQI", data, at)
        if sync != b"\x5a\xa5" or checksum != zlib.crc32(data[at : at + 16], salt) or at + 24 + length > len(data):
            return
        at += 24 + length
        yield seq


def stored(folder: Path, url: str | None) -> dict[Name, int]:
    """Up to which number the store holds each stream, read while no service runs.

    Raises:
        AssertionError: a number is missing or too many.
    """
    rows: list[Any] = []
    if url is not None:
        with psycopg.connect(url) as connection:
            try:
                rows = connection.execute(_STREAMS).fetchall()
            except psycopg.errors.UndefinedTable:
                return {}
    elif (folder / "epochscope.db").exists():
        # Read-only, so that the file is left to the next service as the last one left it.
        with closing(sqlite3.connect(f"file:{folder / 'epochscope.db'}?mode=ro", uri=True)) as reader:
            if not reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'flush'").fetchall():
                return {}  # killed before its first commit
            rows = reader.execute(_STREAMS).fetchall()
    found = {}
    for run, stream, last, count, highest in rows:
        assert last == count == highest, f"{run} {stream}: up to {last}, but {count} flushes, the last is {highest}"
        found[run, stream] = last
    return found
