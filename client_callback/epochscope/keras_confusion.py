"""ConfusionMatrix: a Keras metric that keeps whole counts and answers with each class's recall, precision and F1.

For ``compile(metrics=[...])``, for a custom ``train_step``, or updated by hand. It needs neither Monitor nor a
service. Monitor alone counts the same without it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import keras
from keras import ops

from epochscope.keras_classify import Rule, codes

DEFAULT_NAME = "confusion"
WHOLE = "int32"  # what JAX counts in unless told otherwise; two thousand million samples of a cell and epoch
MAX_CLASSES = 46_340  # the square of more does not fit it


@keras.saving.register_keras_serializable(package="epochscope")
class ConfusionMatrix(keras.metrics.Metric):  # type: ignore[misc]
    """Counts how often each true class was predicted as each class.

    ``result()`` gives ``recall/<class>``, ``precision/<class>``, ``f1/<class>`` for each class and
    ``macro_recall``, ``macro_precision``, ``macro_f1``; the keys have ``<name>/`` in front unless the metric has its
    default name, so that the metrics of two outputs can stand side by side. ``matrix()`` gives the counts themselves.

    Given to ``compile``, it leaves its result empty within a compiled step: batch logs and the progress bar stay as
    they are, and the values of the epoch come at its end. Asked by hand it always answers.

    Args:
        class_names: names of the classes, in the order of their indices.
        num_classes: instead of names; the classes are called "0", "1", ...
        threshold: with two classes and a single score for each sample, the score above which it is class 1.
            0.5 suits a sigmoid, 0.0 a logit.
        ignore_class: a label that stands for "none"; such samples are not counted.
        name: of the metric.
        dtype: of what is computed; counts are whole numbers whatever it is.

    Labels may be indices or one-hot, predictions probabilities or logits [..., classes], or one score with two
    classes. Samples that are masked or have weight 0 are not counted; other weights do not matter: counts are raw.
    What is unknown is NaN: the recall of a class that did not occur, the precision of one never predicted.

    Example::

        model.compile("adam", "sparse_categorical_crossentropy", metrics=[ConfusionMatrix(["cat", "dog", "eel"])])
        history = model.fit(x, y, validation_data=(x_val, y_val)).history
        history["val_f1/eel"]

    Raises:
        ValueError: neither names nor a number of classes, or the two do not agree.
    """

    def __init__(
        self,
        class_names: Sequence[str] | None = None,
        *,
        num_classes: int | None = None,
        threshold: float = 0.5,
        ignore_class: int | None = None,
        name: str = DEFAULT_NAME,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if class_names is None and num_classes is None:
            raise ValueError("ConfusionMatrix needs class_names or num_classes")
        if class_names is not None and num_classes not in (None, len(class_names)):
            raise ValueError(f"there are {len(class_names)} class_names, but num_classes is {num_classes}")
        classes = len(class_names) if class_names is not None else int(num_classes or 0)
        if not 2 <= classes <= MAX_CLASSES:
            raise ValueError(f"a confusion matrix has 2 to {MAX_CLASSES:,} classes, not {classes}")
        self.class_names = list(class_names) if class_names is not None else [str(index) for index in range(classes)]
        self.threshold = threshold
        self.ignore_class = ignore_class
        self._counts = self.add_variable((classes * classes,), initializer="zeros", dtype=WHOLE, name="counts")

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = ops.convert_to_tensor(y_true), _with_mask(y_pred)
        weight = None if sample_weight is None else ops.convert_to_tensor(sample_weight)
        code = codes(self._rule(y_true, y_pred), y_true, y_pred, weight, WHOLE)
        # Sums of ones, since a histogram of unknown length can't be compiled by XLA.
        counted = ops.cast(code >= 0, WHOLE)
        places = ops.maximum(code, 0)
        self._counts.assign_add(ops.segment_sum(counted, places, self.num_classes**2))

    def result(self) -> dict[str, Any]:
        if _asked_by_keras(sys._getframe(1)) and _in_compiled_step(self._counts):
            return {}
        counts = ops.reshape(ops.cast(self._counts, "float32"), (self.num_classes, self.num_classes))
        hit, true, predicted = ops.diagonal(counts), ops.sum(counts, axis=1), ops.sum(counts, axis=0)
        rates = {
            "recall": _share(hit, true),
            "precision": _share(hit, predicted),
            "f1": _share(2 * hit, true + predicted),
        }
        before = "" if self.name == DEFAULT_NAME else f"{self.name}/"
        there = ops.cast(true > 0, "float32")
        values = {
            f"{before}{rate}/{label}": shares[index]
            for rate, shares in rates.items()
            for index, label in enumerate(self.class_names)
        }
        for rate, shares in rates.items():
            known = ops.where(true > 0, ops.nan_to_num(shares), 0.0)
            values[f"{before}macro_{rate}"] = _share(ops.sum(known), ops.sum(there))
        return values

    def matrix(self) -> Any:
        """The counts since the last reset: rows are the true class, columns the predicted one, int32 [N, N]."""
        return ops.reshape(ops.convert_to_tensor(self._counts), (self.num_classes, self.num_classes))

    def reset_state(self) -> None:
        self._counts.assign(ops.zeros((self.num_classes**2,), dtype=WHOLE))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "class_names": self.class_names,
            "threshold": self.threshold,
            "ignore_class": self.ignore_class,
        }

    def _rule(self, y_true: Any, y_pred: Any) -> Rule:
        units = y_pred.shape[-1] if len(y_pred.shape) > 1 else 1
        if units == 1 and self.num_classes == 2:
            return Rule("binary", 2, self.threshold, self.ignore_class)
        if units != self.num_classes:
            raise ValueError(
                f"ConfusionMatrix {self.name!r} has {self.num_classes} classes, but the predictions have {units} scores"
            )
        one_hot = len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == units
        return Rule("one-hot" if one_hot else "index", units, ignore=self.ignore_class)


def _share(part: Any, whole: Any) -> Any:
    """part / whole; NaN where the whole is 0."""
    return ops.where(whole > 0, part / ops.maximum(whole, 1), float("nan"))


def _with_mask(y_pred: Any) -> Any:
    """A tensor that keeps the mask Keras gave the predictions."""
    tensor = ops.convert_to_tensor(y_pred)
    mask = getattr(y_pred, "_keras_mask", None)
    if mask is not None and tensor is not y_pred:
        tensor._keras_mask = mask
    return tensor


def _asked_by_keras(caller: FrameType) -> bool:
    """Whether Keras gathers the results of all metrics given to ``compile``; it asks again at the epoch's end."""
    return str(caller.f_globals.get("__name__", "")).endswith("trainers.compile_utils")


def _in_compiled_step(variable: Any) -> bool:
    """Whether the step is being traced, so that there is no value yet; only TensorFlow and JAX trace."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.inside_function())
    if backend == "jax":
        import jax

        return isinstance(ops.convert_to_tensor(variable), jax.core.Tracer)
    return False
