"""A client is killed before each single call that touches a file or the network; what it had accepted arrives once.

The kill loop meets narrow places by chance. Here the life is short, one thread does everything in the same order each
time, and so each place is met.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from epochscope import folder, sync, wire
from epochscope.connection import Connection
from epochscope.sender import Delivery
from epochscope.spool import Meta, Spool
from killed import Nursery
from listener import Listener

INFO = wire.RunInfo("p", "n", 1)
CALLS = (
    "write", "fdatasync", "unlink", "rmdir", "mkdir", "replace", "rename", "ftruncate", "lseek", "open", "close",
    "read", "connect", "sendall", "recv_into",
)  # fmt: skip


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a kill is no power cut, and thousands of syncs take long."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else tmp_path) as folder:
        yield Path(folder)


def flush(seq: int) -> bytes:
    series = [wire.SeriesColumns.of("loss", "train", "batch", [seq], [float(seq)])]
    return wire.encode(wire.Flush(wire.VERSION, "run00000x", "stream0x", seq, 1, info=INFO, series=series))


def life(root: str, url: str, last_call: str) -> None:
    """Keeps eight flushes and sends most of them meanwhile; dies before call number ``last_call``."""
    folder.SEGMENT_BYTES = 500  # two flushes
    left = int(last_call)

    def watch(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        if event == "c_call" and argument.__name__ in CALLS:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    kept = Spool(Path(root), Meta(url, "run00000x", "stream0x", INFO))
    delivery = Delivery(kept, Connection(url, None), lambda text: None)
    for seq in range(1, 9):
        body = flush(seq)
        sys.setprofile(watch)
        assert kept.put(body)
        sys.setprofile(None)
        os.write(1, b"kept %d\n" % seq)
        sys.setprofile(watch)
        kept.tend(now=seq % 3 == 0)
        while len(kept) > (4 if seq < 7 else 0):
            assert delivery.send_oldest()
    kept.close()
    sys.setprofile(None)


@pytest.mark.slow
def test_killed_before_any_call_a_client_has_lost_nothing_it_had_accepted(memory: Path) -> None:
    before, killed = 0, True
    with Nursery(life) as nursery:
        while killed:
            before += 1
            listener = Listener()
            try:
                root = memory / str(before)
                said = nursery.live(60.0, root, listener.url, before)
                killed = nursery.killed
                told: list[str] = []
                assert sync.synchronise(root, listener.url, None, told.append) == 0
                steps, _ = listener.series("loss") if listener.flushes else ([], [])
                assert steps == list(range(1, len(steps) + 1)), f"before call {before}: {steps}"
                assert len(said) <= len(steps) <= len(said) + 1, f"before call {before}: accepted {said}, came {steps}"
                assert not any("damage" in line for line in told), f"before call {before}: {told}"
            finally:
                listener.stop()
    assert len(steps) == 8
    assert before > 100
