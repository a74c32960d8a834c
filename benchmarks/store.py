"""What the store costs: windows, curves, series, bytes on disk and processor time of sealing, beside plainer ways.

    python benchmarks/store.py                                  # everything, about half an hour and 8 GB of disk
    python benchmarks/store.py build read --classes 100         # one size; "build" leaves its store for "read"
    python benchmarks/store.py series long plain                # the other parts
    python benchmarks/store.py --batches 5000 --long 50000      # a small run of all of it, to see it work

Runs are posted to a real store (SQLite, synchronous=FULL) as a training would, 64 batches a flush with loss and
accuracy of every batch, and sealed as the service does: whenever 64 flushes or 2 MiB wait, a step at a time. Pages that
are free at the end are given back, as the service does when nothing is written. Their accuracy rises from chance to
0.9; of the errors 5 % at first and 85 % at the end are for one of 8 classes that look alike, the others for any class.

"cold" means that nothing is unpacked yet; the file itself is in the memory of the system. Times are of one thread:
"processor" is what it computed, "wall" what a clock says. "p99" is of as many windows as are asked, drawn anew.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from epochscope import wire
from epochscope_server import window
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.series import bucketed, thinned
from epochscope_server.store import classes, confusion, log, pyramid, removal, runs, sealing, series
from epochscope_server.store.cache import Blocks
from epochscope_server.store.database import Database
from epochscope_server.store.formats import node
from epochscope_server.store.ledger import Ledger
from epochscope_server.store.schema import count_node, counts, run

BATCH = 128
PER_FLUSH = 64
GOALS: dict[str, dict[int, float]] = {  # of runs of 100,000 batches, by number of classes
    "bytes": {10: 0.38, 100: 1.0, 1000: 2.5},
    "sealing": {10: 10, 100: 18, 1000: 25},
    "cold": {10: 1, 100: 3, 1000: 9},
    "cold p99": {10: 3, 100: 5, 1000: 25},
    "hot": {1000: 4},
    "curves": {10: 1, 100: 3, 1000: 20},
}
POINTS = 800
if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Question = Callable[[], Any]


@dataclass
class Times:
    """Milliseconds of each question, by the clock and of this thread's processor."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def take(self, question: Question) -> Any:
        wall, processor = time.perf_counter(), time.thread_time()
        answer = question()
        self.processor.append((time.thread_time() - processor) * 1e3)
        self.wall.append((time.perf_counter() - wall) * 1e3)
        return answer

    def __str__(self) -> str:
        return " | ".join(
            f"{statistics.median(each):.2f} | {np.percentile(each, 99):.2f}" for each in (self.processor, self.wall)
        )


TIMES = "processor ms, median | p99 | wall ms, median | p99"


def table(title: str, *columns: str) -> None:
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * ' | '.join(columns).count('|')}---|", flush=True)


def row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def goal(name: str, classes: int) -> str:
    return f"{GOALS[name][classes]:g}" if classes in GOALS[name] else ""


def drawn(classes: int, batches: int, seed: int = 0) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(first step, true, predicted), int64 [steps, 128] each, of 64 batches at a time."""
    rng = np.random.default_rng(seed)
    alike = np.stack(
        [rng.choice(np.delete(np.arange(classes), one), min(8, classes - 1), replace=False) for one in range(classes)]
    )
    share = 1 / np.arange(1, alike.shape[1] + 1)
    bounds = np.cumsum(share / share.sum())
    for first in range(1, batches + 1, PER_FLUSH):
        step = np.arange(first, min(first + PER_FLUSH, batches + 1))[:, None]
        shape = (len(step), BATCH)
        accuracy = 0.9 - (0.9 - 1 / classes) * np.exp(-6 * step / batches)
        true = rng.integers(0, classes, shape)
        which = np.minimum(np.searchsorted(bounds, rng.random(shape)), alike.shape[1] - 1)
        wrong = np.where(
            rng.random(shape) < 0.05 + 0.8 * step / batches,
            alike[true, which],
            (true + rng.integers(1, classes, shape)) % classes,
        )
        yield first, true, np.where(rng.random(shape) < accuracy, true, wrong)


def flushes(uid: str, classes: int, batches: int) -> Iterator[wire.Flush]:
    names = tuple(f"class {number}" for number in range(classes))
    info = wire.RunInfo("benchmark", f"{classes} classes", 0, outputs=[wire.Output("output", names)])
    rng = np.random.default_rng(1)
    for first, true, predicted in drawn(classes, batches):
        step = np.arange(first, first + len(true))
        key = np.sort((true * classes + predicted) + (step - first)[:, None] * classes * classes, axis=None)
        new = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        cell = key[new] % classes**2
        confusion = wire.ConfusionColumns.of(
            "output", "train", step, np.bincount(key[new] // classes**2), cell // classes, cell % classes,
            np.diff(np.append(new, len(key))),
        )  # fmt: skip
        accuracy = (true == predicted).mean(axis=1)
        loss = (-np.log(accuracy.clip(0.01)) + rng.normal(0, 0.05, len(step))).astype(np.float32)
        yield wire.Flush(
            wire.VERSION, uid, "0" * 8, first // PER_FLUSH + 1, first,
            info=info if first == 1 else None,
            series=[
                wire.SeriesColumns.of("loss", "train", "batch", step, loss),
                wire.SeriesColumns.of("accuracy", "train", "batch", step, accuracy.astype(np.float32)),
            ],
            confusion=[confusion],
        )  # fmt: skip


@dataclass
class Sealed:
    """Processor time of sealing, and how long each of its commits took by the clock, in seconds."""

    seconds: float = 0.0
    commits: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        """Milliseconds of a commit: median, p99, longest."""
        return " | ".join(f"{one * 1e3:.1f}" for one in (*np.percentile(self.commits, (50, 99)), max(self.commits)))


class Store:
    """A store in a folder, posted to and sealed in this thread."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder)
        self.ledger = Ledger(alone=True)
        self.file = folder / "epochscope.db"

    def post(self, several: list[wire.Flush]) -> None:
        posts = []
        for flush in several:
            body = wire.encode(flush)
            posts.append(log.Posted(wire.decode(body), body, zlib.crc32(body), 0))
        with self.database.writer.begin() as connection:
            for outcome in log.append(connection, self.ledger, posts):
                assert isinstance(outcome, log.Appended), outcome
        self.database.committed()

    def seal(self, uid: str, sealed: Sealed, steps: int = 10**9) -> None:
        """Take ``steps`` steps, or as many as there are."""
        number = self.run(uid)["id"]
        for _ in range(steps):
            began = time.thread_time()
            with self.database.read() as connection:
                step = sealing.read(connection, number)
            if step is None:
                return
            sealing.worked_out(step)
            wall = time.perf_counter()
            with self.database.writer.begin() as connection:
                assert sealing.write(connection, step)
            self.database.committed()
            sealed.commits.append(time.perf_counter() - wall)  # what an acknowledgement may wait for
            sealed.seconds += time.thread_time() - began

    def run(self, uid: str) -> dict[str, Any]:
        with self.database.read() as connection:
            return runs.get(connection, uid)

    def matrix(self, uid: str, blocks: Blocks, start: int, stop: int) -> np.ndarray:
        with self.database.read() as connection:
            known = runs.get(connection, uid)
            fetched = confusion.fetch(connection, blocks, known, 0, "train", start, stop)
        return fetched.matrix()

    def curves(self, uid: str, blocks: Blocks, start: int, stop: int, points: int) -> ClassCurves:
        with self.database.read() as connection:
            known = runs.get(connection, uid)
            starts, stops = window.cut(start, stop, points, None, points)
            fetched = classes.fetch(connection, blocks, known, 0, "train", starts, stops)
        support, fn, fp = fetched.sums()
        names = tuple(known["outputs"][0]["class_names"])
        found = ClassCurves("train", names, starts, stops, None, tp=support - fn, fp=fp, fn=fn)
        assert found.recall.low.shape == found.precision.low.shape == found.f1.low.shape
        return found

    def bytes_of(self, uid: str) -> dict[str, int]:
        """Bytes of the blobs of each table; "file" is the whole file, its log written back and its free pages given
        back.
        """
        given = True
        while given:
            with self.database.writer.begin() as connection:
                given = removal.give_back(connection, 500) > 0
        own = sqlite3.connect(self.file)
        own.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        own.close()
        found = {"file": self.file.stat().st_size}
        with self.database.read() as connection:
            for name, column in (("count_node", "data"), ("count_marginal", "data"), ("series_chunk", "data")):
                found[name] = connection.scalar(sa.text(f"SELECT sum(length({column})) FROM {name}")) or 0
        return found

    def close(self) -> None:
        self.database.close()


def uid_of(classes: int) -> str:
    return f"benchmark{classes:06}"


def build(folder: Path, sizes: list[int], batches: int) -> None:
    table(
        "### Sealing and bytes",
        "classes", "sealing, µs of processor a batch", "goal", "its commits, ms, median", "p99", "longest",
        "bytes a prediction", "goal",
        "leaves and nodes, MB", "marginals, MB", "series, MB", "file, MB",
    )  # fmt: skip
    for size in sizes:
        place = folder / f"{size}"
        place.mkdir(exist_ok=True)
        for old in place.glob("epochscope.db*"):
            old.unlink()
        store, sealed, waiting = Store(place), Sealed(), []
        number, held = 0, 0
        for flush in flushes(uid_of(size), size, batches):
            waiting.append(flush)
            number, held = number + 1, held + len(wire.encode(flush))
            if len(waiting) == 8:
                store.post(waiting)
                waiting = []
            if number >= sealing.MOST_FLUSHES or held >= sealing.MOST_BYTES:
                store.post(waiting)
                store.seal(uid_of(size), sealed, 1)
                waiting, number, held = [], 0, 0
        store.post(waiting)
        store.seal(uid_of(size), sealed)
        found = store.bytes_of(uid_of(size))
        row(
            f"{size:,}", f"{sealed.seconds / batches * 1e6:.1f}", goal("sealing", size), sealed,
            f"{found['file'] / batches / BATCH:.3f}", goal("bytes", size),
            *(f"{found[name] / 1e6:.2f}" for name in ("count_node", "count_marginal", "series_chunk", "file")),
        )  # fmt: skip
        store.close()


def windows(last: int, count: int) -> list[tuple[int, int]]:
    rng = np.random.default_rng(7)
    return [(int(a), int(b) + 1) for a, b in np.sort(rng.integers(1, last + 1, (count, 2)), axis=1)]


def read(folder: Path, sizes: list[int], count: int) -> None:
    table("### The matrix of any window", "classes", "", *TIMES.split(" | "), "goal, median", "goal, p99")
    stores = {size: Store(folder / f"{size}") for size in sizes}
    for size, store in stores.items():
        uid = uid_of(size)
        last = store.run(uid)["steps"]["train"]
        asked = windows(last, count)
        check(store, size, last, asked[0])
        cold, hot, blocks = Times(), Times(), Blocks()
        for start, stop in asked[:20]:
            store.matrix(uid, Blocks(), start, stop)
        for start, stop in asked:
            cold.take(lambda: store.matrix(uid, Blocks(), start, stop))  # noqa: B023
        for times in (Times(), hot):
            for start, stop in asked:
                times.take(lambda: store.matrix(uid, blocks, start, stop))  # noqa: B023
        row(f"{size:,}", "cold", cold, goal("cold", size), goal("cold p99", size))
        row(f"{size:,}", "hot", hot, goal("hot", size), "")
        for name, length in (("200 steps", 200), ("5,000 steps", 5000), ("whole run", last)):
            one = Times()
            for start in np.random.default_rng(1).integers(1, max(last - length, 1) + 1, max(count // 4, 5)).tolist():
                one.take(lambda: store.matrix(uid, Blocks(), start, start + length))  # noqa: B023
            row(f"{size:,}", f"cold, {name}", one, "", "")
    table(
        f"### Curves of all classes: recall, precision and F1 with their intervals, {POINTS} points at most",
        "classes", "steps", "points", "", *TIMES.split(" | "), "goal, median",
    )  # fmt: skip
    for size, store in stores.items():
        uid, blocks = uid_of(size), Blocks()
        last = store.run(uid)["steps"]["train"]
        whole = (1, last + 1)
        middle = last // 2
        for start, stop in (whole, *((middle, middle + length) for length in (40_000, 10_000, 1000))):
            stop = min(stop, last + 1)
            cold, hot = Times(), Times()
            points = store.curves(uid, blocks, start, stop, POINTS).start
            for _ in range(9 if size > 100 else 25):
                cold.take(lambda: store.curves(uid, Blocks(), start, stop, POINTS))  # noqa: B023
                hot.take(lambda: store.curves(uid, blocks, start, stop, POINTS))  # noqa: B023
            wanted = goal("curves", size) if (start, stop) == whole else ""
            row(f"{size:,}", f"{stop - start:,}", len(points), "cold", cold, wanted)
            row(f"{size:,}", f"{stop - start:,}", len(points), "hot", hot, wanted)
        store.close()


def check(store: Store, size: int, last: int, asked: tuple[int, int]) -> None:
    """One window against a plain count, so that nothing is fast and wrong."""
    want = np.zeros(size * size, np.int64)
    for first, true, predicted in drawn(size, last):
        inside = slice(max(asked[0] - first, 0), max(asked[1] - first, 0))
        want += np.bincount((true[inside] * size + predicted[inside]).ravel(), minlength=size * size)
    assert (store.matrix(uid_of(size), Blocks(), *asked) == want.reshape(size, size)).all()


def long(folder: Path, sizes: list[int], batches: int, longer: int, count: int) -> None:
    """A run a hundred times as long: blocks of the shorter one again and again, nodes above them added up, put into the
    table straight through the formats.
    """
    table(
        f"### The same windows in a run of {longer:,} batches beside {batches:,}, cold (made of the blocks of the "
        "shorter run, without posting or sealing; above 32,768 steps they are added up)",
        "classes", "batches", "windows", *TIMES.split(" | "), "times the shorter run", "goal",
    )  # fmt: skip
    for size in sizes:
        place = folder / f"{size}-long"
        place.mkdir(exist_ok=True)
        for old in place.glob("epochscope.db*"):
            old.unlink()
        short, store = Store(folder / f"{size}"), Store(place)
        period = tile(short, store, size, longer)
        uid = uid_of(size)
        known = [(each, each.run(uid)["steps"]["train"]) for each in (short, store)]
        times = {}
        for number, (each, last) in enumerate(known):
            for name, asked in (("anywhere", windows(last, count)), ("same length", windows(known[0][1], count))):
                taken = Times()
                shift = last - known[0][1] if name == "same length" else 0
                for start, stop in asked:
                    found = taken.take(lambda: each.matrix(uid, Blocks(), start + shift, stop + shift))  # noqa: B023
                    none = (stop + shift - 1) // period - (start + shift - 1) // period if number else 0
                    assert int(found.sum()) == BATCH * (stop - start - none)  # no training has a step 0
                times[number, name] = statistics.median(taken.processor)
                ratio = f"{times[number, name] / times[0, name]:.2f}"
                row(f"{size:,}", f"{last:,}", name, taken, *((ratio, 2) if number else ("", "")))
        short.close()
        store.close()
        for old in place.glob("epochscope.db*"):
            old.unlink()


def tile(short: Store, store: Store, size: int, longer: int) -> int:
    """Fill ``store``; after so many steps the blocks come again."""
    period = pyramid.width(3)
    with short.database.read() as connection:
        known = dict(connection.execute(sa.select(run)).mappings().one())
        held = connection.execute(sa.select(count_node.c.level, count_node.c.idx, count_node.c.data)).all()
        registry = dict(connection.execute(sa.select(counts)).mappings().one())
    blobs = {(level, idx): data for level, idx, data in held}
    periods = int(max(idx for level, idx in blobs if level == 3)) + 1
    known["steps"] = {"train": longer - 1}
    registry["sealed_to"] = longer
    sums: dict[tuple[int, int], Any] = {(3, idx): node.decode(blobs[3, idx]) for idx in range(periods)}

    def above(level: int, idx: int) -> Any:
        key = (level, idx) if level > 3 else (3, idx % periods)
        if key not in sums:
            sums[key] = node.summed(above(level - 1, child) for child in range(idx * 8, idx * 8 + 8))
        return sums[key]

    def packed(level: int, idx: int) -> bytes:
        return node.encode(above(level, idx), size)

    raw = sqlite3.connect(store.file)
    raw.execute("PRAGMA synchronous=OFF")
    with store.database.writer.begin() as connection:
        connection.execute(run.insert().values(known))
        connection.execute(counts.insert().values(registry))
    insert = "INSERT INTO count_node (run_id, counts_id, level, idx, written, data) VALUES (?, ?, ?, ?, ?, ?)"
    for level in range(pyramid.TOP):
        width = pyramid.width(level)
        if width > longer:
            break
        per = periods * period // width
        rows = (
            (known["id"], 0, level, idx, 1, blobs[level, idx % per] if level <= 3 else packed(level, idx))
            for idx in range(longer // width)
        )
        while some := list(itertools.islice(rows, 4096)):
            with raw:
                raw.executemany(insert, some)
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    return periods * period


def of_series(folder: Path, points: int) -> None:
    """One series of very many points, drawn whole."""
    place = folder / "series"
    place.mkdir(exist_ok=True)
    for old in place.glob("epochscope.db*"):
        old.unlink()
    store, sealed, uid = Store(place), Sealed(), uid_of(0)
    step = np.arange(1, points + 1)
    rng = np.random.default_rng(3)
    value = (2 * np.exp(-3 * step / points) + rng.gamma(4, 0.05, points)).astype(np.float32).astype(np.float64)
    value[points // 3], value[points // 2] = 50.0, np.nan
    info = wire.RunInfo("benchmark", "series", 0)
    for number, first in enumerate(range(0, points, 1024)):
        part = slice(first, first + 1024)
        columns = [wire.SeriesColumns.of("loss", "train", "batch", step[part], value[part])]
        store.post(
            [wire.Flush(wire.VERSION, uid, "0" * 8, number + 1, 0, info=None if number else info, series=columns)]
        )
        if number % 32 == 31:
            store.seal(uid, sealed)
    store.seal(uid, sealed)
    found = store.bytes_of(uid)
    table(
        f"### A series of {points:,} points, drawn in {POINTS}",
        "", *TIMES.split(" | "), "goal, median",
    )  # fmt: skip

    def drawn_of(blocks: Blocks, most: int | None) -> Any:
        with store.database.read() as connection:
            known = runs.get(connection, uid)
            (fetched,) = series.fetch(
                connection, blocks, (known["id"], uid), "train", "batch", ["loss"], None, None, most
            )
        held = fetched.read()
        buckets = held.buckets()
        if buckets is None:
            return thinned("loss", "train", "batch", *held.points(), POINTS)
        return bucketed("loss", "train", "batch", buckets, POINTS)

    cold, hot, raw, blocks = Times(), Times(), Times(), Blocks()
    for _ in range(60):
        seen = cold.take(lambda: drawn_of(Blocks(), POINTS))
        hot.take(lambda: drawn_of(blocks, POINTS))
    assert np.nanmax(seen.high) == 50.0
    assert int(seen.nonfinite.sum()) == 1
    assert int(seen.n.sum()) == points
    for _ in range(9):
        raw.take(lambda: drawn_of(Blocks(), None))
    row("from rollups, cold", cold, 1)
    row("from rollups, hot", hot, 1)
    row("from all points, cold", raw, "")
    told = (("loss", *at) for at in zip(step.tolist(), value.tolist(), strict=True))
    metric = rows_of_metrics(place / "rows.db", told)
    every = "SELECT step, value FROM metrics WHERE key = 'loss' ORDER BY step"
    plain = Times()
    for _ in range(3):
        listed = plain.take(lambda: metric.execute(every).fetchall())
    assert len(listed) == points
    row("row per metric: fetch every point", plain, "")
    grouped = Times()
    few = f"SELECT step / {points // POINTS}, avg(value), min(value), max(value) FROM metrics GROUP BY 1"
    for _ in range(3):
        grouped.take(lambda: metric.execute(few).fetchall())
    row("row per metric: GROUP BY", grouped, "")
    print(
        f"\nStored: {found['file'] / points:.2f} bytes a point with rollups (row per metric: "
        f"{(place / 'rows.db').stat().st_size / points:.0f}); sealed in {sealed.seconds / points * 1e6:.2f} µs of "
        "processor a point."
    )
    metric.close()
    store.close()
    for old in place.glob("*.db*"):
        old.unlink()


def rows_of_metrics(path: Path, rows: Iterable[tuple[str, int, float]]) -> sqlite3.Connection:
    """A table as MLflow keeps metrics: a row a value, with its key, time, step and run."""
    path.unlink(missing_ok=True)
    made = sqlite3.connect(path)
    made.execute("PRAGMA journal_mode=WAL")
    made.execute(
        "CREATE TABLE metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL, "
        "run_uuid VARCHAR(32) NOT NULL, step BIGINT NOT NULL, is_nan BOOLEAN NOT NULL, "
        "PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan))"
    )
    made.execute("CREATE INDEX index_metrics_run_uuid_key ON metrics (run_uuid, key, step)")
    with made:
        made.executemany(
            "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)",
            (
                (key, 0.0 if value != value else value, 1_700_000_000_000 + step, "0" * 32, step, value != value)
                for key, step, value in rows
            ),
        )
    made.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return made


def plain(folder: Path, sizes: list[int], batches: int, count: int) -> None:
    """The same questions asked of plainer stores."""
    tenth = max(batches // 10, 1)
    table(
        "### Plainer ways to the same matrix",
        "classes", "", "batches", *TIMES.split(" | "), "bytes a prediction",
    )  # fmt: skip
    for size in sizes:
        ids = np.concatenate(
            [(true * size + predicted).ravel().astype(np.int32) for _, true, predicted in drawn(size, batches)]
        )
        path = folder / "ids"
        ids.tofile(path)
        held = np.memmap(path, np.int32, "r")
        brute = Times()
        for start, stop in windows(batches, count):
            brute.take(lambda: np.bincount(held[(start - 1) * BATCH : (stop - 1) * BATCH], minlength=size * size))  # noqa: B023
        row(f"{size:,}", "every prediction as int32, counted", f"{batches:,}", brute, "4.000")
        path.unlink()
        told = []
        for step in range(1, tenth + 1):
            cell, number = np.unique(ids[(step - 1) * BATCH : step * BATCH], return_counts=True)
            pairs = zip(cell.tolist(), number.tolist(), strict=True)
            told += [(f"{one // size}/{one % size}", step, often) for one, often in pairs]
        metric = rows_of_metrics(folder / "rows.db", told)
        rows, summed = Times(), "SELECT key, sum(value) FROM metrics WHERE step >= ? AND step < ? GROUP BY key"
        for start, stop in windows(tenth, max(count // 30, 3)):
            rows.take(lambda: metric.execute(summed, (start, stop)).fetchall())  # noqa: B023
        size_of = (folder / "rows.db").stat().st_size
        row(f"{size:,}", "row per cell and batch", f"{tenth:,}", rows, f"{size_of / tenth / BATCH:.0f}")
        metric.close()
        for old in folder.glob("rows.db*"):
            old.unlink()


def machine() -> str:
    model, info = platform.processor(), Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
    return (
        f"{os.cpu_count()} cores ({model}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, numpy {version('numpy')}, "
        f"SQLAlchemy {version('sqlalchemy')}, zstd {zstd.zstd_version}; load {os.getloadavg()[0]:.1f} at the start"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="build, read, long, series, plain; all if none")
    parser.add_argument("--classes", type=int, action="append", help="10, 100 and 1000 if not given")
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--long", type=int, default=10_000_000, help="batches of the long run")
    parser.add_argument("--points", type=int, default=1_000_000, help="of the long series")
    parser.add_argument("--windows", type=int, default=300, help="drawn for each median and p99")
    parser.add_argument("--dir", type=Path, help="keep the stores here, so that parts can be run one by one")
    asked = parser.parse_args()
    parts = asked.parts or ["build", "read", "long", "series", "plain"]
    sizes = asked.classes or [10, 100, 1000]
    print(machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.dir or Path(temporary)
        folder.mkdir(exist_ok=True)
        for part in parts:
            if part == "build":
                build(folder, sizes, asked.batches)
            elif part == "read":
                read(folder, sizes, asked.windows)
            elif part == "long":
                long(folder, sizes, asked.batches, asked.long, asked.windows)
            elif part == "series":
                of_series(folder, asked.points)
            elif part == "plain":
                plain(folder, sizes, asked.batches, asked.windows)
            else:
                sys.exit(f"There is no part {part!r}; there are build, read, long, series, plain")


if __name__ == "__main__":
    main()
