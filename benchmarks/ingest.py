"""Durable ingest: how many flushes a second the service takes over HTTP, how late it acknowledges, what it costs.

    python benchmarks/ingest.py                                  # SQLite, in the temporary folder: it must be on a disk
    python benchmarks/ingest.py --database postgresql://u@h/db   # and PostgreSQL, in an empty database

The service is a process of its own; the clients are others, each with keep-alive connections over loopback, and each
connection posts the flushes of one run, the next as soon as the last is acknowledged. Every acknowledgement stands for
a commit that was synced to disk. A flush holds ``VALUES`` values: 10 series, 50 steps each.

Beside it, in this same run and on the same disk: a table with a row for each value and one for the latest value of each
series, the shape in which MLflow keeps metrics. It is written by SQLAlchemy in one process, a transaction for each
flush and without any HTTP, so it is flattered.

And what sealing does to an acknowledgement: flushes that come at a steady pace, 64 batches of 128 samples and 1,000
classes each, stored with and without the sealer beside them, in this process and without HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import multiprocessing.connection
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil  # type: ignore[import-untyped]
import sqlalchemy as sa
from epochscope import wire
from epochscope_server.store import log
from epochscope_server.store.database import Database
from epochscope_server.store.sealer import Sealer
from epochscope_server.store.writer import Writer

SERIES, STEPS = 10, 50
VALUES = SERIES * STEPS


@dataclass(frozen=True)
class Measured:
    """What one case came to: a second, milliseconds, and processor time of who stores."""

    name: str
    flushes_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float | None  # processor time of the service for a flush
    stored: float  # bytes of the database for a value


def body(run: str, seq: int, rng: np.random.Generator) -> bytes:
    """One flush of ``VALUES`` values."""
    steps = np.arange((seq - 1) * STEPS, seq * STEPS) + 1
    series = [
        wire.SeriesColumns.of(f"metric{number}", "train", "batch", steps, rng.standard_normal(STEPS))
        for number in range(SERIES)
    ]
    info = None
    if seq == 1:
        info = wire.RunInfo("ingest", run, 1_700_000_000_000, params={"lr": 1e-3, "batch": 32})
    return wire.encode(wire.Flush(wire.VERSION, run, "stream00", seq, 1_700_000_000_000, info, series))


def request(run: str, content: bytes) -> bytes:
    head = (
        f"POST /api/v1/runs/{run}/streams/stream00/flushes HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: {wire.CONTENT_TYPE}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class Client:
    """One connection, one run: posts its requests in order."""

    def __init__(self, address: tuple[str, int], run: str, count: int) -> None:
        rng = np.random.default_rng(int(run[3:]))
        self.requests = iter([request(run, body(run, seq, rng)) for seq in range(1, count + 1)])
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.answer = b""

    def send(self) -> bool:
        """Post the next one; False when there is none."""
        following = next(self.requests, None)
        if following is None:
            return False
        self.sent_at = time.perf_counter()
        self.socket.sendall(following)
        return True

    def acknowledged(self) -> bool:
        """Read what is there; True once the whole answer is, and it is a good one."""
        self.answer += self.socket.recv(65536)
        head, found, rest = self.answer.partition(b"\r\n\r\n")
        if not found:
            return False
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(self.answer.decode())
        self.answer = b""
        return True


def clients(
    pipe: multiprocessing.connection.Connection, address: tuple[str, int], first: int, connections: int, count: int
) -> None:
    """One client process: says when it is ready, starts when told, gives the milliseconds of each acknowledgement."""
    several = [Client(address, f"run{first + number:08d}", count) for number in range(connections)]
    selector = selectors.DefaultSelector()
    for one in several:
        selector.register(one.socket, selectors.EVENT_READ, one)
    pipe.send("ready")
    pipe.recv()
    took: list[float] = []
    cpu = time.process_time()
    for one in several:
        one.send()
    busy = len(several)
    while busy:
        for key, _ in selector.select():
            one = key.data
            if one.acknowledged():
                took.append((time.perf_counter() - one.sent_at) * 1000)
                if not one.send():
                    busy -= 1
    pipe.send((took, time.process_time() - cpu))


@contextmanager
def service(data_dir: Path, database: str | None) -> Iterator[tuple[psutil.Process, tuple[str, int]]]:
    """A service of its own process, and where it listens."""
    command = [sys.executable, "-m", "epochscope", "serve", "--port", "0", "--no-browser", "--data-dir", str(data_dir)]
    environment = {**os.environ, **({"EPOCHSCOPE_DATABASE": database} if database else {})}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().split()[1])
        assert address.hostname is not None
        assert address.port is not None
        while True:
            try:
                socket.create_connection((address.hostname, address.port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield psutil.Process(process.pid), (address.hostname, address.port)
        process.terminate()


def over_http(name: str, folder: Path, database: str | None, connections: int, processes: int, count: int) -> Measured:
    """All clients post ``count`` flushes each."""
    context = multiprocessing.get_context("spawn")
    each = connections // processes
    with service(folder, database) as (process, address):
        began_with = size(folder, database)
        pipes, workers = [], []
        for number in range(processes):
            ours, theirs = context.Pipe()
            workers.append(context.Process(target=clients, args=(theirs, address, number * each, each, count)))
            workers[-1].start()
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()
        cpu = sum(process.cpu_times()[:2])
        began = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        answers = [pipe.recv() for pipe in pipes]
        wall = time.perf_counter() - began
        cpu = sum(process.cpu_times()[:2]) - cpu
        for worker in workers:
            worker.join()
        stored = size(folder, database) - began_with
    took = [one for several, _ in answers for one in several]
    total = len(took)
    print(
        f"{name}: {total} flushes in {wall:.1f} s, longest {max(took):.0f} ms; the service used {cpu:.1f} s of "
        f"processor, the clients {sum(used for _, used in answers):.1f} s",
        flush=True,
    )
    return Measured(
        name, total / wall, statistics.median(took), float(np.percentile(took, 99)), cpu / total * 1e6,
        stored / (total * VALUES),
    )  # fmt: skip


def size(folder: Path, database: str | None) -> int:
    """Bytes of the store, its write-ahead log apart: that is used over and over."""
    if database is None:
        return sum(path.stat().st_size for path in folder.glob("*.db"))
    engine = sa.create_engine(sa.make_url(database).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        found = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
    engine.dispose()
    return int(found)


def row_per_value(name: str, folder: Path, database: str | None, runs: int, seconds: float) -> Measured:
    """The other shape: a row for each value, and one for the latest of each series; a transaction for each flush."""
    url = sa.make_url(database).set(drivername="postgresql+psycopg") if database else sa.URL.create(
        "sqlite", database=str(folder / "rows.db")
    )  # fmt: skip
    engine = sa.create_engine(url)
    if database is None:

        @sa.event.listens_for(engine, "connect")
        def _connect(connection: Any, _: Any) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                connection.execute(f"PRAGMA {pragma}")

    tables = sa.MetaData()
    columns = (
        ("key", sa.String(250)), ("value", sa.Float(53)), ("timestamp", sa.BigInteger), ("run_uuid", sa.String(32)),
        ("step", sa.BigInteger), ("is_nan", sa.Boolean),
    )  # fmt: skip
    metrics = sa.Table("metrics", tables, *(sa.Column(name, kind, primary_key=True) for name, kind in columns))
    sa.Index("index_metrics_run_uuid", metrics.c.run_uuid)
    latest = sa.Table(
        "latest_metrics",
        tables,
        *(sa.Column(name, kind, primary_key=name in ("key", "run_uuid")) for name, kind in columns),
    )
    tables.drop_all(engine)
    tables.create_all(engine)
    began_with = size(folder, database)
    rng = np.random.default_rng(0)
    took: list[float] = []
    cpu, began = time.process_time(), time.perf_counter()
    for number in range(10**9):
        seq, run = divmod(number, runs)
        rows = [
            {"key": f"metric{key}", "value": float(value), "timestamp": 1_700_000_000_000, "run_uuid": f"run{run:08d}",
             "step": seq * STEPS + step, "is_nan": False}
            for key in range(SERIES)
            for step, value in enumerate(rng.standard_normal(STEPS))
        ]  # fmt: skip
        start = time.perf_counter()
        with engine.begin() as connection:
            connection.execute(metrics.insert(), rows)
            newest = {row["key"]: row for row in rows}
            if seq:
                for row in newest.values():
                    here = (latest.c.key == row["key"], latest.c.run_uuid == row["run_uuid"])
                    connection.execute(
                        latest.update().where(*here, latest.c.step <= row["step"]).values(
                            value=row["value"], step=row["step"], timestamp=row["timestamp"]
                        )
                    )  # fmt: skip
            else:
                connection.execute(latest.insert(), list(newest.values()))
        took.append((time.perf_counter() - start) * 1000)
        if time.perf_counter() - began > seconds:
            break
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    stored = size(folder, database) - began_with
    tables.drop_all(engine)
    engine.dispose()
    return Measured(
        name, len(took) / wall, statistics.median(took), float(np.percentile(took, 99)), cpu / len(took) * 1e6,
        stored / (len(took) * VALUES),
    )  # fmt: skip


def emptied(database: str) -> None:
    """What was measured is not there for what is measured next."""
    engine = sa.create_engine(sa.make_url(database).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()


class Timed(Writer):
    """A writer that notes how long each commit of a job took, by the clock: a flush that comes then waits for it."""

    def __init__(self, database: Database) -> None:
        self.jobs_ms: list[float] = []
        super().__init__(database)

    def _run(self, job: Any) -> None:
        began = time.perf_counter()
        super()._run(job)
        self.jobs_ms.append((time.perf_counter() - began) * 1000)


def counted(run: str, seq: int, rng: np.random.Generator) -> log.Posted:
    """A flush with the counts of 64 batches of 128 samples, 1,000 classes, six of ten right."""
    steps = np.arange((seq - 1) * 64, seq * 64) + 1
    true = rng.integers(0, 1000, (64, 128))
    predicted = np.where(rng.random(true.shape) < 0.6, true, rng.integers(0, 1000, true.shape))
    key, count = np.unique((np.arange(64)[:, None] * 1000 + true) * 1000 + predicted, return_counts=True)
    cells = np.bincount(key // 1_000_000, minlength=64)
    counts = wire.ConfusionColumns.of("output", "train", steps, cells, key // 1000 % 1000, key % 1000, count)
    info = None
    if seq == 1:
        names = tuple(f"class {number}" for number in range(1000))
        info = wire.RunInfo("ingest", run, 1_700_000_000_000, outputs=[wire.Output("output", names)])
    flush = wire.Flush(wire.VERSION, run, "stream00", seq, 1_700_000_000_000, info, [], [counts])
    content = wire.encode(flush)
    return log.Posted(wire.decode(content), content, zlib.crc32(content), 1_700_000_000_000)


async def delays(folder: Path, database: str | None, seals: bool, pace: float, seconds: float) -> str:
    """A row of the table of delays: ``pace`` flushes a second of eight runs, for so many seconds."""
    rng = np.random.default_rng(0)
    posts = [counted(f"run{number % 8:08d}", number // 8 + 1, rng) for number in range(int(pace * seconds))]
    store = Database(folder, database)
    writer = Timed(store)
    sealer = Sealer(store, writer) if seals else None
    took: list[float] = []

    async def post(one: log.Posted) -> None:
        began = time.perf_counter()
        stored = await writer.append(one)
        took.append((time.perf_counter() - began) * 1000)
        if sealer is not None:
            sealer.heard(stored.run_id, len(one.body), False)

    sent: set[asyncio.Task[None]] = set()
    began = time.perf_counter()
    for number, one in enumerate(posts):
        await asyncio.sleep(began + number / pace - time.perf_counter())
        sent.add(asyncio.create_task(post(one)))
    await asyncio.gather(*sent)
    if sealer is not None:
        sealer.close()
    writer.close()
    store.close()
    jobs = writer.jobs_ms or [0.0]
    told = (*np.percentile(took, (50, 99)), max(took), *np.percentile(jobs, (50, 99)), max(jobs))
    kind = ("PostgreSQL" if database else "SQLite") + (", with sealing" if seals else ", without")
    return f"| {kind} | {pace:.0f} | " + " | ".join(f"{one:.1f}" for one in told) + f" | {len(writer.jobs_ms)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="examples:\n  python benchmarks/ingest.py --flushes 100\n"
        "  python benchmarks/ingest.py --connections 1 8 64 --database postgresql://scope@localhost/empty",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 8, 64], help="each is a run and a training")
    parser.add_argument("--processes", type=int, default=2, help="of the clients (default: 2)")
    parser.add_argument("--flushes", type=int, default=25_000, help="of a case, all connections together")
    parser.add_argument("--rows-seconds", type=float, default=10.0, help="for the row-per-value table; 0 leaves it out")
    parser.add_argument("--delay-seconds", type=float, default=10.0, help="of each row of delays; 0 leaves them out")
    parser.add_argument("--pace", type=float, default=40.0, help="flushes a second for the delays (default: 40)")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured (default: a temporary one)")
    parser.add_argument("--database", help="measure an empty PostgreSQL database, too")
    parser.add_argument("--no-sqlite", action="store_true", help="PostgreSQL alone")
    chosen = parser.parse_args()
    measured: list[Measured] = []
    for database in [*([] if chosen.no_sqlite else [None]), *([chosen.database] if chosen.database else [])]:
        kind = "PostgreSQL" if database else "SQLite"
        for connections in chosen.connections:
            processes = min(chosen.processes, connections)
            count = max(chosen.flushes // max(connections, 8 if connections > 1 else 10), 1)
            with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
                name = f"{kind}, {connections} connection{'s' * (connections > 1)}"
                measured.append(over_http(name, Path(folder), database, connections, processes, count))
            if database is not None:
                emptied(database)
        if chosen.rows_seconds:
            with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
                name = f"{kind}, a row a value, no HTTP"
                measured.append(row_per_value(name, Path(folder), database, 64, chosen.rows_seconds))
    if measured:
        print("\n| case | flushes/s | values/s | p50 ms | p99 ms | service CPU µs/flush | bytes/value |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for one in measured:
        speed = f"{one.flushes_s:,.0f} | {one.flushes_s * VALUES:,.0f} | {one.p50_ms:.1f} | {one.p99_ms:.1f}"
        cpu = "" if one.cpu_us is None else f"{one.cpu_us:,.0f}"
        print(f"| {one.name} | {speed} | {cpu} | {one.stored:.1f} |")
    if chosen.delay_seconds:
        print("\n| delays | flushes/s | ack p50 ms | p99 | longest | seal's commit p50 ms | p99 | longest | commits |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for database in [*([] if chosen.no_sqlite else [None]), *([chosen.database] if chosen.database else [])]:
            for seals in (False, True):
                with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
                    line = delays(Path(folder), database, seals, chosen.pace, chosen.delay_seconds)
                    print(asyncio.run(line), flush=True)
                if database is not None:
                    emptied(database)


if __name__ == "__main__":
    main()
