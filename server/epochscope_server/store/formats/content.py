"""Whether two blobs say the same: their bytes may differ where another release of zstd packed them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from epochscope_server.store.formats import leaf, marginals, node, points, rollup
from epochscope_server.store.formats.counts import Columns
from epochscope_server.store.formats.frame import FormatError

_COUNTED = (leaf.MAGIC, node.MAGIC, marginals.MAGIC)
_CLASSES = slice(9, 13)  # where these say of how many classes they are


def same(one: bytes, other: bytes) -> bool:
    """Whether two blobs of one kind hold the same numbers, to the last bit.

    Raises:
        FormatError: one is damaged, or of no kind that is known.
    """
    if one == other:
        return True
    if one[:4] != other[:4] or (one[:4] in _COUNTED and one[_CLASSES] != other[_CLASSES]):
        return False
    first, second = list(_arrays(one)), list(_arrays(other))
    return len(first) == len(second) and all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True)
    )


def _arrays(data: bytes) -> Iterable[np.ndarray]:
    kind = data[:4]
    if kind == leaf.MAGIC:
        opened = leaf.open_leaf(data)
        yield from _counts(opened.hits)
        yield from _counts(opened.misses)
    elif kind == node.MAGIC:
        yield from _counts(node.open_columns(data))
    elif kind == marginals.MAGIC:
        yield from _counts(marginals.open_columns(data, int.from_bytes(data[_CLASSES], "little")))
    elif kind == points.MAGIC:
        yield from points.decode(data)
    elif kind == rollup.MAGIC:
        yield from vars(rollup.decode(data)).values()
    else:
        raise FormatError(f"a blob starts with {kind!r}, which no format does")


def _counts(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    counts = columns.counts()
    return counts.cell, counts.count
