"""Alerts on their way to webhooks: taken by one service at a time, and never again once they may have arrived."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from epochscope_server.store.alerts import TOLD
from epochscope_server.store.schema import alert, alert_post

OLD_MS = 86_400_000  # after a day nobody wants to be told any more


@dataclass(frozen=True)
class Post:
    """One alert for one webhook, taken to be sent: the alert with its run, and how often it has been tried."""

    run_id: int
    alert_id: int
    tries: int
    told: dict[str, Any]


def take(connection: sa.Connection, webhook: str, now_ms: int, most: int) -> list[Post]:
    """Take what waits for ``webhook``, the oldest first; what is taken is sent by whoever took it, and nobody else."""
    due = (
        sa.select(alert_post.c.run_id, alert_post.c.alert_id, alert_post.c.tries)
        .where(alert_post.c.webhook == webhook, alert_post.c.state == "waiting", alert_post.c.next_ms <= now_ms)
        .order_by(alert_post.c.next_ms, alert_post.c.run_id, alert_post.c.alert_id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    taken = []
    for run_id, number, tries in connection.execute(due).all():
        told = connection.execute(TOLD.where(alert.c.run_id == run_id, alert.c.alert_id == number)).mappings().first()
        if told is None:  # its run was deleted
            connection.execute(alert_post.delete().where(_is(run_id, number, webhook)))
            continue
        values = {"state": "sending", "tries": tries + 1, "next_ms": now_ms}
        connection.execute(alert_post.update().where(_is(run_id, number, webhook)).values(**values))
        taken.append(Post(run_id, number, tries + 1, dict(told)))
    return taken


def settle(
    connection: sa.Connection, webhook: str, posts: Sequence[Post], state: str, says: str, next_ms: int = 0
) -> None:
    """What became of posts that were taken: "sent", "failed", "unanswered", or "waiting" until ``next_ms``."""
    for post in posts:
        mine = sa.and_(_is(post.run_id, post.alert_id, webhook), alert_post.c.state == "sending")
        connection.execute(alert_post.update().where(mine).values(state=state, says=says, next_ms=next_ms))


def clear(connection: sa.Connection, webhooks: Collection[str], now_ms: int, sending_ms: int) -> int:
    """Close what can't be sent any more: begun by a service that went away over ``sending_ms`` ago, for a webhook that
    is not set up any more, or too old. Returns how many there were."""
    closing = (
        ("unanswered", "The service stopped while it was sent", (alert_post.c.state == "sending",
         alert_post.c.next_ms < now_ms - sending_ms)),
        ("failed", "This webhook is not set up any more", (alert_post.c.state == "waiting",
         alert_post.c.webhook.not_in(list(webhooks)))),
        ("failed", "Given up after a day", (alert_post.c.state == "waiting", sa.exists().where(
         alert.c.run_id == alert_post.c.run_id, alert.c.alert_id == alert_post.c.alert_id,
         alert.c.found_ms < now_ms - OLD_MS))),
    )  # fmt: skip
    closed = 0
    for state, says, which in closing:
        closed += connection.execute(alert_post.update().where(*which).values(state=state, says=says)).rowcount
    return closed


def due(connection: sa.Connection, webhook: str, now_ms: int) -> bool:
    """Whether something waits for ``webhook``."""
    first = sa.select(sa.func.min(alert_post.c.next_ms)).where(
        alert_post.c.state == "waiting", alert_post.c.webhook == webhook
    )
    found = connection.scalar(first)
    return found is not None and found <= now_ms


def _is(run_id: int, number: int, webhook: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        alert_post.c.run_id == run_id, alert_post.c.alert_id == number, alert_post.c.webhook == webhook
    )  # fmt: skip
