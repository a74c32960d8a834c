"""Which counts are asked for: the window, the split and the output that every route over counts takes, as one value.

A route has them as `asked: InWindow` (or the like), a reader as an argument of the same type; what is asked inside the
service is made by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query

from epochscope_server.api.rooms import EpochNumber, From, LabelName, OutputName, Split, To

By = Annotated[Literal["batch", "epoch"], Query(description="windows of steps, or epochs")]
Points = Annotated[int | None, Query(ge=1, le=10_000, description="at most so many windows, of equal width")]
Width = Annotated[int | None, Query(ge=1, description="steps of each window, instead of points")]


@dataclass(frozen=True)
class Asked:
    """Steps ``[start, stop)`` of a split of an output, or of one label of it."""

    split: Split = "train"
    start: From = None
    stop: To = None
    output: OutputName = None
    label: LabelName = None


@dataclass(frozen=True)
class AskedMatrix(Asked):
    """The same; or the window is ``epoch``."""

    epoch: EpochNumber = None


@dataclass(frozen=True)
class AskedOfRuns(AskedMatrix):
    """The same of several runs, which are compared by validation unless said otherwise."""

    split: Split = "val"


@dataclass(frozen=True)
class AskedCurves(Asked):
    """The same, cut into windows: epochs, at most ``points`` of equal width, or each of ``width`` steps."""

    by: By = "batch"
    points: Points = None
    width: Width = None


@dataclass(frozen=True)
class AskedPair(AskedOfRuns):
    """The window of the first matrix, and that of the second where it is another one."""

    second_from: Annotated[int | None, Query(description="first step of the second's window")] = None
    second_to: Annotated[int | None, Query(description="the second's window ends before this step")] = None
    second_epoch: Annotated[int | None, Query(ge=1, description="the second's window is this epoch")] = None

    @property
    def second(self) -> AskedMatrix | None:
        """The second window; None where it is that of the first."""
        if self.second_from is None and self.second_to is None and self.second_epoch is None:
            return None
        return AskedMatrix(
            self.split, self.second_from, self.second_to, self.output, self.label, epoch=self.second_epoch
        )


InWindow = Annotated[Asked, Depends()]
InMatrix = Annotated[AskedMatrix, Depends()]
InMatrices = Annotated[AskedOfRuns, Depends()]
InPair = Annotated[AskedPair, Depends()]
InCurves = Annotated[AskedCurves, Depends()]
