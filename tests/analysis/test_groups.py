"""Groups of runs, differences and gaps: held against SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis import student
from epochscope_server.analysis.compare import Difference, cells, chance, discoveries, scores
from epochscope_server.analysis.compare import differ as compared
from epochscope_server.analysis.gap import last_stretch, verdicts
from epochscope_server.analysis.groups import differ, group
from scipy import stats
from sklearn.metrics import f1_score


@pytest.mark.parametrize("freedom", [1, 2, 2.5, 7.3, 30, 1e4])
def test_students_tail_and_quantile_are_scipys(freedom: float) -> None:
    for t in (0.0, 0.3, 1.0, 2.5, -4.0, 40.0):
        assert student.tail(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-9, abs=1e-300)
    assert student.quantile(0.05, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


def test_the_mean_of_a_group_has_scipys_interval_and_unknown_values_are_left_out() -> None:
    values = np.array([[0.8, 0.5, np.nan], [0.84, np.nan, np.nan], [0.79, 0.52, 0.3]])
    found = group(values)
    for index, column in enumerate(([0.8, 0.84, 0.79], [0.5, 0.52])):
        low, high = stats.t.interval(0.95, len(column) - 1, np.mean(column), stats.sem(column))
        ends = (found.mean.value[index], found.mean.low[index], found.mean.high[index])
        assert ends == pytest.approx((np.mean(column), low, high))
        assert found.spread[index] == pytest.approx(np.std(column, ddof=1))
    assert found.runs.tolist() == [3, 2, 1]
    assert np.isnan([found.spread[2], found.mean.low[2]]).all()


def test_two_groups_are_compared_by_welchs_test_and_hochbergs_rate() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.01, (3, 6)), rng.normal(0.82, 0.03, (5, 6))
    found = differ(group(a), group(b))
    expected = stats.ttest_ind(b, a, equal_var=False)
    np.testing.assert_allclose(found.p, expected.pvalue)
    np.testing.assert_allclose(found.q, stats.false_discovery_control(expected.pvalue))
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose(found.difference.low, interval.low)
    np.testing.assert_allclose(found.difference.high, interval.high)


def test_a_single_run_or_none_tells_nothing_and_runs_that_are_all_alike_tell_for_certain() -> None:
    alone, two = group(np.array([[0.8]])), group(np.array([[0.8], [0.8]]))
    assert np.isnan(differ(alone, two).p[0])
    assert differ(two, two).p[0] == 1
    assert differ(two, group(np.array([[0.9], [0.9]]))).p[0] == 0


def test_chance_is_the_corrected_chi_square_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n, m = rng.integers(1, 300, 2)
        k, j = rng.integers(0, n + 1), rng.integers(0, m + 1)
        table = np.array([[k, n - k], [j, m - j]])
        expected = 1.0 if (table.sum(axis=0) == 0).any() else stats.chi2_contingency(table, correction=True).pvalue
        assert float(chance(k, n, j, m)) == pytest.approx(expected, rel=1e-9)


def test_chance_stands_near_fishers_exact_test_where_counts_are_small() -> None:
    for k, j in ((0, 6), (1, 8), (3, 5)):
        exact = stats.fisher_exact(np.array([[k, 20 - k], [j, 20 - j]])).pvalue
        assert float(chance(np.array(k), np.array(20), np.array(j), np.array(20))) == pytest.approx(exact, abs=0.03)


def test_discovery_rates_are_scipys() -> None:
    p = np.random.default_rng(1).uniform(0, 1, 40) ** 3
    np.testing.assert_allclose(discoveries(p), stats.false_discovery_control(p))
    assert discoveries(np.zeros(0)).shape == (0,)


def test_cells_without_a_difference_are_no_discoveries_and_a_planted_one_is() -> None:
    rng = np.random.default_rng(2)
    shares = np.full((20, 20), 0.01)
    np.fill_diagonal(shares, 0.81)
    a, b = (np.array([rng.multinomial(2000, row) for row in shares]) for _ in range(2))
    assert (cells(a, b).q > 0.05).all()
    b[3, 7] += 60
    found = cells(a, b)
    assert np.argwhere(found.q <= 0.05).tolist() == [[3, 7]]
    assert found.difference[3, 7] > 0.02


def test_a_class_absent_from_one_matrix_is_not_compared() -> None:
    a, b = np.diag([50, 0]), np.diag([50, 50])
    found = cells(a, b)
    assert np.isnan(found.difference[1]).all()
    assert found.q.min() == 1


def gap(train: Any, val: Any, metric: str = "recall") -> Difference:
    return compared(scores(val, metric), scores(train, metric))


def test_the_gap_is_training_minus_validation_with_its_sign() -> None:
    train, val = np.array([[950, 50], [100, 900]]), np.array([[700, 300], [95, 905]])
    found = gap(train, val)
    assert found.difference.value == pytest.approx([0.25, -0.005])
    assert found.difference.low[0] < 0.25 < found.difference.high[0]
    assert verdicts(found) == ("overfits", "no difference seen")
    assert verdicts(gap(val, train))[0] == "better in validation"
    true, predicted = (np.repeat(index.ravel(), val.ravel()) for index in np.indices((2, 2)))
    assert scores(val, "f1").rate.value == pytest.approx(f1_score(true, predicted, average=None))
    assert verdicts(gap(train, val, "f1"))[0] == "overfits"


def test_a_class_without_support_has_no_gap() -> None:
    found = gap(np.diag([100, 0]), np.diag([100, 10]))
    assert verdicts(found) == ("no difference seen", "unknown")
    assert np.isnan(found.difference.value[1])
    assert found.q[1] == 1


@pytest.mark.parametrize(
    ("seen", "wanted", "expected"),
    [
        (60_000, 10_000, (1908, 2001)),  # 10,000 samples would be 157 steps: no more than a tenth of 938
        (60_000, 1_000, (1985, 2001)),
        (60_000, 1, (2000, 2001)),
        (0, 100, (1908, 2001)),
    ],
)
def test_the_end_of_an_epoch_holds_as_many_samples_as_validation_but_at_most_a_tenth(
    seen: int, wanted: int, expected: tuple[int, int]
) -> None:
    assert last_stretch(1063, 2001, seen, wanted) == expected
