"""Monitor: attach to ``model.fit()`` in one line and watch every class learn.

::

    model.fit(x, y, validation_data=(x_val, y_val), callbacks=[Monitor(class_names=names)])

It records, of every batch of training, validation and test: the batch's own loss and compiled metrics, and how
each sample was classified; in training the learning rate, too. It never raises into the training, never waits for
the network in it, and leaves the model as it found it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from epochscope import arguments, endings
from epochscope.connection import Connection, chosen
from epochscope.keras_confusion import ConfusionMatrix
from epochscope.keras_following import Following
from epochscope.keras_guard import guarded
from epochscope.keras_outputs import known_task
from epochscope.keras_rules import Task
from epochscope.keras_weights import ClassWeights
from epochscope.spool import spool_root

__all__ = ["ClassWeights", "ConfusionMatrix", "Monitor"]


class Monitor(Following):
    """A Keras callback that tells an epochscope service, batch by batch, how a training goes.

    Works in any place in the list of callbacks. At epoch ends History and other callbacks find, as plain floats,
    ``recall/<class>``, ``precision/<class>``, ``f1/<class>``, ``macro_recall``, ``macro_precision``, ``macro_f1``
    and the same with ``val_`` in front; with several classified outputs ``<output>/f1/<class>`` and so on. The
    value of a class that was not seen is NaN. The progress bar does not show them. Where a sample may have several
    labels (sigmoids), ``<class>`` is a label, and the values are of saying yes to it.

    Args:
        project: what runs are listed under.
        name: what to call the run; without one, a readable name. Two calls of ``fit`` are two runs.
        class_names: in the order of the class indices; or a mapping of output names to such lists. A list is of the
            only output that it fits.
        num_classes: where there are no names ("0", "1", ... then), and to say that outputs are classes at all
            where loss and last layer don't tell.
        task: what the model does, where shapes, loss and last layer don't tell, or tell the wrong thing: "classes"
            (each sample has one class) or "labels" (each unit is a label that says yes or no); or a mapping of
            output names to these. One line at the start of each fit says how the outputs are read.
        params: hyperparameters of your own; optimizer, batch size and the like are found by themselves.
        tags, notes, group: to find the run again, and to hold several together.
        url: of the service; else ``$EPOCHSCOPE_URL``, else ``http://127.0.0.1:7010``.
        token: else ``$EPOCHSCOPE_TOKEN``.
        spool_dir: where updates wait that can't be sent yet; else ``$EPOCHSCOPE_SPOOL_DIR``, else the user's
            state folder.
        resume: id of a run to go on with, in all fits of this Monitor. Steps go on from where this Monitor was. In a
            new process they go on from the epoch that ``fit`` begins with (``initial_epoch``, or what
            ``BackupAndRestore`` has found), and what was recorded of that epoch and of later ones is replaced.

    When ``fit`` raises and you go on, its run is ended as interrupted. To tell how it ended, there or in a loop of your
    own that ``break`` leaves, call ``close()``, or let ``with`` do it, which also tells the error::

        with Monitor(class_names=names) as monitor:
            model.fit(x, y, callbacks=[monitor])

    Raises:
        ValueError, TypeError: an argument can't be used. Later, nothing is raised.
    """

    def __init__(
        self,
        project: str = "default",
        name: str | None = None,
        *,
        class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        num_classes: int | None = None,
        task: Task | Mapping[str, Task] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        notes: str = "",
        url: str | None = None,
        token: str | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        group: str | None = None,
        resume: str | None = None,
    ) -> None:
        if resume is not None:
            arguments.known_run("resume", resume)
        Connection(*chosen(url, token))  # a bad address is told here
        spool_root(spool_dir)
        names = dict(arguments.class_outputs(class_names, None))
        arguments.class_outputs(names or None, num_classes)
        found = arguments.known_params(params)
        told = {
            "project": project,
            "tags": arguments.known_tags(tags),
            "notes": notes,
            "group": group,
            "url": url,
            "token": token,
            "spool_dir": spool_dir,
        }
        outputs = {"class_names": names, "num_classes": num_classes, "task": known_task(task)}
        super().__init__((name, found, told), outputs, resume)

    @property
    def run_id(self) -> str | None:
        """Id of the run being recorded, else of the last one."""
        return self._telling.last_id or self._resume

    def log(self, name: str, value: float, *, by: str | None = None) -> None:
        """Records a number of your own: by batch while batches run, by epoch in ``on_epoch_end`` and between
        epochs, once for the whole run outside of a training; or as ``by`` says ("batch", "epoch", "run").

        Raises nothing: what is no number is left out.
        """
        self._log(name, value, by)

    def close(self, status: str = "interrupted", reason: str = "") -> None:
        """Ends the run of a training that was broken off, takes what is ours from the model, and waits at most 5 s
        until all is stored. Where no run is open nothing happens; the Monitor can watch another fit afterwards.

        Args:
            status: "finished", "failed", "interrupted" or "terminated".
            reason: one line a person can read.

        Raises:
            ValueError: there is no such status.
        """
        arguments.known_status(status)
        self._close(status, reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(*endings.judged(error))

    @guarded
    def _log(self, name: str, value: float, by: str | None) -> None:
        now = self._reading.now
        by = by or ("batch" if now is not None else "epoch" if self._fitting and self._epoch else "run")
        if by == "batch":
            one = now or self._reading.passes["train"]
            self._telling.value(name, value, one.split, by, max(one.step_now, 1))
        else:
            self._telling.value(name, value, "train", by, self._epoch if by == "epoch" else 0)
