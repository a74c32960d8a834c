"""GET /runs by params and summary values: filters, orders and pages, held against plain Python over the same runs."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from epochscope import wire
from epochscope_server.store import fields, keeper, search
from stage import Service, Training, start_service

TEXTS = ["adam", "Adam", "sgd", "émile", "z", "zebra 🦓", "true", "3", "", "x" * 300]
NUMBERS = [0.001, 0.01, 0.01, -1.0, 0.0, -0.0, 1e-300, 1e300, 3, 2**40, math.inf, -math.inf]
SIGNS = ["=", "!=", "<", "<=", ">", ">="]


@dataclass
class Made:
    """One run as it was posted; ``values`` by the name a query has for them."""

    id: str
    project: str
    name: str
    tags: list[str]
    status: Any
    archived: bool
    values: dict[str, Any]


class Indexing:
    """Holds back, or waits for, what the service does in the background."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._real, self._open, self._idle = fields.index, False, threading.Event()
        patch.setattr(fields, "index", self._index)
        patch.setattr(keeper, "TICK_S", 0.01)
        patch.setattr(keeper, "SHARE", 0)

    def _index(self, connection: sa.Connection, most: int, latest: int) -> int:
        done = self._real(connection, most, latest) if self._open else 0
        if self._open and not done:
            self._idle.set()
        return done

    def finish(self) -> None:
        """Everything so far is indexed, and nothing after."""
        self._open = True
        for _ in range(2):  # the first may have begun before
            self._idle.clear()
            assert self._idle.wait(20)
        self._open = False


@dataclass
class Zoo:
    service: Service
    runs: list[Made]

    def ids(self, limit: int = 25, **query: Any) -> list[str]:
        """All pages of a list, put together."""
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.service.get("/runs", limit=limit, **query, **cursor)
            assert len(page["runs"]) <= limit
            found += [run["id"] for run in page["runs"]]
            if page["next"] is None:
                return found
            assert len(page["runs"]) == limit
            cursor = {"cursor": page["next"]}


@pytest.fixture(scope="module", params=["all have just changed", "all are indexed", "some of each"])
def zoo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """Sixty runs; their values and names come about by chance, the same in each state of the index."""
    chance = random.Random(4)
    with pytest.MonkeyPatch.context() as patch:
        indexing = Indexing(patch)
        service = start_service(tmp_path_factory.mktemp("zoo"))
        made: list[Made] = []
        trainings: dict[str, Training] = {}
        for number in range(60):
            one, training = _make(service, chance, number)
            made.append(one)
            trainings[one.id] = training
            if (request.param, number) in (("some of each", 30), ("all are indexed", 59)):
                indexing.finish()
        for one in made[::3]:
            one.values["summary.loss"] = chance.choice([*NUMBERS, math.nan])
            trainings[one.id].send(
                series=[wire.SeriesColumns.of("loss", "train", "epoch", [2], [one.values["summary.loss"]])]
            )
            one.status = "running"
        if request.param == "all are indexed":
            indexing.finish()
        yield Zoo(service, made)
        service.stop()


def _make(service: Service, chance: random.Random, number: int) -> tuple[Made, Training]:
    params: dict[str, Any] = {"lr": chance.choice(NUMBERS), "optimizer": chance.choice(TEXTS)}
    if chance.random() < 0.8:
        params["mixed"] = chance.choice([*NUMBERS, *TEXTS, True, False, None, math.nan])
    if chance.random() < 0.5:
        params['a=b <odd> "name"'] = chance.choice(NUMBERS)
    summary = {"loss": chance.choice([*NUMBERS, math.nan]), "val_macro_f1": round(chance.random(), 1)}
    one = Made(
        "", chance.choice("pq"), chance.choice(["Straße", "STRASSE 7", "run %", "RUN_2"]),
        chance.sample(["a", "b", "c"], chance.randrange(3)), chance.choice(["finished", "failed"]),
        chance.random() < 0.1,
        {f"params.{name}": value for name, value in params.items()}
        | {f"summary.{name}": value for name, value in summary.items()},
    )  # fmt: skip
    training = Training(service, info={"project": one.project, "name": one.name, "tags": one.tags, "params": params})
    one.id = training.run
    loss = wire.SeriesColumns.of("loss", "train", "epoch", [1], [summary["loss"]])
    f1 = wire.SeriesColumns.of("macro_f1", "val", "epoch", [1], [summary["val_macro_f1"]])
    training.send(series=[loss, f1], end=wire.End(one.status))
    if one.archived:
        service.ask(f"/runs/{one.id}", "PATCH", json={"archived": True})
    return one, training


def value_of(one: Made, name: str) -> tuple[int, Any] | None:
    """What a run compares as: (0, number) or (1, text)."""
    value = one.values.get(name)
    if isinstance(value, bool):
        return 1, str(value).lower()
    if isinstance(value, str):
        return 1, value
    return None if value is None or math.isnan(value) else (0, float(value))


def meets(one: Made, name: str, sign: str, wanted: tuple[int, Any]) -> bool:
    value = value_of(one, name)
    if value is None:
        return False
    if value[0] != wanted[0]:
        return sign == "!="
    low, high = sorted([value[1], wanted[1]])
    answers: dict[str, bool] = {
        "=": low == high, "!=": low != high, "<": value[1] < wanted[1], "<=": value[1] == low,
        ">": value[1] > wanted[1], ">=": value[1] == high,
    }  # fmt: skip
    return answers[sign]


def in_order(runs: list[Made], sort: str) -> list[Made]:
    """``runs``, given in the order in which they were made, as a list sorted by a field shows them."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    with_value = [(value_of(one, name), number, one) for number, one in enumerate(runs) if value_of(one, name)]
    rest = [one for one in runs if value_of(one, name) is None]
    return [one for *_, one in sorted(with_value, key=lambda row: row[:2], reverse=down)] + rest[::-1]


FIELDS = {
    "params.lr": "params.lr",
    "params.optimizer": "params.optimizer",
    "params.mixed": "params.mixed",
    'params.a=b <odd> "name"': r'params."a=b <odd> \"name\""',
    "summary.loss": "summary.loss",
    "summary.val_macro_f1": "summary.val_macro_f1",
    "params.nobody_has_it": "params.nobody_has_it",
}  # what a query writes for each


def condition(chance: random.Random) -> tuple[str, tuple[str, str, tuple[int, Any]]]:
    """A condition as a query writes it, and as (name, sign, value)."""
    name, sign = chance.choice(list(FIELDS)), chance.choice(SIGNS)
    if chance.random() < 0.6:
        number = chance.choice([*NUMBERS, 0.5, 0.35])
        written = repr(float(number)).replace("inf", "Infinity")
        return f"{FIELDS[name]}{sign}{written}", (name, sign, (0, float(number)))
    text = chance.choice(TEXTS)
    return f'{FIELDS[name]} {sign} "{text}"', (name, sign, (1, text))


@pytest.mark.slow
@pytest.mark.parametrize("looks", [True, False])
def test_any_filter_and_order_is_that_of_plain_python(zoo: Zoo, looks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not looks:
        monkeypatch.setattr(search, "MANY", 0)  # walk along an index whatever the conditions are
    chance = random.Random(9)
    for _ in range(25):
        sort = chance.choice(["", "-"]) + chance.choice(list(FIELDS))
        query: dict[str, Any] = {"sort": ("-" if sort[0] == "-" else "") + FIELDS[sort.removeprefix("-")]}
        expected = [one for one in zoo.runs if not one.archived]
        where = [condition(chance) for _ in range(chance.randrange(3))]
        query["where"] = [written for written, _ in where]
        for _, asked in where:
            expected = [one for one in expected if meets(one, *asked)]
        if chance.random() < 0.5:
            query["project"] = chance.choice("pq")
            expected = [one for one in expected if one.project == query["project"]]
        if chance.random() < 0.3:
            query["tag"] = chance.sample(["a", "b"], chance.randrange(1, 3))
            expected = [one for one in expected if set(query["tag"]) <= set(one.tags)]
        if chance.random() < 0.3:
            query["q"] = chance.choice(["strasse", "RUN", "%", "_", "n", "nothing"])
            expected = [one for one in expected if query["q"].casefold() in f"{one.name} {one.id}".casefold()]
        if chance.random() < 0.3:
            query["status"] = "failed,running"
            expected = [one for one in expected if one.status in ("failed", "running")]
        assert zoo.ids(chance.choice([3, 25]), **query) == [one.id for one in in_order(expected, sort)], query


@pytest.mark.parametrize("sort", ["created", "-created", "name", "-name", "project", "-project"])
def test_what_every_run_has_orders_filtered_runs_too(zoo: Zoo, sort: str) -> None:
    name, down = sort.removeprefix("-"), sort.startswith("-")
    expected = [one for one in zoo.runs if not one.archived and meets(one, "params.lr", "<", (0, 1.0))]
    rows = [(getattr(one, name, 0), number, one) for number, one in enumerate(expected)]
    ordered = sorted(rows, key=lambda row: row[:2], reverse=down)
    assert zoo.ids(7, sort=sort, where="params.lr<1") == [one.id for *_, one in ordered]


def test_runs_are_listed_by_when_they_were_heard_of(zoo: Zoo) -> None:
    heard = [run["heard_ms"] for run in zoo.service.get("/runs", sort="-heard", where="params.lr<1")["runs"]]
    assert heard == sorted(heard, reverse=True)
    assert heard


def test_the_names_and_kinds_of_fields_are_those_of_the_runs(zoo: Zoo) -> None:
    for query in ({}, {"project": "p"}, {"project": "nowhere"}):
        kinds: dict[str, set[str]] = {}
        for one in zoo.runs:
            for name in one.values if one.project == query.get("project", one.project) else ():
                if value := value_of(one, name):
                    kinds.setdefault(name, set()).add(("number", "text")[value[0]])
        answer = zoo.service.get("/runs/fields", **query)
        assert answer == {
            kind: [
                {"name": name.partition(".")[2], "kinds": sorted(kinds[name])}
                for name in sorted(kinds)
                if name.startswith(kind)
            ]
            for kind in ("params", "summary")
        }


def test_long_texts_are_told_apart_by_their_ends(zoo: Zoo) -> None:
    for end in "ab":
        Training(zoo.service, info={"project": "long", "name": end, "params": {"text": "y" * 300 + end}}).send()
    for end in "ab":
        found = zoo.service.get("/runs", project="long", where=f"params.text={'y' * 300 + end}")["runs"]
        assert [run["name"] for run in found] == [end]


@pytest.fixture
def pair(service: Service) -> Callable[..., list[str]]:
    """Makes two runs of a project of their own and asks for them by name."""
    project = Training(service).run

    def ask(**query: Any) -> list[str]:
        return [run["name"] for run in service.get("/runs", project=project, **query)["runs"]]

    for name, params in (("number", {"version": 3, "flag": True}), ("text", {"version": "3", "flag": "true"})):
        Training(service, info={"project": project, "name": name, "params": params}).send()
    return ask


def test_numbers_and_texts_are_told_apart(pair: Callable[..., list[str]]) -> None:
    assert pair(where="params.version=3") == ["number"]
    assert pair(where='params.version="3"') == ["text"]
    assert pair(where="params.version!=3") == ["text"]
    assert pair(where="params.version > 2") == ["number"]
    assert pair(where="params.flag=true") == ["text", "number"]
    assert pair(sort="params.version") == ["number", "text"]
    assert pair(sort="-params.version") == ["text", "number"]


UNREADABLE = ["", "params.lr", "lr<1", "params.lr<<1", "params.lr==1", "params.lr< <1", "params.<1", "params.lr~1"]


@pytest.mark.parametrize("where", [*UNREADABLE, "params.lr=NaN", 'params."lr<1', "x" * 2000])
def test_a_condition_that_can_not_be_read_is_refused_with_how_to_write_it(service: Service, where: str) -> None:
    answer = service.ask("/runs", params={"where": where})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "where"
    assert "NaN" in answer.text or "as in params.lr<0.001" in answer.text


def test_too_many_conditions_are_refused(service: Service) -> None:
    answer = service.ask("/runs", params={"where": ["params.a=1"] * 21})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "where"


@pytest.mark.parametrize("sort", ["params.", "params", "--created", "summary", "metric.loss", "-"])
def test_an_order_that_can_not_be_read_is_refused_with_what_it_may_be(service: Service, sort: str) -> None:
    answer = service.ask("/runs", params={"sort": sort})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "sort"
    assert "summary.NAME" in answer.text


def test_a_cursor_belongs_to_one_order(pair: Callable[..., list[str]], service: Service) -> None:
    cursor = service.get("/runs", sort="params.version", limit=1)["next"]
    for sort in ("-params.version", "params.flag", "created"):
        answer = service.ask("/runs", params={"sort": sort, "cursor": cursor})
        assert answer.json()["error"]["code"] == "bad_cursor"


def test_pages_stay_put_while_runs_are_made_and_deleted(service: Service) -> None:
    project = Training(service).run
    made = []
    for number in range(6):
        training = Training(service, info={"project": project, "params": {"n": number}})
        training.send()
        made.append(training.run)
    for sort in ("-created", "-params.n"):
        first = service.get("/runs", project=project, sort=sort, limit=2)
        assert [run["id"] for run in first["runs"]] == made[:-3:-1]
        new = Training(service, info={"project": project, "params": {"n": 100}})
        new.send()
        service.ask(f"/runs/{made.pop()}", "DELETE")  # the very run that the page ended with, or one before it
        rest = service.get("/runs", project=project, sort=sort, limit=10, cursor=first["next"])
        service.ask(f"/runs/{new.run}", "DELETE")
        assert [run["id"] for run in rest["runs"]] == made[:4][: len(made) - 1][::-1]
        assert rest["next"] is None
