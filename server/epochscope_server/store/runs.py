"""Runs at rest: made by their first flush, restated by later ones, renamed, deleted; `listing.py` finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from epochscope import wire

from epochscope_server.errors import NotFoundError
from epochscope_server.nonfinite import said
from epochscope_server.store.schema import deleted_run, run, run_tag, series, stream

SILENT_AFTER = 3  # promised flushes that did not come
LOST_AFTER_MS = 60_000
MISSING = {wire.LOST: "lost", wire.THINNED: "thinned", wire.DROPPED: "dropped", wire.REFUSED: "refused"}
NUMBERING = 7_010_002  # an advisory lock on PostgreSQL: one service at a time gives numbers to its changes

Row = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What a viewer is told: run ``uid`` is at revision ``rev``; ``number`` grows over all runs."""

    number: int
    uid: str
    rev: int
    status: str


def next_change(connection: sa.Connection) -> int:
    """The number of the next change; numbers grow in the order of commits.

    Where several services write, they wait for each other here until the commit: ask for it last, after every lock.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(NUMBERING)))
    return latest_change(connection) + 1


def latest_change(connection: sa.Connection) -> int:
    latest = [connection.scalar(sa.select(sa.func.max(table.c.change))) or 0 for table in (run, deleted_run)]
    return max(latest)


def create(connection: sa.Connection, uid: str, info: wire.RunInfo, now_ms: int) -> Row:
    connection.execute(
        run.insert().values(
            **_number(connection), uid=uid, project=info.project, name=info.name, status="running", reason="",
            created_ms=now_ms, started_ms=info.started_ms, heard_ms=now_ms, next_ms=5_000, ended_ms=None,
            params={}, environment={}, notes=info.notes, group=info.group, archived=False,
            epochs=None, batches_per_epoch=None, capture="", outputs=[], steps={}, last={},
            named_by_viewer=False, rev=0, change=0, indexed=False,
        )
    )  # fmt: skip
    created = get(connection, uid)
    set_tags(connection, created["id"], info.tags)
    return created


def restate(connection: sa.Connection, known: Row, info: wire.RunInfo) -> Row:
    """The callback's latest word on its run; outputs are added, never taken away, since counts refer to them."""
    outputs = {output["name"]: output for output in known["outputs"]}
    for output in info.outputs:
        outputs[output.name] = {"name": output.name, "class_names": list(output.class_names)}
        if output.labels:
            outputs[output.name]["labels"] = True
    before = connection.scalar(sa.select(run.c.environment).where(run.c.id == known["id"])) or {}
    gone = {name: text for name, text in before.items() if name in MISSING}
    values: dict[str, Any] = {
        "params": json_safe(info.params),
        "environment": {**gone, **info.environment},  # what one stream has lost is gone, whatever another says
        "epochs": info.epochs,
        "batches_per_epoch": info.batches_per_epoch,
        "capture": info.capture,
        "outputs": list(outputs.values()),
        "indexed": False,
    }
    if not known["named_by_viewer"]:
        values |= {"name": info.name}
    connection.execute(run.update().where(run.c.id == known["id"]).values(**values))
    return {**known, **values}


def summary(last: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is shown of a run's last values: those by epoch before those of the run, and those before the batch's."""
    return {**last.get("batch", {}), **last.get("run", {}), **last.get("epoch", {})}


_FOUND = sa.select(run).where(run.c.uid == sa.bindparam("of_uid"))
_LOCKED = _FOUND.with_for_update()


def missing(environment: Mapping[str, str]) -> dict[str, int]:
    """What of a run will never arrive, by why, as its process has told it."""
    told = {how: environment.get(name, "").replace(",", "") for name, how in MISSING.items()}
    return {how: int(text) for how, text in told.items() if text.isascii() and text.isdigit()}


def find(connection: sa.Connection, uid: str, *, lock: bool = False) -> Row | None:
    """The row of run ``uid``, if there is one; with ``lock`` no other service changes it before this commit."""
    found = connection.execute(_LOCKED if lock else _FOUND, {"of_uid": uid}).mappings().first()
    return None if found is None else _row(found)


def get(connection: sa.Connection, uid: str, *, lock: bool = False) -> Row:
    """The row of run ``uid``, see `find`.

    Raises:
        NotFoundError: there is none of this id.
    """
    found = find(connection, uid, lock=lock)
    if found is None:
        raise NotFoundError("unknown_run", "There is no run of this id; GET /api/v1/runs lists those there are", "run")
    return found


_TAGS = sa.select(run_tag).where(run_tag.c.run_id.in_(sa.bindparam("ids", expanding=True))).order_by(run_tag.c.tag)


def tags(connection: sa.Connection, run_ids: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {run_id: [] for run_id in run_ids}
    for run_id, tag in connection.execute(_TAGS, {"ids": run_ids}).all():
        found[run_id].append(tag)
    return found


def series_of(connection: sa.Connection, run_id: int) -> list[dict[str, str]]:
    """The names of the run's series, in the order in which they first came."""
    chosen = sa.select(series.c.key, series.c.split, series.c.by).where(series.c.run_id == run_id)
    return [dict(row) for row in connection.execute(chosen.order_by(series.c.series_id)).mappings()]


def processes_of(connection: sa.Connection, run_id: int) -> int:
    """How many processes have told something of the run."""
    process = sa.func.substr(stream.c.uid, 1, wire.PROCESS_CHARACTERS)
    chosen = sa.select(sa.func.count(sa.distinct(process))).where(stream.c.run_id == run_id)
    return int(connection.scalar(chosen) or 0)


def stalled_since(seconds: float) -> str:
    """What stands as the reason of a run that goes on but has stalled; "" for one that has not."""
    if not seconds:
        return ""
    return f"nothing new for {seconds / 60:,.0f} min" if seconds < 7200 else f"nothing new for {seconds / 3600:,.0f} h"


def status(row: Row, now_ms: int, since_ms: int) -> str:
    """The state as it is now: a run that does not end and is not heard of is first silent, then lost.

    One that is heard of has stalled where its process says so: then it has a reason. ``since_ms`` is the start of the
    service: while it was away, nobody could be heard.
    """
    if row["status"] != "running":
        return str(row["status"])
    silence = now_ms - max(row["heard_ms"], since_ms)
    if silence > max(LOST_AFTER_MS, SILENT_AFTER * row["next_ms"]):
        return "lost"
    if silence > SILENT_AFTER * row["next_ms"]:
        return "silent"
    return "stalled" if row["reason"] else "running"


def has_status(name: str) -> sa.ColumnElement[bool]:
    """The same in SQL: whether a run's state is ``name``; ``now`` and ``since`` are bound to the two times."""
    if name not in ("running", "stalled", "silent", "lost"):
        return run.c.status == name
    now, since = sa.bindparam("now", type_=sa.BigInteger), sa.bindparam("since", type_=sa.BigInteger)
    silent_ms = SILENT_AFTER * run.c.next_ms
    lost_ms = sa.case((silent_ms < LOST_AFTER_MS, LOST_AFTER_MS), else_=silent_ms)
    silence = now - sa.case((run.c.heard_ms < since, since), else_=run.c.heard_ms)
    how = {
        "running": sa.and_(silence <= silent_ms, run.c.reason == ""),
        "stalled": sa.and_(silence <= silent_ms, run.c.reason != ""),
        "silent": sa.and_(silence > silent_ms, silence <= lost_ms),
        "lost": silence > lost_ms,
    }
    return sa.and_(run.c.status == "running", how[name])


def amend(connection: sa.Connection, uid: str, changes: Mapping[str, Any]) -> Change:
    """What a viewer changes of a run: name, notes, archived, tags."""
    known = get(connection, uid, lock=True)
    values = {name: value for name, value in changes.items() if name != "tags"}
    if "name" in values:
        values["named_by_viewer"] = True
    if "tags" in changes:
        set_tags(connection, known["id"], changes["tags"])
    change = Change(next_change(connection), uid, known["rev"] + 1, known["status"])
    connection.execute(
        run.update()
        .where(run.c.id == known["id"])
        .values(**values, indexed=False, rev=change.rev, change=change.number)
    )
    return change


def delete(connection: sa.Connection, uid: str, now_ms: int) -> Change:
    """Take a run away: from here on nobody sees it, and a late flush does not bring it back.

    What it owns goes with its row out of sight; `removal.py` clears it away bit by bit.
    """
    known = get(connection, uid, lock=True)
    change = Change(next_change(connection), uid, known["rev"] + 1, "deleted")
    connection.execute(
        deleted_run.insert().values(uid=uid, run_id=known["id"], deleted_ms=now_ms, change=change.number, cleared=False)
    )
    connection.execute(run.delete().where(run.c.id == known["id"]))
    # Whoever is about to seal flushes of it finds that their stream is gone.
    connection.execute(stream.delete().where(stream.c.run_id == known["id"]))
    return change


def changed_since(connection: sa.Connection, number: int) -> list[Change]:
    """The changes after ``number``, of each run its latest, in the order of their numbers."""
    chosen = sa.union_all(
        sa.select(run.c.change, run.c.uid, run.c.rev, run.c.status).where(run.c.change > number),
        sa.select(deleted_run.c.change, deleted_run.c.uid, sa.literal(0), sa.literal("deleted")).where(
            deleted_run.c.change > number
        ),
    )
    return sorted((Change(*row) for row in connection.execute(chosen)), key=lambda change: change.number)


def set_tags(connection: sa.Connection, run_id: int, names: Sequence[str]) -> None:
    connection.execute(run_tag.delete().where(run_tag.c.run_id == run_id))
    for tag in dict.fromkeys(names):
        connection.execute(run_tag.insert().values(run_id=run_id, tag=tag))


def json_safe(params: Mapping[str, Any]) -> dict[str, Any]:
    """Params as JSON keeps them: numbers that are not finite become the strings NaN, Infinity, -Infinity."""
    return {key: said(value) if isinstance(value, float) else value for key, value in params.items()}


def _number(connection: sa.Connection) -> dict[str, int]:
    """The id of a new run. No id ever comes again: what a deleted run owned may still be about, or remembered.

    PostgreSQL sees to that by itself; SQLite would give the last one once more.
    """
    if connection.dialect.name != "sqlite":
        return {}
    used = [connection.scalar(sa.select(sa.func.max(column))) or 0 for column in (run.c.id, deleted_run.c.run_id)]
    return {"id": max(used) + 1}


def _row(found: sa.RowMapping) -> Row:
    return {str(name): value for name, value in found.items()}
