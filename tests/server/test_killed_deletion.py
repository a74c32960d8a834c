"""kill -9 while a deleted run is cleared away: it stays gone, nothing of it is left in the end, others are whole."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from epochscope import wire
from epochscope_server.errors import GoneError
from epochscope_server.store import confusion, removal, runs
from epochscope_server.store.keeper import Keeper
from epochscope_server.store.schema import OWNED
from epochscope_server.store.schema import run as run_table
from killed import Nursery
from sealing import Store
from stage import counted, url_of

ROUNDS = int(os.environ.get("EPOCHSCOPE_ROUNDS", "5"))
STEPS, KEPT = 64, "keptrun0"


def fill(store: Store, uid: str, series: int) -> None:
    """Something in every table that a run owns: sealed but for the last flush."""
    info = wire.RunInfo("p", uid, 1, {"lr": 0.1}, outputs=[wire.Output("output", ("a", "b", "c"))], tags=["a", "b"])
    for seq in range(1, 4):
        steps = range((seq - 1) * STEPS + 1, seq * STEPS + 1)
        noise = np.random.default_rng(seq).random(STEPS)
        told = [wire.SeriesColumns.of(f"s{key}", "train", "batch", steps, noise) for key in range(series)]
        columns = counted([([seq % 3, 1], [2, 1])] * STEPS, steps[0])
        span = wire.Span("train", seq, steps[0], steps[-1] + 1)
        store.post(wire.Flush(wire.VERSION, uid, "stream00", seq, 1, info, told, [columns], spans=[span]))
        if seq == 2:
            store.seal(uid)


def delete_and_clear(data_dir: str, url: str = "") -> None:
    store = Store(Path(data_dir), url or None)
    uid = f"victim{random.getrandbits(40):010x}"
    fill(store, uid, series=1000)
    working = Keeper(store.database, store.writer)
    store.writer.submit(lambda connection: runs.delete(connection, uid, 1)).result()
    print("deleted", uid, flush=True)
    working.wake()
    while store.ask(removal.waiting) is not None:
        time.sleep(0.001)
    working.close()
    store.close()


def rows(store: Store) -> dict[str, int]:
    """How many rows runs own in each table."""
    every = {table.name: sa.select(sa.func.count()).select_from(table).scalar_subquery() for table in OWNED}
    return dict(zip(every, store.ask(lambda one: one.execute(sa.select(*every.values())).one()), strict=True))


def counts(store: Store) -> Any:
    run = store.run(KEPT)
    return store.ask(confusion.fetch, store.blocks, run, 0, "train", 1, 3 * STEPS + 1).matrix().tolist()


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_deletion_leaves_nothing_half_visible(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = Store(folder)
    fill(store, KEPT, series=3)
    alone, told = rows(store), counts(store)
    store.close()
    gone: list[str] = []
    middles = 0
    with Nursery(delete_and_clear, folder, url_of(folder) or "") as nursery:
        for _ in range(ROUNDS):
            gone += [line.split()[1] for line in nursery.live(0.1)]
            store = Store(folder)
            middles += store.ask(removal.waiting) is not None
            assert store.ask(lambda one: one.scalars(sa.select(run_table.c.uid)).all()) == [KEPT]
            for seq in (1, 4):
                with pytest.raises(GoneError):
                    store.post(wire.Flush(wire.VERSION, gone[-1], "stream00", seq, 1))
            assert counts(store) == told
            working = Keeper(store.database, store.writer)
            end = time.monotonic() + 60
            while store.ask(removal.waiting) is not None:
                assert time.monotonic() < end
                time.sleep(0.005)
            working.close()
            assert {**rows(store), "run_value": 0, "run_text": 0} == {**alone, "run_value": 0, "run_text": 0}
            assert counts(store) == told
            store.close()
    assert len(gone) == ROUNDS
    print(f"{middles} of {ROUNDS} kills came in the middle of a deletion")
    assert middles
