"""How the service is run: uvicorn, strict about what it reads and quiet about what it does."""

from __future__ import annotations

import socket

import uvicorn

from epochscope_server.errors import StartError
from epochscope_server.guard import App

SHUTDOWN_S = 3  # open answers get this long to end once the service is told to stop


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one.

    Raises:
        StartError: the port is taken, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, asyncio turns Nagle's delay off; left to the default it does not, and answers take 40 ms more.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartError(
            f"can't listen on {host} port {port}: {error.strerror}. "
            "Is epochscope running already (`epochscope open`)? Else choose another --port, or 0 for a free one"
        ) from None
    return listener


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
