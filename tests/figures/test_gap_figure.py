"""Training against validation, and groups of runs, as figures: numbers, order, what is filled, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.compare import differ, scores
from epochscope_server.analysis.gap import verdicts
from epochscope_server.analysis.groups import differ as differ_groups
from epochscope_server.analysis.groups import group
from epochscope_server.figures.gap import gap_figure
from epochscope_server.figures.groups import groups_figure

NAMES = ("cat", "dog", "<b>eel</b>", "never")


@pytest.fixture
def gap() -> dict[str, Any]:
    """Cats are better in training by 20 points, dogs alike, eels better in validation; the last class was not seen."""
    train = np.array([[180, 20, 0, 0], [20, 180, 0, 0], [50, 50, 100, 0], [0, 0, 0, 0]])
    val = np.array([[140, 60, 0, 0], [22, 178, 0, 0], [10, 30, 160, 0], [0, 0, 0, 0]])
    a, b = scores(val, "recall"), scores(train, "recall")
    found = differ(a, b)
    return gap_figure(NAMES, b.rate, a.rate, found.difference, verdicts(found), epoch=3, steps=(91, 101))


def test_a_gap_is_training_minus_validation_the_greatest_on_top(gap: Any, validated: Any, decoded: Any) -> None:
    figure = validated(gap)
    (dots,) = figure["data"]
    assert decoded(dots["x"]).tolist() == pytest.approx([20, 1, -30])
    assert figure["layout"]["yaxis"]["ticktext"] == ["cat", "dog", "&lt;b&gt;eel&lt;/b&gt;"]
    assert decoded(dots["customdata"])[0, 3:].tolist() == pytest.approx([0.9, 0.7])
    low = decoded(dots["x"]) - decoded(dots["error_x"]["arrayminus"])
    assert low[0] > 10
    assert low[1] < 0


def test_only_what_noise_does_not_explain_is_filled(gap: Any) -> None:
    (dots,) = gap["data"]
    filled = [
        colour == edge for colour, edge in zip(dots["marker"]["color"], dots["marker"]["line"]["color"], strict=True)
    ]
    assert filled == [True, False, True]
    assert gap["layout"]["meta"]["summary"].startswith("cat is better in training by 20 points (95 %: 12 to 2")
    assert (gap["layout"]["meta"]["epoch"], gap["layout"]["meta"]["from"], gap["layout"]["meta"]["to"]) == (3, 91, 101)


def test_nothing_counted_is_said_and_not_drawn(validated: Any) -> None:
    none = scores(np.zeros((4, 4), np.int64), "recall")
    found = differ(none, none)
    figure = validated(
        gap_figure(NAMES, none.rate, none.rate, found.difference, verdicts(found), epoch=1, steps=(1, 2))
    )
    assert figure["layout"]["meta"]["empty"]
    values = np.full((2, 4), np.nan)
    assert validated(groups_figure(NAMES, [("a", group(values), values)], None))["layout"]["meta"]["empty"]


@pytest.fixture
def seeds() -> Callable[[float], Any]:
    """Three runs of three classes; the second is recognised so well."""

    def values(dog: float) -> Any:
        rng = np.random.default_rng(int(100 * dog))
        return np.array([0.9, dog, 0.8]) + rng.normal(0, [0.01, 0.004, 0.03], (3, 3))

    return values


def test_groups_that_differ_more_than_their_seeds_stand_on_top_with_a_sign(
    seeds: Any, validated: Any, decoded: Any
) -> None:
    a, b = seeds(0.7), seeds(0.85)
    first, second = group(a), group(b)
    figure = validated(
        groups_figure(
            NAMES[:3], [("<i>a</i>", first, a), ("b", second, b)], differ_groups(first, second), metric="recall"
        )
    )
    marks, means, _, others = figure["data"]
    assert figure["layout"]["yaxis"]["ticktext"][0] == "◆ dog"
    assert not any(text.startswith("◆") for text in figure["layout"]["yaxis"]["ticktext"][1:])
    assert decoded(means["x"])[0] == pytest.approx(a[:, 1].mean())
    assert decoded(others["x"])[0] == pytest.approx(b[:, 1].mean())
    assert sorted(decoded(marks["x"])[::3]) == pytest.approx(sorted(a[:, 1]))
    assert means["name"] == "&lt;i&gt;a&lt;/i&gt;"
    assert figure["layout"]["meta"]["summary"].startswith("dog is better in b than in <i>a</i> by 1")
    assert decoded(means["customdata"])[0, 2] == pytest.approx(a[:, 1].std(ddof=1))


def test_the_interval_of_few_runs_is_not_drawn_past_what_a_share_may_be(seeds: Any, decoded: Any) -> None:
    values = np.array([[0.99, 0.5], [0.8, 0.1]])
    figure = groups_figure(NAMES[:2], [("a", group(values), values)], None)
    means = figure["data"][1]
    assert (decoded(means["x"]) + decoded(means["error_x"]["array"])).max() <= 1 + 1e-6
    assert (decoded(means["x"]) - decoded(means["error_x"]["arrayminus"])).min() >= -1e-6
    assert decoded(means["customdata"])[:, 1].max() > 1
    assert "dog differs most between them" in figure["layout"]["meta"]["summary"]


def test_one_run_is_no_group(validated: Any) -> None:
    values = np.array([[0.9, 0.5]])
    figure = validated(groups_figure(NAMES[:2], [("a", group(values), values)], None))
    assert "train it with other seeds" in figure["layout"]["meta"]["summary"]
