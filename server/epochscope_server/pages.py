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
    files["index.html"] = _file("index.html", _with_modules(files))
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


def _with_modules(files: Mapping[str, _File]) -> bytes:
    """The page, which names all its modules at once: else a browser finds them one import after another."""
    modules = [
        name for name in files if name.endswith(".js") and name not in _NO_MODULES and not name.startswith("vendor/")
    ]
    asked = "\n".join(f'    <link rel="modulepreload" href="/{name}" />' for name in modules)
    return files["index.html"].content.replace(b"    <!-- modules -->", asked.encode())


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
