"""Which class a sample has and which one the model gave it: read from labels, predictions, loss and last layer.

``rule_for`` decides once, from shapes and names, how one output is to be read, or says why it can't be; ``codes``
applies the rule inside the compiled step. Both work on any backend of Keras.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from keras import ops
from numpy.typing import NDArray

UNCOUNTED = -1  # masked, ignored, or of weight 0
OUT_OF_RANGE = -2  # the label is none of the classes
_WIDE = 2**31  # more than there can be classes

_REGRESSION = re.compile(
    r"mean(squared|absolute|absolutepercentage|squaredlogarithmic)error|mse|mae|mape|msle|huber|logcosh"
    r"|cosinesimilarity|poisson"
)
_SIGNED = ("hinge", "squaredhinge")
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


def loss_name(loss: Any) -> str:
    """The plain name of a loss: of a string, a function, a Loss object; "" for none."""
    if loss is None:
        return ""
    if type(loss).__name__ == "LossFunctionWrapper" and hasattr(loss, "fn"):
        loss = loss.fn
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    return str(name)


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
    name = re.sub(r"[^a-z]", "", loss_name(loss).lower())
    units = y_pred.shape[-1] if len(y_pred.shape) > 1 else 1
    if task is None and _REGRESSION.fullmatch(name):
        return f'{loss_name(loss)} is a loss of regression (if its labels are classes, say Monitor(task="classes"))'
    if task is None and name == "ctc":
        return f"{loss_name(loss)} aligns sequences, so that no position has a label of its own"
    if units is None:
        return "the number of classes can't be told from the model's output shape"
    logits = bool(getattr(loss, "from_logits", False))
    ignore = getattr(loss, "ignore_class", None)
    same_shape = len(y.shape) == len(y_pred.shape) and y.shape[-1] not in (1, None)
    if same_shape and y.shape[-1] != units:
        return f"labels of {y.shape[-1]} entries do not fit {units} scores"
    if task == "labels":
        if len(y.shape) != len(y_pred.shape) or y.shape[-1] not in (units, None):
            return f"labels that say yes or no each must have the shape of the {units} scores"
        return Rule("several", 2 * units, _threshold(name, logits, activation))
    if units == 1:
        if name in _SIGNED:
            return Rule("binary", 2, 0.0)
        if "binary" in name or name in ("crossentropy", "ce") or activation == "sigmoid":
            return Rule("binary", 2, 0.0 if logits else 0.5)
        if wanted == 2 or task == "classes":
            return Rule("binary", 2, _threshold(name, logits, activation))
        return f"one number a sample and the loss {loss_name(loss) or 'none'} do not tell of classes"
    if "sparse" in name:
        return Rule("index", units, ignore=ignore)
    if task is None and same_shape and ("binary" in name or activation == "sigmoid") and activation != "softmax":
        return Rule("several", 2 * units, 0.0 if logits else 0.5)
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
            f"neither the loss {loss_name(loss) or 'none'} nor the last layer tells whether its {units} numbers are "
            f"classes (if they are, say Monitor(num_classes={units}))"
        )
    return Rule("one-hot" if same_shape else "index", units, ignore=ignore)


def _threshold(name: str, logits: bool, activation: str) -> float:
    """Above which score an output says yes: half of a probability, 0 of a logit."""
    return 0.5 if not logits and ("binary" in name or activation == "sigmoid") else 0.0


def codes(rule: Rule, y: Any, y_pred: Any, weight: Any, whole: str = "int64", wide: bool = False) -> Any:
    """What became of each sample: ``whole`` [samples], true * classes + predicted, or below 0 if it is not counted.

    Where a label can be wrong, it is tested itself: its code alone could look like another's. ``wide`` codes leave
    that to ``narrowed``, outside of the step: each operation in it takes about a microsecond of every batch.
    """
    n = rule.classes
    if rule.labels == "binary":
        scores = ops.squeeze(y_pred, -1) if len(y_pred.shape) > 1 else y_pred
        predicted = ops.cast(scores > rule.threshold, whole)
        truth = ops.cast(ops.cast(ops.reshape(y, ops.shape(scores)), "float32") > 0.5, whole)
    elif rule.labels == "several":
        no = 2 * ops.arange(rule.names, dtype=whole)
        predicted = no + ops.cast(y_pred > rule.threshold, whole)
        truth = no + ops.cast(ops.cast(y, "float32") > 0.5, whole)
    else:
        # The same argmax as Keras's accuracy: where that is compiled, the graph computes it once.
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), whole)
        if rule.labels == "one-hot":
            truth = ops.cast(ops.argmax(y, axis=-1), whole)
        else:
            truth = ops.cast(ops.reshape(y, ops.shape(predicted)), whole)
    if wide:
        code = truth * _WIDE + predicted
    else:
        inside = ops.logical_and(truth >= 0, truth < n)
        code = ops.where(inside, truth * n + predicted, ops.full_like(truth, OUT_OF_RANGE))
    counted = _counted(truth, y_pred, weight)
    if rule.ignore is not None:
        counted = [*counted, truth != rule.ignore]
    for condition in counted:
        code = ops.where(condition, code, ops.full_like(code, UNCOUNTED))
    return ops.reshape(code, (-1,))


def narrowed(wide: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """What ``codes`` would have said at once, of ``wide`` ones."""
    truth = wide >> 31
    narrow = truth * classes + (wide & (_WIDE - 1))
    if len(wide) and (wide.min() < 0 or truth.max() >= classes):
        narrow[(truth < 0) | (truth >= classes)] = OUT_OF_RANGE
        narrow[wide == UNCOUNTED] = UNCOUNTED
    return narrow


def _counted(truth: Any, y_pred: Any, weight: Any) -> list[Any]:
    """Conditions of the shape of ``truth`` (or one that spreads to it) under which a sample is counted."""
    conditions = []
    mask = getattr(y_pred, "_keras_mask", None)
    if mask is not None and len(mask.shape) <= len(truth.shape):
        conditions.append(_spread(ops.cast(mask, "bool"), truth))
    if weight is not None:
        if len(weight.shape) == len(truth.shape) + 1 and weight.shape[-1] == 1:
            weight = ops.squeeze(weight, -1)
        if len(weight.shape) <= len(truth.shape):
            conditions.append(_spread(weight != 0, truth))
    return conditions


def _spread(condition: Any, truth: Any) -> Any:
    for _ in range(len(truth.shape) - len(condition.shape)):
        condition = ops.expand_dims(condition, -1)
    return condition
