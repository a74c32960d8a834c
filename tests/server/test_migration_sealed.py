"""A filled store of schema 0002, sealed and not, is brought to every later schema with each count and value it has."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from asked import asked
from epochscope import wire
from epochscope_server.analysis.confusion import Cells
from epochscope_server.store import classes, confusion, fields, runs, series, spans
from epochscope_server.store.database import schemas
from epochscope_server.store.formats import rollup
from epochscope_server.store.formats.rollup import Rollup
from epochscope_server.store.schema import deleted_run, flush_body
from sealing import Store
from stage import counted, url_of

RUNS, CLASSES, PORTION = 2, 3, 200
SEALED, LAST = 9000, 9600  # steps; what follows the sealed ones waits in the log
FULL, BUCKET = 4096, 64  # points of a full row, and of a bucket
LONG = 8 * FULL  # points that make a full row of buckets
LATER = [script.revision for script in ScriptDirectory.from_config(schemas()).walk_revisions()][::-1][1:-1]


def blob(magic: bytes, header: bytes, columns: bytes) -> bytes:
    """As docs/storage.md has it, and had it then; not packed."""
    body = b"\0" + header + columns
    return magic + struct.pack("<I", zlib.crc32(body)) + body


def planes(numbers: Any, width: int) -> bytes:
    return np.ascontiguousarray(numbers, f"<u{width}").view(np.uint8).reshape(-1, width).T.tobytes()


def listed(cell: Any, count: Any) -> tuple[bytes, bytes]:
    """Header and columns of counts as a list, with gaps and counts of 4 bytes."""
    cell, place = np.unique(cell, return_inverse=True)
    total = np.bincount(place, count).astype(np.int64)
    gaps = np.diff(cell, prepend=0)
    return struct.pack("<BII", 2 << 2 | 2 << 4, len(cell), 0), planes(gaps, 4) + planes(total, 4)


def leaf(cells: Cells, first: int) -> bytes:
    step, right = cells.step - first, cells.true == cells.predicted
    misses = (cells.true * CLASSES + cells.predicted) * 64 + step
    parts = [
        listed(cells.true[right] * 64 + step[right], cells.count[right]),
        listed(misses[~right], cells.count[~right]),
    ]
    header = struct.pack("<I", CLASSES) + b"".join(header for header, _ in parts)
    return blob(b"ESL1", header, b"".join(columns for _, columns in parts))


def node(cells: Cells) -> bytes:
    header, columns = listed(cells.true * CLASSES + cells.predicted, cells.count)
    return blob(b"ESN1", struct.pack("<I", CLASSES) + header, columns)


def marginals(cells: Cells, first: int, width: int) -> bytes:
    bucket, wrong = (cells.step - first) // width, cells.true != cells.predicted
    of = [(0, cells.true, slice(None)), (1, cells.true, wrong), (2, cells.predicted, wrong)]
    cell = [(kind * CLASSES + one[some]) * 64 + bucket[some] for kind, one, some in of]
    header, columns = listed(np.concatenate(cell), np.concatenate([cells.count[some] for *_, some in of]))
    return blob(b"ESM1", struct.pack("<I", CLASSES) + header, columns)


def points(steps: Any, values: Any) -> bytes:
    """Of consecutive steps."""
    header = struct.pack("<IqqBBB", len(steps), steps[0], 1, 1, 8, 0)
    return blob(b"ESP1", header, planes(values.view("<u8"), 8))


def rolled(buckets: Rollup) -> bytes:
    ends = (buckets.step_last, buckets.step_low, buckets.step_high)
    whole = [np.diff(buckets.step_first, prepend=0), *(end - buckets.step_first for end in ends)]
    whole += [buckets.finite, buckets.nan, buckets.above, buckets.below]
    values = (buckets.first, buckets.last, buckets.low, buckets.high, buckets.sum)
    columns = [planes(column, 8) for column in whole] + [planes(column.view("<u8"), 8) for column in values]
    return blob(b"ESR1", struct.pack("<IB8B", len(buckets), 8, *[8] * 8), b"".join(columns))


@contextmanager
def engine_of(folder: Path) -> Iterator[sa.Engine]:
    url = url_of(folder)
    folder.mkdir(exist_ok=True)
    address = sa.make_url(url).set(drivername="postgresql+psycopg") if url else f"sqlite:///{folder}/epochscope.db"
    engine = sa.create_engine(address)
    yield engine
    engine.dispose()


def upgrade(folder: Path, revision: str) -> None:
    with engine_of(folder) as engine, engine.begin() as connection:
        config = schemas()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


class Old:
    """What was told, and a store that holds it as the code of schema 0002 left it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        chance = np.random.default_rng(5)
        self.labels = chance.integers(0, CLASSES, (RUNS, LAST, 5))
        self.guesses = chance.integers(0, CLASSES, (RUNS, LAST, 5))
        self.losses = chance.normal(size=(RUNS, LAST))
        self.losses[:, [4, 5000, 9100]] = np.nan, -np.inf, -0.0
        self.noise = chance.normal(size=(RUNS, LONG))
        upgrade(folder, "0002")
        with engine_of(folder) as engine, engine.begin() as connection:
            tables = sa.MetaData()
            tables.reflect(connection)
            self._tables = tables.tables
            for number in range(RUNS):
                self._fill(connection, number)
            gone = {"uid": "deleted0", "deleted_ms": 1, "change": 99}
            connection.execute(self._tables["deleted_run"].insert(), [gone])

    def uid(self, number: int) -> str:
        return f"oldrun{number:04d}"

    def _put(self, connection: sa.Connection, table: str, *rows: dict[str, Any]) -> None:
        connection.execute(self._tables[table].insert(), [dict(row) for row in rows])

    def _fill(self, connection: sa.Connection, number: int) -> None:
        own = {"run_id": number + 1}
        last = LAST // PORTION
        texts = dict.fromkeys(("reason", "notes", "group", "capture"), "") | {"status": "running", "project": "p"}
        times = dict.fromkeys(("created_ms", "started_ms", "heard_ms", "next_ms"), 1)
        whole = {
            "params": {"lr": 0.5 + number, "optimizer": "adam"}, "environment": {"host": "h"},
            "outputs": [{"name": "output", "class_names": ["a", "b", "c"]}],
            "steps": {"train": LAST}, "last": {"batch": {"loss": float(self.losses[number, -1])}},
        }  # fmt: skip
        row = {**texts, **times, **whole, "id": number + 1, "uid": self.uid(number), "name": "n"}
        nothing = dict.fromkeys(("ended_ms", "epochs", "batches_per_epoch"))
        row |= {**nothing, "archived": False, "named_by_viewer": False, "rev": last, "change": number + 1}
        self._put(connection, "run", row)
        self._put(connection, "run_tag", {**own, "tag": "kept"})
        self._put(connection, "span", {**own, "split": "train", "attempt": 0, "epoch": 1, "start": 1, "stop": 4000})
        for series_id, key in enumerate(("loss", "noise")):
            named = {"series_id": series_id, "split": "train", "by": "batch", "key": key}
            self._put(connection, "series", {**own, **named})
        numbers = {"next_seq": last + 1, "sealed_seq": SEALED // PORTION, "attempts": {}}
        self._put(connection, "stream", {**own, "stream_id": 0, "uid": "stream00", **numbers})
        for seq in range(1, last + 1):
            body = wire.encode(self.flush(number, seq))
            told = {"crc32": zlib.crc32(body), "received_ms": seq, "arrived": seq}
            kept = None if seq <= SEALED // PORTION else body
            self._put(connection, "flush", {**own, "stream_id": 0, "seq": seq, **told, "body": kept})
        pyramid = {"counts_id": 0, "output_id": 0, "split": "train", "attempt": 0, "classes": CLASSES}
        self._put(connection, "counts", {**own, **pyramid, "sealed_to": SEALED + 1})
        self._seal_counts(connection, number, {**own, "counts_id": 0, "written": 7})
        for series_id, values in enumerate((self.losses[number, :SEALED], self.noise[number])):
            self._seal_series(connection, values, {**own, "series_id": series_id, "attempt": 0, "written": 7})

    def _seal_counts(self, connection: sa.Connection, number: int, own: dict[str, int]) -> None:
        """Leaves of 64 steps, nodes of 512 and 4,096, marginals of 1,024 and 8,192: those that are complete."""
        for level, width in enumerate((64, 512, 4096)):
            for idx in range((SEALED + 1) // width + (level == 0)):
                cells = self.cells(number, idx * width, min((idx + 1) * width, SEALED + 1))
                packed = node(cells) if level else leaf(cells, idx * width)
                self._put(connection, "count_node", {**own, "level": level, "idx": idx, "data": packed})
        for level, width in enumerate((1024, 8192)):
            for idx in range((SEALED + 1) // width):
                cells = self.cells(number, idx * width, (idx + 1) * width)
                packed = marginals(cells, idx * width, width // 64)
                self._put(connection, "count_marginal", {**own, "level": level, "idx": idx, "data": packed})

    def _seal_series(self, connection: sa.Connection, told: Any, own: dict[str, int]) -> None:
        """Full rows of points and what is left over; a bucket for each 64 of the full ones, and for 64 of those."""
        levels: list[list[rollup.Rollup]] = [[], []]
        for start in range(1, len(told) + 1, FULL):
            stop = min(start + FULL, len(told) + 1)
            steps, values = np.arange(start, stop), told[start - 1 : stop - 1]
            place = {"level": 0, "idx": 0 if start == 1 else start, "step_min": start, "step_max": stop - 1}
            packed = points(steps, values)
            self._put(connection, "series_chunk", {**own, **place, "n": stop - start, "data": packed})
            if stop - start == FULL:
                levels[0].append(rollup.of_points(steps, values, BUCKET))
        if len(levels[0]) == LONG // FULL:  # a full row of buckets
            levels[1].append(rollup.merged(rollup.joined(levels[0]), BUCKET))
        for level, parts in enumerate(levels, 1):
            if parts:
                joined = rollup.joined(parts)
                ends = {"step_min": int(joined.step_first[0]), "step_max": int(joined.step_last[-1]), "n": len(joined)}
                row = {**own, "level": level, "idx": 0, **ends, "data": rolled(joined)}
                self._put(connection, "series_chunk", row)

    def cells(self, number: int, start: int, stop: int) -> Cells:
        """The counts of steps ``[start, stop)``, each cell once."""
        start = max(start, 1)
        part = slice(start - 1, stop - 1)
        step = np.repeat(np.arange(start, stop), 5)
        codes = step * 9 + (3 * self.labels[number, part] + self.guesses[number, part]).ravel()
        codes, count = np.unique(codes, return_counts=True)
        return Cells(codes // 9, codes % 9 // 3, codes % 3, count)

    def flush(self, number: int, seq: int) -> wire.Flush:
        part = slice((seq - 1) * PORTION, seq * PORTION)
        steps = range(part.start + 1, part.stop + 1)
        batches = list(zip(self.labels[number, part], self.guesses[number, part], strict=True))
        told = wire.SeriesColumns.of("loss", "train", "batch", steps, self.losses[number, part])
        columns = counted(batches, steps[0])
        return wire.Flush(wire.VERSION, self.uid(number), "stream00", seq, 1, None, [told], [columns])

    def check(self, store: Store) -> None:
        """All that was told is there, and nothing else."""
        windows = ((1, LAST + 1), (1, 4096), (4096, 8192), (63, 65), (777, 8999), (8990, 9300), (9590, 9601))
        for number in range(RUNS):
            run = store.run(self.uid(number))
            hits = self.labels[number] == self.guesses[number]
            for start, stop in windows:
                window = store.ask(confusion.fetch, store.blocks, run, 0, "train", start, stop)
                part = slice(start - 1, stop - 1)
                codes = 3 * self.labels[number, part] + self.guesses[number, part]
                assert window.matrix().tolist() == np.bincount(codes.ravel(), minlength=9).reshape(3, 3).tolist()
            edges = np.array([1, 130, 1024, 5000, 9001, LAST + 1])
            support, missed, *_ = store.ask(classes.fetch, store.blocks, run, 0, "train", edges[:-1], edges[1:]).sums()
            for at, (start, stop) in enumerate(pairwise(edges.tolist())):
                part = slice(start - 1, stop - 1)
                for one in range(CLASSES):
                    mine = self.labels[number, part] == one
                    assert support[one, at] == mine.sum()
                    assert missed[one, at] == (mine & ~hits[part]).sum()
            lines = store.ask(series.fetch, store.blocks, (run["id"], run["uid"]), "train", "batch", ["loss", "noise"])
            for told, line in zip((self.losses[number], self.noise[number]), lines, strict=True):
                steps, values = line.read().points()
                assert steps.tolist() == list(range(1, len(told) + 1))
                assert values.tobytes() == told.tobytes()
            assert store.ask(spans.of_run, run) == [{"split": "train", "epoch": 1, "from": 1, "to": 4000}]
            assert store.ask(runs.tags, [run["id"]]) == {run["id"]: ["kept"]}
            assert run["params"] == {"lr": 0.5 + number, "optimizer": "adam"}
        assert store.ask(lambda connection: connection.scalars(sa.select(deleted_run.c.uid)).all()) == ["deleted0"]


@pytest.mark.slow
@pytest.mark.parametrize("revision", LATER)
def test_a_sealed_store_keeps_every_count_and_value_on_its_way_to_every_later_schema(
    tmp_path: Path, revision: str
) -> None:
    old = Old(tmp_path / "store")
    upgrade(old.folder, revision)
    store = Store(old.folder)
    old.check(store)
    waiting = store.ask(lambda connection: connection.scalar(sa.select(sa.func.count()).select_from(flush_body)))
    assert waiting == RUNS * (LAST - SEALED) // PORTION, "and only what is not sealed is kept as it came"
    for number in range(RUNS):
        assert store.post(old.flush(number, 7)).acked == LAST // PORTION, "one of before, sent again"
        store.seal(old.uid(number))
    old.check(store)
    more = wire.SeriesColumns.of("loss", "train", "batch", [LAST + 1], [0.25])
    flush = wire.Flush(wire.VERSION, old.uid(0), "stream00", LAST // PORTION + 1, 1, None, [more])
    assert store.post(flush).acked == LAST // PORTION + 1
    while store.writer.submit(lambda connection: fields.index(connection, 10)).result():
        pass
    store.close()
    where = ["--database", url] if (url := url_of(old.folder)) else []
    answer = asked("doctor", "--data-dir", old.folder, *where)
    assert answer.returncode == 0, answer.stdout + answer.stderr
