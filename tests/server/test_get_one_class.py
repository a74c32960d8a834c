"""One class by itself over HTTP: figures and tables of the same query, against counting by hand."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from typing import Any

import numpy as np
import pytest
from stage import Service, Training, counted

NAMES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen")


@pytest.fixture(scope="module")
def told(service: Service) -> tuple[Training, np.ndarray, np.ndarray]:
    training = Training(service, class_names=NAMES)
    rng = np.random.default_rng(4)
    true = rng.integers(0, 8, (40, 60))
    predicted = np.where(rng.random(true.shape) < 0.5, true, rng.integers(0, 8, true.shape))
    training.send(confusion=[counted(list(zip(true, predicted, strict=True)))])
    return training, true, predicted


def decoded(column: dict[str, str]) -> Any:
    return np.frombuffer(base64.b64decode(column["bdata"]), column["dtype"])


@pytest.mark.parametrize("direction", ["went", "came"])
def test_the_five_largest_confusions_and_the_rest_of_each_window(
    service: Service, told: tuple[Training, np.ndarray, np.ndarray], direction: str
) -> None:
    training, true, predicted = told
    query = {"run": training.run, "class": "cat", "direction": direction, "width": 10}
    figure = service.get("/figures/mistakes", **query)
    mine, other = (true, predicted) if direction == "went" else (predicted, true)
    wrong = (mine == 2) & (other != 2)
    first = sorted(Counter(other[wrong].tolist()).items(), key=lambda item: (-item[1], item[0]))[:5]
    assert [trace["name"] for trace in figure["data"]] == [*(NAMES[index] for index, _ in first), "the rest"]
    windows = [slice(at, at + 10) for at in range(0, 40, 10)]
    for trace, (index, _) in zip(figure["data"], first, strict=False):
        want = [np.sum(wrong[w] & (other[w] == index)) / np.sum(mine[w] == 2) for w in windows]
        assert decoded(trace["y"]) == pytest.approx(want, abs=1e-6)
    rows = list(csv.DictReader(io.StringIO(service.ask("/tables/mistakes", params=query).text, newline="")))
    assert [int(row["mistakes"]) for row in rows] == [int(np.sum(wrong[w])) for w in windows]
    assert [int(row["of"]) for row in rows] == [int(np.sum(mine[w] == 2)) for w in windows]
    assert [int(row[NAMES[first[0][0]]]) for row in rows] == [
        int(np.sum(wrong[w] & (other[w] == first[0][0]))) for w in windows
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "query"), [(8_000, {}), (20_000, {}), (20_000, {"points": 300}), (40, {})])
def test_of_a_long_training_the_parts_are_still_those_of_the_same_windows(
    service: Service, steps: int, query: dict[str, Any]
) -> None:
    training = Training(service, class_names=NAMES)
    training.send(confusion=[counted([([2, 2, 2], [1, 2, 3])] * steps)])
    rows = list(
        csv.DictReader(
            io.StringIO(
                service.ask("/tables/mistakes", params={"run": training.run, "class": "cat", **query}).text, newline=""
            )
        )
    )
    assert sum(int(row["mistakes"]) for row in rows) == 2 * steps
    assert all(int(row["mistakes"]) == int(row["bee"]) + int(row["dog"]) for row in rows)


def test_the_same_other_class_has_the_same_colour_both_ways(
    service: Service, told: tuple[Training, np.ndarray, np.ndarray]
) -> None:
    colours: dict[str, set[str]] = {}
    for direction in ("went", "came"):
        figure = service.get("/figures/mistakes", run=told[0].run, **{"class": "cat"}, direction=direction)
        for trace in figure["data"]:
            colours.setdefault(trace["name"], set()).add(trace["marker"]["color"])
    assert {len(found) for found in colours.values()} == {1}
    assert len({colour for found in colours.values() for colour in found}) == len(colours)


def test_the_table_of_a_class_is_its_part_of_the_table_of_all(
    service: Service, told: tuple[Training, np.ndarray, np.ndarray]
) -> None:
    def rows(name: str, **more: str) -> list[dict[str, str]]:
        answer = service.ask(f"/tables/{name}", params={"run": told[0].run, "width": 10, **more})
        assert answer.status_code == 200, answer.text
        return list(csv.DictReader(io.StringIO(answer.text, newline="")))

    assert rows("class", **{"class": "3"}) == [row for row in rows("classes") if row["class"] == "dog"]


def test_only_the_confusions_of_one_class_are_listed_on_request(
    service: Service, told: tuple[Training, np.ndarray, np.ndarray]
) -> None:
    training, true, predicted = told
    found = training.get("/confused", predicted="gnu")["confused"]
    want = Counter(true[(predicted == 6) & (true != 6)].tolist())
    assert {one["true"]: one["count"] for one in found} == dict(want)
    assert {one["predicted_class"] for one in found} == {"gnu"}


def test_a_class_that_is_none_is_said_by_name(service: Service, told: tuple[Training, np.ndarray, np.ndarray]) -> None:
    answer = service.ask("/figures/class", params={"run": told[0].run, "class": "yak"})
    assert answer.status_code == 404
    assert "There is no class 'yak'" in answer.json()["error"]["message"]
