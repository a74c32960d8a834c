"""SQLite and PostgreSQL answer alike, byte for byte: every GET route, before and after sealing."""

from __future__ import annotations

import itertools
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
import sealing
import sqlalchemy as sa
import stage
from epochscope import wire
from epochscope_server import glancer, pace
from epochscope_server.api import flushes, rooms, runs
from epochscope_server.store.schema import run as run_table
from postgres import Cluster
from stage import Service, Training, counted, start_service

pytestmark = pytest.mark.postgres

NOW_MS = 1_700_000_100_000
# Their order differs between bytes and every locale; ICU's en-US, which the cluster has, puts "a" before "B".
WORDS = ("a", "B", "ä", "Z", "z", "é", "_x", "10", "9", "a b", "a-b", "a/b", "A", "Ω", "猫", "🐈", "'", '"', "%", "\\")
ODD = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 5e-324, 1e308, 0.1, 1 / 3, 2.5]

# Of each parameter the values to ask with; one that is not named here is asked with something and with nonsense.
VALUES: dict[str, tuple[Any, ...]] = defaultdict(lambda: ("1", "x")) | {
    "run": ("plainrun0", "oddrun000", "severalrun", "nosuchrun"),
    "runs": ("plainrun0,oddrun000", "plainrun0,nosuchrun", "severalrun", ""),
    "project": (*WORDS[:6], "nothing"),
    "q": ("a", "A", "ä", "Ä", "%", "_", "\\", "'", "猫", "\0", "x" * 256),
    "status": ("running", "finished,failed", "lost", "dead"),
    "tag": (*WORDS, "no"),
    "where": (
        "params.lr<0.01", "params.opt=adam", "params.opt>B", "params.odd>0", "summary.loss<1", "nonsense", "params.ä=1",
    ),
    "archived": ("true", "false"),
    "sort": (
        "created", "-created", "name", "-name", "project", "heard", "params.lr", "-params.opt", "summary.loss",
        "-summary.odd", "x",
    ),
    "limit": (1, 3, 500, 501),
    "cursor": ("bogus",),
    "split": ("train", "val", "test", "dev"),
    "by": ("batch", "epoch", "run"),
    "keys": ("loss", "Loss,ä", "odd", "", "nosuch", "odd,loss,a/b"),
    "key": ("loss", "odd"),
    "from": (0, 1, 7, 10**30, -5),
    "to": (1, 9, 10**6, 10**30),
    "points": (1, 4, 10**9),
    "width": (1, 5),
    "smooth": (1, 3, 0.5),
    "epoch": (1, 2, 99),
    "output": ("output", "head", "labels", "nosuch"),
    "label": ("red", "猫", "nosuch"),
    "classes": ("0", "0,2", "99", "x"),
    "true": (0, "cat", 2, 99),
    "predicted": (1, "dog", 0, 99),
    "metric": ("f1", "recall"),
    "normalise": ("true", "none"),
    "theme": ("light", "dark"),
    "focus": ("0", "1"),
}  # fmt: skip


def teller(run: str, info: dict[str, Any]) -> Training:
    """Makes flushes and posts none."""
    nobody: Any = None
    return Training(nobody, run=run, info=info)


def told() -> Iterator[tuple[str, str, list[wire.Flush]]]:
    """Runs as three trainings tell them, and one for each word: (run, stream, flushes)."""
    rng = np.random.default_rng(4)
    plain = teller("plainrun0", {"params": {"lr": 0.1, "opt": "adam", "batch": 32}})
    batches = [(rng.integers(0, 3, 16), rng.integers(0, 3, 16)) for _ in range(300)]
    flushes_of_plain = []
    for first in range(0, 300, 30):
        steps = range(first + 1, first + 31)
        flushes_of_plain.append(
            plain.flush(
                series=[wire.SeriesColumns.of("loss", "train", "batch", steps, rng.standard_normal(30))],
                confusion=[counted(batches[first : first + 30], first + 1)],
                spans=[wire.Span("train", 1 + first // 150, 1 + first // 150 * 150, 151 + first // 150 * 150)],
            )
        )
    flushes_of_plain.append(plain.flush(end=wire.End("failed", "ValueError: ä\nand more")))
    yield plain.run, plain.stream, flushes_of_plain

    odd = teller("oddrun000", {"params": {"lr": float("nan"), "opt": "ä", "odd": float("-inf")}})
    keys = ("odd", "loss", "Loss", "ä", "a/b", "B", "_")
    yield (
        odd.run,
        odd.stream,
        [
            odd.flush(
                series=[
                    wire.SeriesColumns.of(key, "train", by, range(1, len(ODD) + 1), np.roll(ODD, shift))
                    for shift, key in enumerate(keys)
                    for by in ("batch", "epoch")
                ],
                confusion=[counted([([0, 1, 2], [2, 1, 0])], 7)],
            )
        ],
    )

    outputs = [wire.Output("output", ("b", "a", "B")), wire.Output("labels", ("red", "猫"), True)]
    several = teller("severalrun", {"outputs": outputs, "project": "B"})
    yield (
        several.run,
        several.stream,
        [
            several.flush(
                confusion=[
                    counted([([0, 1], [1, 1])] * 70, 1 + 70 * part),
                    counted([([1, 3], [0, 3])] * 70, 1 + 70 * part, "val", "labels"),
                ]
            )
            for part in range(3)
        ],
    )

    for number, word in enumerate(WORDS):
        one = teller(f"wordrun{number:03d}", {"name": word, "project": WORDS[-number], "tags": [word, "x"]})
        value = float(number - 5) / 3
        series = [wire.SeriesColumns.of("loss", "train", "batch", [1], [value])]
        one.info["params"] = {"lr": value, "opt": word, word: number}
        yield one.run, one.stream, [one.flush(series=series)]


@pytest.fixture(scope="module")
def both(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    """The same flushes at the same times by one service on each database."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (flushes, rooms, runs):
            patch.setattr(module, "now_ms", lambda: NOW_MS)
        for share in ("EACH", "ALL"):
            patch.setattr(pace, share, 1)  # looks without a rest
        with stage.using(None):
            on_sqlite = start_service(tmp_path_factory.mktemp("file"))
        with stage.using(cluster):
            on_postgres = start_service(tmp_path_factory.mktemp("server"))
        pair = on_sqlite, on_postgres
        for run, stream, several in told():
            for service in pair:
                for flush in several:
                    answer = Training(service, run=run, stream=stream).post(flush)
                    assert answer.status_code == 200, answer.text
        yield pair
        for service in pair:
            service.stop()


def indexed(service: Service) -> bool:
    """Whether lists know the latest values of all runs."""
    with sealing.sealer(service)._database.read() as connection:
        return not connection.scalar(sa.select(sa.func.count()).where(~run_table.c.indexed))


PAIRS = 600  # of parameters asked together, drawn from all there are


def questions(service: Service) -> list[tuple[str, dict[str, Any]]]:
    """Every GET route with each value of each parameter, and with some two at once.

    But the live one, and the one that names the database.
    """
    alone: list[tuple[str, dict[str, Any]]] = []
    together: list[tuple[str, dict[str, Any]]] = []
    for path, methods in service.client.get("/api/openapi.json").json()["paths"].items():
        if "get" not in methods or path in ("/api/v1/live", "/api/v1/service"):
            continue
        names = {one["name"]: one.get("required", False) for one in methods["get"].get("parameters", [])}
        needed = [name for name, required in names.items() if required]
        free = [name for name, required in names.items() if not required]
        for number, base in enumerate(itertools.product(*(VALUES[name] for name in needed))):
            asked = dict(zip(needed, base, strict=True))
            address = path.removeprefix("/api/v1")
            if "{run}" in address:
                address = address.replace("{run}", asked.pop("run"))
            alone.append((address, asked))
            if number < 3:
                alone += [(address, asked | {name: value}) for name in free for value in VALUES[name]]
                for one, other in itertools.combinations(free, 2):
                    pairs = itertools.product(VALUES[one], VALUES[other])
                    together += [(address, asked | {one: first, other: second}) for first, second in pairs]
    return alone + random.Random(4).sample(together, PAIRS)


def timeless(answer: httpx2.Response) -> bytes:
    """The answer without the moments at which each service looked at its runs for alerts."""
    if b'"found_ms"' not in answer.content:
        return bytes(answer.content)
    return re.sub(rb'"(found_ms|ended_ms)":\d+', rb'"\1":0', answer.content)


@pytest.mark.parametrize("sealed", [False, True])
def test_every_question_has_one_answer(both: tuple[Service, Service], sealed: bool) -> None:
    for service in both:
        if sealed:
            sealing.seal(service)
        while not indexed(service):
            time.sleep(0.05)
        while any(run["glance"] is None for run in service.get("/runs")["runs"]):
            time.sleep(0.05)
    time.sleep(2 * glancer.TICK_S)  # the latest flushes are looked at, too
    on_sqlite, on_postgres = both
    asked = differing = 0
    first = ""
    for path, query in questions(on_sqlite):
        asked += 1
        one, other = on_sqlite.ask(path, params=query), on_postgres.ask(path, params=query)
        if (one.status_code, timeless(one)) != (other.status_code, timeless(other)) or one.status_code >= 500:
            differing += 1
            first = (
                first or f"{path} {query}\n{one.status_code} {one.text[:2000]}\n{other.status_code} {other.text[:2000]}"
            )
    assert asked > 1000
    assert not differing, f"{differing} of {asked} differ, first {first}"


def test_pages_of_runs_follow_each_other_alike(both: tuple[Service, Service]) -> None:
    for sort in VALUES["sort"][:-1]:
        found: list[list[str]] = []
        for service in both:
            ids: list[str] = []
            cursor: str | None = ""
            while cursor is not None:
                page = service.get("/runs", sort=sort, limit=2, **({"cursor": cursor} if cursor else {}))
                ids += [run["id"] for run in page["runs"]]
                cursor = page["next"]
            found.append(ids)
        assert len(set(found[0])) == len(found[0]) == len(WORDS) + 3
        assert found[0] == found[1], sort
