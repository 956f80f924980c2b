from __future__ import annotations

import os

from fastapi import APIRouter
from pydantic import BaseModel, Field

from perdured import __version__

router = APIRouter(tags=["daemon"])


class Health(BaseModel):
    schema_: int = Field(1, serialization_alias="schema")
    version: str
    pid: int


@router.get("/v1/health", summary="Whether the daemon answers, and which one it is")
async def health() -> Health:
    return Health(schema_=1, version=__version__, pid=os.getpid())
