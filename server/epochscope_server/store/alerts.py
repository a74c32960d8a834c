"""Alerts at rest: each cause once, whoever finds it, with when it ended; and the rules of projects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from epochscope_server.store import runs
from epochscope_server.store.schema import alert, alert_post, alert_rules, run
from epochscope_server.store.upsert import upsert

MOST_OF_ONE = 20  # alerts of one kind for one class of a run; a class that goes up and down for ever is told by then
LEADING = 7_010_003  # an advisory lock on PostgreSQL: one service at a time looks for alerts and sends them


@dataclass(frozen=True)
class New:
    """An alert to be recorded; ``cause`` tells it from all others of its run, ``back`` is when it was over already."""

    cause: str
    kind: str
    output: str = ""
    split: str = ""
    class_name: str = ""
    start: int = 0
    stop: int = 0
    over: bool = False
    back: int | None = None
    send: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """An alert that is recorded, as far as looking for more needs it."""

    cause: str
    kind: str
    output: str
    split: str
    class_name: str
    start: int
    on: bool
    back: int | None


def known(connection: sa.Connection, run_id: int) -> list[Known]:
    """The alerts of a run, in the order in which they were found."""
    columns = (alert.c.cause, alert.c.kind, alert.c.output, alert.c.split, alert.c.class_name, alert.c.start)
    chosen = sa.select(*columns, alert.c.ended_ms.is_(None), alert.c.back).where(alert.c.run_id == run_id)
    return [Known(*row) for row in connection.execute(chosen.order_by(alert.c.alert_id))]


def record(
    connection: sa.Connection,
    uid: str,
    new: Sequence[New],
    over: Mapping[str, int | None],
    webhooks: Iterable[tuple[str, str]],
    now_ms: int,
) -> runs.Change | None:
    """Record what is ``new`` and what is ``over`` (cause -> step); None where all of it was recorded before.

    Args:
        webhooks: (fingerprint, host) of those to whom new alerts are to be sent.
    """
    row = runs.find(connection, uid, lock=True)  # from here on no other service records alerts of this run
    if row is None:
        return None
    mine = alert.c.run_id == row["id"]
    there = {one.cause: one for one in connection.execute(sa.select(alert.c.cause, alert.c.ended_ms).where(mine)).all()}
    number = connection.scalar(sa.select(sa.func.max(alert.c.alert_id)).where(mine)) or 0
    changed = 0
    for one in new:
        if one.cause in there or _too_many(connection, row["id"], one):
            continue
        number, changed = number + 1, changed + 1
        ended = now_ms if one.over else None
        values = {
            name: getattr(one, name)
            for name in ("cause", "kind", "output", "split", "class_name", "start", "stop", "back", "details")
        }
        connection.execute(
            alert.insert().values(run_id=row["id"], alert_id=number, found_ms=now_ms, ended_ms=ended, **values)
        )
        for webhook, host in webhooks if one.send else ():
            connection.execute(
                alert_post.insert().values(
                    run_id=row["id"], alert_id=number, webhook=webhook, host=host, state="waiting", tries=0,
                    next_ms=now_ms, says="",
                )
            )  # fmt: skip
    for cause, back in over.items():
        ending = alert.update().where(mine, alert.c.cause == cause, alert.c.ended_ms.is_(None))
        changed += connection.execute(ending.values(ended_ms=now_ms, back=back)).rowcount
    if not changed:
        return None
    change = runs.Change(runs.next_change(connection), uid, row["rev"] + 1, row["status"])
    connection.execute(run.update().where(run.c.id == row["id"]).values(rev=change.rev, change=change.number))
    return change


def _too_many(connection: sa.Connection, run_id: int, one: New) -> bool:
    same = [alert.c[name] == getattr(one, name) for name in ("kind", "output", "split", "class_name")]
    found = sa.select(sa.func.count()).select_from(alert).where(alert.c.run_id == run_id, *same)
    return int(connection.scalar(found) or 0) >= MOST_OF_ONE


def counts(connection: sa.Connection, run_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Of each run how many alerts there are, and how many of them are on."""
    chosen = (
        sa.select(alert.c.run_id, sa.func.count(), sa.func.count().filter(alert.c.ended_ms.is_(None)))
        .where(alert.c.run_id.in_(list(run_ids)))
        .group_by(alert.c.run_id)
    )
    found = {run_id: (every, on) for run_id, every, on in connection.execute(chosen)}
    return {run_id: found.get(run_id, (0, 0)) for run_id in run_ids}


_COLUMNS = [alert.c[name] for name in (
    "run_id", "alert_id", "kind", "output", "split", "class_name", "start", "stop", "found_ms", "ended_ms", "back",
    "details",
)]  # fmt: skip
TOLD = sa.select(*_COLUMNS, run.c.uid, run.c.project, run.c.name).join(run, run.c.id == alert.c.run_id)

PLACE = ("found_ms", "run_id", "alert_id")  # where an alert stands in the list


def listed(
    connection: sa.Connection,
    *,
    uid: str | None = None,
    project: str | None = None,
    kind: str | None = None,
    on: bool = False,
    after: tuple[int, ...] | None = None,
    most: int = 100,
) -> list[dict[str, Any]]:
    """Alerts, the latest first, each with its run and where it was sent; those that come ``after`` a place."""
    chosen = TOLD.order_by(alert.c.found_ms.desc(), alert.c.run_id.desc(), alert.c.alert_id.desc()).limit(most)
    if uid is not None:
        chosen = chosen.where(run.c.uid == uid)
    if project is not None:
        chosen = chosen.where(run.c.project == project)
    if kind is not None:
        chosen = chosen.where(alert.c.kind == kind)
    if on:
        chosen = chosen.where(alert.c.ended_ms.is_(None))
    if after is not None:
        bounds = [sa.literal(value, sa.BigInteger) for value in after]
        chosen = chosen.where(sa.tuple_(*(alert.c[name] for name in PLACE)) < sa.tuple_(*bounds))
    rows = [dict(row) for row in connection.execute(chosen).mappings()]
    posts: dict[tuple[int, int], list[dict[str, Any]]] = {(row["run_id"], row["alert_id"]): [] for row in rows}
    columns = (alert_post.c.run_id, alert_post.c.alert_id, alert_post.c.host, alert_post.c.state, alert_post.c.says)
    sent = sa.select(*columns).where(alert_post.c.run_id.in_({row["run_id"] for row in rows}))
    for run_id, number, host, state, says in connection.execute(sent.order_by(alert_post.c.webhook)):
        if (run_id, number) in posts:
            posts[run_id, number].append({"to": host, "state": state, "says": says})
    return [{**row, "sent": posts[row["run_id"], row["alert_id"]]} for row in rows]


def rules_of(connection: sa.Connection, project: str) -> list[dict[str, Any]] | None:
    """The rules that were set for a project; None: nobody has."""
    found = connection.scalar(sa.select(alert_rules.c.rules).where(alert_rules.c.project == project))
    return None if found is None else list(found)


def set_rules(connection: sa.Connection, project: str, rules: list[dict[str, Any]] | None, now_ms: int) -> None:
    """Set the rules of a project; None takes them away, so that those hold again that hold unasked."""
    if rules is None:
        connection.execute(alert_rules.delete().where(alert_rules.c.project == project))
    else:
        upsert(
            connection, alert_rules, [{"project": project, "rules": rules, "changed_ms": now_ms}], ("project",)
        )  # fmt: skip


def heard_lately(connection: sa.Connection, after_ms: int) -> list[runs.Change]:
    """The runs that were heard of after ``after_ms``: what a start has to look at."""
    chosen = sa.select(run.c.change, run.c.uid, run.c.rev, run.c.status).where(run.c.heard_ms > after_ms)
    return [runs.Change(*row) for row in connection.execute(chosen.order_by(run.c.change))]


class Leading:
    """Whether this service is the one that looks for alerts; where the store is its own, it always is."""

    def __init__(self, readers: sa.Engine, shared: bool) -> None:
        self._readers, self._shared = readers, shared
        self._connection: sa.Connection | None = None

    def now(self) -> bool:
        """Ask again each time: the connection that holds the lock may have been lost, and with it the lock."""
        if not self._shared:
            return True
        try:
            if self._connection is not None:
                self._connection.scalar(sa.select(1))
                return True
            connection = self._readers.connect().execution_options(isolation_level="AUTOCOMMIT")
            if connection.scalar(sa.select(sa.func.pg_try_advisory_lock(LEADING))):
                self._connection = connection
                return True
            connection.close()
        except sa.exc.SQLAlchemyError:
            self.close()
        return False

    def close(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # a connection given back to its pool would keep the lock
            self._connection.close()
            self._connection = None
