"""How the service is run: uvicorn, strict about what it reads and quiet about what it does."""

from __future__ import annotations

import socket

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from epochscope_server.errors import StartError
from epochscope_server.guard import App

SHUTDOWN_S = 3  # open answers get this long to end once the service is told to stop
MAX_HEAD = 16_384  # bytes of a request's head


class Protocol(HttpToolsProtocol):
    """uvicorn's quick one (h11 takes 0.15 ms more for each request), as strict as h11 is.

    The parser refuses two lengths, a length beside chunks, folded and malformed headers. To that come a limit on the
    head, and that an address is a plain path: one that names a host would go past the guard, which looks at Host.
    """

    _head = -1  # bytes of the head that is being read; -1 between heads

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head >= 0:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.send_400_response("The head of this request is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0

    def on_headers_complete(self) -> None:
        self._head = -1
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD or not self.url.startswith(b"/"):
            raise httptools.HttpParserError
        super().on_headers_complete()


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
            http=Protocol,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=512,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )
