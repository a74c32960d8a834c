"""The index of what runs are searched by, brought up to date while they train."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from epochscope import wire
from epochscope_server.store import fields
from sealing import Store


def test_what_changes_while_runs_are_indexed_is_left_for_the_next_look(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    info = wire.RunInfo("p", "n", 1, {"lr": 0.1})
    changes = []
    for uid in ("earlier0", "later000"):
        change = store.post(wire.Flush(wire.VERSION, uid, "stream00", 1, 1, info)).change
        assert change is not None
        changes.append(change.number)
    index = partial(fields.index, most=10)
    assert store.writer.submit(partial(index, latest=changes[0])).result() == 1
    assert store.writer.submit(partial(index, latest=changes[0])).result() == 0
    assert store.writer.submit(partial(index, latest=changes[1])).result() == 1
    store.close()
