"""A pyramid of counts looked through: leaves unpacked, nodes and marginals built anew and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from epochscope_server.store import pyramid, rebuild
from epochscope_server.store.findings import Findings, Mend, next_revision
from epochscope_server.store.formats import FormatError, leaf, marginals, node
from epochscope_server.store.schema import count_marginal, count_node, counts
from epochscope_server.store.upsert import upsert

LEAVES = 64  # unpacked in one transaction


class Pyramid:
    """One row of the table `counts`."""

    def __init__(self, findings: Findings, uid: str, row: Mapping[str, Any]) -> None:
        self._findings, self._uid = findings, uid
        self._key = {"run_id": row["run_id"], "counts_id": row["counts_id"]}
        self._classes, self._sealed_to = row["classes"], row["sealed_to"]
        self._name = f"counts of {row['split']}"
        if row["attempt"]:
            self._name += f", attempt {row['attempt']}"
        self._damaged: set[tuple[str, int, int]] = set()

    def check(self) -> None:
        """Every leaf, then whatever is or should be there above them, from below: what is mended is built upon."""
        nodes, rows = self._places(count_node), self._places(count_marginal)
        leaves = sorted(nodes.get(0, ()))
        for at in range(0, len(leaves), LEAVES):
            self._check_leaves(leaves[at : at + LEAVES])
        self._climb(count_node, nodes, 1, pyramid.width, nodes.get(0, ()), pyramid.FAN)
        finest = pyramid.finest_level(self._classes)
        _, (under, _, pieces) = rebuild.row_pieces(finest, 0, self._classes)
        self._climb(count_marginal, rows, finest, pyramid.row_width, nodes.get(under, ()), pieces)

    def _climb(
        self, table: sa.Table, there: dict[int, set[int]], lowest: int, width: Callable[[int], int],
        below: Iterable[int], pieces: int,
    ) -> None:  # fmt: skip
        """Level by level; ``below`` are the places that the lowest is made of, ``pieces`` to one."""
        for level in range(lowest, pyramid.TOP + 1):
            places = there.setdefault(level, set())
            places.update(idx for idx in {at // pieces for at in below} if self._is_whole(width(level), idx))
            for idx in sorted(places):
                self._check(table, level, idx, width(level))
            below, pieces = places, pyramid.FAN

    def _is_whole(self, width: int, idx: int) -> bool:
        return bool((idx + 1) * width <= self._sealed_to)

    def _check_leaves(self, places: list[int]) -> None:
        with self._findings.read() as connection:
            held = self._blobs(connection, count_node, (0, places[0], places[-1] + 1))
        for idx, data in held.items():
            self._findings.blocks += 1
            first = idx * pyramid.LEAF
            try:
                leaf.decode(data, first)
            except (FormatError, ValueError) as error:
                self._damaged.add((count_node.name, 0, idx))
                self._findings.add(
                    self._uid, f"{self._name} in steps {first} to {first + pyramid.LEAF - 1}",
                    f"can't be read ({error}); sums of whole stretches of {pyramid.width(1)} steps still can",
                )  # fmt: skip

    def _check(self, table: sa.Table, level: int, idx: int, width: int) -> None:
        """A node or a row of marginals against what is right below it."""
        below, pieces = self._below(table, level, idx)
        where = f"{self._name}, {'sums' if table is count_node else 'curves'} of steps "
        where += f"{idx * width} to {(idx + 1) * width - 1}"
        if any((below.name, pieces[0], child) in self._damaged for child in range(*pieces[1:])):
            self._unpack(table, level, idx, where)
            return
        try:
            with self._findings.read() as connection:
                stored, wanted = self._stored_and_wanted(connection, table, level, idx, width)
        except (FormatError, ValueError) as error:
            self._damaged.add((table.name, level, idx))
            self._findings.add(self._uid, where, f"can't be built anew ({error})")
            return
        if not self._findings.compare(self._uid, where, stored, wanted, self._mend(table, level, idx, width)):
            self._damaged.add((table.name, level, idx))

    def _below(self, table: sa.Table, level: int, idx: int) -> tuple[sa.Table, rebuild.Range]:
        if table is count_node:
            return count_node, pyramid.children(level, idx)
        of_nodes, pieces = rebuild.row_pieces(level, idx, self._classes)
        return (count_node if of_nodes else count_marginal), pieces

    def _stored_and_wanted(
        self, connection: sa.Connection, table: sa.Table, level: int, idx: int, width: int
    ) -> tuple[bytes | None, bytes | None]:
        """What lies at a place, and what should, in one state of the store."""
        stored = self._blobs(connection, table, (level, idx, idx + 1)).get(idx)
        chosen = sa.select(counts.c.sealed_to).where(*_is(counts, self._key))
        if (idx + 1) * width > (connection.scalar(chosen) or 0):
            return stored, None
        held = self._blobs(connection, *self._below(table, level, idx))
        if table is count_node:
            return stored, rebuild.node_of(held, level, self._classes)
        return stored, rebuild.row_of(held, level, idx, self._classes)

    def _unpack(self, table: sa.Table, level: int, idx: int, where: str) -> None:
        """What can't be built anew can at least be read, or not."""
        with self._findings.read() as connection:
            stored = self._blobs(connection, table, (level, idx, idx + 1)).get(idx)
        if stored is None:
            return
        self._findings.blocks += 1
        try:
            node.decode(stored) if table is count_node else marginals.read(stored, self._classes)
        except FormatError as error:
            self._damaged.add((table.name, level, idx))
            self._findings.add(self._uid, where, f"can't be read ({error})")

    def _mend(self, table: sa.Table, level: int, idx: int, width: int) -> Mend:
        key = {**self._key, "level": level, "idx": idx}

        def mend(connection: sa.Connection) -> None:
            written = next_revision(connection, self._key["run_id"])
            _, wanted = self._stored_and_wanted(connection, table, level, idx, width)
            if wanted is None:
                connection.execute(table.delete().where(*_is(table, key)))
            else:
                upsert(connection, table, [{**key, "written": written, "data": wanted}], tuple(key))

        return mend

    def _places(self, table: sa.Table) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        with self._findings.read() as connection:
            for level, idx in connection.execute(sa.select(table.c.level, table.c.idx).where(*_is(table, self._key))):
                found.setdefault(level, set()).add(idx)
        return found

    def _blobs(self, connection: sa.Connection, table: sa.Table, places: rebuild.Range) -> dict[int, bytes]:
        level, lo, hi = places
        here = (table.c.level == level, table.c.idx >= lo, table.c.idx < hi)
        chosen = sa.select(table.c.idx, table.c.data).where(*_is(table, self._key), *here)
        return dict(connection.execute(chosen.order_by(table.c.idx)).all())


def _is(table: sa.Table, key: Mapping[str, int]) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in key.items()]
