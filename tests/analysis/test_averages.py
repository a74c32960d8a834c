"""Macro and micro averages: scikit-learn's values, and intervals held against a bootstrap and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from epochscope_server.analysis.averages import Averages, averages
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

NAMES = ("macro_precision", "macro_recall", "macro_f1")


def labels(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = (index.ravel() for index in np.indices(counts.shape))
    return np.repeat(true, counts.ravel()), np.repeat(predicted, counts.ravel())


def drawn(classes: int, samples: int, right: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shares = rng.uniform(0.2, 1.0, (classes, classes)) * (1 - right)
    np.fill_diagonal(shares, 0)
    np.fill_diagonal(shares, right / (1 - right) * shares.sum(axis=1))
    return np.asarray(rng.multinomial(samples, (shares / shares.sum()).ravel()).reshape(classes, classes))


@pytest.mark.parametrize("seed", range(4))
def test_the_values_are_scikit_learns(seed: int) -> None:
    counts = drawn(5, 300, 0.7, seed)
    found = averages(counts)
    true, predicted = labels(counts)
    expected = precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)[:3]
    for name, value in zip(NAMES, expected, strict=True):
        assert float(getattr(found, name).value) == pytest.approx(value, abs=1e-12)
    assert float(found.accuracy.value) == pytest.approx(accuracy_score(true, predicted))


def test_a_class_that_did_not_occur_is_left_out_and_one_never_predicted_has_precision_zero() -> None:
    counts = np.array([[8, 2, 0], [4, 0, 0], [0, 0, 0]])
    found = averages(counts)
    assert float(found.macro_recall.value) == pytest.approx((0.8 + 0) / 2)
    assert float(found.macro_precision.value) == pytest.approx((8 / 12 + 0) / 2)


def test_nothing_counted_is_unknown() -> None:
    found = averages(np.zeros((3, 3), np.int64))
    for name in (*NAMES, "accuracy"):
        rate = getattr(found, name)
        assert np.isnan([rate.value, rate.low, rate.high]).all()


def test_of_one_class_the_macro_recall_is_its_recall_with_wilsons_interval() -> None:
    found = averages(np.array([[31, 9], [0, 0]])).macro_recall
    interval = binomtest(31, 40).proportion_ci(method="wilson")
    assert [float(end) for end in (found.low, found.high)] == pytest.approx([interval.low, interval.high])


def test_perfect_counts_reach_one_and_leave_a_doubt_below() -> None:
    for rate in (averages(np.diag([20, 30, 40])).macro_f1, averages(np.diag([20, 30, 40])).macro_recall):
        assert (float(rate.value), float(rate.high)) == (1.0, 1.0)
        assert 0.9 < float(rate.low) < 1


@pytest.mark.parametrize(("classes", "samples", "right"), [(2, 300, 0.9), (5, 600, 0.7), (10, 2000, 0.9)])
def test_the_intervals_are_as_wide_as_a_bootstrap_says(classes: int, samples: int, right: float) -> None:
    counts = drawn(classes, samples, right, 1)
    found = averages(counts)
    again = np.random.default_rng(2).multinomial(samples, counts.ravel() / samples, 600)
    others: list[Averages] = [averages(one.reshape(counts.shape)) for one in again]
    for name in NAMES:
        low, high = np.quantile([float(getattr(one, name).value) for one in others], [0.025, 0.975])
        rate = getattr(found, name)
        assert float(rate.high - rate.low) == pytest.approx(high - low, rel=0.12), name
        assert float(rate.low) < float(rate.value) < float(rate.high)


def test_the_interval_of_macro_f1_holds_as_often_as_it_says_where_many_classes_have_few_samples() -> None:
    """The mean F1 of few samples lies below the truth; the interval of many classes is too short not to feel it."""
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.full(60, 0.3), 60)
    np.fill_diagonal(shares, 0)
    shares *= (0.2 / shares.sum(axis=1))[:, None]
    np.fill_diagonal(shares, 0.8)
    joint = shares / shares.sum()
    called, members = joint.sum(axis=0), joint.sum(axis=1)
    truth = float((2 * np.diagonal(joint) / (called + members)).mean())
    found = [averages(one.reshape(60, 60)).macro_f1 for one in rng.multinomial(60 * 12, joint.ravel(), 400)]
    assert np.mean([rate.value for rate in found]) < truth - 0.005
    assert 0.93 <= np.mean([rate.low <= truth <= rate.high for rate in found]) <= 0.98
