"""The classified outputs of a model: which there are, what they are called, how each is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import keras

from epochscope.arguments import OUTPUT, numbered
from epochscope.keras_rules import Rule, Task, rule_for


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

    def read(self, model: Any, y: Any, y_pred: Any, weight: Any) -> list[tuple[str, Rule, Any, Any, Any]]:
        """Name, rule, labels, predictions and weights of each output that can be read."""
        found = []
        flat_pred = keras.tree.flatten(y_pred)
        names = self._names(model, y_pred, len(flat_pred))
        labels = _beside(y, names) or [None] * len(names)
        weights = _beside(weight, names) if weight is not None else None
        if weights is None:
            flat = keras.tree.flatten(weight) if weight is not None else []
            weights = [flat[0]] * len(names) if len(flat) == 1 else [None] * len(names)
        for number, name in enumerate(names):
            truth, scores = labels[number], flat_pred[number]
            if truth is None:
                self.reasons.setdefault(name, "there are no labels")
                continue
            rule = self.rules.get(name) or self._decide(model, number, name, len(names), truth, scores)
            if rule is not None:
                found.append((name, rule, truth, scores, weights[number]))
        return found

    def fail(self, error: Exception, counted: set[str]) -> None:
        """Reading a step has failed, by a fault of ours; ``counted`` are the outputs that earlier ones were read of."""
        self.rules = {name: rule for name, rule in self.rules.items() if name in counted}
        self.reasons.setdefault(OUTPUT, f"epochscope itself failed to read it ({error!r:.200})")

    def names_of(self, output: str) -> tuple[str, ...]:
        """The class names of an output, one for each of its classes; or the names of its labels."""
        classes = self.rules[output].names
        given = tuple(self._given.get(self._key(output), ()))
        return (*given[:classes], *numbered(classes)[len(given) :])

    def in_words(self) -> str:
        """How they are read, for the person who trains; "" if there are none."""
        several = len(self.rules) + len(self.reasons) > 1
        each = [f"{name}: {rule.in_words()}" if several else rule.in_words() for name, rule in self.rules.items()]
        return "; ".join(each)

    def with_labels(self) -> set[str]:
        """The outputs whose samples may have several labels."""
        return {name for name, rule in self.rules.items() if rule.labels == "several"}

    def notes(self) -> list[str]:
        """What of that which the person said does not go together with the model."""
        found = []
        keys = {name: self._key(name) for name in self.rules}
        for name, rule in self.rules.items():
            what = "labels" if rule.labels == "several" else "classes"
            given = self._given.get(keys[name])
            if given and len(given) != rule.names:
                found.append(
                    f"{len(given)} class names were given, but the output {name!r} has {rule.names} {what}; "
                    "the others go by their numbers"
                )
            elif not given and self._num_classes not in (None, rule.names):
                found.append(f"num_classes={self._num_classes}, but the output {name!r} has {rule.names} {what}")
        outputs = ", ".join(map(repr, self.rules))
        for key in self._given.keys() - set(keys.values()) if self.rules else ():
            if key == OUTPUT:
                found.append(f"class_names are not used: say by class_names={{name: [...]}} of which output: {outputs}")
            elif key not in self.reasons:
                found.append(f"class_names of {key!r} are not used: the outputs that are counted are {outputs}")
        return found

    def _key(self, name: str) -> str:
        """Under which name the person gave the class names of an output."""
        if name in self._given or OUTPUT not in self._given:
            return name
        # A plain list, of a model of several outputs: it is of the only one that it fits.
        size = len(self._given[OUTPUT])
        fitting = [each for each, rule in self.rules.items() if each not in self._given and rule.names == size]
        return OUTPUT if fitting == [name] else name

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
        self.rules[name] = rule
        return rule

    def _names(self, model: Any, y_pred: Any, count: int) -> list[str]:
        names = getattr(model, "output_names", None)
        if isinstance(y_pred, Mapping) and len(y_pred) == count:
            own = [str(key) for key in sorted(y_pred)]  # the order in which Keras flattens
        elif names and len(names) == count and len(set(names)) == count:
            own = [str(name) for name in names]
        else:
            own = [f"{OUTPUT}_{number}" for number in range(count)]
        # The only output needs no name, but a person may call it by its own.
        told = {*self._given, *(self._task if isinstance(self._task, Mapping) else ())}
        return [OUTPUT] if count == 1 and (own[0] not in told or OUTPUT in told) else own


def _beside(values: Any, names: list[str]) -> list[Any] | None:
    """``values`` in the order of the flattened predictions, None for those that there are none of; None if they do not
    match."""
    if isinstance(values, Mapping) and len(names) > 1:
        told = {str(name): value for name, value in values.items()}
        if told.keys() <= set(names):
            return [told.get(name) for name in names]
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
    compiled = getattr(getattr(model, "_compile_metrics", None), "metrics", ())
    return any("acc" in metric.name for metric in (*compiled, *model.metrics))


def known_task(task: Any) -> Any:
    """``task`` as Monitor takes it.

    Raises:
        ValueError: it is none.
    """
    for one in task.values() if isinstance(task, Mapping) else [task]:
        if one is not None and one not in get_args(Task):
            raise ValueError(f"task must be one of {', '.join(map(repr, get_args(Task)))}, not {one!r}")
    return task
