"""Is the service there, and which one?"""

from __future__ import annotations

from epochscope import __version__
from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(tags=["service"])


class Health(BaseModel):
    status: str
    version: str


@router.get("/health")
async def health() -> Health:
    """Answers as soon as the service takes requests; needs no login."""
    return Health(status="ok", version=__version__)
