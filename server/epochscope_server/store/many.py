"""One statement for many rows, as the driver wants it: it is put together once, and a row costs nothing but itself.

SQLAlchemy looks at every value of every row, which takes longer than to store it. Here values go to the driver as they
are, so JSON must be text already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa


class Many:
    """``statement`` with at least two bound values; ``names`` are the columns of an insert."""

    def __init__(self, statement: sa.Insert | sa.Update, names: Sequence[str] = ()) -> None:
        self._statement, self._names = statement, list(names) or None
        self._compiled: dict[str, tuple[str, list[str] | None]] = {}  # by dialect: text, order of values

    def execute(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each row; a row may hold more than what is bound."""
        if not rows:
            return
        dialect = connection.dialect
        if dialect.name not in self._compiled:
            made = self._statement.compile(dialect=dialect, column_keys=self._names)
            self._compiled[dialect.name] = str(made), made.positiontup if made.positional else None
        text, order = self._compiled[dialect.name]
        given = list(map(itemgetter(*order), rows)) if order else [dict(row) for row in rows]
        connection.exec_driver_sql(text, given)
