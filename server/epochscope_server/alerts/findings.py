"""What the analysis of a run comes to under a rule: one finding for each cause, the same whoever looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epochscope_server.alerts.losses import Stretch
from epochscope_server.alerts.rules import Rule
from epochscope_server.analysis.below import below
from epochscope_server.analysis.changes_live import Alarm
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.drop import Drops
from epochscope_server.analysis.rates import wilson
from epochscope_server.store.alerts import Known, New


def of_alarms(rule: Rule, alarms: Sequence[Alarm], output: str, names: Sequence[str]) -> list[New]:
    """Falls that the live watch has seen."""
    found = []
    for alarm in sorted(alarms, key=lambda one: one.found):
        name = names[alarm.index]
        if rule.classes and name not in rule.classes:
            continue
        now = wilson(np.asarray(alarm.hits), np.asarray(alarm.seen))
        found.append(
            New(
                _cause(rule, output, name, alarm.found),
                rule.kind, output, rule.split, name, alarm.since, alarm.found + 1,
                over=alarm.back is not None, back=None if alarm.back is None else int(alarm.back), send=rule.send,
                details={
                    "best": alarm.best, "seen": alarm.seen,
                    "now": {end: float(getattr(now, end)) for end in ("value", "low", "high")},
                },
            )
        )  # fmt: skip
    return found


def of_drops(
    rule: Rule, curves: ClassCurves, drops: Drops, output: str, known: Sequence[Known], changes: Sequence[New]
) -> list[New]:
    """Classes that surely fell so far; a fall that is among ``changes`` is told already and adds nothing.

    A deeper fall moves where a drop is told to lie, and no two looks need to agree on the step. So they are numbered:
    a class that is down, or has not come back since an earlier alert ended, adds nothing to that alert.
    """
    found = []
    for index in np.flatnonzero(drops.drop >= (rule.at or 1.0)).tolist():
        name = curves.class_names[index]
        if rule.classes and name not in rule.classes:
            continue
        earlier = [
            one for one in known
            if (one.kind, one.output, one.split, one.class_name) == (rule.kind, output, rule.split, name)
        ]  # fmt: skip
        fell, back = int(curves.start[drops.fell[index]]), int(drops.back[index])
        lowest = int(curves.stop[drops.stop[index] - 1])
        if any(
            (one.kind, one.output, one.split, one.class_name) == ("change", output, rule.split, name)
            and one.start < lowest and (one.back is None or one.back > fell)
            for one in changes
        ):  # fmt: skip
            continue
        last = earlier[-1] if earlier else None
        same = last is not None and (last.on or last.back is None or fell < last.back)
        number = len(earlier) if same else len(earlier) + 1
        found.append(
            New(
                _cause(rule, output, name, number),
                rule.kind, output, rule.split, name, fell, lowest,
                over=back >= 0, back=int(curves.start[back]) if back >= 0 else None, send=rule.send,
                details={"drop": float(drops.drop[index]), "at": rule.at},
            )
        )  # fmt: skip
    return found


def of_levels(rule: Rule, curves: ClassCurves, output: str) -> list[New]:
    """Classes of which a rate is surely below the rule's level, in ``curves`` whose windows all count."""
    at = rule.at or 0.0
    trials = {
        "recall": curves.tp + curves.fn, "precision": curves.tp + curves.fp, "f1": curves.tp + curves.fp + curves.fn,
    }[rule.metric]  # fmt: skip
    # F1 is an increasing function of the Jaccard index, which is a share; so the same level of that is asked.
    level = at / (2 - at) if rule.metric == "f1" else at
    found = []
    for one in below(curves.tp, trials, level):
        name = curves.class_names[one.index]
        if rule.classes and name not in rule.classes:
            continue
        start, stop = int(curves.start[one.place]), int(curves.stop[one.place])
        rate = curves.rate(rule.metric)
        found.append(
            New(
                _cause(rule, output, name, start, rule.metric),
                rule.kind, output, rule.split, name, start, stop,
                over=one.back >= 0, back=int(curves.start[one.back]) if one.back >= 0 else None, send=rule.send,
                details={
                    "metric": rule.metric, "at": at, "seen": one.trials,
                    "now": {end: float(getattr(rate, end)[one.index, one.place]) for end in ("value", "low", "high")},
                },
            )
        )  # fmt: skip
    return found


def of_losses(rule: Rule, stretches: Sequence[Stretch], split: str, by: str) -> list[New]:
    """Stretches in which the loss was no finite number; ``by`` says whether steps or epochs are counted."""
    return [
        New(
            f"nan {split} {one.start}", "nan", "", split, "",
            *((one.start, one.last + 1) if by == "batch" else (0, 0)),
            over=one.back is not None, back=one.back if by == "batch" else None, send=rule.send,
            details={"value": one.value, "by": by, "first": one.start},
        )
        for one in stretches
    ]  # fmt: skip


def of_silence(rule: Rule, row: dict[str, Any], since: int) -> New:
    """The run is stalled, or nothing is heard of it; ``since`` tells this time from others."""
    step = int(row["steps"].get("train", 0))
    window = (step, step + 1) if step else (0, 0)
    return New(f"{rule.kind} {since}", rule.kind, "", "train", "", *window, send=rule.send, details={"step": step})


def _cause(rule: Rule, output: str, name: str, anchor: int, more: str = "") -> str:
    return "\n".join([rule.kind, rule.split, output, name, more, str(anchor)])
