"""A store of the first schema is brought up to date with all that is in it, or not at all."""

from __future__ import annotations

import json
import os
import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from epochscope import wire
from epochscope_server.store import confusion, runs, series, spans
from epochscope_server.store.database import Database
from killed import Nursery
from sealing import Store
from stage import counted, url_of

ROUNDS = int(os.environ.get("EPOCHSCOPE_ROUNDS", "5"))
RUNS, FLUSHES, BATCHES = 3, 40, 6


@contextmanager
def _engine(data_dir: Path) -> Iterator[sa.Engine]:
    url = url_of(data_dir)
    data_dir.mkdir(exist_ok=True)
    address = sa.make_url(url).set(drivername="postgresql+psycopg") if url else f"sqlite:///{data_dir}/epochscope.db"
    engine = sa.create_engine(address)
    yield engine
    engine.dispose()


class Old:
    """A store as the first version left it: chunks of series and of counts, one for each flush."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        chance = np.random.default_rng(3)
        self.labels = chance.integers(0, 3, (RUNS, FLUSHES * BATCHES, 8))
        self.guesses = chance.integers(0, 3, (RUNS, FLUSHES * BATCHES, 8))
        self.losses = chance.normal(size=(RUNS, FLUSHES * BATCHES))
        self.losses[:, 5] = np.nan
        with _engine(data_dir) as engine, engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", "epochscope_server.store:migrations")
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            for number in range(RUNS):
                self._fill(connection, number)

    def _fill(self, connection: sa.Connection, number: int) -> None:
        last = FLUSHES * BATCHES
        named = {
            "project": "p",
            "name": "n",
            "status": "running",
            "reason": "",
            "notes": "",
            "group": "",
            "capture": "",
        }
        outputs = [{"name": "head", "class_names": ["x"]}, {"name": "output", "class_names": ["a", "b", "c"]}]
        whole = {"params": {}, "environment": {}, "outputs": outputs, "steps": {"train": last}, "last": {}}
        times = dict.fromkeys(("created_ms", "started_ms", "heard_ms", "next_ms"), 1)
        _insert(
            connection, "run", id=number + 1, uid=f"oldrun{number:04d}", archived=False, named_by_viewer=False,
            rev=FLUSHES, change=number + 1, ended_ms=None, epochs=None, batches_per_epoch=None, **named, **times,
            **{key: json.dumps(value) for key, value in whole.items()},
        )  # fmt: skip
        own = {"run_id": number + 1}
        _insert(connection, "stream", **own, stream_id=0, uid="stream00", next_seq=FLUSHES + 1)
        _insert(connection, "series", **own, series_id=0, split="train", by="batch", key="loss")
        _insert(connection, "span", **own, split="train", epoch=1, start=1, stop=100)
        _insert(connection, "run_tag", **own, tag="kept")
        for seq in range(1, FLUSHES + 1):
            steps, flush = self.steps(seq), self.flush(number, seq)
            (columns,), (points,) = flush.confusion, flush.series
            _insert(
                connection, "flush", **own, stream_id=0, seq=seq, crc32=zlib.crc32(wire.encode(flush)), received_ms=1
            )
            place = {**own, "chunk": seq, "step_min": steps[0], "step_max": steps[-1]}
            told = (columns.steps, columns.cells, columns.true, columns.predicted, columns.counts)
            _insert(connection, "confusion_chunk", **place, output_id=1, split="train", data=_packed(told))
            _insert(connection, "series_chunk", **place, series_id=0, data=_packed((points.steps, points.values)))

    @staticmethod
    def steps(seq: int) -> range:
        return range((seq - 1) * BATCHES + 1, seq * BATCHES + 1)

    def flush(self, number: int, seq: int) -> wire.Flush:
        steps = self.steps(seq)
        part = slice(steps[0] - 1, steps[-1])
        batches = list(zip(self.labels[number, part], self.guesses[number, part], strict=True))
        points = wire.SeriesColumns.of("loss", "train", "batch", steps, self.losses[number, part])
        columns = counted(batches, steps[0])
        return wire.Flush(wire.VERSION, f"oldrun{number:04d}", "stream00", seq, 1, None, [points], [columns])

    def check(self, store: Store) -> None:
        """All that was told is there, and nothing else."""
        for number in range(RUNS):
            uid = f"oldrun{number:04d}"
            run = store.run(uid)
            for start, stop in ((1, FLUSHES * BATCHES + 1), (20, 21), (3, 200)):
                window = store.ask(confusion.fetch, store.blocks, run, 1, "train", start, stop)
                labels, guesses = (one[number, start - 1 : stop - 1].ravel() for one in (self.labels, self.guesses))
                expected = np.bincount(3 * labels + guesses, minlength=9).reshape(3, 3)
                assert window.matrix().tolist() == expected.tolist()
            (found,) = store.ask(series.fetch, store.blocks, (run["id"], uid), "train", "batch", ["loss"])
            steps, values = found.read().points()
            assert steps.tolist() == list(range(1, FLUSHES * BATCHES + 1))
            assert values.tobytes() == self.losses[number].tobytes()
            assert store.ask(spans.of_run, run) == [{"split": "train", "epoch": 1, "from": 1, "to": 100}]
            assert store.ask(runs.tags, [run["id"]]) == {run["id"]: ["kept"]}


def _packed(columns: tuple[bytes, ...]) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(columns), 1)


def _insert(connection: sa.Connection, table: str, **values: Any) -> None:
    names = [connection.dialect.identifier_preparer.quote(name) for name in values]
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(sa.text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"), values)


def test_a_store_of_the_first_schema_keeps_all_that_is_in_it(tmp_path: Path) -> None:
    old = Old(tmp_path / "store")
    store = Store(old.data_dir)
    old.check(store)
    for number in range(RUNS):
        store.seal(f"oldrun{number:04d}")
    old.check(store)
    assert store.post(old.flush(0, 7)).acked == FLUSHES  # a flush of before, sent again
    more = wire.SeriesColumns.of("loss", "train", "batch", [FLUSHES * BATCHES + 1], [0.25])
    flush = wire.Flush(wire.VERSION, "oldrun0000", "stream00", FLUSHES + 1, 1, None, [more])
    assert store.post(flush).acked == FLUSHES + 1
    store.close()


def bring_up_to_date(data_dir: str, url: str = "") -> None:
    print("begun", flush=True)
    Database(Path(data_dir), url or None).close()


@pytest.mark.slow
def test_a_migration_that_is_killed_leaves_all_of_the_old_or_all_of_the_new(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    cut_off = 0
    while cut_off < ROUNDS:
        old = Old(tmp_path_factory.mktemp("old") / "store")
        with Nursery(bring_up_to_date, old.data_dir, url_of(old.data_dir) or "") as nursery:
            while cut_off < ROUNDS:
                nursery.live(random.uniform(0, 0.3))
                with _engine(old.data_dir) as engine, engine.connect() as connection:
                    revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
                    tables = set(sa.inspect(connection).get_table_names())
                if revision != "0001":
                    break
                cut_off += 1
                assert "confusion_chunk" in tables
                assert not {name for name in tables if name.startswith("old_")} | (tables & {"count_node"})
        store = Store(old.data_dir)
        old.check(store)
        store.close()
