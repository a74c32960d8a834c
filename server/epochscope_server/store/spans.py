"""Spans at rest: which steps an epoch, or the validation pass after it, covers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from epochscope import wire
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks the same ON CONFLICT

from epochscope_server.store import attempts
from epochscope_server.store.schema import span


def note(connection: sa.Connection, run_id: int, told: Iterable[wire.Span], spoken_for: Mapping[str, int]) -> None:
    """Keep the spans of a flush; the latest word on an epoch counts. ``spoken_for``: the stream's attempts."""
    for one in told:
        values = {"start": one.start, "stop": one.stop}
        key = {"run_id": run_id, "split": one.split, "attempt": spoken_for.get(one.split, 0), "epoch": one.epoch}
        connection.execute(
            insert(span).values(**key, **values).on_conflict_do_update(index_elements=list(key), set_=values)
        )


def of_run(connection: sa.Connection, run: Mapping[str, Any], split: str | None = None) -> list[dict[str, Any]]:
    """``{"split", "epoch", "from", "to"}`` in order of epochs; an epoch that goes on reaches to the last step.

    Where several attempts ran an epoch, the latest of them counts; what a later attempt replaced is left out.
    """
    chosen = sa.select(span).where(span.c.run_id == run["id"])
    if split is not None:
        chosen = chosen.where(span.c.split == split)
    rows = connection.execute(chosen.order_by(span.c.split, span.c.epoch)).mappings().all()
    several = attempts.of_run(connection, run["id"])
    seen: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        name = row["split"]
        order = several.order(name)
        for piece in several.pieces(name):
            if piece.attempt != row["attempt"] or (piece.stop is not None and row["start"] >= piece.stop):
                continue
            stop = row["stop"] or max(row["start"], run["steps"].get(name, 0) + 1)
            if piece.stop is not None:
                stop = min(stop, piece.stop)
            rank = order.index(row["attempt"])
            before = seen.get((name, row["epoch"]))
            if before is None or before["rank"] < rank:
                seen[name, row["epoch"]] = {
                    "split": name, "epoch": row["epoch"], "from": row["start"], "to": stop, "rank": rank,
                }  # fmt: skip
    return [{key: value for key, value in one.items() if key != "rank"} for one in seen.values()]
