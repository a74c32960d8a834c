"""Any training, told by several streams, sealed in any portions: every window is what a plain count says.

The model keeps what each attempt said of each step in plain dictionaries; who speaks for a step is the latest attempt
that began at or before it.
"""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from epochscope import wire
from epochscope_server.store import classes, confusion, sealing, sealing_series, series
from epochscope_server.store.schema import count_marginal, count_node
from sealing import Store

NAMES = ("a", "b", "c")
_numbers = iter(range(10**9))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    running = Store(tmp_path_factory.mktemp("store"))
    yield running
    running.close()


@dataclass
class Model:
    """What a plain count says."""

    counts: dict[tuple[str, int, int], Counter[tuple[int, int]]] = field(default_factory=lambda: defaultdict(Counter))
    points: dict[tuple[str, int], dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    begun: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {"train": [(0, 0)], "val": [(0, 0)]})

    def speaks(self, split: str, step: int) -> int:
        """The attempt that counts at ``step``."""
        return [attempt for attempt, start in self.begun[split] if start <= step][-1]

    def seen(self, split: str) -> dict[int, Counter[tuple[int, int]]]:
        """Visible counts by step."""
        return {
            step: counter
            for (of, attempt, step), counter in self.counts.items()
            if of == split and attempt == self.speaks(split, step)
        }

    def matrix(self, split: str, start: int, stop: int, size: int) -> np.ndarray:
        found = np.zeros((size, size), np.int64)
        for step, counter in self.seen(split).items():
            if start <= step < stop:
                for cell, count in counter.items():
                    found[cell] += count
        return found

    def values(self, split: str) -> dict[int, float]:
        return {
            step: value
            for (of, attempt), points in self.points.items()
            if of == split
            for step, value in points.items()
            if attempt == self.speaks(split, step)
        }


ACTS = ("post",) * 5 + ("seal", "again", "stream", "resume", "crash", "class")
VALUES = (0.0, -0.0, 1.5, -2.25, 1e300, -1e-300, float("inf"), float("-inf"), float("nan"))


class Play:
    """A random training of several streams, told act by act."""

    def __init__(self, seed: int, store: Store, stride: int) -> None:
        self.store, self.model, self.stride = store, Model(), stride
        self.chance = random.Random(seed)
        self.run = f"play{next(_numbers):012d}"
        self.streams: dict[str, tuple[int, int]] = {}  # uid -> (flushes so far, attempt)
        self.posted: list[wire.Flush] = []
        self.size = 2
        self.reached = 1
        self.open()

    def act(self) -> None:
        action = self.chance.choice(ACTS)
        if action in ("stream", "resume") and len(self.streams) < 5:
            self.open(resumed=action == "resume")
        elif action == "seal":
            self.store.seal(self.run, self.chance.randint(1, 3))
        elif action == "again":
            self.store.post(self.chance.choice(self.posted))
        elif action == "crash":
            self.store.worked_out(self.run)  # never written
        elif action == "class" and self.size < 3:
            self.size = 3
            self.post(info=self.told({}))
        else:
            self.post()

    def told(self, resumed_at: dict[Any, int]) -> wire.RunInfo:
        outputs = [wire.Output("output", NAMES[: self.size])]
        return wire.RunInfo("p", "n", len(self.streams) + 1, outputs=outputs, resumed_at=resumed_at)

    def open(self, resumed: bool = False) -> None:
        uid = f"stream{len(self.streams):02d}"
        resumed_at, attempt = {}, self.model.begun["train"][-1][0]
        if resumed:
            attempt = len(self.model.begun["train"])
            start = self.chance.randint(1, self.reached)
            for split in ("train", "val"):
                resumed_at[split] = start
                self.model.begun[split].append((attempt, start))
            self.reached = start
        info = self.told(resumed_at)
        self.streams[uid] = 0, attempt
        self.post(uid, info)

    def post(self, uid: str | None = None, info: wire.RunInfo | None = None) -> None:
        uid = uid or self.chance.choice(sorted(self.streams))
        seq, attempt = self.streams[uid]
        self.streams[uid] = seq + 1, attempt
        split: wire.Split = self.chance.choice(("train", "train", "val"))
        first = self.reached if self.chance.random() < 0.7 else self.chance.randint(1, self.reached)
        steps = [first + self.stride * index for index in range(self.chance.randint(0, 12))]
        self.reached = max([self.reached, *(step + self.stride for step in steps)])
        seen = [
            Counter(
                (self.chance.randrange(self.size), self.chance.randrange(self.size))
                for _ in range(self.chance.randint(0, 4))
            )
            for _ in steps
        ]
        values = [self.chance.choice(VALUES) for _ in steps]
        for step, counter, value in zip(steps, seen, values, strict=True):
            self.model.counts[split, attempt, step] += counter
            self.model.points[split, attempt][step] = value
        cells = [cell for counter in seen for cell in counter.items()]
        columns = wire.ConfusionColumns.of(
            "output", split, steps, [len(counter) for counter in seen], [cell[0] for cell, _ in cells],
            [cell[1] for cell, _ in cells], [count for _, count in cells],
        )  # fmt: skip
        points = wire.SeriesColumns.of("loss", split, "batch", steps, values)
        flush = wire.Flush(wire.VERSION, self.run, uid, seq + 1, 1, info, [points], [columns])
        assert self.store.post(flush).acked == seq + 1
        self.posted.append(flush)

    def check(self) -> None:
        for split in ("train", "val"):
            seen = self.model.seen(split)
            run = self.store.run(self.run)
            # What an attempt told past the start of the next is cut off there, be there a step or not.
            last = run["steps"].get(split, 0)
            assert last >= max([*seen, *self.model.values(split)], default=0)
            assert last <= max([step for of, _, step in self.model.counts if of == split], default=0)
            start = self.chance.randint(1, last + 1)
            stop = self.chance.randint(start, last + 2)
            window = self.store.ask(confusion.fetch, self.store.blocks, run, 0, split, start, stop)
            expected = self.model.matrix(split, start, stop, self.size)
            assert window.matrix().tolist() == expected.tolist()
            cells = window.counts()
            assert dict(zip(cells.cell.tolist(), cells.count.tolist(), strict=True)) == {
                cell: count for cell, count in enumerate(expected.ravel().tolist()) if count
            }
            self.check_curves(run, split, last)
            self.check_series(run, split, start, stop)

    def check_curves(self, run: dict[str, Any], split: str, last: int) -> None:
        edges = sorted({1, last + 2, *(self.chance.randint(1, last + 2) for _ in range(4))})
        starts, stops = np.array(edges[:-1]), np.array(edges[1:])
        curves = self.store.ask(classes.fetch, self.store.blocks, run, 0, split, starts, stops)
        support, fn, fp = curves.sums()
        for point, (start, stop) in enumerate(pairwise(edges)):
            matrix = self.model.matrix(split, start, stop, self.size)
            hit = matrix.diagonal()
            assert support[:, point].tolist() == matrix.sum(axis=1).tolist()
            assert fn[:, point].tolist() == (matrix.sum(axis=1) - hit).tolist()
            assert fp[:, point].tolist() == (matrix.sum(axis=0) - hit).tolist()
        one = curves.sums(np.array([1]))
        assert [part[0].tolist() for part in one] == [part[1].tolist() for part in (support, fn, fp)]

    def check_series(self, run: dict[str, Any], split: str, start: int, stop: int) -> None:
        names = {points.split for flush in self.posted for points in flush.series if points.steps}
        if split not in names:
            return
        most = self.chance.choice((None, 1, 2))
        (found,) = self.store.ask(
            series.fetch, self.store.blocks, (run["id"], run["uid"]), split, "batch", ["loss"], start, stop, most
        )
        expected = {step: value for step, value in self.model.values(split).items() if start <= step < stop}
        window = found.read()
        buckets = window.buckets()
        if buckets is None:
            steps, values = window.points()
            assert steps.tolist() == sorted(expected)
            assert values.tobytes() == np.array([expected[step] for step in sorted(expected)]).tobytes()
            return
        assert int(buckets.n.sum()) == len(expected)
        for index in range(len(buckets)):
            first, end = int(buckets.step_first[index]), int(buckets.step_last[index])
            inside = np.array([expected[step] for step in sorted(expected) if first <= step <= end])
            finite = inside[np.isfinite(inside)]
            assert int(buckets.n[index]) == len(inside)
            assert int(buckets.finite[index]) == len(finite)
            if len(finite):
                assert (buckets.low[index], buckets.high[index]) == (finite.min(), finite.max())


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small rows and small steps, so that a short training has many."""
    monkeypatch.setattr(sealing, "MOST_FLUSHES", 3)
    monkeypatch.setattr(sealing_series, "FULL", 8)
    monkeypatch.setattr(sealing_series, "ROLLED", 3)


def play_through(store: Store, seed: int) -> None:
    play = Play(seed, store, (1, 1, 7, 64, 1000, 70_000)[seed % 6])
    for _ in range(play.chance.randint(5, 30)):
        play.act()
    play.check()
    store.seal(play.run)
    play.check()


@pytest.mark.parametrize("seed", range(12))
def test_every_window_equals_a_plain_count(store: Store, narrow: None, seed: int) -> None:
    play_through(store, seed)


@pytest.mark.slow
def test_every_window_of_many_trainings_equals_a_plain_count(store: Store, narrow: None) -> None:
    for seed in range(100, 100 + int(os.environ.get("EPOCHSCOPE_ROUNDS", "100"))):
        play_through(store, seed)


def test_the_rows_do_not_depend_on_how_the_counts_came(store: Store, narrow: None) -> None:
    chance = random.Random(5)
    steps = list(range(1, 3000, 3))
    told = [[chance.randrange(2), chance.randrange(2), chance.randint(1, 300)] for _ in steps]

    def rows(uid: str, order: list[int], portion: int, often: bool) -> list[Any]:
        for seq, at in enumerate(range(0, len(order), portion), 1):
            part = order[at : at + portion]
            columns = wire.ConfusionColumns.of(
                "output",
                "train",
                [steps[i] for i in part],
                [1] * len(part),
                *zip(*(told[i] for i in part), strict=True),
            )
            info = wire.RunInfo("p", "n", 1, outputs=[wire.Output("output", NAMES[:2])])
            store.post(wire.Flush(wire.VERSION, uid, "stream00", seq, 1, info, confusion=[columns]))
            if often:
                store.seal(uid, 1)
        store.seal(uid)
        number = store.run(uid)["id"]
        return [
            store.ask(
                lambda connection, table: connection.execute(
                    sa.select(table.c.level, table.c.idx, table.c.data)
                    .where(table.c.run_id == number)
                    .order_by(table.c.level, table.c.idx)
                ).all(),
                table,
            )
            for table in (count_node, count_marginal)
        ]

    forward = list(range(len(steps)))
    shuffled = forward[:]
    chance.shuffle(shuffled)
    expected = rows("portions00", forward, 1000, often=False)
    assert {level for level, _, _ in expected[0]} == {0, 1}
    assert {level for level, _, _ in expected[1]} == {0}
    for number, (order, portion, often) in enumerate(
        ((forward, 7, True), (shuffled, 50, True), (forward[::-1], 400, False)), 1
    ):
        assert rows(f"portions{number:02d}", order, portion, often) == expected
