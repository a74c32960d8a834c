"""How one output of a model is to be read: from the shapes of labels and predictions, its loss and its last layer.

Decided once, when the step is first traced; or, in words, why it can't be read. The same on any backend of Keras.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from epochscope import keras_losses, wire
from epochscope.keras_losses import Loss

_REGRESSION = re.compile(
    r"mean(squared|absolute|absolutepercentage|squaredlogarithmic)error|mse|mae|mape|msle|huber|logcosh"
    r"|cosinesimilarity|poisson"
)
_SIGNED = ("hinge", "squaredhinge")
_NOISY = "categoricalgeneralizedcrossentropy"  # takes indices only, though its name does not say "sparse"
_LABELS = {"index": "indices", "one-hot": "one-hot"}

Task = Literal["classes", "labels"]  # each sample has one class; or each unit is a label that says yes or no


@dataclass(frozen=True)
class Rule:
    """How one output is read. ``threshold`` is for "binary" and "several": the score above which it says yes.

    "several": each unit is a label that says yes or no on its own. Label l has the classes 2 l (no) and 2 l + 1 (yes).
    """

    labels: Literal["index", "one-hot", "binary", "several"]
    classes: int
    threshold: float = 0.5
    ignore: int | None = None  # a label that stands for "none"
    sure: bool = True  # there are as many labels as predictions, or the loss itself would fail

    @property
    def names(self) -> int:
        """How many names there are: of classes, or of labels."""
        return self.classes // 2 if self.labels == "several" else self.classes

    @property
    def codes(self) -> int:
        """How many codes a sample has: one, or one for each label."""
        return self.names if self.labels == "several" else 1

    def in_words(self) -> str:
        """How it is read, for the person who trains."""
        if self.labels == "several":
            return f"{self.names} labels, each yes or no (yes is a score above {self.threshold:g})"
        without = f", without the label {self.ignore}" if self.ignore is not None else ""
        if self.labels == "binary":
            return f"2 classes (class 1 is a score above {self.threshold:g}{without})"
        return f"{self.classes} classes (labels are {_LABELS[self.labels]}, the highest score counts{without})"


def rule_for(
    y: Any, y_pred: Any, loss: Any, activation: str, wanted: int | None, has_accuracy: bool, task: Task | None = None
) -> Rule | str:
    """How to read one output; or, in words, why it can't be read.

    Args:
        y, y_pred: labels and predictions of a batch, as the step sees them; only their shapes count.
        loss: of this output, as given to ``compile``.
        activation: of the last layer, "" if unknown.
        wanted: the number of classes the person named, which settles a doubtful case.
        has_accuracy: whether some accuracy is compiled, which tells of classes, too.
        task: what the person says it is, whatever the rest looks like.
    """
    known = keras_losses.known(loss)
    if task is None and _REGRESSION.fullmatch(known.plain):
        return f'{known.shown} is a loss of regression (if its labels are classes, say Monitor(task="classes"))'
    if task is None and known.plain == "ctc":
        return f"{known.shown} aligns sequences, so that no position has a label of its own"
    try:
        labels, scores = tuple(y.shape), tuple(y_pred.shape)
    except ValueError:  # of unknown rank
        return "the shape of its labels or scores is not known beforehand"
    units = scores[-1] if len(scores) > 1 else 1
    if units is None:
        return "the number of classes can't be told from the model's output shape"
    if units > wire.MAX_CLASSES:
        return f"it has {units:,} classes, and at most {wire.MAX_CLASSES:,} can be counted"
    width = labels[-1] if len(labels) == len(scores) and len(labels) > 1 else 1  # entries of a label
    if width is None:  # not known beforehand
        if not known.of_keras and task is None and units > 1:
            return "whether its labels are indices or one-hot can't be told, since their shape is not known beforehand"
        width = 1 if "sparse" in known.plain or known.plain == _NOISY else units
    if width not in (1, units):
        return f"labels of {width} entries do not fit {units} scores"
    rule = _kind(units, width > 1, known, activation, wanted, has_accuracy, task)
    return rule if isinstance(rule, str) else _fitted(rule, labels, scores, known.of_keras)


def _kind(
    units: int,
    same_shape: bool,
    loss: Loss,
    activation: str,
    wanted: int | None,
    has_accuracy: bool,
    task: Task | None,
) -> Rule | str:
    """How to read ``units`` scores; ``same_shape``: labels have as many entries."""
    name, logits, ignore = loss.plain, loss.from_logits, loss.ignore_class
    half = _threshold(loss, activation)
    if task == "labels":
        return Rule("several", 2 * units, half)
    if units == 1:
        if name in _SIGNED:
            return Rule("binary", 2, 0.0)
        if "binary" in name or activation == "sigmoid" or wanted == 2 or task == "classes":
            return Rule("binary", 2, half)
        if name in ("crossentropy", "ce"):
            return Rule("binary", 2, 0.0 if logits else 0.5)
        return f"one number a sample and the loss {loss.shown or 'none'} do not tell of classes"
    if "sparse" in name:
        return Rule("index", units, ignore=ignore)
    yes_or_no = "binary" in name or (activation == "sigmoid" and "categorical" not in name)
    if task is None and same_shape and yes_or_no and activation != "softmax":
        return Rule("several", 2 * units, half)
    evidence = (
        "categorical" in name
        or name in ("crossentropy", "ce", "kldivergence", "binarycrossentropy")
        or activation == "softmax"
        or has_accuracy
        or wanted == units
        or task == "classes"
    )
    if not evidence:
        return (
            f"neither the loss {loss.shown or 'none'} nor the last layer tells whether its {units} numbers are "
            f"classes (if they are, say Monitor(num_classes={units}))"
        )
    return Rule("one-hot" if same_shape else "index", units, ignore=ignore)


def _fitted(rule: Rule, labels: tuple[int | None, ...], scores: tuple[int | None, ...], of_keras: bool) -> Rule | str:
    """``rule``, if labels and scores of these shapes belong together."""
    whole = rule.labels in ("one-hot", "several")  # a label has as many entries as there are scores
    beside = scores if whole or len(scores) == 1 else scores[:-1]
    if whole and len(labels) != len(scores):
        return f"labels that say yes or no each must have the shape of the {rule.names} scores"
    # Where one of them has an axis of length 1 that the other has not, it still is one label for each prediction.
    one, other = ([size for size in sizes if size != 1] for sizes in (labels, beside))
    if len(one) != len(other) or any(a != b for a, b in zip(one, other, strict=True) if a and b):
        return f"labels of the shape {_shape(labels)} do not fit scores of the shape {_shape(scores)}"
    return replace(rule, sure=of_keras or (None not in one and one == other))


def _shape(sizes: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in sizes) + "]"


def _threshold(loss: Loss, activation: str) -> float:
    """Above which score an output says yes: half of a probability, 0 of a logit."""
    if loss.from_logits:
        return 0.0
    # Keras's own loss would take probabilities; what a person wrote may well take what no layer has squeezed.
    of_probabilities = "binary" in loss.plain and (loss.of_keras or activation != "linear")
    return 0.5 if of_probabilities or activation == "sigmoid" else 0.0
