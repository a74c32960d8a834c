"""A page of runs: searched, filtered by what runs are, hold and reached, in order, by a cursor that stays put."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from epochscope_server.errors import InvalidError
from epochscope_server.store import runs
from epochscope_server.store.schema import run, span
from epochscope_server.store.search import Place, Search, Wanted, parts

MAX_PAGE = 500

_PLAIN = (
    "id", "uid", "project", "name", "status", "reason", "created_ms", "started_ms", "heard_ms", "next_ms", "ended_ms",
    "notes", "group", "archived", "epochs", "batches_per_epoch", "capture", "rev",
)  # fmt: skip
_json = msgspec.json.Decoder()


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """The place of the last run of a page, and the order in which it is one."""

    order: str
    place: Place


def page(
    connection: sa.Connection, wanted: Wanted, limit: int, cursor: str | None, now_ms: int, since_ms: int
) -> tuple[list[runs.Row], str | None]:
    """The runs of a page, in order, and the cursor of the next one; ``since_ms`` is the start of the service.

    Raises:
        InvalidError: the cursor is none, or belongs to another order.
    """
    after = None if cursor is None else _read(wanted, cursor)
    search = Search(connection, wanted, limit + 1, now_ms, since_ms)
    found: list[Place] = []
    for part in parts(wanted.order):
        if after is not None and after.part != part:
            continue
        found += search.places(part, after, limit + 1 - len(found))
        after = None
        if len(found) > limit:
            break
    following = _written(wanted, found[limit - 1]) if len(found) > limit else None
    return _rows(connection, [place.run_id for place in found[:limit]]), following


def _epoch(split: str) -> sa.ScalarSelect[int]:
    """The epoch that the latest attempt has begun."""
    latest = sa.select(span.c.epoch).where(span.c.run_id == run.c.id, span.c.split == split)
    return latest.order_by(span.c.attempt.desc(), span.c.epoch.desc()).limit(1).scalar_subquery()


_ROWS = sa.select(
    *(run.c[name] for name in _PLAIN),
    *(sa.cast(run.c[name], sa.Text) for name in ("params", "outputs", "steps", "last")),
    _epoch("train"),
    _epoch("val"),
).where(run.c.id.in_(sa.bindparam("ids", expanding=True)))


def _rows(connection: sa.Connection, ids: Sequence[int]) -> list[runs.Row]:
    """What is shown of runs, in the order of ``ids``. Params stay the JSON that they are at rest."""
    if not ids:
        return []
    tags = runs.tags(connection, ids)
    rows: dict[int, runs.Row] = {}
    for *plain, params, outputs, steps, last, train, val in connection.execute(_ROWS, {"ids": ids}).all():
        row = dict(zip(_PLAIN, plain, strict=True))
        row["params"] = msgspec.Raw(params.encode())
        row["outputs"] = _brief(outputs)
        row["steps"] = _json.decode(steps)
        row["summary"] = runs.summary(_json.decode(last))
        row["tags"] = tags[row["id"]]
        row["epoch"] = max(train or 0, val or 0)
        rows[row["id"]] = row
    return [rows[run_id] for run_id in ids]


@functools.lru_cache(32)  # the runs of a project mostly have the same classes, of which there may be thousands
def _brief(outputs: str) -> list[dict[str, Any]]:
    return [{"name": output["name"], "classes": len(output["class_names"])} for output in _json.decode(outputs)]


def _written(wanted: Wanted, place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(Cursor(str(wanted.order), place))).decode()


def _read(wanted: Wanted, cursor: str) -> Place:
    try:
        read = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor), type=Cursor)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise InvalidError("bad_cursor", "cursor must be what the page before gave as next", "cursor") from None
    place = read.place
    text = place.part == "text" or wanted.order.by in ("name", "project")
    if read.order != str(wanted.order) or place.part not in parts(wanted.order) or isinstance(place.value, str) != text:
        raise InvalidError("bad_cursor", "cursor belongs to another order; start again without it", "cursor")
    return place
