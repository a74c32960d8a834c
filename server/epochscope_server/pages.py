"""The page's files, served from memory by their exact names: what a browser asks for never becomes a path."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from epochscope_server.errors import NotFoundError

# A name with a version in it never changes its content, so it may be kept.
_VERSIONED = re.compile(r"-\d+\.\d+\.\d+\.")
# Scripts of their own: of the API's documentation, and of the worker that all pages share.
_NO_MODULES = {"docs.js", "live-worker.js"}
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
    of_charts = _file("index.html", _naming(files, _drawing_library(files) + _modules(files)))
    page = files["index.html"] = _file("index.html", _naming(files, _modules(files)))
    router = APIRouter(include_in_schema=False)

    async def index(request: Request) -> Response:
        return _answer(request, page)

    async def charts(request: Request) -> Response:
        return _answer(request, of_charts)

    for address in ("/", "/runs/{run}/about", "/alerts", "/settings"):
        router.add_api_route(address, index, methods=["GET"])
    for address in ("/runs/{run}", "/compare"):
        router.add_api_route(address, charts, methods=["GET"])

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


def _naming(files: Mapping[str, _File], asked: list[str]) -> bytes:
    """The page, which names ``asked`` at once: else a browser finds one file after another."""
    lines = "\n".join(f"    <link {link} />" for link in asked)
    return files["index.html"].content.replace(b"    <!-- modules -->", lines.encode())


def _modules(files: Mapping[str, _File]) -> list[str]:
    return [
        f'rel="modulepreload" href="/{name}"'
        for name in files
        if name.endswith(".js") and name not in _NO_MODULES and not name.startswith("vendor/")
    ]


def _drawing_library(files: Mapping[str, _File]) -> list[str]:
    """What a page of charts needs the longest for: it is compiled while the modules come in."""
    library = next(name for name in files if name.startswith("vendor/plotly-") and name.endswith(".js"))
    return ['rel="modulepreload" href="/drawing/plotly.js"', f'rel="preload" as="script" href="/{library}"']


def _read(path: Path) -> _File:
    return _file(path.name, path.read_bytes())


def _file(name: str, content: bytes) -> _File:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    suffix = Path(name).suffix
    if suffix == ".js":
        kind = "text/javascript"  # some machines' tables say otherwise, and browsers then refuse modules
    text = kind.startswith("text/")
    return _File(
        content,
        gzip.compress(content, 6, mtime=0) if suffix in _PACKED and len(content) > 1024 else None,
        f"{kind}; charset=utf-8" if text else kind,
        f'"{hashlib.sha256(content).hexdigest()[:20]}"',
        "public, max-age=31536000, immutable" if _VERSIONED.search(name) else "no-cache",
    )


def _answer(request: Request, file: _File) -> Response:
    headers = {"etag": file.tag, "cache-control": file.cache, "vary": "accept-encoding"}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.packed, headers={**headers, "content-encoding": "gzip"}, media_type=file.kind)
    return Response(file.content, headers=headers, media_type=file.kind)
