"""A window is covered by pieces that hold each of its steps once, as large as can be."""

from __future__ import annotations

import pytest
from epochscope_server.store import pyramid
from hypothesis import given
from hypothesis import strategies as st

STEP = st.one_of(st.integers(0, 5000), st.integers(0, 2**53))


@given(STEP, st.one_of(st.integers(0, 9000), st.integers(0, 2**50)), STEP)
def test_pieces_hold_each_step_of_a_window_once(start: int, length: int, complete_to: int) -> None:
    stop = start + length
    at = start // 64 * 64
    for level, lo, hi in pyramid.cover(start, stop, complete_to) if length < 2**20 or complete_to > stop else []:
        width = pyramid.width(level)
        assert lo * width == at
        assert lo < hi
        at = hi * width
        if level:
            assert start <= lo * width
            assert hi * width <= min(stop, complete_to)
        if length == 0:
            raise AssertionError("an empty window needs nothing")
    if length and (length < 2**20 or complete_to > stop):
        assert stop <= at < stop + 64


@given(STEP, st.integers(1, 2**50))
def test_a_window_that_is_complete_takes_at_most_seven_nodes_a_level_on_each_side(start: int, length: int) -> None:
    pieces = pyramid.cover(start, start + length, start + length)
    assert sum(hi - lo for level, lo, hi in pieces if level) <= 14 * pyramid.TOP
    assert sum(hi - lo for level, lo, hi in pieces if level == 0) <= 2 * 7 + 2 + (7 if length < 4096 else 0)
    levels = [level for level, _, _ in pieces]
    peak = levels.index(max(levels))
    assert levels[: peak + 1] == sorted(levels[: peak + 1])
    assert levels[peak:] == sorted(levels[peak:], reverse=True)


def test_a_window_worked_out_by_hand() -> None:
    assert pyramid.cover(100, 1700, 1700) == [(0, 1, 8), (1, 1, 3), (0, 24, 27)]
    assert pyramid.cover(100, 1700, 1535) == [(0, 1, 8), (1, 1, 2), (0, 16, 27)]
    assert pyramid.cover(0, 4096, 4096) == [(2, 0, 1)]
    assert pyramid.cover(5, 6, 0) == [(0, 0, 1)]
    assert pyramid.cover(6, 6, 100) == []
    assert pyramid.cover(7, 6, 100) == []


@given(st.integers(0, 3000), st.integers(0, 200_000))
def test_the_ancestors_of_a_leaf_are_the_complete_nodes_that_hold_it(leaf: int, complete_to: int) -> None:
    found = pyramid.ancestors(leaf, complete_to)
    assert all(idx * pyramid.width(level) <= leaf * 64 < (idx + 1) * pyramid.width(level) for level, idx in found)
    assert [level for level, _ in found] == [
        level for level in range(1, 5) if (leaf // 8**level + 1) * 64 * 8**level <= complete_to
    ]


def test_a_node_is_the_sum_of_eight() -> None:
    assert pyramid.children(1, 5) == (0, 40, 48)
    assert pyramid.width(1) == 512
    assert pyramid.width(3) == 32_768
    assert pyramid.row_width(0) == 1024
    assert pyramid.bucket_width(2) == 1024


@pytest.mark.parametrize(("classes", "level"), [(2, 0), (2000, 0), (2001, 1), (16_001, 2), (200_000, 2)])
def test_many_classes_have_no_fine_buckets(classes: int, level: int) -> None:
    assert pyramid.finest_level(classes) == level
