"""The largest confusions of a window, to be listed and searched: of very many classes too."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from epochscope_server.analysis.confused import Confused, largest
from epochscope_server.api import confusion
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import AskedMatrix, InMatrix
from epochscope_server.api.cell import index_of
from epochscope_server.api.fresh import Fresh
from epochscope_server.api.rooms import InRooms, Rooms, RunId
from epochscope_server.figures.confusion import listed

router = APIRouter(tags=["classes"], responses=ERRORS)

Find = Annotated[
    str, Query(description="words that must each occur in the name of one of the two classes", max_length=200)
]
Only = Annotated[
    str | None, Query(description="only this class, by name, or by index where none is called so", max_length=256)
]
Most = Annotated[int, Query(ge=1, le=10_000, description="at most so many, the largest")]


class ConfusedAnswer(BaseModel):
    """A confusion: `count` of the `of` samples of one class were taken for another, which was said `called` times."""

    true: int = Field(description="index of the class")
    predicted: int
    true_class: str
    predicted_class: str
    count: int
    of: int
    called: int
    share: float = Field(description="count by of, with its 95 % Wilson interval")
    low: float
    high: float
    covered: float = Field(description="the share of all that was wrong that this one and those before it make up")


class ConfusedListAnswer(BaseModel):
    split: str
    from_: int = Field(alias="from")
    to: int
    total: int = Field(description="predictions of the window")
    right: int
    different: int = Field(description="how many pairs of classes were confused, of those asked for")
    confused: list[ConfusedAnswer]


@router.get("/runs/{run}/confused", response_model=ConfusedListAnswer)
def get_confused(
    run: RunId,
    rooms: InRooms,
    fresh: Fresh,
    asked: InMatrix,
    true: Only = None,
    predicted: Only = None,
    find: Find = "",
    limit: Most = 50,
) -> Json:
    """Which class was taken for which, the most frequent first."""
    window, found = read(rooms, run, asked, find, limit, (true, predicted))
    names = window.chosen.class_names
    answer: dict[str, Any] = {
        "split": asked.split,
        "from": window.window.start,
        "to": window.window.stop,
        "total": found.total,
        "right": found.right,
        "different": found.different,
        "confused": [
            one | {"true_class": names[one["true"]], "predicted_class": names[one["predicted"]]}
            for one in listed(found)
        ],
    }
    return Json(answer, headers=fresh)


def read(
    rooms: Rooms,
    uid: str,
    asked: AskedMatrix,
    find: str,
    most: int,
    only: tuple[str | None, str | None] = (None, None),
) -> tuple[confusion.Found, Confused]:
    """The window of run ``uid``, and what was confused in it, for every route that lists that."""
    window = confusion.fetch(rooms, uid, asked)
    names = window.chosen.class_names
    true, predicted = (None if name is None else index_of(name, names, "true") for name in only)
    return window, largest(*window.cells(), names, most, find, (true, predicted))
