"""A leaf gives back the counts of its 64 steps, whoever wrote them in whatever order, or says that it is damaged."""

from __future__ import annotations

import random

import numpy as np
import pytest
from epochscope_server.analysis.confusion import Cells
from epochscope_server.store.formats import FormatError, content, leaf
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_counts import CLASSES, by_step, cells, counted, many, rows, sealed, zstd


@settings(max_examples=80, deadline=None)
@given(st.data(), CLASSES, st.sampled_from([0, 64, 2**40]))
def test_a_leaf_gives_back_what_was_counted(data: st.DataObject, classes: int, first: int) -> None:
    told = data.draw(counted(classes, first))
    assert rows(leaf.decode(leaf.encode(cells(told), first, classes), first)) == by_step(told)


@settings(max_examples=40, deadline=None)
@given(st.data(), CLASSES)
def test_the_order_of_arrival_and_its_portions_leave_no_trace(data: st.DataObject, classes: int) -> None:
    told = data.draw(counted(classes, 64))
    want = leaf.encode(cells(told), 64, classes)
    shuffled = data.draw(st.permutations(told))
    assert leaf.encode(cells(shuffled), 64, classes) == want
    cut = data.draw(st.integers(0, len(told)))
    early = leaf.decode(leaf.encode(cells(shuffled[:cut]), 64, classes), 64)
    late = cells(shuffled[cut:])
    both = Cells(*(np.concatenate(pair) for pair in zip(vars(early).values(), vars(late).values(), strict=True)))
    assert leaf.encode(both, 64, classes) == want


@pytest.mark.parametrize("classes", [2, 10, 100, 1000, 100_000])
def test_a_full_leaf_of_a_training_gives_back_every_count(classes: int) -> None:
    told = many(classes, 640, 64, 128)
    data = leaf.encode(told, 640, classes)
    assert rows(leaf.decode(data, 640)) == by_step(
        zip(told.step.tolist(), told.true.tolist(), told.predicted.tolist(), [1] * 8192, strict=True)
    )
    assert len(data) < 8192 * 3


@settings(max_examples=60, deadline=None)
@given(st.data(), CLASSES, st.integers(0, 70), st.integers(0, 70))
def test_any_steps_of_a_leaf_add_up(data: st.DataObject, classes: int, start: int, length: int) -> None:
    told = data.draw(counted(classes, 640))
    start, stop = 638 + start, 638 + start + length
    blob = leaf.encode(cells(told), 640, classes)
    want: dict[int, int] = {}
    for step, true, predicted, count in told:
        if start <= step < stop:
            cell = true * classes + predicted
            want[cell] = want.get(cell, 0) + count
    found = leaf.totals(blob, 640, start, stop)
    assert dict(zip(found.cell.tolist(), found.count.tolist(), strict=True)) == want
    if classes <= 1000:
        matrix = np.full((classes, classes), 5, np.int64)
        leaf.add_into(matrix, blob, 640, start, stop)
        matrix -= 5
        there = np.flatnonzero(matrix)
        assert dict(zip(there.tolist(), matrix.reshape(-1)[there].tolist(), strict=True)) == want


@pytest.mark.parametrize("classes", [2, 6, 90])
def test_every_stretch_of_a_leaf_adds_up_great_counts_included(classes: int) -> None:
    told = many(classes, 0, 64, 3)
    told.count[::17] = 70_000 + np.arange(len(told.count[::17]))
    blob = leaf.encode(told, 0, classes)
    opened = leaf.open_leaf(blob)
    assert len(opened.hits.exception) + len(opened.misses.exception) > 5
    for start in range(65):
        for stop in range(start, 65):
            matrix = np.zeros((classes, classes), np.int64)
            leaf.add_into(matrix, blob, 0, start, stop)
            inside = (told.step >= start) & (told.step < stop)
            np.subtract.at(matrix, (told.true[inside], told.predicted[inside]), told.count[inside])
            assert not matrix.any(), (start, stop)


def test_a_leaf_of_nothing_is_small_and_holds_nothing() -> None:
    data = leaf.encode(cells([]), 0, 200_000)
    assert len(data) < 40
    assert rows(leaf.decode(data, 0)) == {}


SMALL = [(64, 0, 0, 1), (64, 0, 1, 300), (70, 2, 2, 2**53), (127, 1, 0, 3)]


def test_every_cut_and_every_flipped_byte_of_a_leaf_is_found() -> None:
    for told, classes in ((cells(SMALL), 3), (many(5, 64, 64, 40), 5)):
        data = leaf.encode(told, 64, classes)
        for end in range(len(data)):
            with pytest.raises(FormatError):
                leaf.decode(data[:end], 64)
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 0xA5
            with pytest.raises(FormatError):
                leaf.decode(bytes(flipped), 64)


@pytest.mark.parametrize("classes", [3, 300])
def test_a_forged_leaf_is_refused_or_read_and_never_names_what_cannot_be(classes: int) -> None:
    data = leaf.encode(cells(SMALL), 64, classes)
    rng = random.Random(classes)
    refused = 0
    for _ in range(1500):
        forged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            forged[rng.randrange(8, len(forged))] = rng.choice((0, 1, 2, 127, 128, 254, 255, rng.randrange(256)))
        blob = sealed(bytes(forged))
        try:
            found = leaf.decode(blob, 64)
        except FormatError:
            refused += 1
            continue
        said = leaf.open_leaf(blob).classes
        assert all(64 <= step < 128 for step in found.step.tolist())
        assert all(0 <= each < said for each in (*found.true.tolist(), *found.predicted.tolist()))
        assert all(count > 0 for count in found.count.tolist())
        leaf.totals(blob, 64, 64, 128)
    assert refused > 300


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ([(63, 0, 0, 1)], "a leaf of 3 classes from step 64 can't hold these cells"),
        ([(128, 0, 0, 1)], "can't hold"),
        ([(64, 3, 0, 1)], "can't hold"),
        ([(64, 0, -1, 1)], "can't hold"),
        ([(64, 0, 0, 0)], "occurred at least once"),
    ],
)
def test_what_a_leaf_cannot_hold_is_not_written(told: list[tuple[int, int, int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        leaf.encode(cells(told), 64, 3)


def test_a_leaf_is_not_added_to_a_matrix_of_other_classes() -> None:
    data = leaf.encode(cells(SMALL), 64, 3)
    with pytest.raises(FormatError, match="leaf counts 3 classes; the matrix has 16 cells"):
        leaf.add_into(np.zeros((4, 4), np.int64), data, 64, 64, 128)


def test_blobs_that_say_the_same_are_the_same_however_they_are_packed() -> None:
    data = leaf.encode(many(10, 0, 64, 128), 0, 10)
    unpacked = sealed(data[:8] + b"\0" + data[9:31] + zstd.decompress(data[31:]))
    assert data[8] == 1
    assert content.same(data, data)
    assert content.same(data, unpacked)
    assert not content.same(data, leaf.encode(many(10, 0, 64, 128, seed=1), 0, 10))
    right = cells([(0, 0, 0, 5)])
    assert not content.same(leaf.encode(right, 0, 10), leaf.encode(right, 0, 11))
