"""From a flush to what is read: chunks of series and of confusion counts, spans, and the last word on the run.

It runs in the transaction of the flush, so that every acknowledged flush is seen by the next read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import sqlalchemy as sa
from epochscope import wire
from sqlalchemy.dialects.sqlite import insert

from epochscope_server.nonfinite import said
from epochscope_server.store import chunks, runs
from epochscope_server.store.schema import confusion_chunk, series, series_chunk, span


def seal(connection: sa.Connection, known: runs.Row, posted: wire.Flush, now_ms: int) -> runs.Change:
    """Add ``posted`` to run ``known`` (its row before the flush) and give the change that viewers are told of."""
    if posted.info is not None:
        known = runs.restate(connection, known, posted.info)
    chunk = known["rev"] + 1
    steps: dict[str, int] = dict(known["steps"])
    last: dict[str, dict[str, Any]] = {by: dict(values) for by, values in known["last"].items()}
    for (split, by, key), columns in _joined(posted.series).items():
        step, value = columns.arrays()
        if not len(step):
            continue
        _insert_series(connection, known["id"], chunk, columns)
        if by == "batch":
            steps[split] = max(steps.get(split, 0), int(step.max()))
        if "/" not in key:  # names with a slash are families, as class_weight/<class>: too many for a list of runs
            last.setdefault(by, {})[key if split == "train" else f"{split}_{key}"] = said(float(value[np.argmax(step)]))
    names = [output["name"] for output in known["outputs"]]
    for counted in _joined_counts(posted.confusion):
        step = counted.arrays()[0]
        if not len(step):
            continue
        connection.execute(
            confusion_chunk.insert().values(
                run_id=known["id"],
                output_id=names.index(counted.output),
                split=counted.split,
                chunk=chunk,
                step_min=int(step.min()),
                step_max=int(step.max()),
                data=chunks.pack_confusion(counted),
            )
        )
        steps[counted.split] = max(steps.get(counted.split, 0), int(step.max()))
    for one in posted.spans:
        values = {"start": one.start, "stop": one.stop}
        connection.execute(
            insert(span)
            .values(run_id=known["id"], split=one.split, epoch=one.epoch, **values)
            .on_conflict_do_update(index_elements=["run_id", "split", "epoch"], set_=values)
        )
    return runs.touch(connection, known, posted, steps, last, now_ms)


def _insert_series(connection: sa.Connection, run_id: int, chunk: int, columns: wire.SeriesColumns) -> None:
    named = {"split": columns.split, "by": columns.by, "key": columns.key}
    series_id = connection.scalar(
        sa.select(series.c.series_id).where(
            series.c.run_id == run_id, *(series.c[name] == value for name, value in named.items())
        )
    )
    if series_id is None:
        series_id = connection.scalar(sa.select(sa.func.count()).where(series.c.run_id == run_id)) or 0
        connection.execute(series.insert().values(run_id=run_id, series_id=series_id, **named))
    step = columns.arrays()[0]
    connection.execute(
        series_chunk.insert().values(
            run_id=run_id,
            series_id=series_id,
            chunk=chunk,
            step_min=int(step.min()),
            step_max=int(step.max()),
            data=chunks.pack_series(columns),
        )
    )


def _joined(posted: Iterable[wire.SeriesColumns]) -> dict[tuple[str, str, str], wire.SeriesColumns]:
    """One chunk a series, even where a flush names the series twice."""
    joined: dict[tuple[str, str, str], wire.SeriesColumns] = {}
    for columns in posted:
        name = (columns.split, columns.by, columns.key)
        if name in joined:
            before = joined[name]
            columns = wire.SeriesColumns(
                columns.key,
                columns.split,
                columns.by,
                before.steps + columns.steps,
                before.values + columns.values,
            )
        joined[name] = columns
    return joined


def _joined_counts(posted: Iterable[wire.ConfusionColumns]) -> list[wire.ConfusionColumns]:
    groups: dict[tuple[str, wire.Split], list[wire.ConfusionColumns]] = defaultdict(list)
    for columns in posted:
        groups[columns.output, columns.split].append(columns)
    return [
        wire.ConfusionColumns(
            output,
            split,
            *(
                b"".join(getattr(part, name) for part in parts)
                for name in ("steps", "cells", "true", "predicted", "counts")
            ),
        )
        for (output, split), parts in groups.items()
    ]
