"""Training beside validation at the same weights: how much better each class is on what the model was fitted to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from epochscope_server.analysis.compare import METRICS, differ, scores
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.gap import last_stretch, verdicts
from epochscope_server.api import confusion
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import AskedMatrix
from epochscope_server.api.compare import OneRate
from epochscope_server.api.fresh import Fresh
from epochscope_server.api.rooms import InRooms, LabelName, OutputName, Rooms, RunId
from epochscope_server.api.stability_answer import Steps
from epochscope_server.errors import NotFoundError
from epochscope_server.store import runs, spans

router = APIRouter(tags=["stability"], responses=ERRORS)

Epoch = Annotated[int | None, Query(ge=1, description="left out: the last that was validated")]


class GapRate(BaseModel):
    train: OneRate
    val: OneRate
    gap: OneRate = Field(description="train minus val, with Newcombe's interval")
    q: float = Field(description="false discovery rate among all classes")
    verdict: Literal["overfits", "better in validation", "no difference seen", "unknown"]


class ClassGap(BaseModel):
    class_name: str
    recall: GapRate
    precision: GapRate
    f1: GapRate


class GapAnswer(BaseModel):
    epoch: int
    train: Steps = Field(description="the last training steps of the epoch")
    val: Steps = Field(description="the validation pass after it")
    classes: list[ClassGap]


@router.get("/runs/{run}/gap", response_model=GapAnswer)
def get_gap(
    run: RunId, rooms: InRooms, fresh: Fresh, epoch: Epoch = None, output: OutputName = None, label: LabelName = None
) -> Json:
    """Recall, precision and F1 at the end of an epoch of training, and in the validation pass that follows it.

    Explained at `/stability.html#training-against-validation`.
    """
    return Json(read(rooms, run, epoch, output, label), headers=fresh)


def read(rooms: Rooms, uid: str, epoch: int | None, output: str | None, label: str | None) -> dict[str, Any]:
    """The gap of run ``uid`` after ``epoch``, as the answer has it; raises as ``matrices`` does."""
    chosen, train, val = matrices(rooms, uid, epoch, output, label)
    by_metric = {}
    for metric in METRICS:
        a, b = scores(val.counts, metric), scores(train.counts, metric)
        found = differ(a, b)
        verdict = verdicts(found)
        by_metric[metric] = [
            {
                **{
                    name: {end: float(getattr(rate, end)[index]) for end in ("value", "low", "high")}
                    for name, rate in (("train", b.rate), ("val", a.rate), ("gap", found.difference))
                },
                "q": float(found.q[index]),
                "verdict": verdict[index],
            }
            for index in range(len(val.class_names))
        ]
    return {
        "epoch": chosen,
        "train": {"from": train.start, "to": train.stop},
        "val": {"from": val.start, "to": val.stop},
        "classes": [
            {"class_name": name, **{metric: listed[index] for metric, listed in by_metric.items()}}
            for index, name in enumerate(val.class_names)
        ],
    }


def matrices(
    rooms: Rooms, uid: str, epoch: int | None, output: str | None, label: str | None
) -> tuple[int, Confusion, Confusion]:
    """The epoch, the counts of its last training steps, and those of the validation pass after it.

    Raises:
        NotFoundError: no epoch has been both trained and validated, or not this one.
    """
    with rooms.database.read() as connection:
        covered = spans.of_run(connection, runs.get(connection, uid))
    of = {split: {one["epoch"]: one for one in covered if one["split"] == split} for split in ("train", "val")}
    both = sorted(number for number, one in of["val"].items() if number in of["train"] and one["to"] > one["from"])
    if not both or epoch not in (None, *both):
        there = ", ".join(map(str, both[-20:])) or "none yet"
        raise NotFoundError("unknown_epoch", f"Epochs with training and validation: {there}", "epoch")
    chosen = epoch or both[-1]
    val = confusion.read(rooms, uid, AskedMatrix("val", None, None, output, label, chosen))
    start, stop = of["train"][chosen]["from"], of["train"][chosen]["to"]
    seen = confusion.read(rooms, uid, AskedMatrix("train", start, stop, output, label)).counts.sum()
    start, stop = last_stretch(start, stop, int(seen), int(val.counts.sum()))
    train = confusion.read(rooms, uid, AskedMatrix("train", start, stop, output, label))
    return chosen, train, val
