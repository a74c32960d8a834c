"""The SQL of a search, by its shape: to put a statement together takes longer than to run it, so each is made once.

Values are bound under these names: ``archived``, ``project``, ``q`` (as LIKE takes it), ``now`` and ``since``; ``tag0``
of the first tag, ``field0`` (ids of a field) and ``value0`` of the first condition, and so on; ``by`` (ids of the field
that is sorted by); ``after_value`` and ``after_run`` of a place; ``most`` and ``many``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from epochscope_server.conditions import GLANCED, OPERATORS
from epochscope_server.store import fields
from epochscope_server.store.runs import has_status
from epochscope_server.store.schema import glance, run, run_tag, run_text, run_value

COLUMNS: dict[str, sa.Column[Any]] = {
    "created": run.c.created_ms,
    "heard": run.c.heard_ms,
    "name": run.c.name,
    "project": run.c.project,
}
KEPT = 512  # statements of each kind


@dataclass(frozen=True)
class Shape:
    """What the statements of a request depend on: all but its values."""

    column: str | None  # what is sorted by, of COLUMNS or GLANCED; None is a field
    conditions: tuple[tuple[str, bool], ...]  # sign, and whether it compares with a text
    project: bool
    q: bool
    statuses: tuple[str, ...]
    tags: int

    @property
    def is_narrow(self) -> bool:
        """Whether the narrow tables are asked."""
        return self.column is None or bool(self.conditions) or self.q

    @property
    def ways(self) -> int:
        """How many things are asked for that an index knows the runs of."""
        return len(self.conditions) + self.q + self.tags


def _of_runs(shape: Shape) -> list[sa.ColumnElement[bool]]:
    """What is asked of the rows of runs, but for the project."""
    found: list[sa.ColumnElement[bool]] = [run.c.archived == sa.bindparam("archived", type_=sa.Boolean)]
    if shape.statuses:
        found.append(sa.or_(*(has_status(name) for name in shape.statuses)))
    for number in range(shape.tags):
        found.append(sa.exists().where(run_tag.c.run_id == run.c.id, _has_tag(number)))
    return found


def _of_tables(shape: Shape, run_id: sa.ColumnElement[int]) -> list[sa.ColumnElement[bool]]:
    """What is asked of the narrow tables, of the run ``run_id``."""
    found: list[sa.ColumnElement[bool]] = []
    for number in range(len(shape.conditions)):
        there = run_value.alias()
        found.append(sa.exists().where(there.c.run_id == run_id, *_meets(shape, number, there)))
    if shape.q:
        found.append(sa.exists().where(run_text.c.run_id == run_id, *_contains(shape)))
    if shape.is_narrow:
        found.append(run.c.indexed == sa.true())
    return found


def _meets(shape: Shape, number: int, there: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
    sign, is_text = shape.conditions[number]
    mine, other = (there.c.text, there.c.number) if is_text else (there.c.number, there.c.text)
    compared: sa.ColumnElement[bool] = OPERATORS[sign](mine, sa.bindparam(f"value{number}", type_=mine.type))
    if sign == "!=":
        compared = sa.or_(compared, other.is_not(None))
    return _is(f"field{number}", there), compared


def _is(field: str, there: sa.FromClause) -> sa.ColumnElement[bool]:
    return there.c.field_id.in_(sa.bindparam(field, expanding=True))


def _has_tag(number: int) -> sa.ColumnElement[bool]:
    return run_tag.c.tag == sa.bindparam(f"tag{number}")


def _contains(shape: Shape) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = [run_text.c.text.like(sa.bindparam("q"), escape="/")]
    if shape.project:
        found.append(run_text.c.project == sa.bindparam("project"))
    return found


@functools.lru_cache(KEPT)
def changed(shape: Shape) -> sa.Select[Any]:
    """Runs that have just changed. Their project is looked at later: SQLite would walk through it to find them."""
    return fields.CHANGED.where(*_of_runs(shape))


@functools.lru_cache(KEPT)
def walk(shape: Shape, part: str, down: bool, after: bool) -> sa.Select[Any]:
    """Ids and values of a part, along the index of its values."""
    run_id: sa.ColumnElement[int] = run.c.id
    value: sa.ColumnElement[Any] = run.c.created_ms
    clauses = _of_runs(shape)
    if shape.project:
        project = sa.bindparam("project", type_=sa.Text)
        along = shape.column in GLANCED and part != "rest"
        # Along a glance not by the index of projects: SQLite would sort all of the project rather than walk. What is
        # not unequal is equal, as PostgreSQL sees and SQLite does not.
        clauses.append(sa.not_(run.c.project.bool_op("<>")(project)) if along else run.c.project == project)
    if shape.column in GLANCED:
        seen = glance.c[shape.column]
        if part == "rest":
            clauses.append(~sa.exists().where(glance.c.run_id == run.c.id, seen.is_not(None)))
        else:
            run_id, value = glance.c.run_id, seen
            clauses += [run_id == run.c.id, value.is_not(None)]
    elif shape.column is not None:
        value = COLUMNS[shape.column]
    elif part == "rest":
        clauses.append(~sa.exists().where(run_value.c.run_id == run.c.id, _is("by", run_value)))
    else:
        run_id, value = run_value.c.run_id, run_value.c[part]
        clauses += [run_id == run.c.id, _is("by", run_value), value.is_not(None)]
    clauses += _of_tables(shape, run_id)
    if after:
        here = sa.bindparam("after_value", type_=value.type), sa.bindparam("after_run", type_=sa.BigInteger)
        place = sa.tuple_(value, run_id)
        clauses.append(place < sa.tuple_(*here) if down else place > sa.tuple_(*here))
    order = (value.desc(), run_id.desc()) if down else (value.asc(), run_id.asc())
    return sa.select(run_id, value).where(*clauses).order_by(*order).limit(sa.bindparam("most"))


@functools.lru_cache(KEPT)
def look(shape: Shape, way: int) -> sa.Select[Any]:
    """Ids and values of all runs that match, of those which one of the ways leaves."""
    can = _ways(shape)[way].subquery()
    there = can.join(run, run.c.id == can.c.run_id)
    clauses = [*_of_runs(shape), *_of_tables(shape, can.c.run_id)]
    if shape.project:
        # Not by its index: SQLite would walk through the project rather than look at the few.
        clauses.append(run.c.project.concat("") == sa.bindparam("project"))
    if shape.column in GLANCED:
        there = there.outerjoin(glance, glance.c.run_id == can.c.run_id)
        told = (run.c.id, run.c.created_ms, glance.c[shape.column], sa.null())
        return sa.select(*told).select_from(there).where(*clauses)
    if shape.column is not None:
        return sa.select(run.c.id, COLUMNS[shape.column]).select_from(there).where(*clauses)
    there = there.outerjoin(run_value, sa.and_(run_value.c.run_id == can.c.run_id, _is("by", run_value)))
    shown = (run.c.id, run.c.created_ms, run_value.c.number, run_value.c.text)
    return sa.select(*shown).select_from(there).where(*clauses)


def _ways(shape: Shape) -> list[sa.Select[Any]]:
    """For each thing that an index knows: the ids of the runs that have it."""
    ways = [
        sa.select(run_value.c.run_id).where(*_meets(shape, number, run_value))
        for number in range(len(shape.conditions))
    ]
    ways += [sa.select(run_tag.c.run_id).where(_has_tag(number)) for number in range(shape.tags)]
    return [*ways, sa.select(run_text.c.run_id).where(*_contains(shape))] if shape.q else ways


@functools.lru_cache(KEPT)
def counts(shape: Shape) -> sa.Select[Any]:
    """How many runs there are, and how many each way leaves, counted up to ``many``."""
    some = [way.limit(sa.bindparam("many")).subquery() for way in _ways(shape)]
    counts = [sa.select(sa.func.count()).select_from(few).scalar_subquery() for few in some]
    return sa.select(sa.select(sa.func.max(run.c.id)).scalar_subquery(), *counts)
