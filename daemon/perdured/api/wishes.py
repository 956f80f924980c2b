"""What can be asked of a job. Each answers once the wish is recorded; `GET /v1/events` tells when it is done."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from perdured.core.spec import LONGEST
from perdured.views import JobView, SavingView

from .replies import FAILURES
from .seam import TheService

router = APIRouter(tags=["jobs"], responses=FAILURES)


@router.post("/v1/jobs/{ref}/stop", summary="Save and end; it stays stopped until resumed")
async def stop_job(ref: str, service: TheService) -> JobView:
    return await service.ask(ref, "stop")


@router.post("/v1/jobs/{ref}/resume", summary="Go on from the newest valid checkpoint")
async def resume_job(ref: str, service: TheService) -> JobView:
    return await service.ask(ref, "resume")


@router.post("/v1/jobs/{ref}/restart", summary="Save, end and start again")
async def restart_job(ref: str, service: TheService) -> JobView:
    return await service.ask(ref, "restart")


@router.post("/v1/jobs/{ref}/park", summary="Save and end as for a preemption; it goes on with the next daemon")
async def park_job(ref: str, service: TheService) -> JobView:
    return await service.ask(ref, "park")


@router.post("/v1/jobs/{ref}/hang", summary="A fire drill: make no more steps, until that is noticed")
async def hang_job(ref: str, service: TheService) -> JobView:
    return await service.ask(ref, "hang")


@router.post("/v1/jobs/{ref}/save", summary="Checkpoint at the next safe point and go on")
async def save_job(
    ref: str,
    service: TheService,
    before: Annotated[
        float | None, Query(ge=0, le=LONGEST, description="Durable before so many seconds are over, or not at all.")
    ] = None,
) -> SavingView:
    """With `before` the answer's `plan` says what will be done, as far as measured; what cannot be is not begun."""
    if before is not None:
        return await service.ask_save_before(ref, before)
    return SavingView(**dict(await service.ask(ref, "save")))
