"""ClassWeights: class weights that change while ``fit`` runs, by how well each class does in validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from epochscope import keras_frames
from epochscope import keras_patches as patches
from epochscope.flusher import say
from epochscope.keras_attachment import Attachment
from epochscope.keras_confusion import ConfusionMatrix
from epochscope.keras_guard import Guarded, guarded
from epochscope.keras_weighting import Weighting
from epochscope.weights import Weights, checked, checked_names, difficulty_weights, in_order, initial_weights


@keras.saving.register_keras_serializable(package="epochscope")
class ClassWeights(Guarded, keras.callbacks.Callback):  # type: ignore[misc]
    """A Keras callback that gives a class more weight in the loss the worse its recall in validation is.

    After each epoch it reads ``val_recall/<class>`` from the logs, where Monitor or a compiled ConfusionMatrix puts
    it, and sets the weights of the next epoch. So **validation data decide how the model is trained**: what it
    scores on them is no longer an independent estimate. Keep a test set for that.

    Without a function of yours the weights follow class-wise difficulty: with A the recall and d = 1 - A,
    w = max(d ** tau, floor), tau = sigmoid(max A / (min A + 0.01)), then divided by their mean (CDB-W with dynamic
    tau; Sinha, Ohashi, Nakamura, "Class-Wise Difficulty-Balanced Loss", ACCV 2020; the floor is ours). A class
    that did not occur in validation gets 1.

    A weight multiplies whatever ``sample_weight`` or ``class_weight`` the samples have. Keras's and the compiled
    metrics stay as they are, only the training loss is weighted. The weights that an epoch was trained with are in
    its logs, for callbacks listed after this one, History and, wherever it is listed, Monitor:
    ``class_weight/<class>``, with ``<output>/`` in front if ``output`` is given. The progress bar does not show them.
    The callback's place among the others does not matter to what it does. After the fit nothing of it is left.

    Args:
        weights: ``weights(epoch, recall)``, your own function. ``epoch`` (from 1) has just ended, ``recall`` maps
            class names, in the order of the classes, to recall in validation; NaN for a class that did not occur.
            It returns the weights, finite and above 0: one for each class in order, or a mapping of names; a class
            that is not named keeps its weight.
        floor: the least that a class gets before the division, above 0 and at most 1. Not for your function.
        smoothing: in [0, 1): how much of a class's weight stays in each epoch; 0 takes the new one as it is. Recall
            of few samples is noisy, and so are weights that follow it.
        start_epoch: the first epoch (from 1) after which the weights change.
        initial: weights of the first epoch, one for each class in order, or a mapping of names where there are
            ``class_names``; else all are 1. ``initial=list(other.current.values())`` goes on from another fit.
        class_names: in the order of the class indices. Only needed where neither Monitor nor ConfusionMatrix has
            them.
        output: which one, by name, where the model has several classified outputs.

    Example::

        model.fit(x, y, validation_data=(x_val, y_val), callbacks=[monitor, ClassWeights(smoothing=0.5)])

    Raises:
        ValueError, TypeError: an argument can't be used. Later, nothing is raised: what can't be done is said in one
            line on stderr, and the weights stay as they are.
    """

    def __init__(
        self,
        weights: Callable[[int, dict[str, float]], Weights] | None = None,
        *,
        floor: float = 0.05,
        smoothing: float = 0.0,
        start_epoch: int = 1,
        initial: Weights | None = None,
        class_names: Sequence[str] | None = None,
        output: str | None = None,
    ) -> None:
        Guarded.__init__(self)
        keras.callbacks.Callback.__init__(self)
        if weights is not None and not callable(weights):
            raise TypeError(
                "weights must be a function weights(epoch, recall); for weights to start with say initial=, and for "
                "weights that never change fit(class_weight=...)"
            )
        if not 0 < floor <= 1:
            raise ValueError(f"floor must be above 0 and at most 1, not {floor!r}")
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must be at least 0 and less than 1, not {smoothing!r}")
        if type(start_epoch) is not int or start_epoch < 1:
            raise ValueError(f"start_epoch must be a whole number from 1 on, not {start_epoch!r}")
        if isinstance(class_names, str):
            raise TypeError(f"class_names must be a list of names, not the string {class_names!r}")
        self._function = weights
        self._floor = float(floor)
        self._smoothing = float(smoothing)
        self._start_epoch = start_epoch
        self._given_names = [str(name) for name in class_names] if class_names is not None else None
        self._output = output
        self._initial = initial_weights(initial, self._given_names)
        self._names: list[str] = []
        self._values: NDArray[np.float64] | None = None
        self._weighting: Weighting | None = None
        self._validated = False
        self._told: set[str] = set()

    @property
    def current(self) -> dict[str, float]:
        """The weight of each class, by name, as the next epoch would have it; empty while no names are known."""
        return dict(zip(self._names, self._in_force(), strict=True))

    # -- what Keras calls

    @guarded
    def on_train_begin(self, logs: Any = None) -> None:
        self._end()
        self._told.clear()
        self._names = list(self._given_names or [])
        self._values = self._initial
        model = self.model
        classes = len(self._initial) if self._initial is not None else self._class_count(model)
        self._weighting = Weighting(model, self._output, classes, self.trouble)
        if self._initial is not None:
            self._weighting.use(self._initial.astype(np.float32))
        if keras_frames.fit_argument(model, "validation_data", missing=True) is None:
            self._say("fit() has no validation data, so class weights stay as they are")

    @guarded
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._validated = False

    @guarded
    def on_test_begin(self, logs: Any = None) -> None:
        self._validated = True

    @guarded
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._weighting is None or self._weighting.useless or not isinstance(logs, dict):
            return
        recall = self._recall(logs)
        before = f"{self._output}/" if self._output is not None else ""
        published = {f"{before}class_weight/{name}": weight for name, weight in self.current.items()}
        self._weighting.published |= published.keys()
        logs.update(published)
        if recall and epoch + 1 >= self._start_epoch:
            self._change(epoch + 1, recall)

    def on_train_end(self, logs: Any = None) -> None:
        try:  # not guarded: also after we have switched ourselves off
            self._end()
        except Exception as error:
            self.trouble(error)

    def get_config(self) -> dict[str, Any]:
        """The arguments, from which ``from_config`` makes the same object.

        Raises:
            ValueError: the weights come from a function, which can't be written down.
        """
        if self._function is not None:
            raise ValueError("these ClassWeights take their weights from a function of yours, which has no config")
        return {
            "floor": self._floor,
            "smoothing": self._smoothing,
            "start_epoch": self._start_epoch,
            "initial": self._initial.tolist() if self._initial is not None else None,
            "class_names": self._given_names,
            "output": self._output,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ClassWeights:
        return cls(**config)

    # -- the weights

    def _change(self, epoch: int, recall: dict[str, float]) -> None:
        try:
            new = self._new(epoch, recall)
        except Exception as error:
            self._say(f"class weights stay as they are: {type(error).__name__}: {error}")
            return
        old = np.array(self._in_force())
        self._values = self._smoothing * old + (1 - self._smoothing) * new
        assert self._weighting is not None
        self._weighting.use(self._values.astype(np.float32))

    def _new(self, epoch: int, recall: dict[str, float]) -> NDArray[np.float64]:
        if self._function is None:
            return difficulty_weights(list(recall.values()), self._floor)
        answer = self._function(epoch, dict(recall))
        if isinstance(answer, Mapping):
            return in_order({**self.current, **checked_names(answer, self._names)}, self._names)
        values = checked(answer)
        if len(values) != len(self._names):
            raise ValueError(f"the function gave {len(values)} weights for {len(self._names)} classes")
        return values

    def _in_force(self) -> list[float]:
        values: list[float] = self._values.tolist() if self._values is not None else [1.0] * len(self._names)
        return values[: len(self._names)]

    def _recall(self, logs: dict[str, Any]) -> dict[str, float]:
        """Recall of each class in validation, in the order of the classes; empty if the logs have none."""
        prefixes = [f"val_{self._output}/recall/"] if self._output is not None else []
        for prefix in [*prefixes, "val_recall/"]:
            found = {name.removeprefix(prefix): value for name, value in logs.items() if name.startswith(prefix)}
            if found:
                break
        else:
            if self._validated:
                self._say(
                    f"there is no {prefixes[0] if prefixes else prefix}<class> in the logs, so class weights stay as "
                    "they are; it comes from a Monitor among the callbacks, or a ConfusionMatrix among the metrics"
                )
            return {}
        names = self._names or self._ordered(set(found))
        if set(names) != set(found):
            self._say(
                "class weights stay as they are: the order of the classes is not known; say "
                "ClassWeights(class_names=[...]) with the names that stand in the logs"
            )
            return {}
        if self._values is not None and len(self._values) != len(found):
            self._say(f"class weights stay as they are: {len(self._values)} initial ones for {len(found)} classes")
            return {}
        self._names = names
        return {name: float(found[name]) for name in self._names}

    def _ordered(self, found: set[str]) -> list[str]:
        """The names in the order of the class indices (logs are sorted by name); empty if nobody knows it."""
        numbered = [str(index) for index in range(len(found))]
        return next((names for names in [*self._known_names(self.model), numbered] if set(names) == found), [])

    def _known_names(self, model: Any) -> list[list[str]]:
        attached = [owner for owner in patches.owners(model) if isinstance(owner, Attachment)]
        monitors = [list(names) for owner in attached for names in owner.class_names()]
        return [*monitors, *(metric.class_names for metric in _matrices(model))]

    def _class_count(self, model: Any) -> int | None:
        """How many classes there are, as far as it can be told before the first step."""
        if self._given_names is not None:
            return len(self._given_names)
        tensors = getattr(model, "outputs", None) or []
        if len(tensors) > 1:
            names = getattr(model, "output_names", None) or []
            tensors = [tensor for name, tensor in zip(names, tensors, strict=False) if name == self._output]
        if len(tensors) == 1 and len(tensors[0].shape) > 1 and isinstance(tensors[0].shape[-1], int):
            return max(tensors[0].shape[-1], 2)
        return next((metric.num_classes for metric in _matrices(model)), None) if self._output is None else None

    def _end(self) -> None:
        if self._weighting is not None:
            weighting, self._weighting = self._weighting, None
            weighting.leave()

    def _say(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            say(text)


def _matrices(model: Any) -> list[ConfusionMatrix]:
    metrics = [*model.metrics, *getattr(getattr(model, "_compile_metrics", None), "metrics", ())]
    return [metric for metric in metrics if isinstance(metric, ConfusionMatrix)]
