"""What a service that is dead, deaf or slow costs a training: time of a step, and memory.

    python benchmarks/faults.py training                # some minutes on two cores
    python benchmarks/faults.py memory --seconds 60

``training``: in each round every variant trains in a new process, an epoch at a time while the others wait, in an
order drawn anew for every epoch, so that a slow minute of the machine is slow for all. The processes are new because
one keeps its luck: where its memory came to lie makes all of its epochs some per cent faster or slower. Compared are
the shortest epochs of the variants of the same round (now and then an epoch stands still for a second or more, a bare
one too, while the processor has nothing to do), and the median ones of processor time; given are the median over the
rounds and its 95 % interval (bootstrap). A long measurement can be done in pieces: ``--pool FILE`` keeps the rounds,
and those of every call count. The services:

* fine: ``epochscope serve``, in a process of its own
* refused: nobody listens at the port
* black hole: takes connections and never answers
* slow: answers 30 s after each flush

``memory``: a process of its own for each variant records values as fast as is asked for, with nobody there to take
them; how far its resident memory grows above what it was before is printed, and what became of the values.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, BATCH = 400, 128  # of the model whose step takes about 5 ms on one core
STEPS = 250  # of an epoch
WARM, MEASURED = 1, 4  # epochs of a process
SLOW_S = 30.0


@contextlib.contextmanager
def healthy(folder: Path) -> Iterator[str]:
    command = ["serve", "--port", "0", "--no-browser", "--data-dir", str(folder / "store")]
    process = subprocess.Popen([sys.executable, "-m", "epochscope", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[1]
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        kept: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def slow() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(SLOW_S)
            with contextlib.suppress(OSError):
                self.send_response(503)
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def nobody() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


_TRAINING = """
import sys, time
import keras, numpy as np
from epochscope.keras import Monitor
width, batch, steps, epochs = map(int, sys.argv[1:5])
class Turn(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        sys.stdin.readline()
        self.began = time.perf_counter(), time.process_time()
    def on_epoch_end(self, epoch, logs=None):
        wall = time.perf_counter() - self.began[0]
        time.sleep(0.6)  # for the worker threads to come to the end of what this epoch has left to them
        print("took", wall, time.process_time() - self.began[1], flush=True)
x = np.random.default_rng(1).random((steps * batch, 784), np.float32)
y = np.random.default_rng(2).integers(0, 10, len(x))
layers = keras.layers
model = keras.Sequential([keras.Input((784,)), layers.Dense(width, activation="relu"),
                          layers.Dense(width, activation="relu"), layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
monitors = [Monitor("faults", url=sys.argv[5], spool_dir=sys.argv[6])] if len(sys.argv) > 5 else []
model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0, callbacks=[*monitors, Turn()])
"""


class Training:
    """A fit in a process of its own, an epoch at a time, with all of its threads on one core, ours too: what they do is
    not hidden by a core that has nothing else to do."""

    def __init__(self, epochs: int, *monitored: str) -> None:
        one = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        words = [str(number) for number in (WIDTH, BATCH, STEPS, epochs)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TRAINING, *words, *monitored],
            env=os.environ | one, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.process.pid, {max(os.sched_getaffinity(0))})
        self.wall: list[float] = []
        self.processor: list[float] = []

    def epoch(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        line = next(line for line in self.process.stdout if line.startswith("took "))
        _, wall, processor = line.split()
        self.wall.append(float(wall))
        self.processor.append(float(processor))


def training(rounds: int, seed: int, pool: Path | None) -> None:
    kept: list[dict[str, tuple[float, float]]] = []
    if pool is not None and pool.exists():
        kept = json.loads(pool.read_text())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        urls = {
            "bare": None,
            "fine": stack.enter_context(healthy(folder)),
            "refused": nobody(),
            "black hole": stack.enter_context(black_hole()),
            "slow": stack.enter_context(slow()),
        }
        draw = random.Random(seed + len(kept))
        for _ in range(rounds):
            kept.append(one_round(urls, folder, draw))
            if pool is not None:
                pool.write_text(json.dumps(kept))
    wall, processor = (
        {name: np.array([medians[name][which] for medians in kept]) for name in urls} for which in (0, 1)
    )
    print(f"{platform.machine()}, {os.cpu_count()} cores; bare step {1e3 * np.median(wall['bare']) / STEPS:.2f} ms, "
          f"{len(kept)} rounds of {MEASURED} epochs of {STEPS} steps\n")  # fmt: skip
    print("| service | over bare, % of wall time | over fine, % of wall time | over bare, % of processor time |")
    print("| --- | --- | --- | --- |")
    for name in (one for one in urls if one != "bare"):
        over_fine = "" if name == "fine" else interval(wall[name] / wall["fine"])
        cpu = interval(processor[name] / processor["bare"])
        print(f"| {name} | {interval(wall[name] / wall['bare'])} | {over_fine} | {cpu} |")
    sys.stdout.flush()
    os._exit(0)  # the threads of services that are left hold nothing of worth


def one_round(urls: dict[str, str | None], folder: Path, draw: random.Random) -> dict[str, tuple[float, float]]:
    """Of each variant, in a new process, the shortest epoch by the clock and the median one of processor time, s."""
    fits: dict[str, Training] = {}
    for name in draw.sample(list(urls), len(urls)):  # the first to start finds the best memory
        url = urls[name]
        fits[name] = Training(WARM + MEASURED, *([] if url is None else [url, str(folder / name)]))
    for _ in range(WARM + MEASURED):
        for name in draw.sample(list(fits), len(fits)):
            fits[name].epoch()
    for fit in fits.values():
        fit.process.kill()
        fit.process.communicate()
    return {name: (min(fit.wall[WARM:]), float(np.median(fit.processor[WARM:]))) for name, fit in fits.items()}


def interval(ratio: NDArray[np.float64]) -> str:
    """Median of ratios as per cent above 1, and its 95 % interval by bootstrap over rounds."""
    drawn = np.random.default_rng(1).choice(ratio, (10_000, len(ratio)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return f"{100 * (np.median(ratio) - 1):+.2f} [{100 * (low - 1):+.2f}, {100 * (high - 1):+.2f}]"


_RECORDS = """
import json, sys, threading, time
import psutil
from epochscope import Run
url, folder, seconds, rate = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
run = Run("memory", url=url, spool_dir=folder)
run.log(1, loss=0.5)
time.sleep(2)
here, step, most = psutil.Process(), 1, 0
first = here.memory_info().rss
began = time.perf_counter()
while (now := time.perf_counter() - began) < seconds:
    while step < now * rate:
        for step in range(step + 1, step + 101):
            run.log(step, loss=0.5)
    rss = here.memory_info().rss
    most = max(most, rss)
    time.sleep(0.001)
spool = run._flusher._spool
print(json.dumps({
    "logged": step, "first": first, "most": most, "dropped": run.recording.dropped + run._flusher._dropped,
    "thinned": spool.thinned, "waiting": run._flusher.waiting(), "in_memory": spool.in_memory(),
}))
sys.stdout.flush()
import os
os._exit(0)
"""


def memory(seconds: float, rate: int) -> None:
    print("| service | values/s | MiB more | dropped | thinned | flushes that wait |")
    print("| --- | --- | --- | --- | --- | --- |")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "file").touch()
        cases: dict[str, tuple[Callable[[], str], str]] = {
            "refused": (nobody, "refused"),
            "black hole": (lambda: stack.enter_context(black_hole()), "hole"),
            "refused, and no disk": (nobody, "file"),
        }
        for name, (url, place) in cases.items():
            command = [sys.executable, "-c", _RECORDS, url(), str(folder / place), str(seconds), str(rate)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            told = json.loads(done.stdout.splitlines()[-1])
            more = (told["most"] - told["first"]) / 1024**2
            print(
                f"| {name} | {told['logged'] / seconds:,.0f} | {more:.1f} | {told['dropped']:,} | {told['thinned']:,} "
                f"| {told['waiting']:,} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("training", "memory"))
    parser.add_argument("--rounds", type=int, default=12, help="of training")
    parser.add_argument("--pool", type=Path, metavar="FILE", help="keeps the rounds of training")
    parser.add_argument("--seed", type=int, default=1, help="of the order in training")
    parser.add_argument("--seconds", type=float, default=60, help="of each case of memory")
    parser.add_argument("--rate", type=int, default=100_000, help="values a second for memory")
    chosen = parser.parse_args()
    if chosen.what == "training":
        training(chosen.rounds, chosen.seed, chosen.pool)
    else:
        memory(chosen.seconds, chosen.rate)


if __name__ == "__main__":
    main()
