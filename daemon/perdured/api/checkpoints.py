from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from perdured.views import CheckpointView

from .replies import FAILURES
from .seam import TheService

router = APIRouter(tags=["checkpoints"], responses=FAILURES)


class CheckpointList(BaseModel):
    schema_: int = Field(1, serialization_alias="schema")
    checkpoints: list[CheckpointView]


@router.get("/v1/jobs/{ref}/checkpoints", summary="A job's committed checkpoints, newest first")
async def list_checkpoints(ref: str, service: TheService) -> CheckpointList:
    return CheckpointList(schema_=1, checkpoints=await service.checkpoints(ref))
