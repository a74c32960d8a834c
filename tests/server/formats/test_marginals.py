"""Marginals hold what a plain count says of each class in each bucket, of few classes and of very many."""

from __future__ import annotations

import numpy as np
import pytest
from epochscope_server.store.formats import FormatError, content, marginals
from epochscope_server.store.formats.counts import Counts, summed
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_counts import Told, cells, counted, many

Sums = dict[tuple[int, int, int], int]  # (kind, bucket, class) -> count


def plainly(told: Told, first: int, width: int) -> Sums:
    found: Sums = {}
    for step, true, predicted, count in told:
        bucket = (step - first) // width
        if not 0 <= bucket < 64:
            continue
        where = [(marginals.SUPPORT, true)]
        if true != predicted:
            where += [(marginals.FALSE_NEGATIVES, true), (marginals.FALSE_POSITIVES, predicted)]
        for kind, one in where:
            found[kind, bucket, one] = found.get((kind, bucket, one), 0) + count
    return found


def listed(found: Counts, classes: int) -> Sums:
    told = {}
    for cell, count in zip(found.cell.tolist(), found.count.tolist(), strict=True):
        told[cell // 64 // classes, cell % 64, cell // 64 % classes] = count
    assert len(told) == len(found.cell)
    return told


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([1, 2, 10, 300, 200_000]), st.sampled_from([1, 16, 128]))
def test_marginals_hold_what_was_counted(data: st.DataObject, classes: int, width: int) -> None:
    told = data.draw(counted(classes, 5000, 70 * width))
    sums = marginals.counts_of_cells(cells(told), 5000, width, classes)
    blob = marginals.encode(sums, classes)
    assert listed(marginals.read(blob, classes), classes) == plainly(told, 5000, width)
    if classes <= 300:
        dense = marginals.of_cells(cells(told), 5000, width, classes)
        assert dense.shape == (3, 64, classes)
        assert (marginals.decode(blob, classes) == dense).all()
        assert marginals.encode(dense) == blob


@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from([2, 300, 200_000]))
def test_sums_do_not_depend_on_portions_or_order(data: st.DataObject, classes: int) -> None:
    told = data.draw(st.permutations(data.draw(counted(classes, 0, 1024))))
    cut = data.draw(st.integers(0, len(told)))
    parts = [marginals.counts_of_cells(cells(part), 0, 16, classes) for part in (told[:cut], told[cut:])]
    whole = marginals.counts_of_cells(cells(sorted(told)), 0, 16, classes)
    assert marginals.encode(summed(parts), classes) == marginals.encode(whole, classes)


@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from([2, 300, 200_000]))
def test_eight_rows_make_one_of_wider_buckets(data: st.DataObject, classes: int) -> None:
    told = data.draw(counted(classes, 8192, 8192))
    rows = [(row, marginals.counts_of_cells(cells(told), 8192 + row * 1024, 16, classes)) for row in range(8)]
    coarse = marginals.coarser(data.draw(st.permutations(rows)))
    assert listed(coarse, classes) == plainly(told, 8192, 128)
    assert marginals.encode(coarse, classes) == marginals.encode(
        marginals.counts_of_cells(cells(told), 8192, 128, classes), classes
    )


def test_a_row_has_eight_parts() -> None:
    with pytest.raises(ValueError, match="there is no part 8"):
        marginals.coarser([(8, marginals.counts_of_cells(cells([]), 0, 16, 2))])


@pytest.mark.parametrize(("classes", "most"), [(10, 1.1), (100, 0.7), (1000, 0.5)])
def test_a_full_row_of_a_training_is_small(classes: int, most: float) -> None:
    told = many(classes, 1024, 1024, 128)
    blob = marginals.encode(marginals.counts_of_cells(told, 1024, 16, classes), classes)
    assert len(blob) < most * 3 * 64 * classes
    sums = marginals.decode(blob, classes)
    assert int(sums[marginals.SUPPORT].sum()) == 1024 * 128
    assert sums[marginals.FALSE_NEGATIVES].sum() == sums[marginals.FALSE_POSITIVES].sum()
    assert (sums[marginals.SUPPORT, 3] == np.bincount(told.true[3 * 2048 : 4 * 2048], minlength=classes)).all()


def test_every_cut_and_every_flipped_byte_is_found() -> None:
    blob = marginals.encode(marginals.counts_of_cells(many(3, 0, 1024, 4), 0, 16, 3), 3)
    for end in range(len(blob)):
        with pytest.raises(FormatError):
            marginals.read(blob[:end], 3)
    for at in range(len(blob)):
        flipped = bytearray(blob)
        flipped[at] ^= 0xFF
        with pytest.raises(FormatError):
            marginals.read(bytes(flipped), 3)


def test_marginals_of_other_classes_are_refused() -> None:
    blob = marginals.encode(marginals.counts_of_cells(cells([(1, 0, 1, 4)]), 0, 16, 2), 2)
    with pytest.raises(FormatError, match="marginals are of 2 classes, not of 3"):
        marginals.read(blob, 3)
    assert content.same(blob, blob)
    assert not content.same(blob, marginals.encode(marginals.counts_of_cells(cells([(1, 0, 1, 5)]), 0, 16, 2), 2))
