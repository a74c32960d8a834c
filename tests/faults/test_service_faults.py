"""A service that others disturb: a foreign program holds its file, a signal finds it in the middle of things."""

from __future__ import annotations

import signal
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import stage
from epochscope import wire
from stage import Training, counted, serve_process, start_service

pytestmark = pytest.mark.slow


def test_while_a_foreign_program_holds_the_file_flushes_are_put_off_and_reads_go_on(tmp_path: Path) -> None:
    with stage.using(None):
        service = start_service(tmp_path / "store")
    try:
        training = Training(service)
        training.send(confusion=[counted([([0], [1])])])
        flush = training.flush(confusion=[counted([([0], [1])], 2)])
        with closing(sqlite3.connect(tmp_path / "store" / "epochscope.db")) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            refused = training.post(flush)
            assert training.get("/confusion")["counts"][0][1] == 1
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert training.post(flush).json() == {"acked": 2}
        assert training.get("/confusion")["counts"][0][1] == 2
    finally:
        service.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_service_that_waits_for_the_rest_of_a_flush(tmp_path: Path, number: signal.Signals) -> None:
    with stage.using(None):
        process, url = serve_process(tmp_path / "store")
    head = (
        "POST /api/v1/runs/run00000x/streams/stream0x/flushes HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: {wire.CONTENT_TYPE}\r\nContent-Length: 1000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as half:
        half.sendall(head.encode() + bytes(500))
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < 8  # three seconds of grace, and a busy machine
    assert "Traceback" not in errors
