"""Nodes and windows: sums of any pieces, in any of the three forms, equal sums over plain dictionaries."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.confusion import Cells
from epochscope_server.store import pyramid
from epochscope_server.store.formats import FormatError, content, counts, leaf, node, total
from epochscope_server.store.formats.node import Counts
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_counts import CLASSES, COUNTS, cells, counted, many, sealed


def listed(found: Counts) -> dict[int, int]:
    assert (np.diff(found.cell) > 0).all()
    assert (found.count > 0).all()
    return dict(zip(found.cell.tolist(), found.count.tolist(), strict=True))


def made(told: dict[int, int]) -> Counts:
    return Counts(np.array(sorted(told), np.int64), np.array([told[cell] for cell in sorted(told)], np.int64))


@settings(max_examples=80, deadline=None)
@given(st.data(), CLASSES)
def test_a_node_gives_back_its_counts(data: st.DataObject, classes: int) -> None:
    told = data.draw(st.dictionaries(st.integers(0, classes**2 - 1), COUNTS, max_size=30))
    blob = node.encode(made(told), classes)
    assert listed(node.decode(blob)) == told
    if classes <= 1000:
        matrix = np.ones((classes, classes), np.int64)
        node.add_into(matrix, blob)
        assert int(matrix.sum()) == sum(told.values()) + classes**2
        assert all(matrix.reshape(-1)[cell] == count + 1 for cell, count in told.items())


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([3, 50, 200_000]))
def test_sums_do_not_depend_on_portions_or_order(data: st.DataObject, classes: int) -> None:
    told = data.draw(counted(classes, 0, 512))
    whole = node.of_cells(cells(told), classes)
    want: dict[int, int] = {}
    for _, true, predicted, count in told:
        want[true * classes + predicted] = want.get(true * classes + predicted, 0) + count
    assert listed(whole) == want
    cut = data.draw(st.integers(0, len(told)))
    shuffled = data.draw(st.permutations(told))
    parts = [node.of_cells(cells(part), classes) for part in (shuffled[:cut], shuffled[cut:])]
    assert node.encode(node.summed(parts), classes) == node.encode(whole, classes)


FORMS = {  # how many cells of a million are there, how many of them count much
    "gaps": (2_000, 0),
    "gaps, packed, with great counts": (20_000, 40),
    "pages": (90_000, 900),
    "dense": (600_000, 9_000),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_back_its_counts(form: str) -> None:
    there, great = FORMS[form]
    rng = np.random.default_rng(there)
    cell = np.sort(rng.choice(1_000_000, there, replace=False))
    count = rng.integers(1, 256, there)
    count[rng.choice(there, great, replace=False)] = rng.integers(256, 2**40, great)
    blob = node.encode(Counts(cell, count), 1000)
    code, walked, exceptions = counts.HEADER.unpack_from(blob, 13)
    assert code & 3 == ("gaps", "pages", "dense").index(form.split(",")[0])
    assert exceptions == great
    assert walked == 1_000_000 if form == "dense" else there <= walked < 1.01 * there
    found = node.decode(blob)
    assert (found.cell == cell).all()
    assert (found.count == count).all()
    matrix = np.zeros(1_000_000, np.int64)
    node.add_into(matrix, blob)
    matrix[cell] -= count
    assert not matrix.any()


def test_wide_gaps_are_walked_in_strides() -> None:
    cell = np.concatenate((np.arange(100) * 3, [300 + 2 * 255, 300 + 2 * 255 + 1000]))
    data, parts, _ = counts.encode(Counts(cell, np.ones(102, np.int64)), 10**6)
    code, walked, _ = counts.HEADER.unpack(data)
    assert code >> 2 & 3 == 0  # gaps of one byte
    assert walked == 102 + 2 + 3
    assert parts[0][:3] == b"\0\3\3"
    assert parts[0][100:104] == b"\xff\xff\3\xff"
    assert code >> 6 == 2  # four counts a byte
    assert parts[1][24:26] == b"\x55\x10"  # entries 96 to 103, of which 100, 101 and 103 count nothing


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from([2, 20, 300]), st.integers(1, 9000), st.integers(1, 9000))
def test_any_window_of_a_pyramid_equals_a_plain_sum(data: st.DataObject, classes: int, start: int, length: int) -> None:
    told = data.draw(st.lists(counted(classes, data.draw(st.integers(1, 8000)), 900), max_size=4))
    every = [entry for part in told for entry in part]
    stop, sealed_to = start + length, data.draw(st.integers(1, 9000))
    whole = cells(every)
    cover = pyramid.cover(start, stop, sealed_to)
    pieces: list[tuple[list[Any], list[Any]]] = []
    for ranges in (cover.added, cover.taken):
        nodes: list[Any] = []
        leaves: list[Any] = []
        pieces.append((nodes, leaves))
        for level, idx in [(level, idx) for level, lo, hi in ranges for idx in range(lo, hi)]:
            inside = whole.step // pyramid.width(level) == idx
            piece = cells(entry for entry, chosen in zip(every, inside.tolist(), strict=True) if chosen)
            if level:
                blob = node.encode(node.of_cells(piece, classes), classes)
                nodes.append(blob if data.draw(st.booleans()) else node.open_columns(blob))
            else:
                blob = leaf.encode(piece, idx * 64, classes)
                leaves.append((idx * 64, blob if data.draw(st.booleans()) else leaf.open_leaf(blob)))
    added, taken = pieces
    want = [[0] * classes for _ in range(classes)]
    for step, true, predicted, count in every:
        if start <= step < stop:
            want[true][predicted] += count
    assert total.dense(classes, *added, start, stop, *taken).tolist() == want


@pytest.mark.parametrize("classes", [3, 300])
def test_what_a_node_has_outside_of_a_window_is_taken_away_again(classes: int) -> None:
    chance = np.random.default_rng(classes)
    step = np.repeat(np.arange(1, 9000), 3)
    true, predicted = chance.integers(0, classes, (2, len(step)))
    count = np.where(chance.random(len(step)) < 0.1, 300, 1)

    @cache
    def blob(level: int, idx: int) -> bytes:
        here = step // pyramid.width(level) == idx
        piece = Cells(step[here], true[here], predicted[here], count[here])
        return node.encode(node.of_cells(piece, classes), classes) if level else leaf.encode(piece, idx * 64, classes)

    some_taken = 0
    for _ in range(100):
        start, stop, sealed_to = np.sort(chance.integers(1, 9000, 3)).tolist()
        cover = pyramid.cover(start, stop, sealed_to)
        some_taken += bool(cover.taken)
        added, taken = (
            (
                [node.open_columns(blob(level, idx)) for level, lo, hi in ranges if level for idx in range(lo, hi)],
                [(idx * 64, blob(0, idx)) for level, lo, hi in ranges if not level for idx in range(lo, hi)],
            )
            for ranges in (cover.added, cover.taken)
        )
        want = np.zeros((classes, classes), np.int64)
        inside = (step >= start) & (step < stop)
        np.add.at(want, (true[inside], predicted[inside]), count[inside])
        assert (total.dense(classes, *added, start, stop, *taken) == want).all()
        found = total.sparse(*added, start, stop, *taken)
        assert found.cell.tolist() == np.flatnonzero(want).tolist()
        assert found.count.tolist() == want[want > 0].tolist()
    assert some_taken > 50


def test_many_nodes_of_small_numbers_never_run_over() -> None:
    cell = np.arange(0, 300 * 300, 2)
    blob = node.encode(Counts(cell, np.full(len(cell), 255)), 300)
    found = total.dense(300, [blob] * 600, [], 1, 2).reshape(-1)
    assert (found[::2] == 600 * 255).all()
    assert not found[1::2].any()


SMALL = {0: 1, 5: 255, 6: 256, 8: 2**53}


def test_every_cut_and_every_flipped_byte_of_a_node_is_found() -> None:
    packed = node.encode(node.of_cells(many(30, 0, 64, 64), 30), 30)
    assert packed[8] == 1
    for data in (node.encode(made(SMALL), 3), packed):
        for end in range(len(data)):
            with pytest.raises(FormatError):
                node.decode(data[:end])
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 0x11
            with pytest.raises(FormatError):
                node.decode(bytes(flipped))


@pytest.mark.parametrize("form", ["gaps", "pages", "dense"])
def test_a_forged_node_is_refused_or_read_and_never_names_what_cannot_be(form: str) -> None:
    classes = 40
    if form == "pages":
        code = bytes((1 | 1 << 4,))
        columns = bytes((3, 0, 0, 0, 0, 0, 1)) + bytes((0, 7, 9, 63)) + b"\1\0" * 4
        blob = sealed(
            node.MAGIC + bytes(4) + b"\0" + classes.to_bytes(4, "little") + code + b"\4\0\0\0" + bytes(4) + columns
        )
    else:
        blob = node.encode(made(SMALL if form == "gaps" else dict.fromkeys(range(1600), 2)), classes)
    want = node.decode(blob)
    rng, refused = random.Random(form), 0
    for _ in range(800):
        forged = bytearray(blob)
        for _ in range(rng.randint(1, 3)):
            forged[rng.randrange(8, min(len(forged), 60))] = rng.choice(
                (0, 1, 2, 127, 128, 254, 255, rng.randrange(256))
            )
        try:
            found = node.decode(sealed(bytes(forged)))
        except FormatError:
            refused += 1
            continue
        said = int.from_bytes(forged[9:13], "little")
        assert not len(found.cell) or (int(found.cell.min()) >= 0 and int(found.cell.max()) < said * said)
        assert (found.count > 0).all()
    assert refused > 100
    assert len(want.cell)


def test_a_cell_that_is_named_twice_is_refused() -> None:
    blob = bytearray(node.encode(made({5: 1, 6: 2, 9: 3}), 40))
    assert blob[22:25] == b"\5\1\3"  # the gaps
    blob[23] = 0
    with pytest.raises(FormatError, match="node names a cell that can't be"):
        node.decode(sealed(bytes(blob)))


def test_numbers_of_64_bits_are_refused_rather_than_read_as_negative() -> None:
    opened = bytearray(node.encode(made({5: 2**53}), 200_000))
    opened[-1] |= 0x80
    with pytest.raises(FormatError):
        node.decode(sealed(bytes(opened)))


@pytest.mark.parametrize(
    ("cell", "count"), [([3, 2], [1, 1]), ([2, 2], [1, 1]), ([9], [1]), ([-1], [1]), ([1], [0]), ([1], [-4])]
)
def test_counts_that_are_none_are_not_written(cell: list[int], count: list[int]) -> None:
    with pytest.raises(ValueError, match="above 0, in order of cells, each once"):
        node.encode(Counts(np.array(cell), np.array(count)), 3)


def test_a_header_that_promises_more_than_a_blob_may_hold_is_refused_at_once() -> None:
    classes, code, entries = (2**20).to_bytes(4, "little"), b"\0", b"\xff" * 4
    with pytest.raises(FormatError, match=r"node says that it has 8,589,934,590 bytes of columns; at most 536,870,912"):
        node.decode(sealed(node.MAGIC + bytes(4) + b"\1" + classes + code + entries + bytes(4)))


def test_a_node_is_not_added_to_a_matrix_of_other_classes() -> None:
    with pytest.raises(FormatError, match="node counts 3 classes; the matrix has 16 cells"):
        node.add_into(np.zeros((4, 4), np.int64), node.encode(made(SMALL), 3))


def test_nodes_that_say_the_same_are_the_same() -> None:
    one = node.encode(made(SMALL), 3)
    assert content.same(one, one)
    assert not content.same(one, node.encode(made({**SMALL, 0: 2}), 3))
    assert not content.same(one, leaf.encode(cells([]), 0, 3))
    with pytest.raises(FormatError):
        content.same(one, one[:-1])
    with pytest.raises(FormatError, match="no format does"):
        content.same(b"GIF89a", b"GIF8")
