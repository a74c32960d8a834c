"""What the list shows of each run beside its row, worked out once an epoch and kept: see `analysis.glance`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from epochscope_server.conditions import GLANCED
from epochscope_server.store.runs import Change
from epochscope_server.store.schema import glance, run
from epochscope_server.store.upsert import upsert

_SAID = sa.select(glance.c.run_id, sa.cast(glance.c.said, sa.Text)).where(
    glance.c.run_id.in_(sa.bindparam("ids", expanding=True))
)
_BEHIND = (
    sa.select(run.c.change, run.c.uid, run.c.rev, run.c.status)
    .outerjoin(glance, glance.c.run_id == run.c.id)
    .where(sa.or_(glance.c.run_id.is_(None), glance.c.rev < run.c.rev))
    .order_by(run.c.change.desc())
)


def of_runs(connection: sa.Connection, run_ids: Sequence[int]) -> dict[int, msgspec.Raw]:
    """What is known of runs at a glance, as the JSON that it is at rest; none of those not looked at yet."""
    rows = connection.execute(_SAID, {"ids": list(run_ids)})
    return {run_id: msgspec.Raw(said.encode()) for run_id, said in rows}


def record(connection: sa.Connection, run_id: int, rev: int, said: dict[str, Any]) -> bool:
    """Keep what a run is at a glance as of revision ``rev``; False where the run is gone."""
    # Locked, so that no other service deletes it before this commit and leaves the row behind.
    if connection.scalar(sa.select(run.c.id).where(run.c.id == run_id).with_for_update()) is None:
        return False
    worst, drop = (said.get(name) or {} for name in GLANCED)
    values = {"worst": worst.get("value"), "drop": drop.get("value", 0.0) if said else None}
    upsert(connection, glance, [{"run_id": run_id, "rev": rev, "said": said, **values}], ("run_id",))
    return True


def values(connection: sa.Connection, run_ids: Sequence[int], name: str) -> dict[int, float]:
    """What runs are sorted by: one of GLANCED; none of those without."""
    column = glance.c[name]
    chosen = sa.select(glance.c.run_id, column).where(glance.c.run_id.in_(run_ids), column.is_not(None))
    return {row.run_id: row[1] for row in connection.execute(chosen)}


def behind(connection: sa.Connection) -> list[Change]:
    """The runs that something was stored of since they were looked at, or that never were; the latest first."""
    return [Change(*row) for row in connection.execute(_BEHIND)]
