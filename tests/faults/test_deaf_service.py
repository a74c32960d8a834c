"""A service that takes a flush and never answers: what is recorded meanwhile lies on disk as soon as ever."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from epochscope import Run, flusher, sender, wire
from listener import until
from saved import updates


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher, "GATHER_S", 0.05)
    monkeypatch.setattr(flusher, "_SOONEST_S", 0.02)


def kept(spool_dir: Path) -> set[int]:
    """The steps whose loss is in the spool."""
    columns = [one for body in updates(spool_dir) for one in wire.decode(body).series if one.key == "loss"]
    return {step for one in columns for step in one.arrays()[0].tolist()}


def test_what_is_recorded_while_an_answer_is_awaited_is_kept_at_once(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "READ_TIMEOUT_S", 4.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        run = Run("p", "n", url=f"http://127.0.0.1:{deaf.getsockname()[1]}", spool_dir=spool_dir)
        connection, _ = deaf.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(100).startswith(b"POST")  # a flush is on its way, and stays there
            run.log(1, loss=0.5)
            until(lambda: 1 in kept(spool_dir), 2.0)
            run.log(2, loss=0.4)
            until(lambda: 2 in kept(spool_dir), 2.0)


def test_nothing_is_dropped_while_an_answer_is_awaited_and_the_disk_is_there(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "READ_TIMEOUT_S", 4.0)
    monkeypatch.setattr("epochscope.recording.VALUES_LIMIT", 100_000)  # about 160 values
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        run = Run("p", "n", url=f"http://127.0.0.1:{deaf.getsockname()[1]}", spool_dir=spool_dir)
        connection, _ = deaf.accept()
        with connection:
            for first in range(1, 1001, 100):
                for step in range(first, first + 100):
                    run.log(step, loss=0.5)
                until(lambda last=first + 99: last in kept(spool_dir), 2.0)  # type: ignore[misc]
            assert run.recording.dropped == 0
            assert os.listdir(spool_dir)
