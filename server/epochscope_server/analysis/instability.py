"""Excess instability: does a class's recall move more from block to block than chance alone would move it?

A block of n samples with recall R has the binomial variance R (1 - R) / n even where the model stands still. So the
sum of squared movements is divided by the sum that binomial noise is expected to make:

    movement of block t:   d_t = R_t - (R_{t-1} + R_{t+1}) / 2         (a steady rise or fall moves nothing)
    expected of noise:     v_t = s_t + (s_{t-1} + s_{t+1}) / 4,        s_t = q_t (1 - q_t) / n_t * N_t / (N_t - 1)
    index:                 Q = sum d_t^2 / sum v_t

q_t = K_t / N_t is the recall of the eleven blocks around t. Q is 1 on average where only the drawing of samples moves
the recall, whatever the batch size or the class's share; twice as much variance gives 2.

The idea is von Neumann's ratio (Annals of Mathematical Statistics 12 (1941), 367-395) over the binomial variance
instead of the sample's own; D. B. Laney's p' chart (Quality Engineering 14 (2002), 531-537) corrects control charts in
the same way. Second differences take the place of first ones because a class that is being learnt rises by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from epochscope_server.analysis.blocks import edges, pooled
from epochscope_server.analysis.rates import Numbers, Whole

BLOCK = 32  # samples that a block of a class holds on average, at least
AROUND = 5  # blocks on either side from which the level is taken
TOLERANCE = 0.05  # a movement of less than five points is no instability, however sure it is
LEAST_MOVEMENTS = 5
WORK = 100_000  # classes times blocks, about 10 ms


@dataclass(frozen=True)
class Instability:
    """Per class, arrays [N].

    ``value`` float64: Q, NaN where there are too few blocks or nothing to divide by; ``low``, ``high`` float64: within
    them all classes lie at 95 % if nothing but chance, or a movement of less than five points, is at work;
    ``movement`` float64: standard deviation of the recall beyond chance; ``visible`` float64: the smallest such
    movement that would have shown; ``windows`` int64: windows of the input that make a block; ``verdict``: "noise",
    "unstable" or "cannot tell".
    """

    value: Numbers
    low: Numbers
    high: Numbers
    movement: Numbers
    visible: Numbers
    windows: Whole
    verdict: tuple[str, ...]


def instability(tp: Whole, support: Whole) -> Instability:
    """The index of each class from its counts in consecutive windows.

    Args:
        tp, support: int64 [N, P], members recognised and members seen.
    """
    classes, windows = tp.shape
    out = {name: np.full(classes, np.nan) for name in ("value", "low", "high", "movement", "visible")}
    factor = _factors(support)
    z = NormalDist().inv_cdf(1 - 0.025 / max(classes, 1))
    for size in np.unique(factor):
        rows = factor == size
        begin = edges(windows, int(size))
        found = _index(pooled(tp[rows], begin), pooled(support[rows], begin), z)
        for name, values in found.items():
            out[name][rows] = values
    # A class in which nothing was ever missed, or ever recognised, has no noise to be compared with, and stood still.
    total = support.sum(axis=1)
    still = ((tp.sum(axis=1) == total) | (tp.sum(axis=1) == 0)) & (total >= BLOCK * LEAST_MOVEMENTS)
    verdict = tuple(
        "unstable" if value > high else "noise" if visible <= TOLERANCE or stood else "cannot tell"
        for value, high, visible, stood in zip(out["value"], out["high"], out["visible"], still, strict=True)
    )
    return Instability(**out, windows=factor, verdict=verdict)


def _factors(support: Whole) -> Whole:
    """How many windows make a block for each class: the power of two that gives ``BLOCK`` samples on average."""
    classes, windows = support.shape
    mean = np.maximum(support.sum(axis=1) / max(windows, 1), 1e-9)
    factor = 2 ** np.ceil(np.log2(np.maximum(np.maximum(BLOCK / mean, classes * windows / WORK), 1)))
    whole: Whole = np.minimum(factor, max(windows, 1)).astype(np.int64)
    return whole


def _index(tp: Whole, support: Whole, z: float) -> dict[str, Numbers]:
    classes, blocks = tp.shape
    unknown = np.full(classes, np.nan)
    if blocks < LEAST_MOVEMENTS + 2:
        return dict.fromkeys(("value", "low", "high", "movement", "visible"), unknown)
    n = np.maximum(support, 1).astype(np.float64)
    recall = tp / n
    level, of = (_around(counts) for counts in (tp, support))
    q = level / np.maximum(of, 1)
    noise = q * (1 - q) / n * of / np.maximum(of - 1, 1)
    fourth = q * (1 - q) * (1 - 6 * q * (1 - q)) / n**3
    seen = support > 0
    known = (seen[:, 1:-1] & seen[:, :-2] & seen[:, 2:]).astype(np.float64)
    moved = known * (recall[:, 1:-1] - (recall[:, :-2] + recall[:, 2:]) / 2) ** 2
    expected = (known * (noise[:, 1:-1] + (noise[:, :-2] + noise[:, 2:]) / 4)).sum(axis=1)
    count = known.sum(axis=1)
    # The variance of the sum, exact for independent blocks: each block's square with its weight, and each product of
    # two blocks, since all these terms are uncorrelated.
    wide = np.pad(known, ((0, 0), (2, 2)))
    square = wide[:, 1:-1] + (wide[:, :-2] + wide[:, 2:]) / 4
    beside = wide[:, 1:-2] + wide[:, 2:-1]
    variance = (
        (square**2 * (fourth + 2 * noise**2)).sum(axis=1)
        + (beside**2 * noise[:, 1:] * noise[:, :-1]).sum(axis=1)
        + (known**2 / 4 * noise[:, 2:] * noise[:, :-2]).sum(axis=1)
    )
    enough = (count >= LEAST_MOVEMENTS) & (expected > 0)
    safe = np.where(enough, expected, 1.0)
    value = np.where(enough, moved.sum(axis=1) / safe, np.nan)
    spread = np.where(enough, variance, np.nan) / safe**2
    low, high = (_scaled_chi_square(spread, end) for end in (-z, z))
    each = safe / (1.5 * np.maximum(count, 1))  # the noise of one block
    visible = np.sqrt(np.maximum(high - 1, 0) * each)
    high = np.maximum(high, 1 + TOLERANCE**2 / each)
    movement = np.sqrt(np.maximum(value - 1, 0) * each)
    return {"value": value, "low": low, "high": high, "movement": movement, "visible": visible}


def _around(counts: Whole) -> Numbers:
    """Sums over ``AROUND`` blocks on either side and the block itself, cut off at the ends; float64 [N, B]."""
    blocks = counts.shape[1]
    sums = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(counts, axis=1)], axis=1)
    at = np.arange(blocks)
    around: Numbers = sums[:, np.minimum(at + AROUND + 1, blocks)] - sums[:, np.maximum(at - AROUND, 0)]
    return around


def _scaled_chi_square(variance: Numbers, z: float) -> Numbers:
    """The quantile at normal ``z`` of a chi-square scaled to mean 1 and this variance.

    Source: E. B. Wilson, M. M. Hilferty, "The distribution of chi-square", PNAS 17 (1931), 684-688.
    """
    ninth = variance / 9  # 2 / (9 nu), with nu = 2 / variance degrees of freedom
    root: Numbers = np.maximum(1 - ninth + z * np.sqrt(ninth), 0.0)
    return root**3
