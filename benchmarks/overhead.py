"""What Monitor costs a training: time per step beside a bare fit, an empty callback and Keras's TensorBoard.

    python benchmarks/overhead.py                      # all cases, about an hour on two cores
    python benchmarks/overhead.py --only jit --rounds 50

One process. Every variant trains a model of its own in a thread of its own, but only one of them at a time: at each
epoch's end it hands over to the next, in an order drawn anew for every round, so that a slow minute of the machine is
slow for all. After its epoch a variant rests until what it left to its worker thread is through; that is in its
processor time, not in its wall time. A variant's cost is the median over rounds of its time less the mean of the two
bare fits of the same round, with an interval that holds the true median at 95 % (bootstrap over rounds); what the
second bare fit "costs" says what noise is left. Beside the wall clock stands the processor time of the thread that
trains, which other programs on the machine move less; what that thread waits for is not in it. The service runs in a
process of its own, as it would; every update is sent and stored while the training goes on.
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
import tensorflow as tf
from epochscope.fashion_mnist import load
from epochscope.keras import Monitor
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

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
        steps = f"{self.per_execution} steps" if self.per_execution > 1 else "1 step"
        jit = ", jit" * self.jit
        return f"{self.model}, {self.classes} classes, batch {self.batch}{jit}, {steps} an execution"


# Epochs as long as those of Fashion-MNIST, so that what comes once an epoch has the share that it has there; but of the
# CNN a fifth, and of 50 steps an execution whole executions.
CASES = (
    Case("mlp", 10, 32, 1875),
    Case("mlp", 10, 32, 1875, jit=True),
    Case("mlp", 10, 32, 1850, per_execution=50),
    Case("mlp", 10, 512, 117),
    Case("mlp", 100, 128, 468),
    Case("mlp", 1000, 512, 117),
    Case("cnn", 10, 32, 375),
)


@dataclass
class Turns:
    """Lets one variant at a time train an epoch, each once a round, in an order drawn anew."""

    names: list[str]
    rounds: int
    wall: dict[str, list[float]] = field(default_factory=dict)  # seconds of each measured epoch
    thread: dict[str, list[float]] = field(default_factory=dict)  # of it the processor's, on the thread that trains
    processor: dict[str, list[float]] = field(default_factory=dict)  # on all threads, until the epoch's work is through

    def __post_init__(self) -> None:
        draw = random.Random(1)
        self._order = [name for _ in range(self.rounds + WARM) for name in draw.sample(self.names, len(self.names))]
        self._place = 0
        self._moved = threading.Condition()

    def wait(self, name: str) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self._place < len(self._order) and self._order[self._place] == name)

    def done(self, name: str, wall: float, thread: float, processor: float) -> None:
        with self._moved:
            if self._place >= WARM * len(self.names):
                self.wall.setdefault(name, []).append(wall)
                self.thread.setdefault(name, []).append(thread)
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
        self.began = time.perf_counter(), time.thread_time(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        wall, thread = time.perf_counter() - self.began[0], time.thread_time() - self.began[1]
        time.sleep(REST_S)
        self.turns.done(self.name, wall, thread, time.process_time() - self.began[2])


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


def batches(x: Any, y: Any, size: int) -> Any:
    """What Keras makes of arrays, but without the thread that tunes a tf.data pipeline: now and then its iterator waits
    for that thread at the end of an epoch, for up to some seconds in which nothing is done."""
    data = ArrayDataAdapter(x, y, batch_size=size, shuffle=False).get_tf_dataset()
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


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
    images = load()
    needed = case.steps * case.batch
    numbers = np.random.default_rng(1)
    index = numbers.integers(0, len(images.x_train), needed)
    x = (images.x_train[index, ..., None] / 255).astype("float32")
    y = images.y_train[index].astype("int64") if case.classes == 10 else numbers.integers(0, case.classes, needed)
    chosen = variants(url, folder)
    turns = Turns(list(chosen), rounds)
    data = batches(x, y, case.batch)
    threads = []
    for name, callbacks in chosen.items():
        model = model_for(case, x.shape[1:])
        how = {"epochs": rounds + WARM, "shuffle": False, "verbose": 0, "callbacks": [*callbacks(), Turn(name, turns)]}
        fit = threading.Thread(target=model.fit, args=(data,), kwargs=how, daemon=True)
        fit.start()
        threads.append(fit)
    for fit in threads:
        fit.join()
    keras.backend.clear_session()
    report(case, turns)


def report(case: Case, turns: Turns) -> None:
    """One row of the table: µs a step over the bare fits, with the interval of the median."""
    draw = np.random.default_rng(1)

    def cost(times: dict[str, list[float]], name: str, percent: bool = False) -> str:
        each, one, other = (np.array(times[which]) / case.steps * 1e6 for which in (name, "bare", "bare again"))
        found = each - (one + other) / 2
        medians = np.median(draw.choice(found, (2000, len(found))), axis=1)
        low, high = np.percentile(medians, (2.5, 97.5))
        share = f", {100 * np.median(found) / bare:+.1f} %" if percent else ""
        return f"{np.median(found):+.0f}{share} [{low:+.0f}, {high:+.0f}]"

    bare = statistics.median(turns.wall["bare"] + turns.wall["bare again"]) / case.steps * 1e6
    work = f"{cost(turns.thread, 'Monitor')} | {cost(turns.processor, 'Monitor')}"
    rest = [cost(turns.wall, name, True) for name in turns.names if name not in ("bare", "Monitor")]
    print(f"| {case} | {bare:,.0f} | {cost(turns.wall, 'Monitor', True)} | {work} | {' | '.join(rest)} |", flush=True)


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
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", default="", help="only cases whose description holds these words")
    chosen = parser.parse_args()
    print(
        f"Keras {keras.__version__} on {keras.backend.backend()}, {platform.processor() or platform.machine()}, "
        f"{os.cpu_count()} cores; µs a step over a bare fit: medians of {chosen.rounds} rounds, their "
        "intervals in brackets\n"
    )
    others = " | ".join(name for name in variants("", Path()) if name not in ("bare", "Monitor"))
    print(f"| case | bare | Monitor | on the thread that trains | on all threads | {others} |")
    print("| --- " * (5 + len(others.split(" | "))) + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as url:
        for case in CASES:
            if chosen.only in str(case):
                run(case, chosen.rounds, url, Path(folder))


if __name__ == "__main__":
    main()
