"""How long the runs of a project are kept: for ever, unless the operator says for how many days.

A run goes as a whole, just as if someone had deleted it, or stays as it is: half a run would answer some windows and
not others. Only a run that nobody has heard of for all these days goes, that is over (or lost), and that nobody has
marked as worth keeping with a tag or by archiving it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from epochscope_server.errors import NotFoundError
from epochscope_server.store import runs
from epochscope_server.store.schema import retention, run, run_tag

DAY_MS = 86_400_000
GRACE_MS = 3_600_000  # nothing goes so soon after a rule was made: time to think again


@dataclass(frozen=True)
class Project:
    """One project: how many runs it has, for how many days they are kept (None: for ever), how many are about to go,
    how many went so far, and when the last one did.
    """

    name: str
    runs: int
    keep_days: int | None
    due: int
    removed: int
    removed_ms: int | None


def projects(connection: sa.Connection, now_ms: int, since_ms: int) -> list[Project]:
    """Every project that has runs or a rule, by name. ``since_ms`` is the start of the service."""
    found: dict[str, int] = dict(
        connection.execute(sa.select(run.c.project, sa.func.count()).group_by(run.c.project)).all()
    )
    rules = {row.project: row for row in connection.execute(sa.select(retention))}
    due: dict[str, int] = {}
    if any(rule.days is not None for rule in rules.values()):
        chosen = _expired(sa.select(run.c.project, sa.func.count())).group_by(run.c.project)
        due = dict(connection.execute(chosen, {"now": now_ms, "since": since_ms}).all())
    told = []
    for name in sorted(found.keys() | rules.keys()):
        rule = rules.get(name)
        days, removed, removed_ms = (rule.days, rule.removed, rule.removed_ms) if rule else (None, 0, None)
        told.append(Project(name, found.get(name, 0), days, due.get(name, 0), removed, removed_ms))
    return told


def keep(connection: sa.Connection, project: str, days: int | None, now_ms: int) -> None:
    """Keep the runs of a project for so many days after they were last heard of; None: for ever.

    Raises:
        NotFoundError: there is no such project.
    """
    changed = retention.update().where(retention.c.project == project).values(days=days, set_ms=now_ms)
    if connection.execute(changed).rowcount:
        return
    if connection.scalar(sa.select(run.c.id).where(run.c.project == project).limit(1)) is None:
        raise NotFoundError("unknown_project", f"There is no project {project!r}; GET /api/v1/projects lists them")
    connection.execute(retention.insert().values(project=project, days=days, set_ms=now_ms, removed=0))


def due(connection: sa.Connection, now_ms: int, since_ms: int, most: int) -> list[str]:
    """Up to ``most`` runs whose time is over, the oldest first."""
    chosen = _expired(sa.select(run.c.uid)).where(retention.c.set_ms <= now_ms - GRACE_MS)
    bound = {"now": now_ms, "since": since_ms}
    return list(connection.scalars(chosen.order_by(run.c.heard_ms, run.c.id).limit(most), bound))


def remove(connection: sa.Connection, uid: str, now_ms: int, since_ms: int) -> runs.Change | None:
    """Delete a run that was due, if it still is: it may have been heard of, tagged or deleted meanwhile."""
    known = runs.find(connection, uid, lock=True)
    if known is None:
        return None
    chosen = _expired(sa.select(run.c.id)).where(run.c.id == known["id"])
    if connection.scalar(chosen, {"now": now_ms, "since": since_ms}) is None:
        return None
    change = runs.delete(connection, uid, now_ms)
    connection.execute(
        retention.update()
        .where(retention.c.project == known["project"])
        .values(removed=retention.c.removed + 1, removed_ms=now_ms)
    )
    return change


def _expired(chosen: sa.Select[Any]) -> sa.Select[Any]:
    """``chosen`` of the runs whose time is over; ``now`` and ``since`` are to be bound to the two times."""
    now = sa.bindparam("now", type_=sa.BigInteger)
    age_ms = sa.cast(retention.c.days, sa.BigInteger) * DAY_MS
    return chosen.join(retention, retention.c.project == run.c.project).where(
        retention.c.days.is_not(None),
        run.c.heard_ms < now - age_ms,
        sa.or_(run.c.status != "running", runs.has_status("lost")),
        run.c.archived == sa.false(),
        ~sa.exists().where(run_tag.c.run_id == run.c.id),
    )
