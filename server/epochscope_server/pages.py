"""The page's files, served from memory by their exact names: what a browser asks for never becomes a path."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from epochscope_server.errors import NotFoundError

# A name with a version in it never changes its content, so it may be kept.
_VERSIONED = re.compile(r"-\d+\.\d+\.\d+\.")
_PACKED = {".js", ".css", ".html", ".svg", ".txt"}


@dataclass(frozen=True)
class _File:
    content: bytes
    packed: bytes | None
    kind: str
    tag: str
    cache: str


def pages(static: Path) -> APIRouter:
    """Routes for every file under ``static``; the addresses of pages all answer ``index.html``."""
    files = {path.relative_to(static).as_posix(): _read(path) for path in sorted(static.rglob("*")) if path.is_file()}
    router = APIRouter(include_in_schema=False)

    async def index(request: Request) -> Response:
        return _answer(request, files["index.html"])

    for address in ("/", "/runs/{run}", "/runs/{run}/about", "/compare", "/alerts", "/settings"):
        router.add_api_route(address, index, methods=["GET"])

    @router.get("/api/docs")
    async def docs(request: Request) -> Response:
        return _answer(request, files["docs.html"])

    @router.get("/{name:path}")
    async def file(name: str, request: Request) -> Response:
        found = files.get(name)
        if found is None:
            raise NotFoundError("not_found", "There is nothing at this address")
        return _answer(request, found)

    return router


def _read(path: Path) -> _File:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if path.suffix == ".js":
        kind = "text/javascript"  # some machines' tables say otherwise, and browsers then refuse modules
    text = kind.startswith("text/")
    return _File(
        content,
        gzip.compress(content, 6, mtime=0) if path.suffix in _PACKED and len(content) > 1024 else None,
        f"{kind}; charset=utf-8" if text else kind,
        f'"{hashlib.sha256(content).hexdigest()[:20]}"',
        "public, max-age=31536000, immutable" if _VERSIONED.search(path.name) else "no-cache",
    )


def _answer(request: Request, file: _File) -> Response:
    headers = {"etag": file.tag, "cache-control": file.cache, "vary": "accept-encoding"}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.packed, headers={**headers, "content-encoding": "gzip"}, media_type=file.kind)
    return Response(file.content, headers=headers, media_type=file.kind)
