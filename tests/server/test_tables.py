"""GET /tables/...: what a figure shows as CSV, read back with Python's own reader and held against scikit-learn."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from stage import Service, Training, counted

NAMES = ("cat", "=1+1", "dog, or wolf", "never")
CHANCE = np.random.default_rng(8)
TRUE = CHANCE.integers(0, 3, (60, 16))
GUESSED = np.where(CHANCE.random((60, 16)) < 0.7, TRUE, CHANCE.integers(0, 3, (60, 16)))
LOSS = [1.5, float("nan"), float("-inf"), 0.25]


@pytest.fixture(scope="module")
def told(service: Service) -> Training:
    training = Training(service, class_names=NAMES, info={"name": 'sh/irt "1"'})
    training.send(
        confusion=[counted(list(zip(TRUE, GUESSED, strict=True)))],
        spans=[wire.Span("train", 1, 1, 31), wire.Span("train", 2, 31, 61)],
        series=[
            wire.SeriesColumns.of("loss", "train", "batch", [1, 2, 3, 4], LOSS),
            wire.SeriesColumns.of("loss", "val", "epoch", [1, 2], [0.5, 0.4]),
        ],
    )
    return training


def table(training: Training, name: str, **query: Any) -> list[dict[str, str]]:
    answer = training.service.ask(f"/tables/{name}", params={"run": training.run} | query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8"), answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def number(text: str) -> float:
    return float(text) if text else float("nan")


def test_a_row_for_each_class_and_window_has_scikit_learns_rates(told: Training) -> None:
    rows = table(told, "classes", width=20)
    assert len(rows) == 4 * 3
    for start in (1, 21, 41):
        part = slice(start - 1, start + 19)
        wanted = precision_recall_fscore_support(
            TRUE[part].ravel(), GUESSED[part].ravel(), labels=range(4), zero_division=np.nan
        )
        here = [row for row in rows if row["from"] == str(start)]
        assert [row["to"] for row in here] == [str(start + 20)] * 4
        for metric, values in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
            np.testing.assert_allclose([number(row[metric]) for row in here], values)
        assert [int(row["tp"]) + int(row["fn"]) for row in here] == [int(row["support"]) for row in here]


def test_what_is_unknown_is_an_empty_field(told: Training) -> None:
    never = table(told, "classes", by="epoch")[-1]
    assert (never["class"], never["epoch"], never["support"]) == ("never", "2", "0")
    assert never["recall"] == never["recall_low"] == never["recall_high"] == ""


def test_the_matrix_is_scikit_learns_with_the_classes_at_both_sides(told: Training) -> None:
    rows = table(told, "confusion", **{"from": 11, "to": 31})
    counts = [[int(row[name]) for name in ("cat", "'=1+1", "dog, or wolf", "never")] for row in rows]
    want = confusion_matrix(TRUE[10:30].ravel(), GUESSED[10:30].ravel(), labels=range(4))
    np.testing.assert_array_equal(counts, want)


def test_a_name_that_a_spreadsheet_would_run_as_a_formula_is_made_text(told: Training) -> None:
    assert [row["true class"] for row in table(told, "confusion")] == ["cat", "'=1+1", "dog, or wolf", "never"]


def test_a_cell_is_a_plain_count_in_each_window(told: Training) -> None:
    rows = table(told, "cell", true="cat", predicted="dog, or wolf", width=30)
    for row, part in zip(rows, (slice(0, 30), slice(30, 60)), strict=True):
        cats = TRUE[part] == 0
        assert int(row["count"]) == int((cats & (GUESSED[part] == 2)).sum())
        assert int(row["support"]) == int(cats.sum())
        assert float(row["share"]) == pytest.approx(int(row["count"]) / int(row["support"]))


def test_every_point_of_a_series_is_there_and_what_is_not_finite_by_name(told: Training) -> None:
    rows = table(told, "series", keys="loss", split="train,val")
    assert [(row["split"], row["by"], row["step"], row["value"]) for row in rows] == [
        ("train", "batch", "1", "1.5"),
        ("train", "batch", "2", "NaN"),
        ("train", "batch", "3", "-Infinity"),
        ("train", "batch", "4", "0.25"),
        ("val", "epoch", "1", "0.5"),
        ("val", "epoch", "2", "0.4"),
    ]


def test_stability_and_changes_say_what_their_answer_says(service: Service) -> None:
    steps, size = 600, 32
    true = CHANCE.integers(0, 3, (steps, size))
    wrong = (true == 1) & (np.arange(steps)[:, None] >= 300) & (CHANCE.random((steps, size)) < 0.7)
    training = Training(service)
    training.send(confusion=[counted(list(zip(true, np.where(wrong, 0, true), strict=True)))])
    answer = training.get("/stability")
    rows = table(training, "stability")
    assert [row["class"] for row in rows] == [one["class_name"] for one in answer["classes"]]
    fallen = answer["classes"][1]["certified_drop"]["value"]
    assert fallen > 0.5
    assert float(rows[1]["certified_drop"]) == fallen
    changes = [row for row in table(training, "changes") if row["kind"] == "drop"]
    assert [(row["class"], row["taken_for"]) for row in changes] == [(rows[1]["class"], rows[0]["class"])]
    assert abs(int(changes[0]["at"]) - 301) <= 16


def test_two_runs_are_compared_class_by_class(service: Service, told: Training) -> None:
    other = Training(service, class_names=NAMES)
    other.send(confusion=[counted(list(zip(TRUE, TRUE, strict=True)))])
    rows = table(told, "compare", runs=f"{told.run},{other.run}", split="train")
    answer = service.get("/compare", runs=f"{told.run},{other.run}", split="train")
    assert [float(row["difference"]) for row in rows if row["metric"] == "recall" and row["difference"]] == [
        one["recall"]["difference"]["value"] for one in answer["classes"][:3]
    ]


def test_the_file_is_named_by_run_and_window_in_plain_letters(told: Training) -> None:
    answer = told.service.ask("/tables/confusion", params={"run": told.run, "from": 11, "to": 31})
    assert answer.headers["content-disposition"] == 'attachment; filename="sh-irt-1-confusion-train-11-30.csv"'


def test_a_long_table_is_whole(service: Service) -> None:
    training = Training(service)
    steps = np.arange(1, 5001)
    training.send(series=[wire.SeriesColumns.of("loss", "train", "batch", steps, steps / 7)])
    rows = table(training, "series", keys="loss")
    assert [int(row["step"]) for row in rows] == steps.tolist()
    assert [float(row["value"]) for row in rows] == (steps / 7).tolist()


@pytest.mark.parametrize(
    ("name", "query", "status"),
    [
        ("classes", {"run": "0" * 16}, 404),
        ("classes", {"points": 3, "width": 3}, 422),
        ("confusion", {"epoch": 9}, 404),
        ("cell", {"true": "cow", "predicted": "cat"}, 404),
        ("series", {"keys": "loss", "split": "trian"}, 422),
        ("compare", {"runs": "onlyone0000000"}, 422),
        ("nothing", {}, 404),
    ],
)
def test_what_cannot_be_told_says_why_as_json(told: Training, name: str, query: dict[str, Any], status: int) -> None:
    answer = told.service.ask(f"/tables/{name}", params={"run": told.run} | query)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
