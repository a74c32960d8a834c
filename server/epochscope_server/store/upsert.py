"""Rows put in, or changed where their key is there already: one statement that both databases know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]) -> None:
    """Put ``rows`` in, all with the same columns; where one of the same ``key`` is there, its other columns change."""
    if not rows:
        return
    insert = sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
    others = {name: insert.excluded[name] for name in rows[0] if name not in key}
    if others:
        insert = insert.on_conflict_do_update(index_elements=list(key), set_=others)
    else:
        insert = insert.on_conflict_do_nothing(index_elements=list(key))
    connection.execute(insert, rows)
