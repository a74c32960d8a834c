"""What a project wants to be told: its rules, the ones that hold unasked, and how each is said in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from epochscope_server.errors import InvalidError

KINDS = ("change", "drop", "below", "nan", "stalled", "lost")
OF_CLASSES = ("change", "drop", "below")  # the others are about the run as a whole
SPLITS = ("train", "val")
METRICS = ("recall", "precision", "f1")
MOST = 50  # rules of a project


@dataclass(frozen=True)
class Rule:
    """One thing to be told.

    ``kind``: "change" (a class surely fell below its best, seen live), "drop" (its certified drop is ``at`` or more),
    "below" (a rate of a class is surely below ``at``), "nan" (the loss is no finite number), "stalled" (no new batch),
    "lost" (nothing heard). ``split``, ``metric`` (of "below") and ``classes`` (names; none: all) narrow it down.
    ``after_epoch``: "below" looks from the end of this epoch on. ``send``: to the webhooks too, not only on the page.
    """

    kind: str
    at: float | None = None
    split: str = "train"
    metric: str = "recall"
    classes: tuple[str, ...] = ()
    after_epoch: int = 1
    send: bool = True

    def says(self) -> str:
        """The rule as a sentence."""
        who = f"one of {', '.join(self.classes)}" if self.classes else "a class"
        where = "in training" if self.split == "train" else "in validation"
        if self.kind == "change":
            return f"{who} surely fell below its best, {where}"
        if self.kind == "drop":
            return f"the certified drop of {who} is {100 * (self.at or 0):g} points or more, {where}"
        if self.kind == "below":
            return (
                f"the {self.metric} of {who} is surely below {self.at:g}, {where}, "
                f"after the end of epoch {self.after_epoch}"
            )
        return {
            "nan": "the loss is no finite number",
            "stalled": "no new batch arrives for long, though the process answers",
            "lost": "nothing is heard of the run any more",
        }[self.kind]


# None of them needs to know the task. Why none cries wolf is told in docs/alerts.md.
DEFAULTS = (Rule("change"), Rule("drop", at=0.1), Rule("nan"), Rule("stalled"), Rule("lost"))


def checked(rules: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Rules as they were asked for.

    Raises:
        InvalidError: one can't be met, and what to change.
    """
    if len(rules) > MOST:
        raise InvalidError("too_many_rules", f"A project has at most {MOST} rules, not {len(rules)}", "rules")
    return tuple(_checked(dict(one), f"rules.{place}") for place, one in enumerate(rules))


def _checked(given: dict[str, Any], field: str) -> Rule:
    rule = _rule(given)
    if rule.kind not in KINDS:
        raise InvalidError("bad_rule", f"kind is one of {', '.join(KINDS)}, not {rule.kind!r}", f"{field}.kind")
    if rule.kind in ("drop", "below") and not (rule.at is not None and 0 < rule.at < 1):
        why = "how far a class falls" if rule.kind == "drop" else "the rate that is too low"
        raise InvalidError("bad_rule", f"A rule {rule.kind!r} needs at, {why}, between 0 and 1", f"{field}.at")
    if rule.kind not in ("drop", "below") and rule.at is not None:
        raise InvalidError("bad_rule", f"A rule {rule.kind!r} has no at", f"{field}.at")
    if rule.kind not in OF_CLASSES and rule.classes:
        raise InvalidError("bad_rule", f"A rule {rule.kind!r} is about the whole run", f"{field}.classes")
    for name, known in (("split", SPLITS), ("metric", METRICS)):
        if getattr(rule, name) not in known:
            raise InvalidError("bad_rule", f"{name} is one of {', '.join(known)}", f"{field}.{name}")
    return rule


def kept(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Rules as JSON keeps them."""
    return [{**asdict(rule), "classes": list(rule.classes)} for rule in rules]


def of_kept(rules: Iterable[Mapping[str, Any]] | None) -> tuple[Rule, ...]:
    """The rules of a project from what is kept of it; None: nobody has set any."""
    return DEFAULTS if rules is None else tuple(_rule(dict(one)) for one in rules)


def _rule(given: dict[str, Any]) -> Rule:
    known = {one.name for one in fields(Rule)}
    values = {name: value for name, value in given.items() if name in known}
    return Rule(**{**values, "classes": tuple(values.get("classes") or ())})
