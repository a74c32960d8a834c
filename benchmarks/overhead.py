"""What Monitor costs a training: time per step beside a bare fit, an empty callback and Keras's TensorBoard.

    python benchmarks/overhead.py                      # all cases, about half an hour on two cores
    python benchmarks/overhead.py --only "mlp, 10" --rounds 20

One process. Every variant trains a model of its own in a thread of its own, but only one of them at a time: at each
epoch's end it hands over to the next, in an order drawn anew for every round, so that a slow minute of the machine is
slow for all. After its epoch a variant rests until what it left to its worker thread is through; that is in its
processor time, not in its wall time. A variant's cost is the median over rounds of its time less the mean of the two
bare fits of the same round; what the second bare fit "costs" says what noise is left. The service runs in a process of
its own, as it would; every update is sent and stored while the training goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from epochscope.fashion_mnist import load
from epochscope.keras import Monitor

WARM = 2  # epochs of each variant that are not measured: they compile, and fill caches
REST_S = 0.3  # for a variant's worker thread to come to its end


@dataclass(frozen=True)
class Case:
    """One model under one way of training; ``steps`` of an epoch."""

    model: str
    classes: int
    batch: int
    steps: int
    per_execution: int = 1
    jit: bool = False

    def __str__(self) -> str:
        how = f"{self.model}, {self.classes} classes, batch {self.batch}"
        return (
            how
            + (f", {self.per_execution} steps an execution" if self.per_execution > 1 else "")
            + (", jit" * self.jit)
        )


CASES = (
    Case("mlp", 10, 32, 400),
    Case("mlp", 10, 32, 400, jit=True),
    Case("mlp", 10, 32, 1000, per_execution=50),
    Case("mlp", 10, 512, 150),
    Case("mlp", 100, 128, 250),
    Case("mlp", 1000, 512, 50),
    Case("cnn", 10, 32, 40),
)


@dataclass
class Turns:
    """Lets one variant at a time train an epoch, each once a round, in an order drawn anew."""

    names: list[str]
    rounds: int
    wall: dict[str, list[float]] = field(default_factory=dict)  # seconds of each measured epoch
    processor: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        draw = random.Random(1)
        self._order = [name for _ in range(self.rounds + WARM) for name in draw.sample(self.names, len(self.names))]
        self._place = 0
        self._moved = threading.Condition()

    def wait(self, name: str) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self._place < len(self._order) and self._order[self._place] == name)

    def done(self, name: str, wall: float, processor: float) -> None:
        with self._moved:
            if self._place >= WARM * len(self.names):
                self.wall.setdefault(name, []).append(wall)
                self.processor.setdefault(name, []).append(processor)
            self._place += 1
            self._moved.notify_all()


class Turn(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures an epoch of one variant, then hands over; the last callback, so that the others are inside."""

    def __init__(self, name: str, turns: Turns) -> None:
        super().__init__()
        self.name, self.turns = name, turns

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.turns.wait(self.name)
        self.began = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        wall = time.perf_counter() - self.began[0]
        time.sleep(REST_S)
        self.turns.done(self.name, wall, time.process_time() - self.began[1])


class Empty(keras.callbacks.Callback):  # type: ignore[misc]
    """What any callback costs that looks at every batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


def model_for(case: Case, shape: tuple[int, ...]) -> Any:
    layers = keras.layers
    if case.model == "mlp":
        body = [layers.Flatten(), layers.Dense(64, activation="relu")]
    else:
        body = [
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
        ]
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(shape), *body, layers.Dense(case.classes, activation="softmax")])
    model.compile(
        "adam",
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=case.per_execution,
        jit_compile=case.jit,
    )
    return model


def variants(url: str, folder: Path) -> dict[str, Callable[[], list[Any]]]:
    """The callbacks of each variant."""
    chosen: dict[str, Callable[[], list[Any]]] = {
        "bare": list,
        "bare again": list,
        "empty callback": lambda: [Empty()],
        "Monitor": lambda: [Monitor("overhead", url=url, spool_dir=folder / "spool")],
    }
    with contextlib.suppress(ImportError):
        import tensorboard  # noqa: F401

        chosen["TensorBoard"] = lambda: [
            keras.callbacks.TensorBoard(str(folder / f"tb{time.monotonic_ns()}"), update_freq="batch")
        ]
    return chosen


def run(case: Case, rounds: int, url: str, folder: Path) -> None:
    data = load()
    needed = case.steps * case.batch
    numbers = np.random.default_rng(1)
    index = numbers.integers(0, len(data.x_train), needed)
    x = (data.x_train[index, ..., None] / 255).astype("float32")
    y = data.y_train[index].astype("int64") if case.classes == 10 else numbers.integers(0, case.classes, needed)
    chosen = variants(url, folder)
    turns = Turns(list(chosen), rounds)
    threads = []
    for name, callbacks in chosen.items():
        model = model_for(case, x.shape[1:])
        how = {"batch_size": case.batch, "epochs": rounds + WARM, "shuffle": False, "verbose": 0}
        fit = threading.Thread(
            target=model.fit, args=(x, y), kwargs=how | {"callbacks": [*callbacks(), Turn(name, turns)]}, daemon=True
        )
        fit.start()
        threads.append(fit)
    for fit in threads:
        fit.join()
    keras.backend.clear_session()
    report(case, turns)


def report(case: Case, turns: Turns) -> None:
    """One row of the table: µs a step over the bare fits, with the quartiles of the rounds."""

    def less_bare(times: dict[str, list[float]], name: str) -> list[float]:
        pairs = zip(times[name], times["bare"], times["bare again"], strict=True)
        return [(each - (one + other) / 2) / case.steps * 1e6 for each, one, other in pairs]

    def cost(name: str) -> str:
        found = less_bare(turns.wall, name)
        low, middle, high = np.percentile(found, (25, 50, 75))
        return f"{middle:+.0f} ({100 * middle / bare:+.1f} %) [{low:+.0f} {high:+.0f}]"

    bare = statistics.median(turns.wall["bare"] + turns.wall["bare again"]) / case.steps * 1e6
    work = f"{statistics.median(less_bare(turns.processor, 'Monitor')):+.0f}"
    rest = [cost(name) for name in turns.names if name not in ("bare", "Monitor")]
    print(f"| {case} | {bare:,.0f} | {cost('Monitor')} | {work} | {' | '.join(rest)} |", flush=True)


@contextlib.contextmanager
def service(folder: Path) -> Iterator[str]:
    """A service in a process of its own."""
    command = ["serve", "--port", "0", "--no-browser", "--data-dir", str(folder / "store")]
    process = subprocess.Popen([sys.executable, "-m", "epochscope", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[1]
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="only cases whose description holds these words")
    chosen = parser.parse_args()
    print(
        f"Keras {keras.__version__} on {keras.backend.backend()}, {platform.processor() or platform.machine()}, "
        f"{os.cpu_count()} cores; µs a step over a bare fit: medians of {chosen.rounds} rounds, quartiles in brackets\n"
    )
    others = " | ".join(name for name in variants("", Path()) if name not in ("bare", "Monitor"))
    print(f"| case | bare | Monitor | Monitor, processor | {others} |")
    print("| --- " * (4 + len(others.split(" | "))) + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as url:
        for case in CASES:
            if chosen.only in str(case):
                run(case, chosen.rounds, url, Path(folder))


if __name__ == "__main__":
    main()
