"""Fixtures of the training side: a listener, a spool folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from epochscope import endings, flusher
from epochscope.sender import State
from listener import Listener


@pytest.fixture
def listener() -> Iterator[Listener]:
    running = Listener()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def spool_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where runs of this test keep what they could not send; none of them lives on into the next test."""
    folder = tmp_path / "spool"
    monkeypatch.setenv("EPOCHSCOPE_SPOOL_DIR", str(folder))
    monkeypatch.delenv("EPOCHSCOPE_URL", raising=False)
    monkeypatch.delenv("EPOCHSCOPE_TOKEN", raising=False)
    yield folder
    for run in list(endings._open):
        run.end("interrupted")
    for living in list(flusher._living):
        living._delivery.state = State.GONE
        living.settle(5)
