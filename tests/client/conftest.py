"""Fixtures of the training side: a listener, a spool folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from listener import Listener


@pytest.fixture
def listener() -> Iterator[Listener]:
    running = Listener()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def spool_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs of this test keep what they could not send."""
    folder = tmp_path / "spool"
    monkeypatch.setenv("EPOCHSCOPE_SPOOL_DIR", str(folder))
    monkeypatch.delenv("EPOCHSCOPE_URL", raising=False)
    monkeypatch.delenv("EPOCHSCOPE_TOKEN", raising=False)
    return folder
