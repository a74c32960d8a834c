"""What a service that is dead, deaf or slow costs a training: time of a step, and memory.

    python benchmarks/faults.py training                # some minutes on two cores
    python benchmarks/faults.py memory --seconds 60

``training``: one process; each variant trains a model of its own in a thread of its own, an epoch at a time, in an
order drawn anew for every round, so that a slow minute of the machine is slow for all. Compared are the variants of the
same round; given are the median over the rounds and its 95 % interval (bootstrap). The second bare fit says what noise
is left. The services:

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

WIDTH, BATCH = 256, 128  # of the model whose step takes about 5 ms on two cores
STEPS = 160  # of an epoch
WARM = 2  # epochs that are not measured
SLOW_S = 30.0


class Turns:
    """Lets one variant at a time train an epoch, each once a round, in an order drawn anew."""

    def __init__(self, names: list[str], rounds: int) -> None:
        self.wall: dict[str, list[float]] = {name: [] for name in names}
        draw = random.Random(1)
        self._order = [name for _ in range(rounds + WARM) for name in draw.sample(names, len(names))]
        self._warm = WARM * len(names)
        self._place = 0
        self._moved = threading.Condition()

    def wait(self, name: str) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self._place < len(self._order) and self._order[self._place] == name)

    def done(self, name: str, seconds: float) -> None:
        with self._moved:
            if self._place >= self._warm:
                self.wall[name].append(seconds)
            self._place += 1
            self._moved.notify_all()


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


def training(rounds: int) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from epochscope.keras import Monitor

    class Turn(keras.callbacks.Callback):  # type: ignore[misc]
        """The last callback: measures an epoch from its first batch to its last, then hands over."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            turns.wait(self.name)
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds = time.perf_counter() - self.began
            time.sleep(0.2)
            turns.done(self.name, seconds)

    def fit(name: str, url: str | None, folder: Path) -> None:
        layers = keras.layers
        model = keras.Sequential(
            [
                keras.Input((784,)),
                layers.Dense(WIDTH, activation="relu"),
                layers.Dense(WIDTH, activation="relu"),
                layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        monitors = [] if url is None else [Monitor("faults", name, url=url, spool_dir=folder / name)]
        model.fit(x, y, batch_size=BATCH, epochs=rounds + WARM, verbose=0, callbacks=[*monitors, Turn(name)])

    rng = np.random.default_rng(1)
    x = rng.random((STEPS * BATCH, 784), np.float32)
    y = rng.integers(0, 10, len(x))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {
            "bare": None,
            "bare again": None,
            "fine": stack.enter_context(healthy(folder)),
            "refused": nobody(),
            "black hole": stack.enter_context(black_hole()),
            "slow": stack.enter_context(slow()),
        }
        turns = Turns(list(urls), rounds)
        fits = [threading.Thread(target=fit, args=(name, url, folder), daemon=True) for name, url in urls.items()]
        for thread in fits:
            thread.start()
        for thread in fits:
            thread.join()
    wall = {name: np.array(seconds) for name, seconds in turns.wall.items()}
    print(f"\nKeras {keras.__version__} on {keras.backend.backend()}, {platform.machine()}, {os.cpu_count()} cores")
    print(f"bare step {1e3 * np.median(wall['bare']) / STEPS:.2f} ms, {rounds} rounds of {STEPS} steps\n")
    print("| variant | over bare, % | over fine, % |\n| --- | --- | --- |")
    both = (wall["bare"] + wall["bare again"]) / 2
    for name in urls:
        over_bare = wall["bare again"] / wall["bare"] if name.startswith("bare") else wall[name] / both
        over_fine = "" if name.startswith("bare") or name == "fine" else interval(wall[name] / wall["fine"])
        print(f"| {name} | {interval(over_bare)} | {over_fine} |")
    sys.stdout.flush()
    os._exit(0)  # the threads of services and fits that are left hold nothing of worth


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
    parser.add_argument("--rounds", type=int, default=20, help="of training")
    parser.add_argument("--seconds", type=float, default=60, help="of each case of memory")
    parser.add_argument("--rate", type=int, default=100_000, help="values a second for memory")
    chosen = parser.parse_args()
    if chosen.what == "training":
        training(chosen.rounds)
    else:
        memory(chosen.seconds, chosen.rate)


if __name__ == "__main__":
    main()
