"""How soon a service answers after kill -9, by the size of its store; and how long backup, restore and doctor take.

    python benchmarks/start.py                         # 1 GiB of SQLite, in the temporary folder
    python benchmarks/start.py --mib 64 --rounds 2     # a quick look

The store holds one run of 100,000 batches that was sealed as any run is, and copies of its blocks under other runs
until the file is as large as asked. Each round starts `epochscope serve`, sends flushes, kills it, and times the next
start from the command to the first answer that reads the store: once with the file in the page cache, once without
(its pages are given back to the system with posix_fadvise; what the disk itself remembers stays).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from epochscope import wire
from epochscope_server.store import log, runs, sealing
from epochscope_server.store.database import Database
from epochscope_server.store.ledger import Ledger
from epochscope_server.store.schema import count_marginal, count_node, counts, run, series, series_chunk
from epochscope_server.store.sqlite import FILE

CLASSES, PORTION, RUN = 100, 500, "longrun0"
COMMAND = [sys.executable, "-m", "epochscope"]


def flush_of(seq: int, uid: str = RUN) -> bytes:
    """A portion of batches of 128."""
    chance = np.random.default_rng(seq)
    first = (seq - 1) * PORTION + 1
    steps = range(first, first + PORTION)
    true = chance.integers(0, CLASSES, (PORTION, 128))
    predicted = np.where(chance.random(true.shape) < 0.8, true, chance.integers(0, CLASSES, true.shape))
    cells, columns = [], []
    for codes in true * CLASSES + predicted:
        kinds, n = np.unique(codes, return_counts=True)
        cells.append(len(kinds))
        columns.append(np.stack([*np.divmod(kinds, CLASSES), n]))
    counted = wire.ConfusionColumns.of("output", "train", steps, cells, *np.concatenate(columns, axis=1))
    points = [wire.SeriesColumns.of(f"s{key}", "train", "batch", steps, chance.random(PORTION)) for key in range(5)]
    info = wire.RunInfo("bench", uid, 1, outputs=[wire.Output("output", tuple(f"c{i}" for i in range(CLASSES)))])
    return wire.encode(wire.Flush(wire.VERSION, uid, "stream00", seq, 1, info if seq == 1 else None, points, [counted]))


def fill(folder: Path, mib: int, batches: int) -> None:
    database = Database(folder)
    ledger = Ledger(alone=True)
    for seq in range(1, batches // PORTION + 1):
        body = flush_of(seq)
        with database.writer.begin() as connection:
            log.append(connection, ledger, [log.Posted(wire.decode(body), body, zlib.crc32(body), 1)])
    with database.read() as connection:
        number = runs.get(connection, RUN)["id"]
    while True:
        with database.read() as connection:
            step = sealing.read(connection, number)
        if step is None:
            break
        sealing.worked_out(step)
        with database.writer.begin() as connection:
            sealing.write(connection, step)
    while (folder / FILE).stat().st_size < mib * 2**20:
        with database.writer.begin() as connection:
            copy(connection, number)
    database.close()


def copy(connection: sa.Connection, number: int) -> None:
    """The run once more, under another number and name."""
    new = (connection.scalar(sa.select(sa.func.max(run.c.id))) or 0) + 1
    for table in (counts, count_node, count_marginal, series, series_chunk):
        columns = [sa.literal(new) if column.name == "run_id" else column for column in table.columns]
        chosen = sa.select(*columns).where(table.c.run_id == number)
        connection.execute(table.insert().from_select(table.columns.keys(), chosen))
    held = dict(connection.execute(sa.select(run).where(run.c.id == number)).mappings().one())
    connection.execute(run.insert().values({**held, "id": new, "uid": f"copied{new:06d}"}))


class Served:
    """A service on a folder, from the command to its first answer."""

    def __init__(self, folder: Path) -> None:
        began = time.perf_counter()
        words = ["serve", "--port", "0", "--no-browser", "--data-dir", str(folder)]
        self._process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[1] + "/api/v1"
        while True:
            try:
                self.ask("/runs?limit=1")
                break
            except OSError:
                time.sleep(0.005)
        self.seconds = time.perf_counter() - began

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, body, {"content-type": wire.CONTENT_TYPE})
        with urllib.request.urlopen(request) as answer:
            told: bytes = answer.read()
        return told

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def forget(folder: Path) -> None:
    """Take the store's pages out of the system's cache."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def timed(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([*COMMAND, *words], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--batches", type=int, default=100_000, help="of the run that is sealed and copied")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the store lies, and stays for the next time")
    parser.add_argument("--care", action="store_true", help="time backup, restore and doctor, too")
    chosen = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary) / "store"
        if not (folder / FILE).exists():
            fill(folder, chosen.mib, chosen.batches)
        print(f"store of {(folder / FILE).stat().st_size / 2**20:,.0f} MiB")
        seconds: dict[str, list[float]] = {"warm": [], "cold": []}
        Served(folder).kill()
        for number in range(chosen.rounds):
            for how, times in seconds.items():
                served = Served(folder)
                uid = f"killed{os.getpid():06d}{number}{how}"
                for seq in range(1, 9):
                    served.ask(f"/runs/{uid}/streams/stream00/flushes", flush_of(seq, uid))
                served.kill()
                wal = (folder / f"{FILE}-wal").stat().st_size
                if how == "cold":
                    forget(folder)
                again = Served(folder)
                assert json.loads(again.ask(f"/runs/{uid}"))["steps"] == {"train": 8 * PORTION}
                again.kill()
                times.append(again.seconds)
                print(f"{how}: answers after {again.seconds:.2f} s, WAL of {wal / 2**20:.1f} MiB", flush=True)
        for how, times in seconds.items():
            print(f"{how}: median {statistics.median(times):.2f} s, longest {max(times):.2f} s")
        if chosen.care:
            kept = Path(temporary) / "kept.db"
            print(f"backup: {timed('backup', str(kept), '--data-dir', str(folder)):.1f} s")
            print(f"restore: {timed('restore', str(kept), '--data-dir', str(Path(temporary) / 'again')):.1f} s")
            print(f"doctor: {timed('doctor', '--data-dir', str(folder)):.1f} s")


if __name__ == "__main__":
    main()
