from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from perdured.errors import BadUsage
from perdured.views import JobView, SubmittedView

from .replies import FAILURES
from .seam import TheService

router = APIRouter(tags=["jobs"], responses=FAILURES)


class JobList(BaseModel):
    schema_: int = Field(1, serialization_alias="schema")
    jobs: list[JobView]


class SubmitRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    spec: str = Field(description="The spec as TOML text.")
    workdir: str = Field(description="Absolute; relative paths in the spec start here.")
    env: dict[str, str] = Field({}, description="The submitter's environment: the job gets it, never the daemon's own.")


@router.get("/v1/jobs", summary="The jobs")
async def list_jobs(
    service: TheService,
    everything: Annotated[bool, Query(alias="all", description="Also those that have ended.")] = False,  # noqa: FBT002
) -> JobList:
    return JobList(schema_=1, jobs=service.list_jobs(everything=everything))


@router.post("/v1/jobs", status_code=201, summary="Submit a job; durable once this answers")
async def submit_job(request: SubmitRequest, service: TheService) -> SubmittedView:
    return await service.submit_text(request.spec, workdir=read_workdir(request), env=request.env)


def read_workdir(request: SubmitRequest) -> Path:
    if not Path(request.workdir).is_absolute():
        todo = "Send the folder of the spec's file, or the folder in which the command is to run."
        raise BadUsage("The workdir is not absolute.", f"It is {request.workdir!r}.", todo)
    return Path(request.workdir)


@router.get("/v1/jobs/{ref}", summary="One job, with all its attempts")
async def show_job(ref: str, service: TheService) -> JobView:
    return service.show(ref)


@router.delete("/v1/jobs/{ref}", summary="Forget a job, stopping it first; its checkpoints stay")
async def remove_job(ref: str, service: TheService) -> JobView:
    return await service.ask(ref, "remove")
