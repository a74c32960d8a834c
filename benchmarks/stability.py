"""How far the analysis of stability can be trusted: coverage, false alarms, power, delay, ranking and speed.

    python benchmarks/stability.py                      # everything, about 15 minutes on two cores
    python benchmarks/stability.py --only speed         # one part: coverage, alarms, power, alerts, ranking, speed
    python benchmarks/stability.py --runs 0.1           # a tenth of the simulated trainings

Simulated trainings, since only there the truth is known: every class has a true recall at every batch (a learning
curve, and in some a planted defect), a batch draws its samples at random, and the analysis sees the counts alone. The
tables go to docs/stability.md and docs/benchmarks.md. Seeds are fixed: the same numbers come out again.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import platform
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from epochscope import wire
from epochscope_server.alerts.watches import Watches
from epochscope_server.analysis import rates
from epochscope_server.analysis.averages import averages
from epochscope_server.analysis.blocks import edges, pooled
from epochscope_server.analysis.changes_live import Watch
from epochscope_server.analysis.compare import difference
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.drop import drops
from epochscope_server.analysis.rates import Numbers, Rate, Whole, wilson
from epochscope_server.analysis.segments import cuts
from epochscope_server.analysis.stability import Stability, stability, windows_for
from epochscope_server.analysis.watching import COARSE, blocks
from epochscope_server.store import log, runs, sealing
from epochscope_server.store.cache import Blocks
from epochscope_server.store.database import Database
from epochscope_server.store.writer import Writer
from numpy.typing import NDArray

Z = rates.Z95


# -- trainings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A training of ``batches`` batches of ``size`` samples, ``classes`` classes of equal share."""

    classes: int
    size: int
    batches: int

    def __str__(self) -> str:
        return f"{self.classes:,} classes, {self.batches:,} batches of {self.size}"


SETTINGS = (Setting(10, 32, 2000), Setting(10, 128, 2000), Setting(100, 128, 4000), Setting(100, 512, 4000))
HUGE = Setting(1000, 512, 20_000)


@dataclass(frozen=True)
class Training:
    """What is known of a simulated training: true recalls [N, T] by window, counts, and which classes are unstable."""

    setting: Setting
    width: int
    rates: Numbers
    tp: Whole
    fp: Whole
    support: Whole
    unstable: NDArray[np.bool_]

    def curves(self, windows: int | None = None) -> ClassCurves:
        """The counts as the service would give them, in at most so many windows."""
        total = self.tp.shape[1]
        begin = edges(total, max(-(-total // (windows or windows_for(self.setting.classes))), 1))
        start = begin * self.width + 1
        stop = np.append(start[1:], total * self.width + 1)
        names = tuple(str(index) for index in range(self.setting.classes))
        tp, fp, support = (pooled(counts, begin) for counts in (self.tp, self.fp, self.support))
        return ClassCurves("train", names, start, stop, None, tp, fp, support - tp)

    @property
    def others(self) -> Whole:
        return np.asarray(self.support.sum(axis=0) - self.support)


Plant = Callable[[np.random.Generator, Numbers], Sequence[int]]  # changes true recalls in place, answers the unstable


def learning(rng: np.random.Generator, setting: Setting, windows: int) -> Numbers:
    """True recalls [N, windows]: from chance to a level of 0.55 to 0.98, each class at a pace of its own."""
    level = rng.uniform(0.55, 0.98, (setting.classes, 1))
    pace = rng.uniform(0.005, 0.08, (setting.classes, 1))
    return level - (level - 1 / setting.classes) * np.exp(-np.arange(windows) / windows / pace)


def train(
    rng: np.random.Generator, setting: Setting, plant: Plant | None = None, *, flat: bool = False,
    share: Numbers | None = None, width: int = 1,
) -> Training:  # fmt: skip
    """One training; ``share`` [N]: of the samples of each class, equal where None; ``width`` batches drawn at once."""
    windows = setting.batches // width
    true = learning(rng, setting, windows)
    if flat:
        true = np.repeat(true[:, -1:], windows, axis=1)
    unstable = np.zeros(setting.classes, bool)
    if plant is not None:
        unstable[list(plant(rng, true))] = True
    of = np.full(setting.classes, 1 / setting.classes) if share is None else share
    support = rng.poisson(np.broadcast_to((setting.size * width * of)[:, None], true.shape))
    tp = rng.binomial(support, np.clip(true, 0, 1))
    # What is missed is called any class, evenly.
    fp = rng.poisson(np.broadcast_to((support - tp).sum(axis=0) / setting.classes, true.shape))
    return Training(setting, width, true, tp, fp, support, unstable)


def collapse(length: float, depth: float, at: float = 0.6) -> Plant:
    """Class 0 loses ``depth`` of its recall for ``length`` of the training."""

    def plant(_: np.random.Generator, true: Numbers) -> Sequence[int]:
        first = int(at * true.shape[1])
        true[0] = 0.9 - (0.9 - 0.1) * np.exp(-np.arange(true.shape[1]) / true.shape[1] / 0.03)
        true[0, first : first + max(round(length * true.shape[1]), 1)] -= depth
        return [0]

    return plant


def see_saw(_: np.random.Generator, true: Numbers) -> Sequence[int]:
    """Classes 0 and 1 gain and lose 15 points in turn, twelve times."""
    wave = 0.15 * np.sign(np.sin(np.arange(true.shape[1]) / true.shape[1] * 24 * np.pi))
    wave[: true.shape[1] // 5] = 0
    true[0] = np.minimum(true[0], 0.75) + wave
    true[1] = np.minimum(true[1], 0.75) - wave
    return [0, 1]


def forgetting(_: np.random.Generator, true: Numbers) -> Sequence[int]:
    """Class 0 loses 15 points over a third of the training and does not get them back."""
    windows = true.shape[1]
    true[0] = 0.9 - 0.8 * np.exp(-np.arange(windows) / windows / 0.03)
    true[0] -= 0.15 * np.clip((np.arange(windows) / windows - 0.5) * 3, 0, 1)
    return [0]


def many(rng: np.random.Generator, true: Numbers) -> Sequence[int]:
    """A fifth of the classes: a collapse, a see-saw or a slow loss each; among the others, late and slow learners."""
    classes, windows = true.shape
    chosen = rng.permutation(classes)
    count = max(classes // 5, 2)
    for place, row in enumerate(chosen[:count]):
        depth = rng.uniform(0.1, 0.4)
        first = int(rng.uniform(0.35, 0.7) * windows)
        length = int(rng.uniform(0.02, 0.1) * windows)
        if place % 3 == 0:
            true[row, first : first + length] -= depth
        elif place % 3 == 1:
            wave = np.sin(np.arange(windows) / windows * 2 * np.pi * rng.uniform(6, 20))
            true[row, windows // 5 :] -= (depth / 2 * (1 + np.sign(wave)))[windows // 5 :]
        else:
            true[row, first:] -= depth * np.clip(np.arange(windows - first) / (3 * length), 0, 1)
    for row in chosen[count : 2 * count]:
        late = rng.uniform(0.2, 0.5) * windows
        true[row] = 1 / classes + (true[row, -1] - 1 / classes) / (
            1 + np.exp((late - np.arange(windows)) / 0.02 / windows)
        )
    np.clip(true, 0.01, 0.995, out=true)
    return [int(row) for row in chosen[:count]]


# -- tables ------------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("\n| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" if place == 0 else "---:" for place in range(len(head))) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def percent(share: float) -> str:
    return f"{100 * share:.1f} %" if 0 < share < 0.0995 else f"{100 * share:.0f} %"


# -- coverage ----------------------------------------------------------------------------------------------------------

SIZES = (5, 10, 30, 100, 1000)
GRID = np.concatenate([np.linspace(0.05, 0.95, 19), [0.02, 0.98]])


def covered(rate: Rate, true: Numbers | float) -> Numbers:
    return np.asarray((rate.low <= true) & (true <= rate.high), np.float64)


def coverage(runs: float) -> None:
    print("## Coverage of the 95 % intervals: mean over rates (least of any rate)")
    draws = max(int(20_000 * runs), 200)
    rng = np.random.default_rng(1)
    rows: dict[str, list[str]] = {
        name: [] for name in ("recall, precision", "F1", "difference of two", "Wald, for contrast")
    }
    for n in SIZES:
        found: dict[str, list[float]] = {name: [] for name in rows}
        for p in GRID:
            k = rng.binomial(n, p, draws)
            of = np.full(draws, n)
            found["recall, precision"].append(covered(wilson(k, of), p).mean())
            share = k / n
            half = Z * np.sqrt(share * (1 - share) / n)
            found["Wald, for contrast"].append((np.abs(share - p) <= half).mean())
            # n is TP + FN here; precision as good as recall.
            counts = rng.multinomial(n, [p / (2 - p), (1 - p) / (2 - p), (1 - p) / (2 - p)], draws)
            found["F1"].append(covered(rates.f1(counts[:, 0], counts[:, 1], counts[:, 2]), p).mean())
            for q in (0.3, 0.8):
                other = wilson(rng.binomial(2 * n, q, draws), np.full(draws, 2 * n))
                found["difference of two"].append(covered(difference(wilson(k, of), other), q - p).mean())
        for name, values in found.items():
            rows[name].append(f"{np.mean(values):.3f} ({np.min(values):.2f})")
    table(["interval of", *(f"n = {n}" for n in SIZES)], [[name, *row] for name, row in rows.items()])

    print("Macro averages; n samples of each class")
    kinds = ("macro_recall", "macro_precision", "macro_f1", "accuracy")
    lines = []
    for classes, n, right in ((2, 30, 0.9), (10, 30, 0.85), (10, 100, 0.95), (100, 30, 0.8)):
        hits: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(max(int(40 * runs), 4)):
            recall = np.clip(rng.beta(right * 20, (1 - right) * 20, classes), 0.02, 0.995)
            wrong = rng.dirichlet(np.full(classes, 0.3), classes)
            np.fill_diagonal(wrong, 0)
            wrong /= np.maximum(wrong.sum(axis=1, keepdims=True), 1e-12)
            joint = (np.diag(recall) + (1 - recall)[:, None] * wrong) / classes
            true = averages(np.round(joint * 1e12).astype(np.int64))
            for cells in rng.multinomial(n * classes, (joint / joint.sum()).ravel(), max(int(100 * runs), 20)):
                told = averages(cells.reshape(classes, classes))
                for name in kinds:
                    hits[name].append(float(covered(getattr(told, name), float(getattr(true, name).value))))
        lines.append([f"{classes} classes, n = {n}", *(f"{np.mean(hits[name]):.3f}" for name in kinds)])
    table(["", *(name.replace("_", " ") for name in kinds)], lines)


# -- false alarms ------------------------------------------------------------------------------------------------------


def naive(training: Training) -> bool:
    """The rule that is at hand: a class's recall falls by more than 0.2 from one batch to the next."""
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = training.tp / training.support
        return bool((np.diff(recall, axis=1) < -0.2).any())


def alarmed(training: Training) -> tuple[bool, list[int]]:
    """Whether the live watch raised any alarm, batch by batch; and in which batches it did for class 0."""
    watch = Watch(training.setting.classes, training.tp.shape[1])
    others, any_alarm, mine = training.others, False, []
    for at in range(training.tp.shape[1]):
        for alarm in watch.update(
            at + 1, at + 2, training.tp[:, at], training.fp[:, at], training.support[:, at], others[:, at]
        ):
            any_alarm = True
            mine += [at] if alarm.index == 0 else []
    return any_alarm, mine


def drops_of(found: Stability) -> list[int]:
    return [change.index for change in found.changes if change.kind == "drop"]


def alarms(runs: float) -> None:
    print("## Trainings without a defect: in how many is anything found in any class?")
    lines = []
    for setting in (*SETTINGS, HUGE):
        count = max(int((200 if setting.classes == 10 else 60) * runs), 3)
        watched = 3 if setting is HUGE else max(count // 4, 3)
        width = 10 if setting is HUGE else 1
        hits = np.zeros(6)
        for seed in range(count):
            rng = np.random.default_rng([2, seed, setting.classes, setting.size])
            training = train(rng, setting, width=width)
            found = stability(training.curves())
            hits[0] += bool((found.drops.drop > 0).any())
            hits[1] += bool(drops_of(found))
            hits[2] += "unstable" in found.instability.verdict
            hits[3] += setting is not HUGE and naive(training)
            if seed < watched:
                hits[4] += alarmed(train(rng, setting, width=width))[0]
                # Looked at again and again while it grows, as a page that is open does.
                looks = [found]
                curves = training.curves(200)
                for part in range(10, len(curves.start), 5):
                    cut = (slice(None), slice(0, part))
                    looks.append(
                        stability(
                            ClassCurves(
                                "train", curves.class_names, curves.start[:part], curves.stop[:part], None,
                                curves.tp[cut], curves.fp[cut], curves.fn[cut],
                            )
                        )
                    )  # fmt: skip
                hits[5] += any(drops_of(look) for look in looks)
        over = np.array([count, count, count, count, watched, watched])
        said = [percent(value) for value in hits / over]
        if setting is HUGE:
            said[3] = "–"
        lines.append([str(setting), str(count), *said[:3], said[4], said[5], said[3]])
    table(
        ["", "trainings", "certified drop", "change: a drop", "verdict unstable", "live alarm",
         "a drop in any of 39 looks", "rule: −0.2 in a batch"],
        lines,
    )  # fmt: skip


# -- power and delay ---------------------------------------------------------------------------------------------------

DEFECTS: dict[str, Plant] = {
    "collapse: −40 points for 2 %": collapse(0.02, 0.4),
    "collapse: −15 points for 10 %": collapse(0.1, 0.15),
    "see-saw: ±15 points, 12 times": see_saw,
    "slow forgetting: −15 points": forgetting,
}


def power(runs: float) -> None:
    print("## Trainings with a planted defect: is it found, is it dated, is another class accused?")
    count = max(int(60 * runs), 3)
    for setting in (*SETTINGS, HUGE):
        lines = []
        width = 10 if setting is HUGE else 1
        for name, plant in DEFECTS.items():
            drop = change = dated = verdict = accused = live = 0
            sizes, delays, each = [], [], count if setting.classes <= 100 else max(count // 6, 3)
            for seed in range(each):
                rng = np.random.default_rng([3, seed, setting.classes, setting.size])
                training = train(rng, setting, plant, width=width)
                found = stability(training.curves())
                drop += found.drops.drop[0] > 0
                sizes.append(float(found.drops.drop[0]))
                mine = [one for one in found.changes if one.index == 0 and one.kind == "drop"]
                change += bool(mine)
                # A collapse begins at once, and is dated within half a percent of the training; a slow loss takes a
                # third of it, and is dated where the change lies within that third.
                first = int((0.6 if "collapse" in name else 0.5) * setting.batches) + 1
                slack, last = setting.batches // 200, first + setting.batches // 3
                dated += any(
                    one.start - slack <= first < one.stop + slack if "collapse" in name else first <= one.at <= last
                    for one in mine
                )
                verdict += found.instability.verdict[0] == "unstable"
                innocent = ~training.unstable
                accused += bool((found.drops.drop[innocent] > 0).any() or innocent[drops_of(found)].any())
                if seed < each // 3 and "collapse" in name:
                    _, when = alarmed(training)
                    after = [(at + 1) * width + 1 - first for at in when if (at + 1) * width >= first]
                    live += bool(after)
                    delays += after[:1]
            watched = max(each // 3, 1)
            lines.append([
                name, percent(drop / each), f"{np.median(sizes):.2f}", percent(change / each),
                percent(dated / each) if "saw" not in name else "–", percent(verdict / each), percent(accused / each),
                percent(live / watched) if "collapse" in name else "–",
                f"{np.median(delays):.0f}" if delays else "–",
            ])  # fmt: skip
        print(f"{setting}; {count if setting.classes <= 100 else max(count // 6, 3)} trainings each")
        table(
            ["planted", "certified drop", "its size (median)", "change found", "and dated", "verdict unstable",
             "another accused", "live alarm", "delay, batches"],
            lines,
        )  # fmt: skip

    print("Late and thin classes; 10 classes, 2,000 batches of 128")
    setting = SETTINGS[1]
    order, thin = 0, {0.05: 0, 0.01: 0, 0.002: 0}
    told: dict[float, list[str]] = {share: [] for share in thin}
    for seed in range(count):
        rng = np.random.default_rng([4, seed])

        def late(_: np.random.Generator, true: Numbers) -> Sequence[int]:
            true[4] = 0.1 + 0.7 * (np.arange(true.shape[1]) > 0.5 * true.shape[1])
            return []

        order += int(stability(train(rng, setting, late).curves()).drops.learnt.argmax() == 4)
        for share in thin:
            of = np.full(10, (1 - share) / 9)
            of[0] = share
            found = stability(train(rng, setting, collapse(0.1, 0.4), share=of).curves())
            thin[share] += bool(found.drops.drop[0] > 0)
            told[share].append(found.instability.verdict[0])
    print(f"\nThe class that is learnt last is named in {percent(order / count)} of trainings.")
    table(
        ["share of the class", "samples in the collapse", "−40 points for 10 %: certified", "verdict “cannot tell”"],
        [
            [f"{100 * share:g} %", f"{share * setting.size * 200:.0f}", percent(hit / count),
             percent(told[share].count("cannot tell") / count)]
            for share, hit in thin.items()
        ],
    )  # fmt: skip


# -- alerts ------------------------------------------------------------------------------------------------------------


def alerts(runs: float) -> None:
    print("## Alerts by the rules that hold unasked, as the service finds them while a training grows")
    lines = []
    for setting in (*SETTINGS, HUGE):
        width = 10 if setting is HUGE else 1
        count = max(int((100 if setting.classes == 10 else 30 if setting.classes == 100 else 5) * runs), 3)
        healthy, found, others, delays = [0, 0], 0, 0, []
        for seed in range(count):
            rng = np.random.default_rng([7, seed, setting.classes, setting.size])
            changed, fallen = told(train(rng, setting, width=width))
            healthy[0] += bool(changed)
            healthy[1] += bool(fallen)
            training = train(rng, setting, collapse(0.02, 0.4), width=width)
            changed, fallen = told(training)
            first = int(0.6 * training.tp.shape[1]) + 1
            mine = [at for index, at in changed if index == 0 and at >= first]
            found += bool(mine)
            delays += [(mine[0] - first + 1) * width] if mine else []
            others += any(index != 0 for index, _ in changed) or bool(fallen - {0})
        lines.append([
            str(setting), str(count), percent(healthy[0] / count), percent(healthy[1] / count), percent(found / count),
            f"{np.median(delays):.0f}" if delays else "–", percent(others / count),
        ])  # fmt: skip
    table(
        ["", "trainings", "healthy: a change", "healthy: a drop of 10 points", "collapse by 40 points for 2 %: found",
         "delay, batches", "another accused"],
        lines,
    )  # fmt: skip


def told(training: Training) -> tuple[list[tuple[int, int]], set[int]]:
    """(class, step at which it was found) of each change, and the classes of which a drop was found at some look."""
    classes, total = training.tp.shape
    sums = [
        np.concatenate([np.zeros((classes, 1), np.int64), np.cumsum(counts, axis=1)], axis=1)
        for counts in (training.tp, training.fp, training.support)
    ]
    watch, changed = Watch(classes), []
    for start, stop in zip(*blocks(1, total, whole=True), strict=True):
        tp, fp, seen = (np.ascontiguousarray(one[:, stop - 1] - one[:, start - 1]) for one in sums)
        raised = watch.update(int(start), int(stop), tp, fp, seen, seen.sum() - seen)
        changed += [(alarm.index, int(stop) - 1) for alarm in raised]
    fallen: set[int] = set()
    _, looks = blocks(1, total, whole=True, fine=COARSE)
    for stop in looks[::4]:
        part = Training(
            training.setting, training.width, training.rates, training.tp[:, : stop - 1], training.fp[:, : stop - 1],
            training.support[:, : stop - 1], training.unstable,
        )  # fmt: skip
        if stop > 10:
            curves = part.curves()
            seen = curves.support
            drop = drops(curves.tp, curves.fp, seen, seen.sum(axis=0) - seen, cuts(curves.tp, seen)).drop
            fallen |= set(np.flatnonzero(drop >= 0.1).tolist())
    return changed, fallen


# -- ranking -----------------------------------------------------------------------------------------------------------


def scores(training: Training) -> Iterator[tuple[str, Numbers]]:
    """Ways to order classes by instability: ours, and those that are at hand."""
    found = stability(training.curves())
    yield "**likely drop** (the order of the page)", found.drops.likely
    yield "certified drop", found.drops.drop
    yield "excess instability (movement)", np.nan_to_num(found.instability.movement)
    with np.errstate(invalid="ignore", divide="ignore"):
        batch = training.tp / training.support
        blocks = training.curves(80)
        window = blocks.tp / blocks.support
    yield "standard deviation, by batch", np.nanstd(batch, axis=1)
    yield "standard deviation, 80 windows", np.nanstd(window, axis=1)
    yield "standard deviation of differences", np.nanstd(np.diff(window, axis=1), axis=1)
    yield "largest fall from window to window", np.nanmax(-np.diff(window, axis=1), axis=1)
    peak = np.fmax.accumulate(np.nan_to_num(window), axis=1)
    yield "largest drawdown, as it is seen", np.nanmax(peak - window, axis=1)


def auc(score: Numbers, unstable: NDArray[np.bool_]) -> float:
    good, bad = score[unstable][:, None], score[~unstable][None, :]
    return float(((good > bad) + 0.5 * (good == bad)).mean())


def ranking(runs: float) -> None:
    print("## Which classes are unstable? A fifth is; a fifth is merely late. AUC / precision among the first fifth")
    names: list[str] = []
    columns: list[list[str]] = []
    for setting in (*SETTINGS, HUGE):
        found: dict[str, list[tuple[float, float]]] = {}
        for seed in range(max(int((24 if setting.classes < 1000 else 4) * runs), 2)):
            rng = np.random.default_rng([5, seed, setting.classes, setting.size])
            training = train(rng, setting, many, width=10 if setting is HUGE else 1)
            count = int(training.unstable.sum())
            for name, score in scores(training):
                first = np.argsort(-score, kind="stable")[:count]
                found.setdefault(name, []).append((auc(score, training.unstable), training.unstable[first].mean()))
        names = list(found)
        columns.append(["{:.2f} / {:.2f}".format(*np.mean(values, axis=0)) for values in found.values()])
    head = [f"{s.classes:,} cl., {s.batches:,} × {s.size}" for s in (*SETTINGS, HUGE)]
    table(["order by", *head], [[name, *(column[place] for column in columns)] for place, name in enumerate(names)])


# -- speed -------------------------------------------------------------------------------------------------------------


def speed(_: float) -> None:
    print("## Speed: all classes of a run of 100,000 batches, counts in memory; least of 9, median")
    lines = []
    for classes, size, limit in ((10, 32, 30), (100, 128, 60), (1000, 256, 200)):
        windows = windows_for(classes)
        setting = Setting(classes, size, 100_000)
        training = train(np.random.default_rng(6), setting, many, width=100_000 // windows)
        curves = training.curves(windows)
        taken = []
        for _round in range(9):
            begin = time.perf_counter()
            stability(curves)
            taken.append(1000 * (time.perf_counter() - begin))
        watch, updates = Watch(classes), []
        for at in range(min(curves.tp.shape[1], 300)):
            tp, fp, seen = (np.ascontiguousarray(counts[:, at]) for counts in (curves.tp, curves.fp, curves.support))
            begin = time.perf_counter()
            watch.update(at + 1, at + 2, tp, fp, seen, seen.sum() - seen)
            updates.append(1000 * (time.perf_counter() - begin))
        said = [f"{value:.0f} ms" for value in (min(taken), float(np.median(taken)), limit)]
        live = [f"{np.median(updates):.2f} ms", *(f"{value:.2f} ms" for value in flushes(classes, size))]
        lines.append([f"{classes:,}", f"{curves.tp.shape[1]:,}", *said, *live])
    table(
        ["classes", "windows", "analysis, least", "median", "limit", "live, one update", "one flush of 10 steps, from "
         "the store", "of 1 step"],
        lines,
    )  # fmt: skip


def flushes(classes: int, size: int) -> tuple[float, float]:
    """Median milliseconds in which a watch that is kept takes in what a flush of 10 steps, and of 1, has brought."""
    rng = np.random.default_rng(8)
    medians = []
    for steps in (10, 1):
        with tempfile.TemporaryDirectory() as folder:
            database = Database(Path(folder))
            writer, watches = Writer(database), Watches(database, Blocks())
            taken = []
            for number in range(150):
                names = tuple(f"class {index}" for index in range(classes))
                info = wire.RunInfo("p", "n", 1, outputs=[wire.Output("output", names)]) if number == 0 else None
                first = number * steps + 1
                cells = [
                    np.unique(rng.integers(0, classes, (2, size)), axis=1, return_counts=True) for _ in range(steps)
                ]
                pairs, count = np.concatenate([one for one, _ in cells], axis=1), np.concatenate([n for _, n in cells])
                columns = wire.ConfusionColumns.of(
                    "output",
                    "train",
                    list(range(first, first + steps)),
                    [len(n) for _, n in cells],
                    pairs[0],
                    pairs[1],
                    count,
                )
                body = wire.encode(
                    wire.Flush(wire.VERSION, "watched00001", "stream00", number + 1, 1, info, [], [columns])
                )
                asyncio.run(writer.append(log.Posted(wire.decode(body), body, zlib.crc32(body), 1)))
                with database.read() as connection:
                    row = runs.get(connection, "watched00001")
                begin = time.perf_counter()
                watches.alarms(row, 0)
                taken.append(1000 * (time.perf_counter() - begin))
                while number % 32 == 31:  # as the service seals
                    with database.read() as connection:
                        step = sealing.read(connection, row["id"])
                    if step is None:
                        break
                    sealing.worked_out(step)
                    writer.submit(functools.partial(sealing.write, step=step)).result()
            medians.append(float(np.median(taken[10:])))
            writer.close()
            database.close()
    return medians[0], medians[1]


PARTS: dict[str, Callable[[float], None]] = {
    "coverage": coverage, "alarms": alarms, "power": power, "alerts": alerts, "ranking": ranking, "speed": speed,
}  # fmt: skip


def machine() -> str:
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), model
        )
    return f"{model}, Python {platform.python_version()}, NumPy {np.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(PARTS), action="append", help="one part; may be given again")
    parser.add_argument("--runs", type=float, default=1.0, help="how many simulated trainings, 1 as published")
    chosen = parser.parse_args()
    print(machine())
    for name in chosen.only or PARTS:
        begin = time.perf_counter()
        PARTS[name](chosen.runs)
        print(f"({name}: {time.perf_counter() - begin:.0f} s)", file=sys.stderr)


if __name__ == "__main__":
    main()
