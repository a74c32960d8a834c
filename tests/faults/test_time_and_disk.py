"""A disk that hangs and a clock that jumps: training does not wait, and what it recorded arrives in order."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from epochscope import Run, flusher
from listener import Listener, free_port, until


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher, "GATHER_S", 0.05)
    monkeypatch.setattr(flusher, "_SOONEST_S", 0.02)


def test_a_disk_that_hangs_holds_up_neither_training_nor_its_memory(
    listener: Listener, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochscope.recording.VALUES_LIMIT", 200_000)
    hangs, hung = threading.Event(), threading.Event()
    real = os.write

    def write(handle: int, data: bytes) -> int:
        if hangs.is_set() and threading.current_thread().name.startswith("epochscope"):
            hung.set()
            while hangs.is_set():
                time.sleep(0.01)
        return real(handle, data)

    monkeypatch.setattr(os, "write", write)
    run = Run("p", "n", url=listener.url)
    until(lambda: listener.flushes)
    hangs.set()
    run.log(1, loss=1.0)
    assert hung.wait(5)
    for step in range(2, 2001):  # returns, though nothing can be written
        run.log(step, loss=float(step))
    run.log(1, by="epoch", loss=0.5)
    dropped = run.recording.dropped
    assert 0 < dropped < 1999
    assert run.recording._put_in - run.recording._taken < 250_000
    hangs.clear()
    assert run.finish()
    steps, _ = listener.series("loss")
    assert steps == list(range(1, 2001 - dropped))  # the first ones, and none is doubled
    assert listener.series("loss", by="epoch") == ([1], [0.5])
    assert listener.info().environment["values dropped"] == f"{dropped:,}"


@pytest.mark.parametrize("jump_s", [86_400, -86_400])
def test_a_clock_that_jumps_by_a_day_changes_neither_order_nor_waits(
    jump_s: int, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    run = Run("p", "n", url=f"http://127.0.0.1:{port}")
    for step in range(1, 51):
        run.log(step, loss=float(step))
    until(lambda: run.recording._taken)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    listener = Listener(port)
    try:
        for step in range(51, 101):
            run.log(step, loss=float(step))
        until(lambda: listener.flushes and len(listener.series("loss")[0]) == 100, 20.0)
        assert listener.series("loss") == (list(range(1, 101)), [float(step) for step in range(1, 101)])
    finally:
        listener.stop()


TWIN = """
import sys
from epochscope import Run
run = Run("p", "n", run_id="twinrun01", num_classes=2, url={url!r}, spool_dir={spool_dir!r})
print("begun", flush=True)
sys.stdin.readline()
for step in range(1, 301):
    run.confusion(step, [0, 1], [0, {guess}])
assert run.finish()
"""


def test_two_processes_that_tell_of_one_run_are_two_streams_and_all_of_both_is_there(
    listener: Listener, spool_dir: Path
) -> None:
    twins = [
        subprocess.Popen(
            [sys.executable, "-c", TWIN.format(url=listener.url, spool_dir=str(spool_dir), guess=guess)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for guess in (0, 1)
    ]  # fmt: skip
    for twin in twins:
        assert twin.stdout is not None
        assert twin.stdout.readline() == "begun\n"
    for twin in twins:
        twin.communicate("go\n", timeout=60)
        assert twin.returncode == 0
    assert len({flush.stream for flush in listener.flushes}) == 2
    found = {step: each.tolist() for step, each in listener.matrices().items()}
    assert found == {step: [[2, 0], [1, 1]] for step in range(1, 301)}
