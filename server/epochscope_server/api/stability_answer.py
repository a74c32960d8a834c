"""What the answer about stability looks like: its fields, and how they follow from the analysis."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from epochscope_server.analysis.averages import Averages
from epochscope_server.analysis.changes import Change, Stretch
from epochscope_server.analysis.changes_live import Alarm
from epochscope_server.analysis.rates import Rate, wilson
from epochscope_server.analysis.stability import Stability


class OneRate(BaseModel):
    """With its 95 % interval; null is unknown (no support), never 0."""

    value: float | None
    low: float | None
    high: float | None


class Steps(BaseModel):
    """Steps `[from, to)`."""

    from_: int = Field(alias="from")
    to: int


class Level(OneRate, Steps):
    """The recall of a stretch, of `support` samples of the class."""

    support: int


class InstabilityAnswer(BaseModel):
    value: float | None = Field(description="observed by binomial movement; 1 is chance, null: too few samples")
    low: float | None = Field(description="of the band in which all classes lie if nothing but chance moves them")
    high: float | None
    verdict: Literal["noise", "unstable", "cannot tell"]
    movement: float | None = Field(description="standard deviation of the recall beyond chance, from block to block")
    visible: float | None = Field(description="the smallest such movement that would have been seen")
    block: int = Field(description="steps of a block")


class DropAnswer(BaseModel):
    value: float = Field(description="how far recall surely fell below its own best")
    likely: float = Field(description="the same with single 95 % intervals; orders the classes, may be below 0")
    from_: int | None = Field(alias="from", description="the stretch in which it was lowest")
    to: int | None
    best: Steps | None = Field(description="the stretch it fell from")
    fell: int | None = Field(description="the step from which on it was below the level that it surely had")
    back: int | None = Field(description="the step from which on it was seen there again; null: not yet")
    recovery: int | None = Field(description="steps from fell to back")


class ShareAnswer(BaseModel):
    class_name: str
    before: float
    after: float


class MixAnswer(BaseModel):
    explains: bool = Field(description="the class, or what it was taken for, had another share of the samples")
    shifted: list[ShareAnswer]


class EventAnswer(BaseModel):
    step: int
    what: Literal["epoch", "learning_rate", "class_weight"]
    says: str


class ChangeAnswer(Steps):
    """A change of recall: its first step at the new level is one of `[from, to)`, most likely `at`."""

    at: int
    direction: Literal["drop", "rise"]
    kind: Literal["drop", "recovery", "learning"]
    before: Level
    after: Level
    taken_for: str | None = Field(description="whose share of this class's samples grew most; of a rise: shrank most")
    unseen: bool = Field(description="the class did not occur in these steps, though it should have")
    mix: MixAnswer
    near: list[EventAnswer]
    gain: float = Field(description="twice the log-likelihood ratio: how sure it is")


class AlarmAnswer(BaseModel):
    since: int
    found: int
    best: float
    now: OneRate


class ClassStability(BaseModel):
    class_name: str
    support: int
    recall: OneRate
    instability: InstabilityAnswer
    certified_drop: DropAnswer
    forgetting: float = Field(description="what is surely missing at the end of what it once surely had")
    windowed_forgetting: float = Field(description="the largest sure fall within ten evaluations of 64 samples or more")
    learnt_at: int | None = Field(description="the step by which it had reached nine tenths of its best, and stayed")
    changes: list[ChangeAnswer]
    alarm: AlarmAnswer | None = Field(description="of a run that goes on: it is below its best now")


class AveragesAnswer(BaseModel):
    accuracy: OneRate
    macro_recall: OneRate
    macro_precision: OneRate
    macro_f1: OneRate


class StabilityAnswer(BaseModel):
    """Of steps `[from, to)`, analysed in windows of `width` steps (of `val`: in passes, null)."""

    split: str
    from_: int | None = Field(alias="from")
    to: int | None
    width: int | None
    order: list[int] = Field(description="classes from the largest likely drop to the least")
    averages: AveragesAnswer | None
    classes: list[ClassStability]


def answered(found: Stability, mean: Averages | None, alarms: list[Alarm] | None) -> dict[str, Any]:
    """The answer as JSON takes it; NaN becomes null."""
    curves = found.curves
    changes = defaultdict[int, list[dict[str, Any]]](list)
    for change in found.changes:
        changes[change.index].append(_change(change, curves.class_names))
    on = {alarm.index: alarm for alarm in alarms or ()}
    some = len(curves.start) > 0
    return {
        "split": curves.split,
        "from": int(curves.start[0]) if some else None,
        "to": int(curves.stop[-1]) if some else None,
        "width": int(curves.stop[0] - curves.start[0]) if some and curves.epoch is None else None,
        "order": found.order.tolist(),
        "averages": None if mean is None else {name: _one(getattr(mean, name)) for name in AveragesAnswer.model_fields},
        "classes": [
            {
                "class_name": name,
                "support": int(curves.support[index].sum()),
                "recall": _one(found.recall, index),
                "instability": _instability(found, index),
                "certified_drop": _drop(found, index),
                "forgetting": float(found.drops.forgetting[index]),
                "windowed_forgetting": float(found.drops.sudden[index]),
                "learnt_at": _last_step(found, int(found.drops.learnt[index])),
                "changes": changes[index],
                "alarm": _alarm(on[index]) if index in on else None,
            }
            for index, name in enumerate(curves.class_names)
        ],
    }


def _one(rate: Rate, index: int | tuple[()] = ()) -> dict[str, float]:
    return {name: float(getattr(rate, name)[index]) for name in ("value", "low", "high")}


def _level(stretch: Stretch) -> dict[str, Any]:
    rate = wilson(np.asarray(stretch.hits), np.asarray(stretch.seen))
    return {**_one(rate), "from": stretch.start, "to": stretch.stop, "support": stretch.seen}


def _instability(found: Stability, index: int) -> dict[str, Any]:
    of, start, stop = found.instability, found.curves.start, found.curves.stop
    numbers = {name: float(getattr(of, name)[index]) for name in ("value", "low", "high", "movement", "visible")}
    last = min(int(of.windows[index]), len(stop)) - 1
    return {**numbers, "verdict": of.verdict[index], "block": int(stop[last] - start[0]) if len(stop) else 0}


def _drop(found: Stability, index: int) -> dict[str, Any]:
    of, start, stop = found.drops, found.curves.start, found.curves.stop
    value, likely = float(of.drop[index]), float(of.likely[index])
    if value == 0:
        nothing = dict.fromkeys(("from", "to", "best", "fell", "back", "recovery"))
        return {"value": 0.0, "likely": likely, **nothing}
    fell, back = int(start[of.fell[index]]), int(of.back[index])
    again = int(start[back]) if back >= 0 else None
    return {
        "value": value,
        "likely": likely,
        "from": int(start[of.start[index]]),
        "to": int(stop[of.stop[index] - 1]),
        "best": {"from": int(start[of.best_start[index]]), "to": int(stop[of.best_stop[index] - 1])},
        "fell": fell,
        "back": again,
        "recovery": None if again is None else again - fell,
    }


def _last_step(found: Stability, before: int) -> int | None:
    """The last step before window ``before``; none where that is none."""
    return int(found.curves.stop[before - 1]) - 1 if before > 0 else None


def _change(change: Change, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "from": change.start,
        "to": change.stop,
        "at": change.at,
        "direction": "rise" if change.rises else "drop",
        "kind": change.kind,
        "before": _level(change.before),
        "after": _level(change.after),
        "taken_for": None if change.taken_for is None else names[change.taken_for],
        "unseen": change.unseen,
        "mix": {
            "explains": change.mix_explains,
            "shifted": [
                {"class_name": names[share.index], "before": share.before, "after": share.after}
                for share in change.shifted
            ],
        },
        "near": [{"step": event.step, "what": event.what, "says": event.says} for event in change.near],
        "gain": change.gain if math.isfinite(change.gain) else 0.0,
    }


def _alarm(alarm: Alarm) -> dict[str, Any]:
    now = wilson(np.asarray(alarm.hits), np.asarray(alarm.seen))
    return {"since": alarm.since, "found": alarm.found, "best": alarm.best, "now": _one(now)}
