"""Rows put in, or changed where their key is there already: one statement that both databases know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks the same ON CONFLICT


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]) -> None:
    """Put ``rows`` in, all with the same columns; where one of the same ``key`` is there, its other columns change."""
    if rows:
        connection.execute(_statement(table, tuple(rows[0]), key), rows)


@cache
def _statement(table: sa.Table, columns: tuple[str, ...], key: tuple[str, ...]) -> sa.Insert:
    # To put a statement together takes longer than to run it.
    statement = insert(table)
    others = {name: statement.excluded[name] for name in columns if name not in key}
    if others:
        return statement.on_conflict_do_update(index_elements=list(key), set_=others)
    return statement.on_conflict_do_nothing(index_elements=list(key))
