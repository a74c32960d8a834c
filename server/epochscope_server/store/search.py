"""Which runs match and in what order: a walk along an index, or a look at the few runs that can match.

Narrow tables answer (`fields.py`, by the statements of `search_sql.py`), not the rows of runs. A sort by a field has
three parts, since runs without a value of it come last either way: numbers, texts (the other way round from above), and
the rest, newest first; one by what runs are at a glance has no texts. Each is walked along an index from a place on;
where a condition leaves few runs, these are looked up instead. Runs that have changed a moment ago do not stand in the
narrow tables yet: they are judged in Python, by the same rules and in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa

from epochscope_server.conditions import GLANCED, Condition, Field, Order
from epochscope_server.store import fields, glances, search_sql

MANY = 2_000  # runs that can match are counted up to here

Whole = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


@dataclass(frozen=True)
class Wanted:
    """What runs must be and hold, and their order; None, "" and () ask for nothing."""

    order: Order
    project: str | None = None
    q: str = ""
    statuses: Sequence[str] = ()
    tags: Sequence[str] = ()
    conditions: Sequence[Condition] = ()
    archived: bool = False


class Place(msgspec.Struct, array_like=True, frozen=True):
    """Where a run stands in an order: in which part of it, by which value, and by its id among equals."""

    part: str
    value: Whole | float | str
    run_id: Whole


def parts(order: Order) -> tuple[str, ...]:
    """The parts of an order, in order."""
    if order.by in GLANCED:
        return ("number", "rest")
    if not isinstance(order.by, Field):
        return ("column",)
    return ("text", "number", "rest") if order.down else ("number", "text", "rest")


class Search:
    """One request for up to ``most`` runs: who is judged at once, and the places of each part."""

    def __init__(self, connection: sa.Connection, wanted: Wanted, most: int, now_ms: int, since_ms: int) -> None:
        self._connection, self._wanted, self._most = connection, wanted, most
        by = wanted.order.by
        named = {condition.field for condition in wanted.conditions} | ({by} if isinstance(by, Field) else set())
        ids = fields.known(connection, named, wanted.project)
        self._bound: dict[str, Any] = {
            "archived": wanted.archived, "project": wanted.project, "now": now_ms, "since": since_ms,
            "q": f"%{_escaped(fields.folded(wanted.q))}%",
            **{f"tag{number}": tag for number, tag in enumerate(wanted.tags)},
            **{f"value{number}": one.value for number, one in enumerate(wanted.conditions)},
            **{f"field{number}": ids[one.field] for number, one in enumerate(wanted.conditions)},
        }  # fmt: skip
        if isinstance(by, Field):
            self._bound["by"] = ids[by]
        self._shape = search_sql.Shape(
            None if isinstance(by, Field) else by,
            tuple((one.sign, isinstance(one.value, str)) for one in wanted.conditions),
            wanted.project is not None, bool(wanted.q), tuple(wanted.statuses), len(wanted.tags),
        )  # fmt: skip
        self._judged: list[Place] = []
        if self._shape.is_narrow:
            changed = fields.changed(connection, search_sql.changed(self._shape), self._bound)
            matching = [one for one in changed if _matches(wanted, one)]
            seen = glances.values(connection, [one.row["id"] for one in matching], by) if by in GLANCED else {}
            self._judged += [_place(wanted.order, one, seen) for one in matching]
        # Nobody has a field that is not known, but for runs that have just changed.
        self._walks = all(ids[condition.field] for condition in wanted.conditions)
        if self._walks and (way := self._few()) is not None:
            self._judged += self._look(way)
            self._walks = False

    def places(self, part: str, after: Place | None, most: int) -> list[Place]:
        """The first ``most`` places of a part, those behind ``after`` if it is given."""
        down = self._wanted.order.down or part == "rest"
        found = [place for place in self._judged if place.part == part and _behind(place, after, down)]
        if self._walks:
            bound = {**self._bound, "most": most}
            if after is not None:
                bound |= {"after_value": after.value, "after_run": after.run_id}
            rows = self._connection.execute(search_sql.walk(self._shape, part, down, after is not None), bound)
            found += [Place(part, value, run_id) for run_id, value in rows.all()]
        return sorted(found, key=_rank, reverse=down)[:most]

    def _few(self) -> int | None:
        """Which of the ways to match leaves few runs, so that looking at each is less work than walking.

        A walk is expected to go as far as if the conditions had nothing to do with each other.
        """
        if not self._shape.ways:
            return None
        total, *numbers = self._connection.execute(search_sql.counts(self._shape), {**self._bound, "many": MANY}).one()
        least = min(numbers)
        share = math.prod(number / (total or 1) for number in numbers)
        walk = self._most / share if share else math.inf
        return numbers.index(least) if least < min(MANY, walk) else None

    def _look(self, way: int) -> list[Place]:
        rows = self._connection.execute(search_sql.look(self._shape, way), self._bound).all()
        if self._shape.column in search_sql.COLUMNS:
            return [Place("column", value, run_id) for run_id, value in rows]
        return [_in_part(run_id, created_ms, number, text) for run_id, created_ms, number, text in rows]


def _escaped(text: str) -> str:
    """``text`` as LIKE takes it literally."""
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


def _matches(wanted: Wanted, one: fields.Changed) -> bool:
    if wanted.project not in (None, one.row["project"]) or (wanted.q and fields.folded(wanted.q) not in one.text):
        return False
    return all(condition.holds(one.value(condition.field)) for condition in wanted.conditions)


def _place(order: Order, one: fields.Changed, seen: Mapping[int, float]) -> Place:
    """``seen``: of an order by what runs are at a glance, its values."""
    if order.by in GLANCED:
        return _in_part(one.row["id"], one.row["created_ms"], seen.get(one.row["id"]), None)
    if not isinstance(order.by, Field):
        return Place("column", one.row[search_sql.COLUMNS[order.by].name], one.row["id"])
    value = one.value(order.by)
    number, text = (None, value) if isinstance(value, str) else (value, None)
    return _in_part(one.row["id"], one.row["created_ms"], number, text)


def _in_part(run_id: int, created_ms: int, number: float | None, text: str | None) -> Place:
    if number is not None:
        return Place("number", number, run_id)
    return Place("rest", created_ms, run_id) if text is None else Place("text", text, run_id)


def _rank(place: Place) -> tuple[Any, int]:
    return place.value, place.run_id


def _behind(place: Place, after: Place | None, down: bool) -> bool:
    if after is None:
        return True
    return _rank(place) < _rank(after) if down else _rank(place) > _rank(after)
