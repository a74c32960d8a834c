"""GET /runs/{run}/gap and /compare/groups: training beside validation at the same weights, and seeds side by side."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from scipy import stats
from sklearn.metrics import f1_score
from stage import Service, Training, counted

NAMES = ("cat", "dog", "eel")


def batch(rng: np.random.Generator, size: int, rates: tuple[float, ...]) -> tuple[Any, Any]:
    labels = rng.integers(0, 3, size)
    right = rng.random(size) < np.array(rates)[labels]
    return labels, np.where(right, labels, (labels + 1) % 3)


@pytest.fixture(scope="module")
def told(service: Service) -> Training:
    """Two epochs of 200 steps: all classes at 0.5 for the first nine tenths of each, then at 0.9; validated at 0.9 but
    for the eel, at 0.7."""
    rng = np.random.default_rng(0)
    training = Training(service, class_names=NAMES)
    for epoch in (1, 2):
        first, rates = (epoch - 1) * 200 + 1, [(0.5,) * 3] * 180 + [(0.9,) * 3] * 20
        training.send(
            confusion=[
                counted([batch(rng, 100, rate) for rate in rates], first),
                counted([batch(rng, 500, (0.9, 0.9, 0.7)) for _ in range(10)], (epoch - 1) * 10 + 1, "val"),
            ],
            spans=[
                wire.Span("train", epoch, first, first + 200),
                wire.Span("val", epoch, (epoch - 1) * 10 + 1, epoch * 10 + 1),
            ],
        )
    return training


def test_training_is_the_end_of_the_epoch_and_not_its_mean(told: Training) -> None:
    answer = told.get("/gap")
    assert answer["epoch"] == 2
    assert answer["train"] == {"from": 381, "to": 401}
    assert answer["val"] == {"from": 11, "to": 21}
    cat, dog, eel = answer["classes"]
    for one in (cat, dog):
        assert one["recall"]["train"]["value"] == pytest.approx(0.9, abs=0.04)
        assert one["recall"]["verdict"] == "no difference seen"
        assert one["recall"]["gap"]["low"] < 0 < one["recall"]["gap"]["high"]
    assert eel["recall"]["verdict"] == "overfits"
    assert eel["recall"]["gap"]["low"] > 0.1
    assert eel["recall"]["q"] < 1e-6


def test_an_earlier_epoch_may_be_asked_for_and_one_that_was_not_validated_is_not_there(told: Training) -> None:
    assert told.get("/gap", epoch=1)["train"] == {"from": 181, "to": 201}
    answer = told.ask("/gap", epoch=7)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].endswith("1, 2")


def test_without_validation_there_is_no_gap_to_tell(service: Service) -> None:
    training = Training(service, class_names=NAMES)
    training.send(confusion=[counted([([0], [0])])], spans=[wire.Span("train", 1, 1, 2)])
    assert training.ask("/gap").status_code == 404


@pytest.fixture(scope="module")
def seeds(service: Service) -> dict[str, list[tuple[str, Any, Any]]]:
    """Three runs in each of two groups; the second recognises the dog better by ten points."""
    made: dict[str, list[tuple[str, Any, Any]]] = {"a": [], "b": []}
    for name, dog in (("a", 0.7), ("b", 0.8)):
        for seed in range(3):
            rng = np.random.default_rng([seed, int(100 * dog)])
            labels, guesses = batch(rng, 6000, (0.9, dog + rng.normal(0, 0.005), 0.85 + rng.normal(0, 0.02)))
            training = Training(service, class_names=NAMES)
            training.send(confusion=[counted([(labels, guesses)], split="val")], spans=[wire.Span("val", 1, 1, 2)])
            made[name].append((training.run, labels, guesses))
    return made


def test_groups_are_compared_as_scipy_compares_their_runs(service: Service, seeds: Any) -> None:
    ids = {name: ",".join(run for run, *_ in group) for name, group in seeds.items()}
    answer = service.get("/compare/groups", first=ids["a"], second=ids["b"], epoch=1)
    f1 = {
        name: np.array([f1_score(labels, guesses, average=None) for _, labels, guesses in group])
        for name, group in seeds.items()
    }
    expected = stats.ttest_ind(f1["b"], f1["a"], equal_var=False)
    q = stats.false_discovery_control(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    for index, one in enumerate(answer["classes"]):
        found = one["f1"]
        assert found["first"]["mean"]["value"] == pytest.approx(f1["a"][:, index].mean())
        assert found["second"]["spread"] == pytest.approx(f1["b"][:, index].std(ddof=1))
        assert found["difference"]["low"] == pytest.approx(interval.low[index])
        assert (found["p"], found["q"]) == (pytest.approx(expected.pvalue[index]), pytest.approx(q[index]))
    assert [one["recall"]["real"] for one in answer["classes"]] == [False, True, False]
    macro = np.array([f1_score(labels, guesses, average="macro") for _, labels, guesses in seeds["a"]])
    assert answer["averages"]["macro_f1"]["first"]["mean"]["value"] == pytest.approx(macro.mean())


def test_one_group_alone_has_its_mean_and_spread(service: Service, seeds: Any) -> None:
    answer = service.get("/compare/groups", first=",".join(run for run, *_ in seeds["a"]), epoch=1)
    found = answer["classes"][0]["recall"]
    assert found["first"]["runs"] == 3
    assert found["first"]["mean"]["low"] < found["first"]["mean"]["value"] < found["first"]["mean"]["high"]
    assert (found["second"], found["difference"], found["real"]) == (None, None, False)


def test_of_a_single_run_no_spread_is_known(service: Service, seeds: Any) -> None:
    (run, *_), *_ = seeds["a"]
    found = service.get("/compare/groups", first=run, second=run, epoch=1)["classes"][0]["recall"]
    assert (found["first"]["spread"], found["p"], found["real"]) == (None, None, False)


def test_groups_of_other_classes_or_of_nothing_are_refused(service: Service, seeds: Any) -> None:
    (run, *_), *_ = seeds["a"]
    other = Training(service, class_names=("x", "y"))
    other.send(confusion=[counted([([0], [0])], split="val")])
    assert service.ask("/compare/groups", params={"first": run, "second": other.run}).status_code == 422
    assert service.ask("/compare/groups", params={"first": ","}).status_code == 422
    assert service.ask("/compare/groups", params={"first": "nosuchrun1"}).status_code == 404


def test_two_runs_tell_which_classes_and_cells_really_differ(service: Service, seeds: Any) -> None:
    (first, *_), (second, *_) = seeds["a"][0], seeds["b"][0]
    answer = service.get("/compare", runs=f"{first},{second}", epoch=1)
    assert [one["recall"]["real"] for one in answer["classes"]][:2] == [False, True]
    dog = answer["classes"][1]["recall"]
    assert dog["p"] <= dog["q"] <= 0.05
    pairs = {(cell["true"], cell["predicted"]): cell for cell in answer["cells"]}
    assert {("dog", "dog"), ("dog", "eel")} <= set(pairs)
    assert ("cat", "cat") not in pairs
    cell = pairs["dog", "eel"]
    assert cell["difference"] == pytest.approx(cell["second"] / cell["of_second"] - cell["first"] / cell["of_first"])
    macro = answer["averages"]["macro_recall"]["difference"]
    assert macro["low"] < macro["value"] < macro["high"]


def test_the_figures_show_what_the_answers_say(service: Service, told: Training, seeds: Any) -> None:
    figure = service.get("/figures/gap", run=told.run, metric="recall")
    assert (figure["layout"]["meta"]["from"], figure["layout"]["meta"]["to"]) == (381, 401)
    assert figure["layout"]["meta"]["summary"].startswith("eel is better in training by")
    assert service.ask("/figures/gap", params={"run": told.run, "epoch": 7}).status_code == 404
    ids = {name: ",".join(run for run, *_ in group) for name, group in seeds.items()}
    asked = {"first": ids["a"], "second": ids["b"], "epoch": 1, "first_name": "wide", "second_name": "deep"}
    figure = service.get("/figures/groups", **asked)
    assert [one["name"] for one in figure["data"]] == ["wide", "wide", "deep", "deep"]
    assert figure["layout"]["meta"]["summary"].startswith("dog is better in deep than in wide by")
    alone = service.get("/figures/groups", first=ids["a"], epoch=1)
    assert "differs most between them" in alone["layout"]["meta"]["summary"]


def test_the_tables_hold_the_rows_of_the_figures(service: Service, told: Training, seeds: Any) -> None:
    def rows(path: str, **query: Any) -> list[dict[str, str]]:
        answer = service.ask(path, params=query)
        assert answer.headers["content-type"].startswith("text/csv")
        return list(csv.DictReader(io.StringIO(answer.text)))

    gap = {(row["class"], row["metric"]): row for row in rows("/tables/gap", run=told.run)}
    (eel,) = (one for one in told.get("/gap")["classes"] if one["class_name"] == "eel")
    assert float(gap["eel", "f1"]["gap_low"]) == eel["f1"]["gap"]["low"]
    assert (gap["eel", "recall"]["verdict"], gap["cat", "recall"]["verdict"]) == ("overfits", "no difference seen")
    ids = {name: ",".join(run for run, *_ in group) for name, group in seeds.items()}
    told_of = rows("/tables/groups", first=ids["a"], second=ids["b"], epoch=1, first_name="wide", second_name="=1+1")
    dogs = {row["group"]: row for row in told_of if (row["class"], row["metric"]) == ("dog", "recall")}
    assert set(dogs) == {"wide", "'=1+1"}
    assert (dogs["wide"]["real"], dogs["wide"]["runs"]) == ("True", "3")
