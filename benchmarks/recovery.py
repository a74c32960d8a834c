"""How soon things are well again: after a kill, after an hour's partition, after a full disk.

    python benchmarks/recovery.py restart --gib 1       # kill -9 of a service with a database of that size
    python benchmarks/recovery.py partition             # the backlog of an hour is sent by `epochscope sync`
    python benchmarks/recovery.py disk                  # a full disk; needs root, for a tmpfs

``restart``: the database is filled over HTTP by trainings of 100 batches a flush (loss, accuracy and counts of 100
classes) and sealed meanwhile, as it would be; then, under that load, the service is killed and started again. The time
is from the start of the process to the first flush that it acknowledges, so that Python's own start is in it. "cold"
is with the file gone from the memory of the system, as after a reboot.

``partition``: the backlog of an hour at 5 ms a step, 720,000 batches of 32 in 10 classes, each with loss, accuracy and
counts, in flushes of 64 batches, as a training leaves them.

``disk``: a file system of 64 MiB in memory is filled by a file of another program until nothing can be written, and
emptied again; nothing is restarted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from epochscope import Run, wire
from epochscope.spool import Meta, Spool

HOUR_BATCHES = 720_000
PER_FLUSH = 64


class Service:
    """``epochscope serve`` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.began = time.perf_counter()
        command = ["serve", "--port", "0", "--no-browser", "--data-dir", str(folder)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "epochscope", *command], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[1]

    def post(self, flush: wire.Flush) -> int:
        """The status of the answer; 0 if there is none."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/runs/{flush.run}/streams/{flush.stream}/flushes",
            wire.encode(flush),
            {"Content-Type": wire.CONTENT_TYPE},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.communicate()


def flush(run: str, seq: int, batches: int, classes: int, size: int, rng: np.random.Generator) -> wire.Flush:
    """One flush of ``batches`` batches of ``size`` samples: loss, accuracy and counts."""
    steps = np.arange((seq - 1) * batches, seq * batches) + 1
    codes = rng.integers(0, classes, (batches, size)) * (classes + 1)
    wrong = rng.random((batches, size)) < 0.3
    codes[wrong] = rng.integers(0, classes**2, int(wrong.sum()))
    entry = np.repeat(np.arange(batches), size) * classes**2 + codes.ravel()
    cells, counts = np.unique(entry, return_counts=True)
    owner, cell = np.divmod(cells, classes**2)
    columns = wire.ConfusionColumns.of(
        "output", "train", steps, np.bincount(owner, minlength=batches), cell // classes, cell % classes, counts
    )
    series = [
        wire.SeriesColumns.of(name, "train", "batch", steps, rng.standard_normal(batches))
        for name in ("loss", "accuracy")
    ]
    names = tuple(f"class {number}" for number in range(classes))
    info = (
        wire.RunInfo("recovery", run, 1_700_000_000_000, outputs=[wire.Output("output", names)]) if seq == 1 else None
    )
    return wire.Flush(wire.VERSION, run, "stream00", seq, 1_700_000_000_000, info, series, [columns])


def database_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("epochscope.db*"))


def restart(gib: float, repeats: int, folder: Path) -> None:
    store = folder / "store"
    service = Service(store)
    over = threading.Event()
    told: list[tuple[str, int]] = []

    def train(number: int) -> None:
        rng = np.random.default_rng(number)
        seq = 0
        while not over.is_set():
            run = f"recovery{number:02d}x{seq // 200:04d}"
            one = flush(run, seq % 200 + 1, 100, 100, 256, rng)
            if service.post(one) == 200:
                told.append((run, one.seq))
                seq += 1
            elif not over.is_set():
                time.sleep(0.01)

    def load() -> list[threading.Thread]:
        over.clear()
        threads = [threading.Thread(target=train, args=(number + 10 * len(told),), daemon=True) for number in range(3)]
        for thread in threads:
            thread.start()
        return threads

    threads = load()
    while database_bytes(store) < gib * 1024**3:
        time.sleep(0.2)
    took = time.perf_counter() - service.began
    print(f"{database_bytes(store) / 1024**3:.2f} GiB, {len(told):,} flushes in {took:.0f} s")
    print("| start | port open, s | first flush acknowledged, s |\n| --- | --- | --- |")
    for number in range(repeats):
        service.end(signal.SIGKILL)
        over.set()
        for thread in threads:
            thread.join()
        cold = number % 2 == 1
        if cold:
            forget(store)
        service = Service(store)
        up = time.perf_counter() - service.began
        probe = flush(f"probe{number:08d}", 1, 1, 2, 8, np.random.default_rng(1))
        while service.post(probe) != 200:
            time.sleep(0.005)
        print(f"| {'cold' if cold else 'warm'} | {up:.2f} | {time.perf_counter() - service.began:.2f} |", flush=True)
        threads = load()
        time.sleep(3)
    over.set()
    for thread in threads:
        thread.join()
    service.end()


def forget(store: Path) -> None:
    """Has the system write the files and forget them."""
    for path in store.glob("epochscope.db*"):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def partition(batches: int, folder: Path) -> None:
    rng = np.random.default_rng(1)
    kept = Spool(folder / "spool", Meta("http://127.0.0.1:1", "recovery1", "stream00"))
    flushes = batches // PER_FLUSH
    for seq in range(1, flushes + 1):
        assert kept.put(wire.encode(flush("recovery1", seq, PER_FLUSH, 10, 32, rng)))
    size = sum(path.stat().st_size for path in kept.folder.glob("*.seg"))
    kept.let_go()  # as the end of its process does
    service = Service(folder / "store")
    began = time.perf_counter()
    command = ["sync", "--spool-dir", str(folder / "spool"), "--url", service.url]
    done = subprocess.run([sys.executable, "-m", "epochscope", *command], check=False, capture_output=True, text=True)
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"{flushes:,} flushes, {flushes * PER_FLUSH:,} batches, {size / 1024**2:,.0f} MiB: sent in {took:.1f} s")
    service.end()


@contextlib.contextmanager
def small_disk(where: Path, mebibytes: int = 64) -> Iterator[Path]:
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def filled(file: IO[bytes]) -> None:
    """Takes all the room there is."""
    with contextlib.suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass


def disk(folder: Path) -> None:
    rng = np.random.default_rng(1)
    with small_disk(folder / "small") as small:
        service = Service(small / "store")
        seq, refused = 1, 0
        while service.post(flush("recovery1", seq, 100, 10, 32, rng)) == 200 and seq < 20:
            seq += 1
        with (small / "other").open("wb", buffering=0) as other:
            filled(other)
            following = flush("recovery1", seq, 5000, 10, 32, rng)
            status = [service.post(following) for _ in range(20)]
            refused = sum(one == 503 for one in status)
            other.truncate(0)
        freed = time.perf_counter()
        while service.post(following) != 200:
            time.sleep(0.01)
        print(f"service: {refused} of 20 flushes refused with 503 while it was full ({set(status)}); "
              f"the next was acknowledged {time.perf_counter() - freed:.2f} s after there was room")  # fmt: skip
        service.end()
    with small_disk(folder / "small2", 8) as small:
        run = Run("recovery", url="http://127.0.0.1:9", spool_dir=small / "spool")
        flusher = run._flusher
        assert flusher is not None
        step, spool = 0, flusher._spool

        def log(seconds: float) -> None:
            nonlocal step
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                step += 1
                run.log(step, loss=0.5)
                time.sleep(0.002)

        log(3)
        with (small / "other").open("wb", buffering=0) as other:
            filled(other)
            log(5)
            waited = spool.in_memory()
            other.truncate(0)
        freed = time.perf_counter()
        while spool.in_memory():
            log(0.1)
        took = time.perf_counter() - freed
        dropped = run.recording.dropped + flusher._dropped
        print(
            f"training: {waited} flushes waited in memory while it was full; all were on disk {took:.1f} s after there "
            f"was room; {dropped} values dropped"
        )
        flusher._over = True
        flusher.settle(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("restart", "partition", "disk"))
    parser.add_argument("--gib", type=float, default=1.0, help="of the database for restart")
    parser.add_argument("--repeats", type=int, default=6, help="of restart; every second one is cold")
    parser.add_argument("--batches", type=int, default=HOUR_BATCHES, help="of the partition")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured (default: a temporary one)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as place:
        folder = Path(place)
        if chosen.what == "restart":
            restart(chosen.gib, chosen.repeats, folder)
        elif chosen.what == "partition":
            partition(chosen.batches, folder)
        else:
            disk(folder)


if __name__ == "__main__":
    main()
