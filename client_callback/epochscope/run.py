"""A run: what any training loop, Keras or not, says about one training.

::

    with Run(project="digits", class_names=["zero", "one"]) as run:
        for step, (x, y) in enumerate(batches, 1):
            ...
            run.log(step, loss=loss)
            run.confusion(step, y, predicted)

Nothing here waits for the disk or the network; see ``flusher``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from epochscope import endings, wire
from epochscope.arguments import (
    OUTPUT,
    class_outputs,
    flat_params,
    known_by,
    known_params,
    known_run,
    known_split,
    known_status,
    known_tags,
    label_indices,
    number,
    numbered,
    readable_name,
    whole_step,
)
from epochscope.connection import Connection, chosen
from epochscope.console import News, say
from epochscope.environment import bounded, environment_of, git_state
from epochscope.flusher import END_WAIT_S, Flusher
from epochscope.recording import Recording
from epochscope.sender import Delivery
from epochscope.spool import Meta, Spool, new_id, new_stream_id, spool_root
from epochscope.system import Pace, Watch

_LIVE = frozenset({"pace", "recording", "_flusher", "_telling", "_token", "_watch"})
_told_in_vain: set[str] = set()  # ids of runs, in this process


class Run:
    """One training, as it is told to the service.

    Args:
        project: what runs are grouped and listed under.
        name: what to call the run; without one it gets a readable name of its own.
        class_names: names of the classes, in the order of their indices, of the only output; or a mapping of
            output names to such lists.
        num_classes: where there are no names: the classes are called "0", "1", ...
        params: hyperparameters; numbers, strings, booleans or None, nested mappings are flattened with ".".
        url: of the service; else ``$EPOCHSCOPE_URL``, else ``http://127.0.0.1:7010``.
        token: sent as a bearer token; else ``$EPOCHSCOPE_TOKEN``.
        spool_dir: where unsent updates are kept; else ``$EPOCHSCOPE_SPOOL_DIR``, else the state folder of the user.
        group: an optional name that several runs share, the seeds of one experiment, say.
        environment: what it runs on, besides what is found anyway: versions of Python and NumPy, platform, host
            name, the command line with secrets masked, the git commit and whether tracked files differ from it.
        epochs, batches_per_epoch: what is planned, where it is known.
        capture: one line on what is recorded of the model, and why no more.
        run_id: goes on with this run as a new stream, instead of a new run.
        resumed_at: with ``run_id``, where the training was taken up again: for each split ("train", "val", "test") the
            first step that will be told now. What was told before of it and of later steps is then replaced.

    A copy, by ``copy`` or ``pickle``, here or in another process, is a stand-in: it can be called like the run, records
    nothing, and says so once. ``Run(run_id=run.id)`` records there, as a stream of its own.

    Where no thread can be started (a limit of the user or of the container is reached) a run records nothing, and says
    so in one line; it can be called all the same.

    Raises:
        ValueError, TypeError: an argument can't be used; the message says which, and what would do.
    """

    def __init__(
        self,
        project: str = "default",
        name: str | None = None,
        *,
        class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        num_classes: int | None = None,
        url: str | None = None,
        token: str | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        notes: str = "",
        group: str | None = None,
        environment: Mapping[str, str] | None = None,
        epochs: int | None = None,
        batches_per_epoch: int | None = None,
        capture: str = "",
        run_id: str | None = None,
        resumed_at: Mapping[wire.Split, int] | None = None,
    ) -> None:
        if run_id is not None:
            known_run("run_id", run_id)
        if resumed_at and run_id is None:
            raise ValueError("resumed_at says where a run goes on; say which by run_id")
        self.id = run_id or new_id()
        self.name = wire.clean_name(name) if name else readable_name(self.id)
        self._classes: dict[str, tuple[str, ...]] = {}
        self._info = wire.RunInfo(
            project=wire.clean_name(project or "default"),
            name=self.name,
            started_ms=int(time.time() * 1000),
            params=known_params(params),
            tags=[wire.clean_name(tag) for tag in known_tags(tags)],
            notes=str(notes or "").replace("\0", "")[:10_000],
            group=wire.clean_name(group) if group else "",
            environment=environment_of(environment or {}),
            epochs=epochs,
            batches_per_epoch=batches_per_epoch,
            capture=capture[:10_000],
            resumed_at={known_split(split): whole_step(step, least=1) for split, step in (resumed_at or {}).items()},
        )
        self._with_labels: frozenset[str] = frozenset()  # outputs whose samples may have several labels
        for output, names in class_outputs(class_names, num_classes).items():
            self._classes[output] = tuple(names)
        self.pace = Pace()
        self._telling = threading.Lock()  # around what is said of the run: git's answer comes from another thread
        self._url, self._token = chosen(url, token)
        self._root = spool_root(spool_dir)
        self._open()

    def _open(self) -> None:
        """Starts a new stream."""
        connection = Connection(self._url, self._token)
        self.url = f"{connection.url}/runs/{self.id}"
        self.status = ""
        spool = Spool(self._root, Meta(connection.url, self.id, new_stream_id()))
        news = News()
        self._flusher: Flusher | None = Flusher(
            spool, Delivery(spool, connection, news), f"run {self.name} at {self.url}", news
        )
        self.recording = self._flusher.recording
        self._tell_info()
        self._flusher.start()
        self._watch: Watch | None = Watch(self.recording, self.pace, self._tell_git)
        endings.watch(self)

    def again(self, resumed_at: Mapping[wire.Split, int] | None = None) -> Run:
        """The same run, to be gone on with after its end, as a new stream; ``resumed_at`` is added to what was said."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        if resumed_at:
            resumed = {**self._info.resumed_at, **resumed_at}
            twin._info = msgspec.structs.replace(self._info, resumed_at=resumed)
        twin._open()
        return twin

    @property
    def over(self) -> bool:
        """Whether the run was ended; ``status`` then says how."""
        return bool(self.status)

    def log(self, step: int, *, split: str = "train", by: str = "batch", **scalars: float) -> None:
        """Records the value of each named scalar at ``step``.

        Args:
            step: counts the batches of ``split`` in this run from 1; with ``by="epoch"`` the epoch, from 1;
                with ``by="run"`` it says nothing (0 will do).
            scalars: numbers; NaN and infinities are recorded as they are. A name that is no Python name:
                ``run.log(3, **{"f1/shirt": 0.6})``.

        Raises:
            ValueError, TypeError: naming the argument.
        """
        at = whole_step(step, least=0 if by == "run" else 1)
        checked_split, checked_by = known_split(split), known_by(by)
        values = {wire.clean_name(key): number(key, value) for key, value in scalars.items()}
        for key, one in values.items():
            self.recording.values(key, checked_split, checked_by, [at], [one])
        if checked_by == "batch":
            self._keep_pace(checked_split, at, 0)

    def confusion(
        self,
        step: int,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        split: str = "train",
        output: str = OUTPUT,
    ) -> None:
        """Records how the samples of one batch were classified.

        Args:
            step: counts the batches of ``split`` in this run from 1. Given twice, the counts add up.
            y_true: class indices [B].
            y_pred: class indices [B], or scores [B, classes], of which the highest counts (the first of equals).
            output: which classified output, where the model has several.

        Raises:
            ValueError, TypeError: a label outside of the classes, lengths that differ, a step below 1.
        """
        at, checked_split = whole_step(step, least=1), known_split(split)
        true, predicted = np.asarray(y_true), np.asarray(y_pred)
        classes = self._class_count(output, predicted)
        if predicted.ndim == 2:
            if predicted.shape[1] != classes:
                raise ValueError(f"y_pred has {predicted.shape[1]} scores a sample, but there are {classes} classes")
            predicted = predicted.argmax(axis=1)
        true = label_indices("y_true", true, classes)
        predicted = label_indices("y_pred", predicted, classes)
        if len(true) != len(predicted):
            raise ValueError(f"y_true has {len(true)} samples, y_pred has {len(predicted)}")
        codes = true * classes + predicted
        self.recording.codes(output, checked_split, classes, np.array([at]), np.array([len(codes)]), codes)
        self._keep_pace(checked_split, at, len(codes))

    def span(self, split: str, epoch: int, start: int, stop: int = 0) -> None:
        """Says that ``epoch`` (from 1) covers the steps ``[start, stop)`` of ``split``; stop 0: it goes on."""
        if epoch < 1 or start < 1 or (stop and stop < start):
            raise ValueError(f"epoch {epoch} can't cover the steps [{start}, {stop}): all count from 1")
        self.recording.span(wire.Span(known_split(split), epoch, start, stop))

    def describe(self, **changes: Any) -> None:
        """Says more about the run than was known at its start: ``params`` and ``environment`` are added to, the rest
        is replaced.

        Takes any field of ``wire.RunInfo``; ``outputs`` as a mapping of output names to class names;
        ``with_labels`` names those whose samples may have several labels (then these are the class names).
        """
        with self._telling:
            if "params" in changes:
                changes["params"] = {**self._info.params, **flat_params(changes["params"])}
            if "environment" in changes:
                more = {wire.clean_name(key): bounded(str(value)) for key, value in changes["environment"].items()}
                changes["environment"] = {**self._info.environment, **more}
            for output, names in changes.pop("outputs", {}).items():
                self._classes[output] = tuple(names)
            self._with_labels |= frozenset(changes.pop("with_labels", ()))
            self._info = msgspec.structs.replace(self._info, **changes)
            self._tell_info()

    def finish(self, status: str = "finished", reason: str = "") -> bool:
        """Ends the run, and waits at most 5 s until all of it is stored. A second call changes nothing.

        Args:
            status: "finished", "failed", "interrupted" or "terminated".
            reason: one line a person can read.

        Returns:
            Whether everything is stored; if not, it goes on in the background.
        """
        self.end(status, reason)
        return self._flusher is None or self._flusher.settle(END_WAIT_S)

    def end(self, status: str, reason: str = "") -> None:
        """As ``finish``, but waits for nothing."""
        checked = known_status(status)
        if not self.over:
            self.status = checked
            endings.forget(self)
            if self._watch is not None:
                self._watch.stop()
            self.recording.end(wire.End(checked, " ".join(reason.split())[:1_000]))

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: what the run is; neither what is open here nor the token."""
        return {name: value for name, value in self.__dict__.items() if name not in _LIVE}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.pace, self._telling = Pace(), threading.Lock()
        self._token = os.environ.get("EPOCHSCOPE_TOKEN")
        self._flusher = self._watch = None
        self.recording = Recording(lambda: None)
        self.recording.silence(self._tell_in_vain)

    def _tell_in_vain(self) -> None:
        if self.id not in _told_in_vain:
            _told_in_vain.add(self.id)
            say(
                f"what is told to a copy of run {self.name} goes nowhere; "
                f"to record in this process, too, open Run(run_id={self.id!r})"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.finish(*endings.judged(error))

    def _tell_info(self) -> None:
        outputs = [
            wire.Output(
                wire.clean_name(name), tuple(wire.clean_name(label) for label in names), name in self._with_labels
            )
            for name, names in self._classes.items()
        ]
        self._info = msgspec.structs.replace(self._info, outputs=outputs)
        self.recording.info(self._info)

    def _tell_git(self) -> None:
        if "git_commit" not in self._info.environment and (found := git_state()):
            self.describe(environment=found)

    def _keep_pace(self, split: str, step: int, samples: int) -> None:
        if split == "train":
            self.pace.add(step, samples)
        else:
            self.pace.rest()

    def _class_count(self, output: str, predicted: NDArray[Any]) -> int:
        if output not in self._classes:
            if self._classes:
                raise ValueError(f"no output {output!r}; there are {', '.join(map(repr, self._classes))}")
            if predicted.ndim != 2:
                raise ValueError("give the run class_names=[...] or num_classes=..., or scores [B, classes] as y_pred")
            self.describe(outputs={output: numbered(predicted.shape[1])})
        return len(self._classes[output])
