"""The classified outputs of a model: which there are, what they are called, how each is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import keras

from epochscope.arguments import OUTPUT, numbered
from epochscope.keras_classify import Rule, Task, rule_for


class Outputs:
    """Decides, when a step is first traced, how each output is read, and remembers it.

    Args:
        class_names: by output name, as the person gave them.
        num_classes: what the person said where there are no names.
        task: what the person said that all outputs are, or some by their names.
    """

    def __init__(
        self,
        class_names: Mapping[str, Sequence[str]],
        num_classes: int | None,
        task: Task | Mapping[str, Task] | None = None,
    ) -> None:
        self._given = dict(class_names)
        self._num_classes = num_classes
        self._task = task
        self.rules: dict[str, Rule] = {}
        self.reasons: dict[str, str] = {}  # why an output is not read
        self.notes: list[str] = []

    def read(self, model: Any, y: Any, y_pred: Any, weight: Any) -> list[tuple[str, Rule, Any, Any, Any]]:
        """Name, rule, labels, predictions and weights of each output that can be read."""
        found = []
        flat_pred = keras.tree.flatten(y_pred)
        names = _names(model, y_pred, len(flat_pred))
        labels = _beside(y, y_pred, names)
        if labels is None or any(label is None for label in labels):
            for name in names:
                self.reasons.setdefault(name, "there are no labels")
            return []
        weights = _beside(weight, y_pred, names) if weight is not None else None
        if weights is None:
            flat = keras.tree.flatten(weight) if weight is not None else []
            weights = [flat[0]] * len(names) if len(flat) == 1 else [None] * len(names)
        for number, name in enumerate(names):
            truth, scores = labels[number], flat_pred[number]
            rule = self.rules.get(name) or self._decide(model, number, name, len(names), truth, scores)
            if rule is not None:
                found.append((name, rule, truth, scores, weights[number]))
        return found

    def names_of(self, output: str) -> tuple[str, ...]:
        """The class names of an output, one for each of its classes; or the names of its labels."""
        classes = self.rules[output].names
        given = tuple(self._given.get(output, ()))
        return (*given[:classes], *numbered(classes)[len(given) :])

    def in_words(self) -> str:
        """How they are read, for the person who trains; "" if there are none."""
        several = len(self.rules) + len(self.reasons) > 1
        each = [f"{name}: {rule.in_words()}" if several else rule.in_words() for name, rule in self.rules.items()]
        return "; ".join(each)

    def with_labels(self) -> set[str]:
        """The outputs whose samples may have several labels."""
        return {name for name, rule in self.rules.items() if rule.labels == "several"}

    def _decide(self, model: Any, number: int, name: str, of: int, truth: Any, scores: Any) -> Rule | None:
        given = self._given.get(name)
        rule = rule_for(
            truth,
            scores,
            _loss_of(model, number, name, of),
            _activation_of(model, number),
            len(given) if given else self._num_classes,
            _has_accuracy(model),
            self._task.get(name) if isinstance(self._task, Mapping) else self._task,
        )
        if isinstance(rule, str):
            self.reasons[name] = rule
            return None
        what = "labels" if rule.labels == "several" else "classes"
        if given and len(given) != rule.names:
            self.notes.append(
                f"{len(given)} class names were given, but the output {name!r} has {rule.names} {what}; "
                "the others go by their numbers"
            )
        elif not given and self._num_classes not in (None, rule.names):
            self.notes.append(f"num_classes={self._num_classes}, but the output {name!r} has {rule.names} {what}")
        self.rules[name] = rule
        return rule


def _names(model: Any, y_pred: Any, count: int) -> list[str]:
    if count == 1:
        return [OUTPUT]
    names = getattr(model, "output_names", None)
    if isinstance(y_pred, Mapping) and len(y_pred) == count:
        return [str(key) for key in sorted(y_pred)]  # the order in which Keras flattens
    if names and len(names) == count and len(set(names)) == count:
        return [str(name) for name in names]
    return [f"{OUTPUT}_{number}" for number in range(count)]


def _beside(values: Any, y_pred: Any, names: list[str]) -> list[Any] | None:
    """``values`` in the order of the flattened predictions; None if they do not match."""
    if isinstance(values, Mapping) and len(names) > 1 and set(map(str, values)) == set(names):
        return [values[name] for name in names]
    flat = keras.tree.flatten(values)
    return flat if len(flat) == len(names) else None


def compiled_loss(model: Any) -> Any:
    """The ``loss`` given to ``compile``, as it was given; None if there was none."""
    loss = getattr(model, "loss", None)
    return None if getattr(loss, "__self__", None) is model else loss  # Keras has a method of that name, too


def _loss_of(model: Any, number: int, name: str, of: int) -> Any:
    loss = compiled_loss(model)
    if isinstance(loss, Mapping):
        if name in loss:
            return loss[name]
        return next(iter(loss.values())) if of == 1 and loss else None
    if isinstance(loss, list | tuple):
        return loss[number] if number < len(loss) else None
    return loss


def _activation_of(model: Any, number: int) -> str:
    """The name of the last layer's activation, where it can be found without running anything."""
    try:
        layer = model.outputs[number]._keras_history.operation
    except (AttributeError, IndexError, TypeError, ValueError):
        layers = getattr(model, "layers", None)
        if not layers or type(model).__name__ != "Sequential":
            return ""
        layer = layers[-1]
    if type(layer).__name__ == "Softmax":
        return "softmax"
    return str(getattr(getattr(layer, "activation", None), "__name__", ""))


def _has_accuracy(model: Any) -> bool:
    compiled = getattr(model, "_compile_metrics", None)
    return compiled is not None and any("acc" in metric.name for metric in compiled.metrics)


def known_task(task: Any) -> Any:
    """``task`` as Monitor takes it.

    Raises:
        ValueError: it is none.
    """
    for one in task.values() if isinstance(task, Mapping) else [task]:
        if one is not None and one not in get_args(Task):
            raise ValueError(f"task must be one of {', '.join(map(repr, get_args(Task)))}, not {one!r}")
    return task
