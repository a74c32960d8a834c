"""The confusion matrix of any window of steps, or of an epoch, to the last count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field

from epochscope_server import window
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.rates import Whole
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import AskedMatrix, InMatrix
from epochscope_server.api.fresh import Fresh
from epochscope_server.api.rooms import (
    ChosenOutput,
    InRooms,
    Rooms,
    RunId,
    chosen_output,
    some_names,
)
from epochscope_server.errors import InvalidError, NotFoundError
from epochscope_server.store import confusion as stored
from epochscope_server.store import runs, spans

router = APIRouter(tags=["classes"], responses=ERRORS)

MAX_CLASSES = 1000  # of a matrix that is answered whole: a million entries
MAX_CELLS = 1_000_000  # that are not 0, of a matrix of more classes


class CellsAnswer(BaseModel):
    """The cells that are not 0, by true, then predicted class: three columns of one length."""

    true: list[int]
    predicted: list[int]
    count: list[int]


class ConfusionAnswer(BaseModel):
    split: str
    class_names: list[str]
    from_: int = Field(alias="from")
    to: int
    epoch: int | None
    counts: list[list[int]] | None = Field(
        description=f"rows are the true class, columns the predicted one; null with more than {MAX_CLASSES:,} classes"
    )
    cells: CellsAnswer | None = Field(description="instead of counts, where there are so many classes")


@router.get("/runs/{run}/confusion", response_model=ConfusionAnswer)
def get_confusion(
    run: RunId,
    rooms: InRooms,
    fresh: Fresh,
    asked: InMatrix,
) -> Json:
    """Counts of exactly the steps `[from, to)`, or of an epoch (for `val`: the pass after it)."""
    found = fetch(rooms, run, asked)
    answer: dict[str, Any] = {
        "split": asked.split,
        "class_names": found.chosen.class_names,
        "from": found.window.start,
        "to": found.window.stop,
        "epoch": asked.epoch,
        "counts": None,
        "cells": None,
    }
    if found.whole:
        answer["counts"] = found.matrix().tolist()
    else:
        answer["cells"] = _cells(found)
    return Json(answer, headers=fresh)


@dataclass(frozen=True)
class Found:
    """The counts of a window, to be read as a matrix or as the cells that are not 0."""

    chosen: ChosenOutput
    window: stored.Window

    def matrix(self) -> Whole:
        label = self.chosen.label
        if label is None:
            return self.window.matrix()
        pair = np.arange(2 * label, 2 * label + 2)
        return self.window.of_cells(pair[:, None], pair[None, :])

    @property
    def whole(self) -> bool:
        """Whether the classes are few enough for a matrix to be shown."""
        return len(self.chosen.class_names) <= MAX_CLASSES

    def cells(self) -> tuple[Whole, Whole, Whole]:
        """True class, predicted class and count of the cells that are not 0."""
        if self.whole:
            counts = self.matrix()
            true, predicted = np.nonzero(counts)
            return true, predicted, counts[true, predicted]
        counted = self.window.counts()
        return *np.divmod(counted.cell, len(self.chosen.class_names)), counted.count


def read(rooms: Rooms, uid: str, asked: AskedMatrix) -> Confusion:
    """The matrix of a window of run ``uid``, for every route that shows one."""
    return whole(fetch(rooms, uid, asked), asked)


def whole(found: Found, asked: AskedMatrix) -> Confusion:
    if not found.whole:
        raise InvalidError(
            "too_many_classes",
            f"A matrix of more than {MAX_CLASSES:,} classes is not shown whole; "
            "GET /api/v1/runs/{run}/confusion answers the cells that are not 0",
        )
    names, window = found.chosen.class_names, found.window
    return Confusion(asked.split, names, window.start, window.stop, found.matrix(), asked.epoch)


def fetch(rooms: Rooms, uid: str, asked: AskedMatrix) -> Found:
    """The counts of a window of run ``uid``, of however many classes."""
    start, stop = asked.start, asked.stop
    with rooms.database.read() as connection:
        run = runs.get(connection, uid)
        chosen = chosen_output(run, asked.output, asked.label)
        if chosen.labels:
            raise InvalidError(
                "label_needed",
                "Each label of this output has a matrix of its own; "
                f"name one with label=: {some_names(chosen.class_names)}",
                "label",
            )
        if asked.epoch is not None:
            if start is not None or stop is not None:
                raise InvalidError("two_windows", "Ask for an epoch, or for from and to, not for both", "epoch")
            start, stop = _epoch(spans.of_run(connection, run, asked.split), asked.split, asked.epoch)
        start, stop = window.clip(start, stop, run["steps"].get(asked.split, 0))
        return Found(chosen, stored.fetch(connection, rooms.blocks, run, chosen.index, asked.split, start, stop))


def _cells(found: Found) -> dict[str, list[int]]:
    true, predicted, count = found.cells()
    if len(count) > MAX_CELLS:
        raise InvalidError(
            "too_many_cells",
            f"This window has {len(count):,} different cells; at most {MAX_CELLS:,} are answered. Ask for fewer steps",
            "from",
        )
    return {"true": true.tolist(), "predicted": predicted.tolist(), "count": count.tolist()}


def _epoch(covered: list[dict[str, int]], split: str, epoch: int) -> tuple[int | None, int | None]:
    for span in covered:
        if span["epoch"] == epoch:
            # A pass that has only just begun holds no step yet: the window is empty, which is no error here.
            return span["from"], max(span["to"], span["from"] + 1)
    there = ", ".join(str(span["epoch"]) for span in covered[-20:]) or "none yet"
    raise NotFoundError("unknown_epoch", f"Split {split} has no epoch {epoch}; there are: {there}", "epoch")
