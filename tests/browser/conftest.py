"""A real service on a free port, trainings posted to it over HTTP, and a real Chromium looking at its page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from epochscope import wire
from numpy.typing import NDArray

Whole = NDArray[np.int64]

CHROMIUM = os.environ.get("CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
COMMAND = [sys.executable, "-m", "epochscope"]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--font-render-hinting=none",
    "--disable-lcd-text",
]  # fmt: skip


@dataclass
class Training:
    """Predictions of a made-up training: int64 [steps, batch] for train, [passes, batches, batch] for val.

    Every class is learnt at its own pace. Class ``collapsing`` is taken for ``thief`` for a tenth of the training.
    """

    class_names: tuple[str, ...]
    epochs: int
    batches: int  # of an epoch
    train_true: Whole
    train_predicted: Whole
    val_true: Whole
    val_predicted: Whole
    loss: NDArray[np.float64]

    @property
    def steps(self) -> int:
        return self.epochs * self.batches

    @classmethod
    def made(
        cls, class_names: tuple[str, ...], *, epochs: int = 5, batches: int = 60, size: int = 64, val_batches: int = 10,
        seed: int = 7, top: float = 0.95, collapsing: int | None = None, thief: int = 0,
    ) -> Training:  # fmt: skip
        rng = np.random.default_rng(seed)
        classes = len(class_names)
        pace = np.geomspace(0.02, 0.12, classes)[rng.permutation(classes)]
        ceiling = top - 0.15 * rng.random(classes) ** 3
        likely = rng.random((classes, classes)) ** 6 + 1e-3  # what a class is taken for
        np.fill_diagonal(likely, 0)
        likely /= likely.sum(axis=1, keepdims=True)

        def predicted(true: Whole, progress: float) -> Whole:
            rate = ceiling - (ceiling - 1 / classes) * np.exp(-progress / pace)
            taken = likely
            if collapsing is not None and 0.4 <= progress < 0.5:
                rate = rate.copy()
                rate[collapsing] *= 0.55
                taken = likely.copy()
                taken[collapsing] = 0.05 / classes
                taken[collapsing, thief] = 1
                taken[collapsing, collapsing] = 0
                taken[collapsing] /= taken[collapsing].sum()
            right = rng.random(len(true)) < rate[true]
            other = np.array([rng.choice(classes, p=taken[one]) for one in true[~right]], dtype=np.int64)
            guess = true.copy()
            guess[~right] = other
            return guess

        steps = epochs * batches
        train_true = rng.integers(0, classes, (steps, size))
        train = np.stack([predicted(row, step / steps) for step, row in enumerate(train_true)])
        val_true = rng.integers(0, classes, (epochs, val_batches, size))
        val = np.stack(
            [
                np.stack([predicted(row, (epoch + 1) / epochs) for row in passed])
                for epoch, passed in enumerate(val_true)
            ]
        )
        loss = 0.25 + 2 * np.exp(-np.arange(steps) / (0.15 * steps)) + 0.08 * rng.standard_normal(steps)
        return cls(class_names, epochs, batches, train_true, train, val_true, val, loss)


@dataclass
class Service:
    """A service process over ``data_dir``; it may be stopped and started again at the same port."""

    data_dir: Path
    port: int = 0
    url: str = ""
    process: subprocess.Popen[str] | None = None
    seq: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        command = [*COMMAND, "serve", "--no-browser", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--data-dir", str(self.data_dir)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.url = line.split()[1]
        self.port = int(self.url.rsplit(":", 1)[1])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self.get("/health")
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError("the service does not answer")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=20)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1{path}", timeout=20) as answer:
            return json.load(answer)

    def post(self, run: str, **contents: Any) -> None:
        """The next flush of the run's only stream."""
        seq = self.seq.get(run, 0) + 1
        flush = wire.Flush(wire.VERSION, run, run, seq, time.time_ns() // 1_000_000, **contents)
        request = urllib.request.Request(
            f"{self.url}/api/v1/runs/{run}/streams/{run}/flushes",
            wire.encode(flush),
            {"Content-Type": wire.CONTENT_TYPE},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer) == {"acked": seq}
        self.seq[run] = seq

    def begin(self, run: str, name: str, training: Training, project: str = "demo", **more: Any) -> None:
        info = wire.RunInfo(
            project,
            name,
            time.time_ns() // 1_000_000,
            params={"optimizer": "adam", "batch size": int(training.train_true.shape[1]), "learning rate": 0.001},
            outputs=[wire.Output("output", training.class_names)],
            epochs=training.epochs,
            batches_per_epoch=training.batches,
            **more,
        )
        self.post(run, info=info)

    def train(self, run: str, training: Training, first: int, last: int) -> None:
        """Steps ``first`` to ``last``, both included, and the validation passes after the epochs that end there."""
        rows = slice(first - 1, last)
        steps = np.arange(first, last + 1)
        accuracy = (training.train_true[rows] == training.train_predicted[rows]).mean(axis=1)
        series = [
            wire.SeriesColumns.of("loss", "train", "batch", steps, training.loss[rows]),
            wire.SeriesColumns.of("accuracy", "train", "batch", steps, accuracy),
            wire.SeriesColumns.of("learning_rate", "train", "batch", steps, 0.001 * 0.5 ** (steps // 100)),
        ]
        counts = [_cells("train", steps, training.train_true[rows], training.train_predicted[rows])]
        spans = []
        for epoch in range((first - 1) // training.batches + 1, (last - 1) // training.batches + 2):
            begin, end = (epoch - 1) * training.batches + 1, epoch * training.batches + 1
            spans.append(wire.Span("train", epoch, begin, end if last >= end - 1 else 0))
            if first <= end - 1 <= last:
                true, predicted = training.val_true[epoch - 1], training.val_predicted[epoch - 1]
                begin_val = (epoch - 1) * len(true) + 1
                val_steps = np.arange(begin_val, begin_val + len(true))
                counts.append(_cells("val", val_steps, true, predicted))
                spans.append(wire.Span("val", epoch, begin_val, begin_val + len(true)))
                passed = slice(begin - 1, end - 1)
                for key, split, value in (
                    ("loss", "train", training.loss[passed].mean()),
                    ("loss", "val", training.loss[passed].mean() * 1.1),
                    ("accuracy", "train", (training.train_true[passed] == training.train_predicted[passed]).mean()),
                    ("accuracy", "val", (true == predicted).mean()),
                    ("macro_f1", "val", (true == predicted).mean() - 0.01),
                ):
                    series.append(wire.SeriesColumns.of(key, split, "epoch", [epoch], [value]))  # type: ignore[arg-type]
        self.post(run, series=series, confusion=counts, spans=spans)

    def whole(self, run: str, name: str, training: Training, **more: Any) -> None:
        """A training from its first batch to its end, in a few flushes."""
        self.begin(run, name, training, **more)
        for first in range(1, training.steps + 1, 100):
            self.train(run, training, first, min(first + 99, training.steps))
        self.post(run, end=wire.End("finished"))


def _cells(split: wire.Split, steps: Whole, true: Whole, predicted: Whole) -> wire.ConfusionColumns:
    cells, columns = [], []
    for row in range(len(steps)):
        pairs, count = np.unique(np.stack([true[row], predicted[row]]), axis=1, return_counts=True)
        cells.append(pairs.shape[1])
        columns.append(np.vstack([pairs, count]))
    return wire.ConfusionColumns.of("output", split, steps, cells, *np.hstack(columns))
