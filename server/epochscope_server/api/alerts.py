"""Alerts: what the rules of a project have found in its runs, and the rules themselves."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from epochscope_server.alerts import messages
from epochscope_server.alerts.rules import DEFAULTS, Rule, checked, kept, of_kept
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.rooms import InRooms, RunId, now_ms
from epochscope_server.errors import InvalidError
from epochscope_server.store import alerts, runs

router = APIRouter(tags=["alerts"], responses=ERRORS)

Project = Annotated[str, Query(description="the project's name", max_length=256)]
Kind = Literal["change", "drop", "below", "nan", "stalled", "lost"]


class StepsAnswer(BaseModel):
    from_: int = Field(alias="from")
    to: int


class SentAnswer(BaseModel):
    to: str = Field(description="the host of a webhook; the address itself is known to the service's operator alone")
    state: Literal["waiting", "sending", "sent", "failed", "unanswered"]
    says: str


class AlertAnswer(BaseModel):
    id: int = Field(description="1, 2, 3 ... within the run, in the order in which they were found")
    run: str
    run_name: str
    project: str
    kind: Kind
    says: str = Field(description="what happened, as a sentence")
    class_name: str | None
    output: str | None
    split: str
    steps: StepsAnswer | None = Field(description="in which it happened, `[from, to)`")
    window: StepsAnswer | None = Field(description="the same with some steps around it: what to look at")
    details: dict[str, Any]
    found_ms: int
    on: bool = Field(description="it has not ended")
    ended_ms: int | None
    back: int | None = Field(description="the step at which it was over, where there is one")
    sent: list[SentAnswer]


class AlertsAnswer(BaseModel):
    alerts: list[AlertAnswer] = Field(description="the latest first")


class AlertPage(AlertsAnswer):
    next: str | None = Field(description="the cursor of the next page, null on the last")


class AlertsOfRun(AlertsAnswer):
    rules: list[str] = Field(description="what is looked for in runs of this project, in words")


class RuleBody(BaseModel):
    """One thing to be told. `change`, `drop` and `below` are about classes, the others about the run."""

    model_config = ConfigDict(extra="forbid")
    kind: Kind
    at: float | None = Field(default=None, description="of drop: how far, of below: the level; between 0 and 1")
    split: Literal["train", "val"] = "train"
    metric: Literal["recall", "precision", "f1"] = Field(default="recall", description="of below")
    classes: list[str] = Field(default=[], max_length=1000, description="names; none: all classes")
    after_epoch: int = Field(default=1, ge=0, description="of below: from the end of this epoch on")
    send: bool = Field(default=True, description="to webhooks, too")


class RulesBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rules: list[RuleBody]


class SaidRule(RuleBody):
    says: str


class RulesAnswer(BaseModel):
    project: str
    set: bool = Field(description="somebody has set them; else they are those that hold unasked")
    rules: list[SaidRule]
    webhooks: list[str] = Field(description="hosts to which alerts are sent; set up by the service's operator alone")


@router.get("/alerts", response_model=AlertPage)
def list_alerts(
    rooms: InRooms,
    project: Annotated[str | None, Query(description="only of this project", max_length=256)] = None,
    kind: Annotated[Kind | None, Query(description="only what this rule has found")] = None,
    on: Annotated[bool, Query(description="only those that have not ended")] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Annotated[str | None, Query(description="next of the page before", max_length=100)] = None,
) -> Json:
    """The alerts of all runs, the latest first. Each cause is one alert, however long it lasts."""
    after = None if cursor is None else _place(cursor)
    with rooms.database.read() as connection:
        found = alerts.listed(connection, project=project, kind=kind, on=on, after=after, most=limit + 1)
    following = ".".join(str(found[limit - 1][name]) for name in alerts.PLACE) if len(found) > limit else None
    return Json({"alerts": [_told(one) for one in found[:limit]], "next": following})


@router.get("/runs/{run}/alerts", response_model=AlertsOfRun)
def alerts_of_run(run: RunId, rooms: InRooms, limit: Annotated[int, Query(ge=1, le=500)] = 200) -> Json:
    """The alerts of one run, and what is looked for in it."""
    with rooms.database.read() as connection:
        project = runs.get(connection, run)["project"]
        found = alerts.listed(connection, uid=run, most=limit)
        rules = of_kept(alerts.rules_of(connection, project))
    return Json({"alerts": [_told(one) for one in found], "rules": [rule.says() for rule in rules]})


@router.get("/alerts/rules", response_model=RulesAnswer)
def get_rules(rooms: InRooms, project: Project) -> Json:
    """What is looked for in the runs of a project."""
    with rooms.database.read() as connection:
        found = alerts.rules_of(connection, project)
    return Json(_rules(rooms, project, of_kept(found), found is not None))


@router.put("/alerts/rules", response_model=RulesAnswer)
async def put_rules(rooms: InRooms, project: Project, body: RulesBody) -> Json:
    """Set the rules of a project, all of them at once; an empty list looks for nothing."""
    rules = checked([one.model_dump() for one in body.rules])
    await _set(rooms, project, kept(rules))
    return Json(_rules(rooms, project, rules, True))


@router.delete("/alerts/rules", response_model=RulesAnswer)
async def delete_rules(rooms: InRooms, project: Project) -> Json:
    """Go back to the rules that hold unasked."""
    await _set(rooms, project, None)
    return Json(_rules(rooms, project, DEFAULTS, False))


async def _set(rooms: InRooms, project: str, rules: list[dict[str, Any]] | None) -> None:
    changed_ms = now_ms()
    await asyncio.wrap_future(
        rooms.writer.submit(
            lambda connection: alerts.set_rules(connection, project, rules, changed_ms), changes_runs=False
        )
    )
    rooms.alerter.look_again()


def _rules(rooms: InRooms, project: str, rules: tuple[Rule, ...], were_set: bool) -> dict[str, Any]:
    return {
        "project": project,
        "set": were_set,
        "rules": [{**one, "says": rule.says()} for one, rule in zip(kept(rules), rules, strict=True)],
        "webhooks": rooms.alerter.hosts,
    }


def _place(cursor: str) -> tuple[int, ...]:
    parts = cursor.split(".")
    if len(parts) != len(alerts.PLACE) or not all(part.isdecimal() and len(part) < 16 for part in parts):
        raise InvalidError("bad_cursor", "This is no cursor of a list of alerts; leave it out to start anew", "cursor")
    return tuple(int(part) for part in parts)


def _told(one: dict[str, Any]) -> dict[str, Any]:
    window = messages.window(one)
    return {
        "id": one["alert_id"],
        "run": one["uid"],
        "run_name": one["name"],
        "project": one["project"],
        "kind": one["kind"],
        "says": messages.sentence(one),
        "class_name": one["class_name"] or None,
        "output": one["output"] or None,
        "split": one["split"],
        "steps": {"from": one["start"], "to": one["stop"]} if one["stop"] else None,
        "window": None if window is None else {"from": window[0], "to": window[1]},
        "details": one["details"],
        "found_ms": one["found_ms"],
        "on": one["ended_ms"] is None,
        "ended_ms": one["ended_ms"],
        "back": one["back"],
        "sent": one["sent"],
    }
