"""Puts the rooms together: store, routes, errors, page, and the guard around them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from epochscope import __version__
from epochscope_web import STATIC
from fastapi import APIRouter, FastAPI

from epochscope_server.alerts import webhooks
from epochscope_server.alerts.alerter import Alerter
from epochscope_server.alerts.courier import Courier
from epochscope_server.alerts.watches import Watches
from epochscope_server.api import (
    alerts,
    cell,
    classes,
    compare,
    compare_figures,
    confused,
    confusion,
    figures,
    flushes,
    gap,
    groups,
    health,
    live,
    one_class,
    parallel,
    projects,
    runs,
    series,
    series_figures,
    service,
    stability,
    stability_figures,
    stability_tables,
    tables,
)
from epochscope_server.api.answer import add_error_handlers
from epochscope_server.api.fresh import NotModifiedError, not_modified
from epochscope_server.api.rooms import Rooms, now_ms
from epochscope_server.glancer import Glancer
from epochscope_server.guard import App, Guard
from epochscope_server.pages import pages
from epochscope_server.settings import Settings
from epochscope_server.store.cache import Blocks
from epochscope_server.store.database import Database
from epochscope_server.store.follower import Follower
from epochscope_server.store.keeper import Keeper
from epochscope_server.store.sealer import Sealer
from epochscope_server.store.writer import Writer

DESCRIPTION = """Counts, rates and figures of Keras trainings, batch by batch.

Windows are half-open ranges of steps `[from, to)`; steps count the batches of a split from 1. Left open, a window
means the whole run; what lies outside the run is clipped. Errors are `{"error": {"code", "message", "field"}}`.
"""


def create_app(settings: Settings) -> App:
    """The service over the store in ``settings.data_dir`` or at ``settings.database``, held until it is shut down.

    Raises:
        StartError: the store can't be used; the message says why and what to do.
    """
    hooks = webhooks.read(settings.alert_webhook, settings.alert_webhook_file)
    database = Database(settings.data_dir, settings.database, allow_network_folder=settings.allow_network_folder)
    writer = Writer(database)
    sealer = Sealer(database, writer)
    keeper = Keeper(database, writer)
    blocks, started_ms = Blocks(), now_ms()
    watches = Watches(database, blocks)
    alerter = Alerter(database, writer, blocks, watches, hooks, started_ms)
    courier = Courier(database, writer, hooks, lambda: alerter.leads, settings.address)
    glancer = Glancer(database, writer, blocks, lambda: alerter.leads)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        keeper.tell = lambda change: loop.call_soon_threadsafe(rooms.pulse.tell, change)
        if database.shared:  # then viewers learn of changes, our own too, by way of the database
            follower = Follower(database, lambda changes: loop.call_soon_threadsafe(rooms.pulse.show, changes))
            rooms.pulse.announce = follower.announce
        alerter.begin(lambda change: loop.call_soon_threadsafe(rooms.pulse.tell, change), courier.wake)
        glancer.begin(lambda change: loop.call_soon_threadsafe(rooms.pulse.tell, change))
        yield
        glancer.close()
        alerter.close()  # it writes through the writer, as all that follow
        courier.close()
        if database.shared:
            follower.close()
        keeper.close()
        sealer.close()  # it writes through the writer, and that into the database
        writer.close()
        database.close()

    app = FastAPI(
        title="epochscope",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,  # the page of FastAPI loads its scripts from elsewhere; ours is served by `pages`
        redoc_url=None,
    )
    rooms = app.state.rooms = Rooms(
        database, writer, live.Pulse(), sealer, keeper, blocks, watches, alerter, started_ms
    )  # fmt: skip
    v1 = APIRouter(prefix="/api/v1")
    for noun in (
        health,
        service,
        runs,
        projects,
        flushes,
        series,
        confusion,
        confused,
        classes,
        cell,
        stability,
        gap,
        compare,
        groups,
        figures,
        series_figures,
        compare_figures,
        parallel,
        stability_figures,
        one_class,
        tables,
        stability_tables,
        alerts,
        live,
    ):
        v1.include_router(noun.router)
    app.include_router(v1)
    app.include_router(pages(STATIC))
    add_error_handlers(app)
    app.add_exception_handler(NotModifiedError, not_modified)
    return Guard(flushes.FlushDoor(app, rooms), settings.public_url)
