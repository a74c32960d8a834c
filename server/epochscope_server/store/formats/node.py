"""A node: the confusion counts of 64 x 8^level steps added up, one blob for each complete stretch."""

from __future__ import annotations

import struct

from epochscope_server.analysis.confusion import Cells
from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats import counts as sparse
from epochscope_server.store.formats.counts import Columns, Counts, summed
from epochscope_server.store.formats.frame import FormatError, pack, unpack

__all__ = ["MAX_CLASSES", "Counts", "add_into", "classes_of", "decode", "encode", "of_cells", "open_columns", "summed"]

MAGIC = b"ESN1"
MAX_CLASSES = 2**20
# A matrix of so few classes is answered whole, so that many nodes are added up for each: theirs must be read quickly.
QUICK_CLASSES = 2048
_CLASSES = struct.Struct("<I")
_HEADER = _CLASSES.size + sparse.HEADER.size


def of_cells(cells: Cells, classes: int) -> Counts:
    """Counts of ``cells`` over all their steps; cell = true * classes + predicted."""
    return sparse.of(cells.true * classes + cells.predicted, cells.count, classes * classes)


def encode(counts: Counts, classes: int) -> bytes:
    """The node of ``counts``, whose cells are true * ``classes`` + predicted. Canonical.

    Raises:
        FormatError: more than 2^29 bytes of columns.
    """
    header, parts, plain = sparse.encode(counts, classes * classes, quick=classes <= QUICK_CLASSES)
    return pack(MAGIC, _CLASSES.pack(classes) + header, parts, plain)


def decode(data: bytes) -> Counts:
    """The counts of a node.

    Raises:
        FormatError: it is damaged, or no node.
    """
    return open_columns(data).counts()


def add_into(matrix: Whole, data: bytes) -> None:
    """Add a node to ``matrix``, int64 [N * N] or [N, N], contiguous.

    Raises:
        FormatError: it is damaged, or of another number of classes.
    """
    total = matrix.reshape(-1)
    open_columns(data, len(total)).add_into(total)


def open_columns(data: bytes, space: int | None = None) -> Columns:
    """A node's columns as they are kept; ``space`` is the number of cells that the caller has room for."""
    opened = unpack(data, MAGIC, _HEADER, "node")
    classes = classes_of(opened.header)
    if space is not None and classes * classes != space:
        raise FormatError(f"node counts {classes:,} classes; the matrix has {space:,} cells")
    said = sparse.shape(opened.header, _CLASSES.size, classes * classes, "node")
    return sparse.decode(said, opened.columns(said.length), 0, "node")


def classes_of(header: bytes) -> int:
    """The number of classes with which the headers of leaves, nodes and marginals start."""
    classes: int = _CLASSES.unpack_from(header)[0]
    if not 1 <= classes <= MAX_CLASSES:
        raise FormatError(f"a blob says {classes:,} classes; 1 to {MAX_CLASSES:,} can be")
    return classes
