"""What Monitor tells its run besides the batches: what the run is, what lies in ``logs``, what the user logs."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Set
from typing import Any

from epochscope import arguments, endings, keras_facts, wire
from epochscope.flusher import say
from epochscope.keras_outputs import Outputs
from epochscope.run import Run
from epochscope.spool import new_id


class Telling:
    """The run of the fit (or evaluation) at hand, and the last one when there is none.

    Args:
        name: of runs; None for readable ones of their own.
        params: of the user's; they win over what is found.
        told: the other arguments of ``Run``, as the user gave them to Monitor.
    """

    def __init__(self, name: str | None, params: Mapping[str, Any], told: dict[str, Any]) -> None:
        self.run: Run | None = None
        self.last_id: str | None = None
        self.left_out: set[str] = set()  # keys in logs that the confusion counts tell already
        self._name = name
        self._params = dict(params)
        self._arguments = told
        self._early: list[tuple[str, float]] = []
        self._late: tuple[dict[str, Any], Set[str], str, str, int] | None = None
        self._capture = ""
        self._unbuilt = False
        self._forsaken: weakref.finalize[[Run], Any] | None = None

    @property
    def open(self) -> bool:
        return self.run is not None and not self.run.over

    def begin(
        self,
        owner: object,
        model: Any,
        run_id: str | None,
        fit: Mapping[str, Any],
        batch_size: int | None,
        resumed_at: Mapping[wire.Split, int] | None = None,
    ) -> Run:
        """Opens a run: a new one, the one of ``run_id``, or the last one again.

        Should ``owner`` vanish from memory before the run is ended, then the fit has ended by an exception. From the
        steps ``resumed_at`` on, what earlier processes told of the run is replaced.
        """
        self._capture = ""
        self._late = None
        if self.run is not None and run_id == self.run.id:
            self.run = self.run.again(resumed_at)
        else:
            run_id = run_id or new_id()
            own = f"{model.name}-{run_id[:4]}" if keras_facts.has_own_name(model) else None
            epochs, steps = fit.get("epochs"), fit.get("steps")
            self.run = Run(
                name=self._name or own,
                params={**keras_facts.parameters(model, epochs, steps, batch_size), **self._params},
                environment={**keras_facts.environment(), **keras_facts.shape_of(model)},
                epochs=epochs,
                batches_per_epoch=steps,
                run_id=run_id,
                resumed_at=resumed_at,
                **self._arguments,
            )
        self._unbuilt = not model.built
        self.last_id = self.run.id
        endings.bind(self.run)
        self._forsaken = weakref.finalize(owner, _forsake, self.run)
        self._forsaken.atexit = False
        for name, number in self._early:
            self.value(name, number, "train", "run", 0)
        self._early.clear()
        return self.run

    def built(self, model: Any) -> None:
        """Says what could not be known of the model while its first batch had not built it."""
        if self._unbuilt and model.built and self.run is not None:
            self._unbuilt = False
            self.run.describe(
                params={**keras_facts.sizes(model), **self._params}, environment=keras_facts.shape_of(model)
            )

    def end(self, status: str, reason: str = "") -> None:
        """Ends the run and waits, not long, until all of it is stored."""
        if self.run is not None:
            self._let_go()
            self.run.finish(status, reason)

    def abandon(self, status: str, reason: str) -> None:
        """Ends the run, if it is still open, and waits for nothing."""
        if self.run is not None and not self.run.over:
            self._let_go()
            self.run.end(status, reason)

    def _let_go(self) -> None:
        if self._forsaken is not None:
            self._forsaken.detach()

    def running_means_only(self, why: str) -> None:
        """Says that the inside of the step can't be seen."""
        say(f"only running means of loss and metrics are recorded, no confusion matrix: {why}")
        if self.run is not None:
            self.run.describe(capture=f"running means of loss and metrics only: {why}")

    def capture(self, outputs: Outputs) -> None:
        """Says, once, what of the model is captured, and why no more."""
        if not outputs.rules and not outputs.reasons:
            return
        several = len(outputs.reasons) + len(outputs.rules) > 1
        reasons = "; ".join(f"output {name}: {why}" if several else why for name, why in outputs.reasons.items())
        text = f"loss and metrics of every batch; no confusion matrix: {reasons}" if reasons else "everything"
        if text == self._capture or self.run is None:
            return
        self._capture = text
        if reasons:
            which = "these outputs" if outputs.rules else "this model"
            say(f"no confusion matrix of {which}: {reasons}. Loss and metrics are recorded")
        if outputs.rules:
            say(f"run {self.run.name} counts {outputs.in_words()}")
        for note in outputs.notes():
            say(note)
        self.run.describe(
            capture=text,
            outputs={name: outputs.names_of(name) for name in outputs.rules},
            with_labels=outputs.with_labels(),
        )

    def value(self, name: str, value: Any, split: str, by: str, step: int) -> None:
        """Records one number; before there is a run, for when there is one. What is no number is left out."""
        try:
            number = float(value.detach() if hasattr(value, "detach") else value)  # torch warns of what has a gradient
        except (TypeError, ValueError):
            return
        if self.run is None or self.run.over:
            self._early.append((name, number))
        else:
            self.run.recording.values(
                wire.clean_name(name), arguments.known_split(split), arguments.known_by(by), [step], [number]
            )

    def logs(self, logs: Mapping[str, Any], split: str, by: str, step: int) -> None:
        """Records what lies in the ``logs`` of an epoch or a pass."""
        for name, value in logs.items():
            if name in self.left_out:
                continue
            if split == "train" and name.startswith("val_"):
                self.value(name.removeprefix("val_"), value, "val", by, step)
            else:
                self.value(name, value, split, by, step)

    def expect_more(self, logs: dict[str, Any], known: Set[str], split: str, by: str, step: int) -> None:
        """Other callbacks may have put, or put yet, more than ``known`` into ``logs``; ``late()`` will see."""
        self._late = (logs, known, split, by, step)

    def late(self) -> None:
        """Records what other callbacks have put into the last ``logs``."""
        if self._late is None:
            return
        (logs, known, split, by, step), self._late = self._late, None
        if logs.keys() <= known:
            return  # mostly, and sooner known than the difference
        for name in logs.keys() - known:
            self.logs({name: logs[name]}, split, by, step)


def _forsake(run: Run) -> None:
    if not run.over:
        run.end("interrupted", "fit() ended before its time")
