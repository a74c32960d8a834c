"""What a service that is dead, deaf or slow costs a training: time of a step, and memory.

    python benchmarks/faults.py training                # half an hour on two cores
    python benchmarks/faults.py memory --seconds 60

``training``: of each round every service has a process of its own, which fits one and the same model in pairs, once
without and once with Monitor, in drawn order. So both find their memory where the other found it: processes differ
by some per cent in that alone. Compared are the medians of the epochs of a pair; given are the median of all pairs and
its 95 % interval (bootstrap). In the process of ``nothing`` neither of the two has a Monitor: it says what noise is
left. A long measurement can be done in pieces: ``--pool FILE`` keeps the pairs, and those of every call count.
The services:

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
import itertools
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
WARM, MEASURED = 1, 2  # epochs of a fit
PAIRS = 3  # of fits in a process
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
import json, random, sys, time
import keras, numpy as np
from epochscope.keras import Monitor
from overhead import batches
width, batch, steps, epochs, pairs, seed = map(int, sys.argv[1:7])
class Epochs(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.took = []
    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter(), time.process_time()
    def on_epoch_end(self, epoch, logs=None):
        wall = time.perf_counter() - self.began[0]
        time.sleep(0.3)  # for the worker threads to come to the end of what this epoch has left to them
        self.took.append((wall, time.process_time() - self.began[1]))
x = np.random.default_rng(1).random((steps * batch, 784), np.float32)
y = np.random.default_rng(2).integers(0, 10, len(x))
data = batches(x, y, batch)
layers = keras.layers
model = keras.Sequential([keras.Input((784,)), layers.Dense(width, activation="relu"),
                          layers.Dense(width, activation="relu"), layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
draw = random.Random(seed)
for _ in range(pairs):
    pair = {}
    for monitored in draw.sample((False, True), 2):
        monitors = [Monitor("faults", url=sys.argv[7], spool_dir=sys.argv[8])] if monitored and sys.argv[7] else []
        model.make_train_function(force=True)  # either one's steps are compiled anew
        epoch = Epochs()
        model.fit(data, epochs=epochs, shuffle=False, verbose=0, callbacks=[*monitors, epoch])
        pair["with" if monitored else "without"] = epoch.took
    print("pair", json.dumps(pair), flush=True)
"""


def pairs(url: str, folder: Path, seed: int) -> list[tuple[float, float]]:
    """How many times as long a step took with Monitor as without, by the clock and of processor time, in pair after
    pair of fits. All threads of their process share one core, ours too: what they do is not hidden by a core that has
    nothing else to do."""
    one = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    numbers = [str(number) for number in (WIDTH, BATCH, STEPS, WARM + MEASURED, PAIRS, seed)]
    process = subprocess.Popen(
        [sys.executable, "-c", _TRAINING, *numbers, url, str(folder)],
        env=os.environ | one | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
    assert process.stdout is not None
    told = (json.loads(line[5:]) for line in process.stdout if line.startswith("pair "))
    found = list(itertools.islice(told, PAIRS))
    process.kill()  # what it would still do for a service that is dead is of no interest
    process.communicate()
    if len(found) < PAIRS:
        raise SystemExit(f"a training ended after {len(found)} of {PAIRS} pairs")
    medians = ({name: np.median(epochs[WARM:], axis=0) for name, epochs in pair.items()} for pair in found)
    wall, processor = np.array([pair["with"] / pair["without"] for pair in medians]).T
    return list(zip(wall.tolist(), processor.tolist(), strict=True))


def training(rounds: int, seed: int, pool: Path | None) -> None:
    kept: dict[str, list[tuple[float, float]]] = {}
    if pool is not None and pool.exists():
        kept = json.loads(pool.read_text())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        urls = {
            "nothing": "",
            "fine": stack.enter_context(healthy(folder)),
            "refused": nobody(),
            "black hole": stack.enter_context(black_hole()),
            "slow": stack.enter_context(slow()),
        }
        draw = random.Random(seed + sum(map(len, kept.values())))
        for number in range(rounds):
            for name in draw.sample(list(urls), len(urls)):
                place = folder / f"{name} {number}"
                kept.setdefault(name, []).extend(pairs(urls[name], place, draw.randrange(2**31)))
                if pool is not None:
                    pool.write_text(json.dumps(kept))
    print(f"{platform.machine()}, {os.cpu_count()} cores; pairs of fits of {MEASURED} epochs of {STEPS} steps\n")
    print("| service | pairs | over no Monitor, % of wall time | over fine, points | % of processor time |")
    print("| --- | --- | --- | --- | --- |")
    fine = np.array(kept["fine"])[:, 0]
    for name in urls:
        wall, processor = np.array(kept[name]).T
        over = "" if name in ("nothing", "fine") else interval(wall, fine)
        print(f"| {name} | {len(wall)} | {interval(wall)} | {over} | {interval(processor)} |")
    sys.stdout.flush()
    os._exit(0)  # the threads of services that are left hold nothing of worth


def interval(ratios: NDArray[np.float64], others: NDArray[np.float64] | None = None) -> str:
    """Median of ratios as per cent above 1, or above the median of others, and its 95 % interval by bootstrap."""
    draw = np.random.default_rng(1)

    def medians(of: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.append(np.median(draw.choice(of, (10_000, len(of))), axis=1), np.median(of))

    found = 100 * (medians(ratios) - (1 if others is None else medians(others)))
    low, high = np.percentile(found[:-1], (2.5, 97.5))
    return f"{found[-1]:+.2f} [{low:+.2f}, {high:+.2f}]"


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
    parser.add_argument("--rounds", type=int, default=8, help="of training, 3 pairs of fits for each service in each")
    parser.add_argument("--pool", type=Path, metavar="FILE", help="keeps the pairs of training")
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
