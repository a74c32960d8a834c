"""The confusion matrix of any window of steps, or of an epoch, to the last count."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from epochscope_server import window
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.rooms import (
    EpochNumber,
    From,
    InRooms,
    LabelName,
    OutputName,
    Rooms,
    RunId,
    Split,
    To,
    chosen_output,
    some_names,
)
from epochscope_server.errors import InvalidError, NotFoundError
from epochscope_server.store import confusion as stored
from epochscope_server.store import runs, spans

router = APIRouter(tags=["classes"], responses=ERRORS)

MAX_CLASSES = 1000  # of a matrix that is answered whole: a million entries


class ConfusionAnswer(BaseModel):
    split: str
    class_names: list[str]
    from_: int = Field(alias="from")
    to: int
    epoch: int | None
    counts: list[list[int]] = Field(description="rows are the true class, columns the predicted one")


@router.get("/runs/{run}/confusion", response_model=ConfusionAnswer)
def get_confusion(
    run: RunId,
    rooms: InRooms,
    split: Split = "train",
    from_: From = None,
    to: To = None,
    epoch: EpochNumber = None,
    output: OutputName = None,
    label: LabelName = None,
) -> Json:
    """Counts of exactly the steps `[from, to)`, or of an epoch (for `val`: the pass after it)."""
    found = read(rooms, run, split, from_, to, epoch, output, label)
    return Json(
        {
            "split": split,
            "class_names": found.class_names,
            "from": found.start,
            "to": found.stop,
            "epoch": epoch,
            "counts": found.counts.tolist(),
        }
    )


def read(
    rooms: Rooms,
    uid: str,
    split: str,
    start: int | None,
    stop: int | None,
    epoch: int | None,
    output: str | None,
    label: str | None,
) -> Confusion:
    """The matrix of a window of run ``uid``, for every route that shows one."""
    with rooms.database.read() as connection:
        run = runs.get(connection, uid)
        chosen = chosen_output(run, output, label)
        class_names = chosen.class_names
        if chosen.labels:
            raise InvalidError(
                "label_needed",
                f"Each label of this output has a matrix of its own; name one with label=: {some_names(class_names)}",
                "label",
            )
        if len(class_names) > MAX_CLASSES:
            raise InvalidError(
                "too_many_classes", f"A matrix of more than {MAX_CLASSES:,} classes is not answered whole"
            )
        if epoch is not None:
            if start is not None or stop is not None:
                raise InvalidError("two_windows", "Ask for an epoch, or for from and to, not for both", "epoch")
            start, stop = _epoch(spans.of_run(connection, run, split), split, epoch)
        start, stop = window.clip(start, stop, run["steps"].get(split, 0))
        fetched = stored.fetch(connection, rooms.blocks, run, chosen.index, split, start, stop)
    counts = fetched.matrix()
    if chosen.label is not None:
        counts = counts[2 * chosen.label : 2 * chosen.label + 2, 2 * chosen.label : 2 * chosen.label + 2]
    return Confusion(split, class_names, start, stop, counts, epoch)


def _epoch(covered: list[dict[str, int]], split: str, epoch: int) -> tuple[int | None, int | None]:
    for span in covered:
        if span["epoch"] == epoch:
            # A pass that has only just begun holds no step yet: the window is empty, which is no error here.
            return span["from"], max(span["to"], span["from"] + 1)
    there = ", ".join(str(span["epoch"]) for span in covered[-20:]) or "none yet"
    raise NotFoundError("unknown_epoch", f"Split {split} has no epoch {epoch}; there are: {there}", "epoch")
