"""What Monitor costs a training: time per step beside a bare fit, an empty callback and Keras's TensorBoard.

    python benchmarks/overhead.py                     # all cases, about 20 minutes on two cores
    python benchmarks/overhead.py --only mlp --rounds 4

One process, interleaved: each round fits every variant once, in turn, on the same data, so that a slow minute of the
machine is slow for all of them. Of each fit the first epoch is left out (it compiles), the others give one time per
step each; a variant's cost is the median over rounds of its time minus that of the bare fit of the same round. A second
bare fit shows what noise is left. The service runs in a process of its own, as it would; every update is sent and
stored while the training goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from epochscope.fashion_mnist import load
from epochscope.keras import Monitor

EPOCHS = 4  # of each fit; the first is not measured


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
    Case("mlp", 10, 32, 600),
    Case("mlp", 10, 32, 600, jit=True),
    Case("mlp", 10, 32, 2000, per_execution=50),
    Case("mlp", 10, 512, 400),
    Case("mlp", 100, 128, 400),
    Case("mlp", 1000, 512, 60),
    Case("cnn", 10, 32, 100),
)


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """When each epoch began, and when the training ended; wall and processor time."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks: list[tuple[float, float]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.ticks.append((time.perf_counter(), time.process_time()))

    def on_train_end(self, logs: Any = None) -> None:
        self.on_epoch_begin(0)


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
    model = keras.Sequential([keras.Input(shape), *body, layers.Dense(case.classes, activation="softmax")])
    model.compile(
        "adam",
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=case.per_execution,
        jit_compile=case.jit,
    )
    return model


def measured(case: Case, x: Any, y: Any, callbacks: list[Any]) -> tuple[list[float], list[float]]:
    """Seconds a step of each measured epoch: wall, processor."""
    keras.utils.set_random_seed(1)
    clock = Clock()
    model_for(case, x.shape[1:]).fit(
        x, y, batch_size=case.batch, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[clock, *callbacks]
    )
    keras.backend.clear_session()
    spans = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(clock.ticks[1:-1], clock.ticks[2:-1], strict=False)]
    return [wall / case.steps for wall, _ in spans], [cpu / case.steps for _, cpu in spans]


def variants(url: str, folder: Path) -> dict[str, Callable[[], list[Any]]]:
    """The callbacks of each variant, made anew for every fit."""
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
    random = np.random.default_rng(1)
    index = random.integers(0, len(data.x_train), needed)
    x = (data.x_train[index, ..., None] / 255).astype("float32")
    y = data.y_train[index].astype("int64") if case.classes == 10 else random.integers(0, case.classes, needed)
    chosen = variants(url, folder)
    wall: dict[str, list[float]] = {name: [] for name in chosen}
    cpu: dict[str, list[float]] = {name: [] for name in chosen}
    for number in range(rounds + 1):
        for name, callbacks in chosen.items():
            times = measured(case, x, y, callbacks())
            if number:  # the first round warms caches, allocator and processor
                wall[name].append(min(times[0]))
                cpu[name].append(min(times[1]))
    bare = statistics.median(wall["bare"])
    print(f"\n{case}: {1e6 * bare:,.0f} µs a step")
    for name in chosen:
        if name != "bare":
            cost = [each - base for each, base in zip(wall[name], wall["bare"], strict=True)]
            work = [each - base for each, base in zip(cpu[name], cpu["bare"], strict=True)]
            middle = statistics.median(cost)
            print(
                f"  {name:<16} {1e6 * middle:+8.1f} µs  {100 * middle / bare:+6.1f} %   "
                f"[{1e6 * np.percentile(cost, 25):+.1f} {1e6 * np.percentile(cost, 75):+.1f}]   "
                f"processor {1e6 * statistics.median(work):+8.1f} µs"
            )


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
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--only", default="", help="only cases whose description holds these words")
    chosen = parser.parse_args()
    print(
        f"Keras {keras.__version__} on {keras.backend.backend()}, {platform.processor() or platform.machine()}, ",
        end="",
    )
    print(f"{os.cpu_count()} cores; medians of {chosen.rounds} rounds, quartiles in brackets")
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as url:
        for case in CASES:
            if chosen.only in str(case):
                run(case, chosen.rounds, url, Path(folder))


if __name__ == "__main__":
    main()
