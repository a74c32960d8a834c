"""Which class a sample has and which one the model gave it, by the rule of its output; on any backend of Keras.

``codes`` applies the rule inside the compiled step, ``narrowed`` ends outside of it what is quicker there.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from epochscope.keras_rules import Rule as Rule

UNCOUNTED = -1  # masked, ignored, or of weight 0
OUT_OF_RANGE = -2  # the label is none of the classes
_WIDE = 2**31  # more than there can be classes


def codes(rule: Rule, y: Any, y_pred: Any, weight: Any, whole: str = "int64", wide: bool = False) -> Any:
    """What became of each sample: ``whole`` [samples], true * classes + predicted, or below 0 if it is not counted.

    Where a label can be wrong, it is tested itself: its code alone could look like another's. ``wide`` codes leave
    that to ``narrowed``, outside of the step: each operation in it takes about a microsecond of every batch.
    """
    n = rule.classes
    if rule.labels == "binary":
        scores = ops.squeeze(y_pred, -1) if len(y_pred.shape) > 1 else y_pred
        predicted = ops.cast(scores > rule.threshold, whole)
        truth = _beside(rule, ops.cast(ops.cast(y, "float32") > 0.5, whole), predicted)
    elif rule.labels == "several":
        no = 2 * ops.arange(rule.names, dtype=whole)
        predicted = no + ops.cast(y_pred > rule.threshold, whole)
        yes = ops.cast(ops.cast(y, "float32") > 0.5, whole)
        yes = yes if rule.sure else _beside(rule, yes, predicted)
        truth = no + yes if rule.sure else ops.where(yes < 0, yes, no + yes)
    else:
        # The same argmax as Keras's accuracy: where that is compiled, the graph computes it once.
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), whole)
        if rule.labels == "one-hot":
            truth = ops.cast(ops.argmax(y, axis=-1), whole)
            truth = truth if rule.sure else _beside(rule, truth, predicted)
        else:
            if _is_float(y):
                y = ops.where(y == y, y, -ops.ones_like(y))  # NaN is no class; XLA would make it 0
            truth = _beside(rule, ops.cast(y, whole), predicted)
    if wide:
        # Far off, or no number at all, a label would look like another one; most losses of Keras's own would fail.
        doubtful = not rule.sure or _is_float(y)
        code = (ops.clip(truth, -1, n) if doubtful else truth) * _WIDE + predicted
    else:
        inside = ops.logical_and(truth >= 0, truth < n)
        code = ops.where(inside, truth * n + predicted, ops.full_like(truth, OUT_OF_RANGE))
    counted = _counted(truth, y_pred, weight)
    if rule.ignore is not None:
        counted = [*counted, truth != rule.ignore]
    for condition in counted:
        code = ops.where(condition, code, ops.full_like(code, UNCOUNTED))
    return ops.reshape(code, (-1,))


def _is_float(y: Any) -> bool:
    return "float" in keras.backend.standardize_dtype(y.dtype)


def _beside(rule: Rule, truth: Any, predicted: Any) -> Any:
    """``truth`` in the shape of ``predicted``; all of it -1 where there are more or fewer of them. No loss of Keras's
    own takes that; one that does must not have its training aborted by us."""
    flat = truth
    if not rule.sure:
        size, given = ops.size(predicted), ops.size(truth)
        padded = ops.concatenate([ops.reshape(truth, (-1,)), ops.full((1,), -1, dtype=truth.dtype)])
        flat = ops.take(padded, ops.where(given == size, ops.arange(size), given))
    return ops.reshape(flat, ops.shape(predicted))


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
