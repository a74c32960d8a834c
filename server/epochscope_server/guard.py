"""Who may ask, and what a page may load: the outermost layer, before any route and for every answer.

Loopback is reachable by any web page the viewer has open, so two checks stand before everything else:

* **Host**: exactly one, and it is a literal loopback name (any port, so that port forwarding works) or exactly
  the public address the operator named. That stops DNS rebinding, where a foreign name points to this machine.
* **Origin**: a changing request from a browser must come from a page of this very service. A browser says so
  in Sec-Fetch-Site, older ones in Origin; a program that is no browser sends neither.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from epochscope_server.errors import BadRequestError, ForbiddenError, PublicError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK_HOST = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
_SAFE = ("GET", "HEAD", "OPTIONS")

# The hash is that of an empty <style>, which Plotly inserts and fills through insertRule; style attributes are
# what Plotly and Swagger UI set on their elements. Nothing is ever evaluated, and nothing comes from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


class Guard:
    """ASGI middleware around ``app``; ``public_url`` is the one address besides loopback that may be asked."""

    def __init__(self, app: App, public_url: str | None) -> None:
        self._app = app
        self._public_host = urlsplit(public_url).netloc.lower().encode() if public_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message.get("headers", ())}
                # A route may say how long its answer keeps (a file whose name carries its version); others don't.
                extra = [] if b"cache-control" in given else [(b"cache-control", b"no-store")]
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS, *extra]}
            await send(message)

        try:
            self._check(scope)
        except PublicError as error:
            await JSONResponse(error.body(), error.status)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check(self, scope: Scope) -> None:
        headers = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not self._knows(hosts[0].lower()):
            raise BadRequestError(
                "unknown_host",
                "This service does not answer to that host name. Use 127.0.0.1 or localhost, "
                "or start it with --public-url and the address you use",
            )
        if scope["method"] in _SAFE:
            return
        site = _only(headers, b"sec-fetch-site")
        if site is not None:
            same = site == b"same-origin"
        else:
            origin = _only(headers, b"origin")
            same = (
                origin is None
                or urlsplit(origin.decode("latin-1")).netloc.lower().encode("latin-1") == hosts[0].lower()
            )
        if not same:
            raise ForbiddenError("foreign_origin", "Only pages of this service may change anything here")

    def _knows(self, host: bytes) -> bool:
        return _LOOPBACK_HOST.fullmatch(host) is not None or host == self._public_host


def _only(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    """The header's value; two of them count as one that matches nothing."""
    values = [value for name, value in headers if name == wanted]
    return values[0] if len(values) == 1 else (b"" if values else None)
