"""Confusion counts at rest: the chunks that touch a window."""

from __future__ import annotations

import sqlalchemy as sa

from epochscope_server.store.schema import confusion_chunk as table


def chunks(connection: sa.Connection, run_id: int, output_id: int, split: str, start: int, stop: int) -> list[bytes]:
    """The chunks that hold steps of ``[start, stop)``, to be unpacked once the transaction is over."""
    chosen = sa.select(table.c.data).where(
        table.c.run_id == run_id,
        table.c.output_id == output_id,
        table.c.split == split,
        table.c.step_min < stop,
        table.c.step_max >= start,
    )
    return list(connection.scalars(chosen.order_by(table.c.chunk)))
