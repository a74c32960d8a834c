"""The list of runs: a page, searches, filters and orders over 10,000 runs of 50 params and 20 summary values each.

    python benchmarks/runs.py                                  # SQLite, in the temporary folder
    python benchmarks/runs.py --database postgresql://u@h/db   # and PostgreSQL, in an empty database
    python benchmarks/runs.py --runs 1000 --rounds 20          # a quick look

Times are those of the store: from the request as the route reads it to the rows that are answered, SQL, decoding and
Python together, in one process and with warm caches. ``changed`` runs have a value that is not in the indexed tables
yet, as those that train at the moment do.

Beside it, in the same database: params and metrics as a row for each value (run, key, value), with the key of that and
nothing else, the plain shape of such tables; a page then is put together from its rows, a filter is a join.
"""

from __future__ import annotations

import argparse
import functools
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from epochscope_server.conditions import conditions, order
from epochscope_server.store import fields, listing
from epochscope_server.store.database import Database
from epochscope_server.store.schema import glance, run, run_tag
from epochscope_server.store.search import Wanted

PARAMS, SUMMARY = 50, 20
NOW_MS = 1_700_000_000_000
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")

plain = sa.MetaData()
plain_param = sa.Table(
    "plain_param", plain,
    sa.Column("run_id", sa.BigInteger, primary_key=True), sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text),
)  # fmt: skip
plain_metric = sa.Table(
    "plain_metric", plain,
    sa.Column("run_id", sa.BigInteger, primary_key=True), sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Double),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One request; ``goal_ms`` for its median, where there is one."""

    name: str
    query: dict[str, Any]
    goal_ms: float | None = None
    limit: int = 50


WHERE = ("params.lr<0.001", "params.optimizer=adam", "summary.val_macro_f1>=0.9")
CASES = (
    Case("page of 50, newest first", {}, 1),
    Case("page of 100", {}, None, 100),
    Case("top 50 by a metric", {"sort": "-summary.val_accuracy"}, 5),
    Case("three conditions, by a metric", {"where": WHERE, "sort": "-summary.val_accuracy"}, 5),
    Case("three conditions, few runs", {"where": (*WHERE[:2], "summary.val_macro_f1>=0.99"), "sort": "params.lr"}, 5),
    Case("two wide conditions, by a param", {"where": ("params.lr<0.1", "summary.loss>0.1"), "sort": "params.lr"}, 5),
    Case("conditions that nothing meets", {"where": ("summary.loss<0.5", "summary.loss>0.5"), "sort": "params.lr"}),
    Case("one state, newest first", {"statuses": ("failed",)}, 5),
    Case("a tag, by a metric", {"tags": ("best",), "sort": "-summary.val_accuracy"}, 5),
    Case("search, 11 found", {"q": "run 999"}, 5),
    Case("search, none found", {"q": "no such name"}, 5),
    Case("by name", {"sort": "name"}, 5),
    Case("by when last heard of", {"sort": "-heard"}),
    Case("by the worst class", {"sort": "worst"}, 5),
    Case("by certified drop", {"sort": "-drop"}, 5),
    Case("three conditions, by certified drop", {"where": WHERE, "sort": "-drop"}, 5),
)


def fill(database: Database, count: int) -> None:
    """Runs as trainings leave them; all indexed."""
    chance = random.Random(1)
    row: dict[str, Any] = {
        "project": "fashion", "status": "finished", "reason": "", "started_ms": NOW_MS, "next_ms": 5000,
        "ended_ms": NOW_MS, "environment": {"keras": "3.15.1"}, "notes": "", "group": "", "archived": False,
        "epochs": 10, "batches_per_epoch": 469, "capture": "all", "steps": {"train": 4690, "val": 790},
        "outputs": [{"name": "output", "class_names": [f"class {number}" for number in range(10)]}],
        "named_by_viewer": False, "rev": 1,
    }  # fmt: skip
    for first in range(0, count, 500):
        rows, tags, params, metrics, glances = [], [], [], [], []
        for number in range(first, min(first + 500, count)):
            given: dict[str, Any] = {"lr": 10 ** chance.uniform(-5, -1), "optimizer": chance.choice(OPTIMIZERS)}
            for index in range(2, PARAMS):
                given[f"param_{index:02d}"] = chance.random() if index % 3 else f"value {chance.randrange(10)}"
            reached = {name: chance.random() for name in ("val_accuracy", "val_macro_f1", "loss", "val_loss")}
            reached |= {f"metric_{index:02d}": chance.random() for index in range(4, SUMMARY)}
            rows.append({
                **row, "id": number + 1, "uid": f"run{number:08d}", "name": f"run {number}", "change": number + 1,
                "created_ms": NOW_MS + number, "heard_ms": NOW_MS + chance.randrange(10**6), "params": given,
                "last": {"epoch": reached}, "status": chance.choice(["finished"] * 9 + ["failed"]),
            })  # fmt: skip
            worst, drop = chance.random(), max(chance.uniform(-0.5, 0.5), 0.0)
            said = {
                "split": "val", "macro_f1": [chance.random() for _ in range(10)],
                "worst": {"class_name": "class 1", "value": worst}, "drop": {"class_name": "class 2", "value": drop},
            }  # fmt: skip
            glances.append({"run_id": number + 1, "rev": 1, "said": said, "worst": worst, "drop": drop})
            if number % 100 == 0:
                tags.append({"run_id": number + 1, "tag": "best"})
            params += [{"run_id": number + 1, "key": key, "value": str(value)} for key, value in given.items()]
            metrics += [{"run_id": number + 1, "key": key, "value": value} for key, value in reached.items()]
        with database.writer.begin() as connection:
            for table, several in (
                (run, rows), (run_tag, tags), (glance, glances), (plain_param, params), (plain_metric, metrics),
            ):  # fmt: skip
                connection.execute(table.insert(), several)


def index(database: Database) -> list[float]:
    """Seconds of each job that indexes new runs."""
    took: list[float] = []
    while True:
        began = time.perf_counter()
        with database.writer.begin() as connection:
            done = fields.index(connection, 4)
        if not done:
            return took
        took.append(time.perf_counter() - began)


def ask(database: Database, case: Case) -> int:
    """One page, read as the route does."""
    query = dict(case.query)
    wanted = Wanted(
        order(query.pop("sort", "-created")), "fashion", conditions=conditions(query.pop("where", ())), **query
    )
    with database.read() as connection:
        return len(listing.page(connection, wanted, case.limit, None, NOW_MS + 10**9, 0)[0])


def ask_plain_page(database: Database) -> int:
    with database.read() as connection:
        newest = sa.select(run.c.id).where(run.c.project == "fashion").order_by(run.c.created_ms.desc()).limit(50)
        ids = list(connection.scalars(newest))
        found: dict[int, dict[str, Any]] = {run_id: {} for run_id in ids}
        for table in (plain_param, plain_metric):
            for run_id, key, value in connection.execute(sa.select(table).where(table.c.run_id.in_(ids))):
                found[run_id][key] = value
    return len(found)


def ask_plain_filter(database: Database) -> int:
    lr, optimizer = plain_param.alias(), plain_param.alias()
    f1, accuracy = plain_metric.alias(), plain_metric.alias()
    chosen = (
        sa.select(run.c.id)
        .join(lr, sa.and_(lr.c.run_id == run.c.id, lr.c.key == "lr"))
        .join(optimizer, sa.and_(optimizer.c.run_id == run.c.id, optimizer.c.key == "optimizer"))
        .join(f1, sa.and_(f1.c.run_id == run.c.id, f1.c.key == "val_macro_f1"))
        .join(accuracy, sa.and_(accuracy.c.run_id == run.c.id, accuracy.c.key == "val_accuracy"))
        .where(run.c.project == "fashion", sa.cast(lr.c.value, sa.Double) < 0.001, optimizer.c.value == "adam")
        .where(f1.c.value >= 0.9)
        .order_by(accuracy.c.value.desc())
        .limit(50)
    )
    with database.read() as connection:
        return len(list(connection.scalars(chosen)))


def measure(rounds: int, question: Callable[[], int]) -> tuple[float, float, float, int]:
    """Median and 99th percentile of wall time, median of processor time, all in ms, and how many runs came."""
    wall: list[float] = []
    processor: list[float] = []
    found = 0
    for number in range(rounds + 3):
        began, busy = time.perf_counter(), time.process_time()
        found = question()
        if number >= 3:
            wall.append((time.perf_counter() - began) * 1000)
            processor.append((time.process_time() - busy) * 1000)
    return statistics.median(wall), statistics.quantiles(wall, n=100)[98], statistics.median(processor), found


def tables(database: Database, count: int, rounds: int) -> Iterator[str]:
    kind = "PostgreSQL" if database.shared else "SQLite"
    yield f"| {kind}, {count:,} runs | runs | median ms | p99 ms | processor ms | goal ms |"
    yield "| --- | --: | --: | --: | --: | --: |"

    def row(name: str, question: Callable[[], int], goal: float | None) -> str:
        wall, late, processor, found = measure(rounds, question)
        return f"| {name} | {found} | {wall:.2f} | {late:.2f} | {processor:.2f} | {goal or ''} |"

    for case in CASES:
        yield row(case.name, functools.partial(ask, database, case), case.goal_ms)
    yield row("names and kinds of all fields", lambda: _fields(database), None)
    with database.writer.begin() as connection:
        connection.execute(run.update().where(run.c.id % (count // 100) == 0).values(indexed=False))
    yield row(f"{CASES[3].name}, 100 runs have just changed", lambda: ask(database, CASES[3]), 5)
    index(database)
    yield row("a row for each value: page of 50", lambda: ask_plain_page(database), None)
    yield row(f"a row for each value: {CASES[3].name}", lambda: ask_plain_filter(database), None)


def _fields(database: Database) -> int:
    with database.read() as connection:
        return sum(len(named) for named in fields.listed(connection, "fashion").values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200, help="requests of each kind (default: 200)")
    parser.add_argument("--database", help="an empty PostgreSQL database, measured as well")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, SQLAlchemy {sa.__version__}\n")
    with tempfile.TemporaryDirectory() as folder:
        for url in [None, arguments.database] if arguments.database else [None]:
            database = Database(Path(folder), url)
            with database.writer.begin() as connection:
                plain.create_all(connection)
            fill(database, arguments.runs)
            took = index(database)
            with database.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("ANALYZE")
            for line in tables(database, arguments.runs, arguments.rounds):
                print(line, flush=True)
            each = sum(took) / arguments.runs * 1000
            middle = statistics.median(took) * 1000
            print(f"\nA new run is indexed in {each:.2f} ms, four of them in a job of {middle:.1f} ms")
            database.close()


if __name__ == "__main__":
    main()
