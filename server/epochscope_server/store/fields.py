"""Params and summary values as they are searched: narrow indexed rows, written a moment after a run has changed.

The row of a run says what is true; what lies here is derived from it. Until `index` has brought it up to date the run
is marked as not indexed, and `store/listing.py` judges it by its row, so that no answer is ever behind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from epochscope_server.conditions import Field, Value, comparable
from epochscope_server.store.runs import summary
from epochscope_server.store.schema import field, run, run_text, run_value
from epochscope_server.store.upsert import upsert

_json = msgspec.json.Decoder()
_JUDGED = ("id", "project", "name", "notes", "uid", "group", "created_ms", "heard_ms")
_JUDGED_ROW = sa.select(
    *(run.c[name] for name in _JUDGED), sa.cast(run.c.params, sa.Text), sa.cast(run.c.last, sa.Text)
)
# Runs that are not indexed. A statement made of it must leave SQLite no other index than theirs.
CHANGED = _JUDGED_ROW.where(run.c.indexed == sa.false())

_HELD = sa.select(run_value.c.field_id, run_value.c.number, run_value.c.text).where(
    run_value.c.run_id == sa.bindparam("of_run")
)


@dataclass(frozen=True)
class Changed:
    """A run that is not indexed: its columns, params, and summary values."""

    row: Mapping[str, Any]
    params: Mapping[str, Any]
    summary: Mapping[str, Any]

    def value(self, named: Field) -> Value | None:
        """What the run compares as by a field."""
        return comparable((self.params if named.kind == "params" else self.summary).get(named.name))

    def values(self) -> dict[Field, Value]:
        """Everything it compares as."""
        names = [Field("params", name) for name in self.params] + [Field("summary", name) for name in self.summary]
        return {named: value for named in names if (value := self.value(named)) is not None}

    @property
    def text(self) -> str:
        """What a search looks through, case folded; its parts do not run into each other."""
        return folded("\n".join(self.row[name] for name in ("name", "project", "group", "notes", "uid")))


def changed(
    connection: sa.Connection, chosen: sa.Select[Any] = CHANGED, bound: Mapping[str, Any] | None = None
) -> list[Changed]:
    """Runs that are not indexed; ``chosen`` is CHANGED or made of it, ``bound`` its parameters."""
    return [_changed(row) for row in connection.execute(chosen, bound).all()]


def _changed(row: Sequence[Any]) -> Changed:
    *columns, params, last = row
    return Changed(dict(zip(_JUDGED, columns, strict=True)), _json.decode(params), summary(_json.decode(last)))


def folded(text: str) -> str:
    """``text`` without regard to case, as any database can keep it."""
    return text.casefold().replace("\0", "\ufffd")


def index(connection: sa.Connection, most: int, latest: int | None = None) -> int:
    """Bring what is searched of up to ``most`` changed runs up to date; only what differs is written.

    Args:
        latest: runs that have changed after this change are left for another time.

    Returns: how many runs there were.
    """
    chosen = CHANGED if latest is None else CHANGED.where(run.c.change + 0 <= latest)  # + 0: by no index of changes
    waiting = changed(connection, chosen.limit(most).with_for_update(skip_locked=True))
    values = [one.values() for one in waiting]
    ids = _ids(
        connection, {(one.row["project"], named) for one, held in zip(waiting, values, strict=True) for named in held}
    )
    for one, held in zip(waiting, values, strict=True):
        run_id = one.row["id"]
        wanted = {
            ids[one.row["project"], named]: (None, value) if isinstance(value, str) else (value, None)
            for named, value in held.items()
        }
        rows = connection.execute(_HELD, {"of_run": run_id})
        stored = {field_id: (number, text) for field_id, number, text in rows}
        if gone := sorted(stored.keys() - wanted.keys()):
            connection.execute(run_value.delete().where(run_value.c.run_id == run_id, run_value.c.field_id.in_(gone)))
        news = [
            {"run_id": run_id, "field_id": field_id, "number": number, "text": text}
            for field_id, (number, text) in sorted(wanted.items())
            if stored.get(field_id) != (number, text)
        ]
        upsert(connection, run_value, news, ("run_id", "field_id"))
        upsert(connection, run_text, [{"run_id": run_id, "project": one.row["project"], "text": one.text}], ("run_id",))
    if waiting:
        done = run.update().where(run.c.id.in_([one.row["id"] for one in waiting]))
        connection.execute(done.values(indexed=True))
    return len(waiting)


def agrees(connection: sa.Connection, run_id: int) -> bool:
    """Whether what is searched of a run is what its row says; True as well while it is judged by its row."""
    row = connection.execute(_JUDGED_ROW.where(run.c.id == run_id, run.c.indexed == sa.true())).first()
    if row is None:
        return True
    one = _changed(row)
    named = sa.select(field.c.project, field.c.kind, field.c.name, run_value.c.number, run_value.c.text)
    held = connection.execute(
        named.join(field, field.c.id == run_value.c.field_id).where(run_value.c.run_id == run_id)
    ).all()
    values = {Field(kind, name): text if number is None else number for _, kind, name, number, text in held}
    text = connection.scalar(sa.select(run_text.c.text).where(run_text.c.run_id == run_id))
    mine = all(project == one.row["project"] for project, *_ in held)
    return mine and values == one.values() and text == one.text


def known(connection: sa.Connection, named: Collection[Field], project: str | None) -> dict[Field, list[int]]:
    """The ids of fields: each has one in every project that knows it."""
    found: dict[Field, list[int]] = {one: [] for one in named}
    if not named:
        return found
    chosen = sa.select(field.c.kind, field.c.name, field.c.id).where(field.c.name.in_([one.name for one in named]))
    if project is not None:
        chosen = chosen.where(field.c.project == project)
    for kind, name, field_id in connection.execute(chosen):
        if (one := Field(kind, name)) in found:
            found[one].append(field_id)
    return found


def listed(connection: sa.Connection, project: str | None) -> dict[str, dict[str, set[str]]]:
    """For params and summary each the names in use and what they hold: number, text, or both in different runs."""

    def holds(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
        there = sa.select(run_value.c.run_id).join(run, run.c.id == run_value.c.run_id)
        return there.where(run_value.c.field_id == field.c.id, column.is_not(None)).exists()

    chosen = sa.select(field.c.kind, field.c.name, holds(run_value.c.number), holds(run_value.c.text))
    if project is not None:
        chosen = chosen.where(field.c.project == project)
    found: dict[str, dict[str, set[str]]] = {"params": {}, "summary": {}}
    for kind, name, number, text in connection.execute(chosen):
        if kinds := {word for word, there in (("number", number), ("text", text)) if there}:
            found[kind].setdefault(name, set()).update(kinds)
    for one in changed(connection):
        held = one.values() if project in (None, one.row["project"]) else {}
        for named, value in held.items():
            found[named.kind].setdefault(named.name, set()).add("text" if isinstance(value, str) else "number")
    return found


def _ids(connection: sa.Connection, wanted: set[tuple[str, Field]]) -> dict[tuple[str, Field], int]:
    """The id of each field of a project; those that are new get one."""
    projects = {project for project, _ in wanted}

    def stored() -> dict[tuple[str, Field], int]:
        chosen = sa.select(field.c.project, field.c.kind, field.c.name, field.c.id)
        rows = connection.execute(chosen.where(field.c.project.in_(projects)))
        return {(project, Field(kind, name)): field_id for project, kind, name, field_id in rows}

    there = stored()
    if new := sorted(wanted - there.keys(), key=lambda one: (one[0], one[1].kind, one[1].name)):
        rows = [{"project": project, "kind": named.kind, "name": named.name} for project, named in new]
        upsert(connection, field, rows, ("project", "kind", "name"))
        there = stored()
    return there
