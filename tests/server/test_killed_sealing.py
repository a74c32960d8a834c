"""The process is killed while it takes flushes and seals them: nothing acknowledged is lost, nothing counted twice."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from epochscope import wire
from epochscope_server.store import classes, confusion, sealing, sealing_series, series
from epochscope_server.store.schema import stream
from epochscope_server.store.sealer import Sealer
from killed import Nursery
from sealing import Store
from stage import counted, url_of

ROUNDS = int(os.environ.get("EPOCHSCOPE_ROUNDS", "5"))
RUN, STREAMS, BATCHES = "killedrun", ("stream00", "stream01"), 10


def told(uid: str, seq: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and guesses [batch, sample] and losses [batch] of a flush; both streams tell the same steps."""
    chance = np.random.default_rng([STREAMS.index(uid), seq])
    return (
        chance.integers(0, 3, (BATCHES, 6)),
        chance.integers(0, 3, (BATCHES, 6)),
        chance.normal(size=BATCHES),
    )


def flush_of(uid: str, seq: int) -> wire.Flush:
    labels, guesses, losses = told(uid, seq)
    first = (seq - 1) * BATCHES + 1
    info = wire.RunInfo("p", "n", 1, outputs=[wire.Output("output", ("a", "b", "c"))])
    points = wire.SeriesColumns.of(f"loss of {uid}", "train", "batch", range(first, first + BATCHES), losses)
    columns = counted(list(zip(labels, guesses, strict=True)), first)
    return wire.Flush(wire.VERSION, RUN, uid, seq, 1, info, [points], [columns])


def next_seqs(store: Store) -> dict[str, int]:
    found = store.ask(lambda connection: connection.execute(sa.select(stream.c.uid, stream.c.next_seq)).all())
    return dict.fromkeys(STREAMS, 1) | dict(found)


def take_and_seal(data_dir: str, url: str = "") -> None:
    sealing.MOST_FLUSHES, sealing_series.FULL, sealing_series.ROLLED = 4, 64, 3
    store = Store(Path(data_dir), url or None)
    sealer = Sealer(store.database, store.writer)
    seqs = next_seqs(store)
    print("begun", flush=True)
    while True:
        uid = random.choice(STREAMS)
        taken = store.post(flush_of(uid, seqs[uid]))
        print("acked", uid, seqs[uid], flush=True)
        seqs[uid] += 1
        sealer.heard(taken.run_id, sealing.MOST_BYTES // 2, ended=False)
        if random.random() < 0.1:
            store.post(flush_of(uid, random.randint(1, seqs[uid] - 1)))  # again


@pytest.mark.slow
def test_kill_9_in_mid_seal_loses_and_doubles_nothing(tmp_path: Path) -> None:
    matrices: dict[int, Any] = {}  # of a plain count, by step
    known = dict.fromkeys(STREAMS, 1)
    losses: dict[str, list[float]] = {uid: [] for uid in STREAMS}
    with Nursery(take_and_seal, tmp_path / "store", url_of(tmp_path / "store") or "") as nursery:
        for _ in range(ROUNDS):
            acked = [line.split() for line in nursery.live(0.4) if line.startswith("acked")]
            store = Store(tmp_path / "store")
            seqs = next_seqs(store)
            assert all(int(number) < seqs[uid] for _, uid, number in acked)
            for uid in STREAMS:
                for seq in range(known[uid], seqs[uid]):
                    labels, guesses, values = told(uid, seq)
                    losses[uid] += values.tolist()
                    for batch in range(BATCHES):
                        matrix = np.bincount(3 * labels[batch] + guesses[batch], minlength=9).reshape(3, 3)
                        step = (seq - 1) * BATCHES + 1 + batch
                        matrices[step] = matrices.get(step, 0) + matrix
            known = seqs
            if matrices:
                check(store, matrices, losses)
            store.close()
    assert len(matrices) > BATCHES


def check(store: Store, matrices: dict[int, Any], losses: dict[str, list[float]]) -> None:
    run, last = store.run(RUN), max(matrices)
    edges = np.array(sorted({1, last + 1, *(random.randint(1, last + 1) for _ in range(6))}))
    whole = np.cumsum([matrices.get(step, np.zeros((3, 3), np.int64)) for step in range(last + 1)], axis=0)
    for start, stop in [(1, last + 1), *zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]:
        window = store.ask(confusion.fetch, store.blocks, run, 0, "train", start, stop)
        assert window.matrix().tolist() == (whole[stop - 1] - whole[start - 1]).tolist()
    curves = store.ask(classes.fetch, store.blocks, run, 0, "train", edges[:-1], edges[1:])
    expected = whole[edges[1:] - 1] - whole[edges[:-1] - 1]
    assert curves.sums()[0].T.tolist() == expected.sum(axis=2).tolist()
    for uid, values in losses.items():
        if values:
            keys = [f"loss of {uid}"]
            (found,) = store.ask(series.fetch, store.blocks, (run["id"], RUN), "train", "batch", keys)
            assert found.read().points()[1].tolist() == values
