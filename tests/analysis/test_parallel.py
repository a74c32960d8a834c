"""Params and results of many runs: which are chosen, where runs stand, which pass; correlation against scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.parallel import Brush, axis, chosen, correlation, passing
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

RUNS: list[dict[str, Any]] = [
    {"params.lr": 0.1, "params.opt": "adam", "params.same": 1, "params.seed": 1, "summary.val_macro_f1": 0.5},
    {"params.lr": 0.001, "params.opt": "sgd", "params.same": 1, "params.seed": 2, "summary.val_macro_f1": "NaN"},
    {"params.lr": 0.01, "params.same": 1, "params.seed": 3, "summary.val_macro_f1": 0.9, "summary.loss": 1.0},
]


def test_params_that_differ_and_results_are_chosen_seeds_after_the_others() -> None:
    assert chosen(RUNS) == ["params.lr", "params.opt", "params.seed", "summary.val_macro_f1", "summary.loss"]


def test_numbers_over_decades_stand_on_a_logarithmic_axis() -> None:
    one = axis("params.lr", RUNS)
    assert one.kind == "log"
    assert one.places(one.values) == pytest.approx([1, 0, 0.5])
    assert axis("params.seed", RUNS).kind == "number"


def test_words_stand_in_order_and_what_a_run_lacks_nowhere() -> None:
    one = axis("params.opt", RUNS)
    assert (one.kind, one.categories) == ("category", ("adam", "sgd"))
    assert one.places(one.values) == pytest.approx([0.25, 0.75, np.nan], nan_ok=True)
    assert [one.word(value) for value in one.values.tolist()] == ["adam", "sgd", "none"]


def test_a_result_that_is_no_number_leaves_its_axis_one_of_numbers() -> None:
    one = axis("summary.val_macro_f1", RUNS)
    assert one.kind == "number"
    assert one.values == pytest.approx([0.5, np.nan, 0.9], nan_ok=True)


def test_yes_and_no_are_words_not_numbers() -> None:
    assert axis("x", [{"x": True}, {"x": False}]).categories == ("no", "yes")
    assert axis("x", [{"x": 3}, {"x": "3 layers"}]).categories == ("3", "3 layers")


def test_runs_pass_one_stretch_of_each_axis_that_has_some() -> None:
    axes = [axis(name, RUNS) for name in ("params.lr", "params.opt")]
    assert passing(axes, [], 3).tolist() == [True, True, True]
    assert passing(axes, [Brush("params.lr", 0.005, 0.1)], 3).tolist() == [True, False, True]
    two = [Brush("params.lr", 0.0005, 0.002), Brush("params.lr", 0.05, 1)]
    assert passing(axes, two, 3).tolist() == [True, True, False]
    assert passing(axes, [*two, Brush("params.opt", 0, 0)], 3).tolist() == [True, False, False]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 6), st.floats(-5, 5) | st.just(math.nan)), min_size=8, max_size=30))
def test_rank_correlation_is_scipys(pairs: list[tuple[int, float]]) -> None:
    a, b = np.array(pairs, float).T
    both = np.isfinite(b)
    found = correlation(a, b)
    if both.sum() < 8 or len(set(a[both])) == 1 or len(set(b[both])) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(a[both], b[both]).statistic)
