"""docs/storage.md shows the bytes that are written, and its reader reads what the program writes, and nothing else.

The page's examples are written down, so that no format can change unnoticed: whoever changes one gives it a new magic.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epochscope_server.store import pyramid
from epochscope_server.store.formats import leaf, marginals, node, points, rollup
from epochscope_server.store.formats.node import Counts
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_counts import by_step, cells, counted, many, rows

pytestmark = pytest.mark.slow  # the plain reader takes its time

PAGE = (Path(__file__).parents[3] / "docs" / "storage.md").read_text()
TOLD = [(64, 0, 0, 5), (64, 1, 1, 300), (65, 0, 2, 1), (70, 2, 1, 2), (127, 2, 2, 1)]
STEPS, VALUES = np.array([1, 2, 4, 5]), np.array([0.5, 0.25, -0.0, np.nan])

WRITTEN: dict[str, Callable[[], bytes]] = {
    "leaf": lambda: leaf.encode(cells(TOLD), 64, 3),
    "node": lambda: node.encode(node.of_cells(cells(TOLD), 3), 3),
    "marginals": lambda: marginals.encode(marginals.counts_of_cells(cells(TOLD), 64, 16, 3), 3),
    "points": lambda: points.encode(STEPS, VALUES),
    "rollup": lambda: rollup.encode(rollup.of_points(STEPS, VALUES, 4)),
}


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def shown(name: str) -> bytes:
    """The bytes of an example; what follows two spaces is said about them."""
    return bytes.fromhex("".join(line.split("  ")[0] for line in block(name).splitlines()))


@pytest.fixture(scope="module")
def reader() -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(block("python"), found)
    return found


@pytest.mark.parametrize("name", WRITTEN)
def test_the_bytes_on_the_page_are_those_that_are_written(name: str) -> None:
    assert shown(name).hex(" ") == WRITTEN[name]().hex(" ")


def test_the_reader_on_the_page_reads_its_examples(reader: dict[str, Any]) -> None:
    assert reader["leaf"](shown("leaf"), 64) == by_step(TOLD)
    assert reader["node"](shown("node")) == {(0, 0): 5, (1, 1): 300, (0, 2): 1, (2, 1): 2, (2, 2): 1}
    assert reader["marginals"](shown("marginals")) == {
        (0, 0, 0): 6, (0, 1, 0): 300, (0, 2, 0): 2, (0, 2, 3): 1, (1, 0, 0): 1, (1, 2, 0): 2, (2, 1, 0): 2, (2, 2, 0): 1
    }  # fmt: skip
    found = reader["points"](shown("points"))
    assert [step for step, _ in found] == STEPS.tolist()
    assert str([value for _, value in found]) == "[0.5, 0.25, -0.0, nan]"


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([1, 3, 300, 200_000]))
def test_the_reader_on_the_page_reads_any_leaf(reader: dict[str, Any], data: st.DataObject, classes: int) -> None:
    told = data.draw(counted(classes, 640))
    blob = leaf.encode(cells(told), 640, classes)
    assert reader["leaf"](blob, 640) == rows(leaf.decode(blob, 640)) == by_step(told)


@pytest.mark.parametrize(("there", "wide"), [(3_000, 0), (40_000, 20), (90_000, 100), (600_000, 5_000)])
def test_the_reader_on_the_page_reads_nodes_of_every_form(reader: dict[str, Any], there: int, wide: int) -> None:
    rng = np.random.default_rng(there)
    cell = np.sort(rng.choice(1_000_000, there, replace=False))
    count = rng.integers(1, 256, there)
    count[rng.choice(there, wide, replace=False)] = rng.integers(256, 2**53, wide)
    found = reader["node"](node.encode(Counts(cell, count), 1000))
    pairs = zip(*np.divmod(cell, 1000), strict=True)
    assert found == {
        (int(true), int(predicted)): one for (true, predicted), one in zip(pairs, count.tolist(), strict=True)
    }


def test_the_reader_on_the_page_reads_marginals_of_a_training(reader: dict[str, Any]) -> None:
    sums = marginals.of_cells(many(20, 1024, 1024, 64), 1024, 16, 20)
    found = reader["marginals"](marginals.encode(sums))
    assert found == {
        (kind, one, bucket): int(sums[kind, bucket, one]) for kind, bucket, one in np.argwhere(sums).tolist()
    }


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(0, 2**50), st.one_of(st.floats(), st.floats(width=32)), max_size=60))
def test_the_reader_on_the_page_reads_any_points(reader: dict[str, Any], drawn: dict[int, float]) -> None:
    steps = sorted(drawn)
    found = reader["points"](points.encode(np.array(steps, np.int64), np.array([drawn[step] for step in steps])))
    assert [step for step, _ in found] == steps
    for (_, value), step in zip(found, steps, strict=True):
        assert value == drawn[step] or (math.isnan(value) and math.isnan(drawn[step]))


def test_the_page_says_how_long_the_headers_are_and_what_a_window_is_covered_with() -> None:
    sizes = dict(re.findall(r"^\| `(ES.1)` \|.*\| (\d+) \|$", PAGE, flags=re.MULTILINE))
    assert sizes == {"ESL1": "22", "ESN1": "13", "ESM1": "13", "ESP1": "23", "ESR1": "13"}
    said = [
        list(map(int, re.findall(r"\d+", line.replace(",", ""))))
        for line in PAGE.splitlines()
        if line.startswith("| ") and ": steps" in line
    ]
    levels = range(5)
    assert said == [
        [pyramid.width(level) for level in levels],
        [pyramid.bucket_width(level) for level in levels],
        [pyramid.row_width(level) for level in levels],
    ]
    assert pyramid.cover(100, 1700, 1700) == pyramid.Cover([(0, 24, 27), (1, 0, 3)], [(0, 0, 2)])
