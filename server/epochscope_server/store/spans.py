"""Spans at rest: which steps an epoch, or the validation pass after it, covers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from epochscope_server.store.schema import span


def of_run(connection: sa.Connection, run: Mapping[str, Any], split: str | None = None) -> list[dict[str, Any]]:
    """``{"split", "epoch", "from", "to"}`` in order of epochs; an epoch that goes on reaches to the last step."""
    chosen = sa.select(span).where(span.c.run_id == run["id"])
    if split is not None:
        chosen = chosen.where(span.c.split == split)
    rows = connection.execute(chosen.order_by(span.c.split, span.c.epoch)).mappings()
    spans = []
    for row in rows:
        stop = row["stop"] or max(row["start"], run["steps"].get(row["split"], 0) + 1)
        spans.append({"split": row["split"], "epoch": row["epoch"], "from": row["start"], "to": stop})
    return spans
