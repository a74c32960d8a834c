"""One look at a run: what its project's rules find in it now, and which of its alerts are over."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from epochscope_server.alerts import findings
from epochscope_server.alerts.losses import Losses
from epochscope_server.alerts.rules import KINDS, OF_CLASSES, SPLITS, Rule
from epochscope_server.alerts.watches import MOST_VALUES, Watches
from epochscope_server.analysis.changes_live import Alarm, Watch
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.drop import drops
from epochscope_server.analysis.segments import cuts
from epochscope_server.analysis.stability import windows_for
from epochscope_server.analysis.watching import COARSE, blocks
from epochscope_server.errors import NotFoundError
from epochscope_server.store import attempts, classes, series, spans
from epochscope_server.store.alerts import Known, New
from epochscope_server.store.cache import Blocks
from epochscope_server.store.database import Database

LOSS = "loss"


@dataclass
class Followed:
    """What is remembered of a run from one look to the next; a look without it starts from its first step."""

    pieces: tuple[object, ...] = ()
    losses: dict[tuple[str, str], Losses] = field(default_factory=dict)
    places: tuple[object, ...] = ()  # how far it was when classes were last looked at thoroughly


@dataclass(frozen=True)
class Seen:
    """``new``: what rules find, known or not; ``over``: causes of alerts that are not on any more -> at which step."""

    new: list[New]
    over: dict[str, int | None]


class Looker:
    """Looks at runs of ``database``."""

    def __init__(self, database: Database, kept: Blocks, watches: Watches) -> None:
        self._database, self._blocks, self._watches = database, kept, watches

    def look(
        self, row: dict[str, Any], status: str, rules: Sequence[Rule], known: Sequence[Known], followed: Followed
    ) -> Seen:
        """What there is to be told of a run.

        Args:
            row: of the run; status: as it is now.
            rules: of its project.
            known: the alerts that are recorded of it.
            followed: what is remembered; it is brought up to date.
        """
        with self._database.read() as connection:
            pieces = tuple(attempts.of_run(connection, row["id"]).pieces("train"))
            covered = spans.of_run(connection, row)
        if pieces != followed.pieces:  # it went back to a checkpoint
            followed.pieces, followed.losses, followed.places = pieces, {}, ()
        new: list[New] = []
        asked = set()
        for kind in ("stalled", "lost"):
            asked.add((kind, "train"))
            if status == kind:
                since = int(row["heard_ms"] if kind == "lost" else row["steps"].get("train", 0))
                new += [findings.of_silence(rule, row, since) for rule in rules if rule.kind == kind]
        new += self._of_loss(row, rules, followed)
        asked |= {("nan", split) for split in SPLITS} | {("change", "train")}
        places = self._places(row, covered, rules)
        thorough = places != followed.places
        if thorough:
            asked |= {(kind, split) for kind in ("change", "drop", "below") for split in SPLITS}
        for output in range(len(row["outputs"])):
            new += self._of_output(row, output, rules, covered, known, thorough)
        followed.places = places
        # What no rule asks for any more is over.
        held = {
            (rule.kind, split) for rule in rules for split in (SPLITS if rule.kind not in OF_CLASSES else [rule.split])
        }
        asked |= {(kind, split) for kind in KINDS for split in SPLITS} - held
        return Seen(new, _over(new, known, asked))

    def _places(self, row: dict[str, Any], covered: list[dict[str, Any]], rules: Sequence[Rule]) -> tuple[object, ...]:
        """What has to change before the slower rules are looked at again: passes, ends, a 16th more of training."""
        start, _ = blocks(1, int(row["steps"].get("train", 0)), fine=COARSE)
        return len(start), len(_passes(row, covered)), row["status"], len(row["outputs"]), tuple(rules)

    def _of_loss(self, row: dict[str, Any], rules: Sequence[Rule], followed: Followed) -> list[New]:
        found: list[New] = []
        rule = next((rule for rule in rules if rule.kind == "nan"), None)
        if rule is None:
            return found
        for split, by in (("train", "batch"), ("val", "epoch")):
            losses = followed.losses.setdefault((split, by), Losses())
            try:
                with self._database.read() as connection:
                    where = (row["id"], row["uid"])
                    (read,) = series.fetch(
                        connection, self._blocks, where, split, by, [LOSS], losses.following, None, None
                    )
                losses.update(*read.read().points())
            except NotFoundError:
                continue
            found += findings.of_losses(rule, losses.all, split, by)
        return found

    def _of_output(
        self, row: dict[str, Any], output: int, rules: Sequence[Rule], covered: list[dict[str, Any]],
        known: Sequence[Known], thorough: bool,
    ) -> list[New]:  # fmt: skip
        name, names = row["outputs"][output]["name"], row["outputs"][output]["class_names"]
        found: list[New] = []
        wanted = {(rule.kind, rule.split) for rule in rules}
        if ("change", "train") in wanted:
            alarms = self._watches.alarms(row, output)
            for rule in rules:
                if (rule.kind, rule.split) == ("change", "train") and alarms is not None:
                    found += findings.of_alarms(rule, [*alarms[1], *alarms[0]], name, names)
        if not thorough:
            return found
        for split in SPLITS:
            mine = [rule for rule in rules if rule.split == split]
            if any(rule.kind == "drop" for rule in mine) or (split == "val" and ("change", "val") in wanted):
                curves = self._curves(row, output, split, covered)
                found += self._of_curves(mine, curves, row, output, known, found)
            if any(rule.kind == "below" for rule in mine):
                curves = (
                    self._coarse(row, output, covered)
                    if split == "train"
                    else self._curves(row, output, split, covered)
                )
                for rule in mine:
                    if rule.kind == "below":
                        late = _after(curves, rule.after_epoch, covered)
                        found += findings.of_levels(rule, late, name)
        return found

    def _of_curves(
        self, rules: Sequence[Rule], curves: ClassCurves, row: dict[str, Any], output: int, known: Sequence[Known],
        changes: Sequence[New],
    ) -> list[New]:  # fmt: skip
        labels = bool(row["outputs"][output].get("labels", False))
        name, seen = row["outputs"][output]["name"], curves.support
        found: list[New] = []
        if not seen.size:
            return found
        fallen = None
        for rule in sorted(rules, key=lambda rule: rule.kind != "change"):
            if rule.kind == "drop":
                if fallen is None:
                    others = None if labels else seen.sum(axis=0) - seen
                    fallen = drops(curves.tp, curves.fp, seen, others, cuts(curves.tp, seen))
                found += findings.of_drops(rule, curves, fallen, name, known, [*changes, *found])
            elif rule.kind == "change" and rule.split == "val":
                found += findings.of_alarms(rule, _watched(curves, labels), name, curves.class_names)
        return found

    def _curves(self, row: dict[str, Any], output: int, split: str, covered: list[dict[str, Any]]) -> ClassCurves:
        """As the route of stability cuts them: windows of training, passes of validation."""
        if split == "val":
            passes = _passes(row, covered)
            start, stop, epoch = (np.array([one[key] for one in passes], np.int64) for key in ("from", "to", "epoch"))
            return self._read(row, output, split, start, stop, epoch)
        last = int(row["steps"].get("train", 0))
        number = len(row["outputs"][output]["class_names"])
        width = 1 << max(int(np.ceil(np.log2(max(last, 1) / windows_for(number)))), 0)
        start = np.arange(1, last + 1, width, dtype=np.int64)
        return self._read(row, output, split, start, np.minimum(start + width, last + 1), None)

    def _coarse(self, row: dict[str, Any], output: int, covered: list[dict[str, Any]]) -> ClassCurves:
        start, stop = blocks(1, int(row["steps"].get("train", 0)), fine=COARSE)
        return self._read(row, output, "train", start, stop, None)

    def _read(self, row: dict[str, Any], output: int, split: str, start: Any, stop: Any, epoch: Any) -> ClassCurves:
        names = tuple(row["outputs"][output]["class_names"])
        most = max(MOST_VALUES // max(len(names), 1), 1)
        chosen = 2 * np.arange(len(names)) + 1 if row["outputs"][output].get("labels", False) else None
        sums = []
        for at in range(0, max(len(start), 1), most):
            with self._database.read() as connection:
                part = slice(at, at + most)
                read = classes.fetch(connection, self._blocks, row, output, split, start[part], stop[part])
            sums.append(read.sums(chosen))
        seen, missed, wrong = (np.concatenate(parts, axis=1) for parts in zip(*sums, strict=True))
        return ClassCurves(split, names, start, stop, epoch, tp=seen - missed, fp=wrong, fn=missed)


def _watched(curves: ClassCurves, labels: bool) -> list[Alarm]:
    """The alarms of a watch that was given these windows one by one: later ones change nothing that was said."""
    watch, seen = Watch(len(curves.class_names)), curves.support
    for at, (start, stop) in enumerate(zip(curves.start.tolist(), curves.stop.tolist(), strict=True)):
        others = None if labels else seen[:, at].sum() - seen[:, at]
        watch.update(start, stop, curves.tp[:, at], curves.fp[:, at], seen[:, at], others)
    return [*watch.over, *watch.on]


def _passes(row: dict[str, Any], covered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The validation passes that are complete: an epoch began after them, or the run has ended."""
    passes = [one for one in covered if one["split"] == "val"]
    begun = max((one["epoch"] for one in covered if one["split"] == "train"), default=0)
    return [one for one in passes if one["epoch"] < begun or row["status"] != "running"]


def _after(curves: ClassCurves, epoch: int, covered: list[dict[str, Any]]) -> ClassCurves:
    """The windows from the end of ``epoch`` on; 0 is the start."""
    if curves.epoch is not None:
        late = curves.epoch >= epoch
    elif epoch == 0:
        late = np.ones(len(curves.start), bool)
    else:
        begun = max((one["epoch"] for one in covered if one["split"] == "train"), default=0)
        ends = [one["to"] for one in covered if one["split"] == "train" and one["epoch"] == epoch and epoch < begun]
        late = curves.start >= ends[0] if ends else np.zeros(len(curves.start), bool)
    return dataclasses.replace(
        curves, start=curves.start[late], stop=curves.stop[late],
        epoch=None if curves.epoch is None else curves.epoch[late],
        tp=curves.tp[:, late], fp=curves.fp[:, late], fn=curves.fn[:, late],
    )  # fmt: skip


def _over(new: list[New], known: Sequence[Known], asked: set[tuple[str, str]]) -> dict[str, int | None]:
    """Of the alerts that are on and were looked for, those that were not found, or found to be over."""
    found = {one.cause: one for one in new}
    over: dict[str, int | None] = {}
    for one in known:
        if not one.on or (one.kind, one.split) not in asked:
            continue
        now = found.get(one.cause)
        if now is None or now.over:
            over[one.cause] = None if now is None else now.back
    return over
