"""What every route needs: the rooms of this service, and the parameters that many routes share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from epochscope import wire
from fastapi import Depends, Path, Query, Request

from epochscope_server.alerts.alerter import Alerter
from epochscope_server.alerts.watches import Watches
from epochscope_server.api.audience import Audience
from epochscope_server.api.live import Pulse
from epochscope_server.errors import InvalidError, NotFoundError
from epochscope_server.store.cache import Blocks
from epochscope_server.store.database import Database
from epochscope_server.store.keeper import Keeper
from epochscope_server.store.sealer import Sealer
from epochscope_server.store.writer import Writer


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Rooms:
    database: Database
    writer: Writer
    pulse: Pulse
    sealer: Sealer
    keeper: Keeper
    blocks: Blocks
    watches: Watches
    alerter: Alerter
    started_ms: int
    audience: Audience = field(default_factory=Audience)


def rooms_of(request: Request) -> Rooms:
    rooms: Rooms = request.app.state.rooms
    return rooms


InRooms = Annotated[Rooms, Depends(rooms_of)]
RunId = Annotated[str, Path(description="The run's id, as GET /runs lists it", max_length=32)]
Split = Annotated[wire.Split, Query(description="train, val, or test (a standalone evaluate)")]
OutputName = Annotated[str | None, Query(description="The classified output, where the model has several")]
LabelName = Annotated[
    str | None, Query(description="One label, where the samples of the output may have several: a 2x2 of its own")
]
From = Annotated[int | None, Query(alias="from", description="First step of the window; left out: from the start")]
To = Annotated[int | None, Query(alias="to", description="The window ends before this step; left out: to the end")]
EpochNumber = Annotated[int | None, Query(ge=1, description="The window is this epoch, instead of from and to")]


ClassChoice = Annotated[
    str | None,
    Query(description="only these classes: indices with commas between; left out: all", max_length=20_000),
]


@dataclass(frozen=True)
class ChosenOutput:
    """What of a run's counts is asked for: of an output, of one with ``labels``, or of one ``label`` of it."""

    index: int
    class_names: tuple[str, ...]
    labels: bool
    label: int | None = None


def chosen_output(run: Mapping[str, Any], name: str | None, label: str | None) -> ChosenOutput:
    """The output that is asked for, and the label of it, if one is.

    Raises:
        NotFoundError: the run has no confusion counts, no output of this name, or the output no such label.
        InvalidError: it has several outputs and none was named, or a label is named of one that has classes.
    """
    outputs = run["outputs"]
    names = ", ".join(output["name"] for output in outputs)
    if not outputs:
        why = f" ({run['capture']})" if run["capture"] else ""
        raise NotFoundError("no_confusion", f"This run has no confusion counts{why}; its scalar series are there")
    if name is None and len(outputs) > 1:
        raise InvalidError("output_needed", f"This run has several outputs; name one with output=: {names}", "output")
    for index, output in enumerate(outputs):
        if name in (None, output["name"]):
            chosen = ChosenOutput(index, tuple(output["class_names"]), output.get("labels", False))
            return chosen if label is None else _of_label(chosen, label)
    raise NotFoundError("unknown_output", f"This run has no output {name!r}; it has: {names}", "output")


def chosen_classes(choice: str | None, classes: int, field: str = "classes") -> list[int] | None:
    """The indices in ``choice``, each once; None where there is none.

    Raises:
        InvalidError: something that is no index of a class.
    """
    if not choice:
        return None
    parts = choice.split(",")
    for part in parts:
        if not part.isdecimal() or int(part) >= classes:
            raise InvalidError(
                "unknown_class", f"{field} takes indices of classes, 0 to {classes - 1}; not {part!r}", field
            )
    return list(dict.fromkeys(int(part) for part in parts))


def some_names(names: Sequence[str]) -> str:
    """The first of many names, for a sentence."""
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def _of_label(output: ChosenOutput, label: str) -> ChosenOutput:
    if not output.labels:
        raise InvalidError("no_labels", "This output has classes, not labels; leave label= out", "label")
    if label not in output.class_names:
        there = some_names(output.class_names)
        raise NotFoundError("unknown_label", f"This output has no label {label!r}; it has: {there}", "label")
    return ChosenOutput(output.index, ("no", "yes"), False, output.class_names.index(label))
