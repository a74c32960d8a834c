"""Where a run goes on that another process has begun: how many batches of training and validation came before.

Nobody tells: it follows from the epoch that ``fit`` begins with and from how many batches it makes of its data, which
is taken to be what the earlier process made of them.
"""

from __future__ import annotations

import math
from typing import Any

import keras

from epochscope import keras_facts, keras_frames, wire

_KERAS_BATCH = 32  # what Keras makes of arrays where no batch size is given
_UNKNOWN = object()


def batches_before(model: Any, epoch: int, per_epoch: int | None) -> dict[wire.Split, int | None]:
    """How many batches of each split came before ``epoch`` (from 0), the first of the ``fit`` further up this stack.

    Training: ``per_epoch`` each; where that is not known, as many as the optimizer has counted of batches, since a
    checkpoint brings its count along. Validation: None if it is not known; left out if there is none.
    """
    found: dict[wire.Split, int | None] = {"train": _trained(model, epoch, per_epoch)}
    validates = keras_frames.fit_argument(model, "validation_data", missing=_UNKNOWN)
    if validates is not None:
        found["val"] = None if validates is _UNKNOWN and epoch else _validated(model, epoch)
    return found


def _trained(model: Any, epoch: int, per_epoch: int | None) -> int:
    optimizer = getattr(model, "optimizer", None)
    if not epoch or per_epoch is not None or optimizer is None:
        return epoch * (per_epoch or 0)
    scaled = hasattr(optimizer, "inner_optimizer")  # its loss, for mixed precision
    optimizer = optimizer.inner_optimizer if scaled else optimizer
    if hasattr(optimizer, "_iterations"):  # of batches, also where several make an update
        counted = int(keras_facts.scalar(optimizer._iterations))
    else:
        counted = int(keras_facts.scalar(optimizer.iterations))
    return max(counted - epoch, 0) if not scaled and _steps_in_vain(model) else counted


def _steps_in_vain(model: Any) -> bool:
    """Whether the optimizer also counts the step at each epoch's end that finds no data any more.

    TensorFlow runs what needs no data before it notices: the count, where nothing holds that back (XLA, a loop over
    several steps, and a scaled loss all do).
    """
    compiled = not getattr(model, "run_eagerly", False) and not getattr(model, "jit_compile", False)
    one_by_one = getattr(model, "steps_per_execution", 1) == 1
    return bool(keras.config.backend() == "tensorflow" and compiled and one_by_one)


def _validated(model: Any, epoch: int) -> int | None:
    often = keras_frames.fit_argument(model, "validation_freq", 1)
    passes = epoch // often if isinstance(often, int) else sum(each <= epoch for each in often)
    size = keras_frames.fit_argument(model, "validation_batch_size", None)
    size = size or keras_frames.fit_argument(model, "batch_size", None) or _KERAS_BATCH
    limit = keras_frames.fit_argument(model, "validation_steps", None)
    batches = _batches_of(keras_frames.fit_argument(model, "val_x", None), size)
    known = [number for number in (batches, limit) if number is not None]
    if passes and not known:
        return None
    return int(passes * min(known, default=0))


def _batches_of(data: Any, batch_size: int) -> int | None:
    """How many batches Keras makes of ``data``; None if that can't be told, or if there is no end of them."""
    if hasattr(data, "cardinality"):  # a tf.data pipeline
        return number if (number := int(data.cardinality())) >= 0 else None
    if isinstance(data, keras.utils.PyDataset):
        return None if data.num_batches is None else int(data.num_batches)
    sizes = [leaf.shape[0] for leaf in keras.tree.flatten(data) if getattr(leaf, "shape", None)]
    if sizes:
        return math.ceil(int(sizes[0]) / batch_size)
    return len(data) if hasattr(data, "__len__") and not isinstance(data, list | tuple | dict) else None
