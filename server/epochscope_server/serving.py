"""How the service is run: uvicorn, strict about what it reads and quiet about what it does."""

from __future__ import annotations

import uvicorn

from epochscope_server.guard import App

SHUTDOWN_S = 3  # open answers get this long to end once the service is told to stop


def make_server(app: App) -> uvicorn.Server:
    """A server for ``app``; give its ``run`` a bound socket."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",  # refuses duplicate headers, which the guard relies on
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=512,
            timeout_graceful_shutdown=SHUTDOWN_S,
            h11_max_incomplete_event_size=16_384,  # bytes of a request's head
        )
    )
