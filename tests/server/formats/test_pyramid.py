"""A window is covered by pieces that hold each of its steps once, as large as can be."""

from __future__ import annotations

from collections import Counter

import pytest
from epochscope_server.store import pyramid
from epochscope_server.store.pyramid import Cover
from hypothesis import given
from hypothesis import strategies as st

STEP = st.one_of(st.integers(0, 5000), st.integers(0, 2**53))


@given(STEP, st.one_of(st.integers(0, 9000), st.integers(0, 2**50)), STEP)
def test_pieces_hold_each_step_of_a_window_once_and_none_outside(start: int, length: int, complete_to: int) -> None:
    stop = start + length
    cover = pyramid.cover(start, stop, complete_to)
    ends: Counter[int] = Counter()  # how many more pieces hold a step than the step before it
    for sign, pieces in ((1, cover.added), (-1, cover.taken)):
        for level, lo, hi in pieces:
            assert lo < hi
            width = pyramid.width(level)
            parts = [(lo * width, hi * width)]
            if level:
                assert hi * width <= complete_to
            elif sign > 0:
                parts = [(max(parts[0][0], start), min(parts[0][1], stop))]
            else:
                parts = [(parts[0][0], min(parts[0][1], start)), (max(parts[0][0], stop), parts[0][1])]
            for first, end in parts:
                if first < end:
                    ends[first] += sign
                    ends[end] -= sign
    assert {step: more for step, more in ends.items() if more} == ({start: 1, stop: -1} if length else {})


@given(STEP, st.integers(1, 2**50), st.integers(0, 1000))
def test_a_window_that_is_complete_takes_few_pieces(start: int, length: int, more: int) -> None:
    cover = pyramid.cover(start, start + length, start + length + more)
    pieces = [*cover.added, *cover.taken]
    assert sum(hi - lo for level, lo, hi in pieces if level == 0) <= 2 * 4 + 2 + 7
    for one in range(1, pyramid.TOP):
        assert sum(hi - lo for level, lo, hi in pieces if level == one) <= 2 * 7
    assert sum(hi - lo for level, lo, hi in pieces if level) <= 8 * max(level for level, _, _ in pieces) + 7


def test_a_window_worked_out_by_hand() -> None:
    assert pyramid.cover(100, 1700, 1700) == Cover([(0, 24, 27), (1, 0, 3)], [(0, 0, 2)])
    assert pyramid.cover(100, 1700, 1535) == Cover([(0, 16, 27), (1, 0, 2)], [(0, 0, 2)])
    assert pyramid.cover(300, 1400, 1536) == Cover([(0, 4, 8), (1, 1, 3)], [(0, 21, 24)])
    assert pyramid.cover(64, 512, 512) == Cover([(1, 0, 1)], [(0, 0, 1)])
    assert pyramid.cover(0, 4096, 4096) == Cover([(2, 0, 1)], [])
    assert pyramid.cover(5, 6, 0) == Cover([(0, 0, 1)], [])
    assert pyramid.cover(6, 6, 100) == Cover([], [])
    assert pyramid.cover(7, 6, 100) == Cover([], [])


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
