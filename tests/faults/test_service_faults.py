"""A service that others disturb: a foreign program holds its file, a signal finds it in the middle of things."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import stage
from epochscope import Run, wire
from epochscope_server import app
from epochscope_server.api import flushes as flushes_api
from epochscope_server.api import rooms
from epochscope_server.api import runs as runs_api
from epochscope_server.store import runs
from listener import until
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


def test_a_file_that_is_held_for_long_costs_a_training_nothing(tmp_path: Path) -> None:
    """Three times the five seconds that the service waits for the file by itself."""
    with stage.using(None):
        service = start_service(tmp_path / "store")
    try:
        run = Run("p", "n", num_classes=2, url=service.url, spool_dir=tmp_path / "spool")
        run.log(1, loss=1.0)
        until(lambda: service.ask(f"/runs/{run.id}").status_code == 200)
        statuses, step, slowest = set(), 1, 0.0
        with closing(sqlite3.connect(tmp_path / "store" / "epochscope.db")) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            released = time.monotonic() + 16
            other = Training(service)
            while time.monotonic() < released:
                step += 1
                began = time.monotonic()
                run.log(step, loss=float(step))
                run.confusion(step, [0, 1], [step % 2, 1])
                slowest = max(slowest, time.monotonic() - began)
                if step % 100 == 0:
                    assert service.get(f"/runs/{run.id}")["status"] in ("running", "silent")
                    other.seq = 0
                    statuses.add(other.post(other.flush()).status_code)
                time.sleep(0.01)
        assert statuses == {503}
        assert slowest < 1
        until(run.finish, 60)
        series = service.get(f"/runs/{run.id}/series", keys="loss", by="batch")["series"][0]
        assert series["step"] == list(range(1, step + 1))
        right, wrong = (step - 1) // 2, step // 2  # the steps from 2 on
        assert service.get(f"/runs/{run.id}/confusion")["counts"] == [[wrong, right], [0, step - 1]]
    finally:
        service.stop()


STOPPED = """
import sys, time
from epochscope import Run, flusher
flusher.GATHER_S, flusher.HEARTBEAT_S = 0.1, 0.3
run = Run("p", "n", run_id="run00stopped", num_classes=2, url={url!r}, spool_dir={spool_dir!r})
for step in range(1, 501):
    run.log(step, loss=float(step))
    run.confusion(step, [0], [1])
    time.sleep(0.01)
assert run.finish()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="a process can't be stopped here")
def test_a_training_that_is_stopped_is_silent_then_lost_then_running_again_and_nothing_is_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LOST_AFTER_MS", 2_000)
    service = start_service(tmp_path / "store")
    script = STOPPED.format(url=service.url, spool_dir=str(tmp_path / "spool"))
    seen: list[str] = []

    def status() -> str:
        answer = service.ask("/runs/run00stopped")
        found = str(answer.json()["status"]) if answer.status_code == 200 else ""
        if found and found != (seen[-1] if seen else ""):
            seen.append(found)
        return found

    try:
        with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) as training:
            until(lambda: status() == "running", 30)
            for _ in range(2):
                training.send_signal(signal.SIGSTOP)
                until(lambda: status() == "lost", 30)
                training.send_signal(signal.SIGCONT)
                until(lambda: status() == "running", 30)
            _, said = training.communicate(timeout=60)
        assert training.returncode == 0, said
        assert status() == "finished"
        assert seen == ["running", "silent", "lost", "running", "silent", "lost", "running", "finished"]
        series = service.get("/runs/run00stopped/series", keys="loss", by="batch")["series"][0]
        assert (series["step"], series["value"]) == (list(range(1, 501)), [float(step) for step in range(1, 501)])
        assert service.get("/runs/run00stopped/confusion")["counts"] == [[0, 500], [0, 0]]
    finally:
        service.stop()


def test_neither_a_restart_nor_a_clock_that_jumps_makes_a_run_lost_that_is_heard_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, ahead_s = rooms.now_ms, 0
    for room in (app, runs_api, flushes_api):
        monkeypatch.setattr(room, "now_ms", lambda: real() + 1000 * ahead_s)

    def statuses() -> set[str]:
        return {one["status"] for one in service.get("/runs", limit=100)["runs"]}

    service = start_service(tmp_path / "store")
    trainings = [Training(service) for _ in range(100)]
    for training in trainings:
        training.send(next_in_s=5.0)
    service.stop()
    ahead_s = 600  # ten minutes without a service
    service = start_service(tmp_path / "store")
    try:
        assert statuses() == {"running"}
        for jump_s in (86_400, -86_400):  # of the service's clock
            ahead_s = 600 + jump_s
            for training in trainings:
                training.service = service
                training.send(next_in_s=5.0)
            assert statuses() == {"running"}
        assert {len(service.get(f"/runs/{training.run}")["missing"]) for training in trainings} == {0}
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
