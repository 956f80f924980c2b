"""What is asked of several jobs together: arrays, and groups."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from perdured.queue_view import GpuView, GroupView
from perdured.views import SubmittedView

from .jobs import SubmitRequest, read_workdir
from .replies import FAILURES
from .seam import TheService

router = APIRouter(tags=["queue"], responses=FAILURES)


class ArrayRequest(SubmitRequest):
    array: str = Field(description='How many jobs, such as "10" (numbers 0 to 9), or a range such as "1-10".')


class SubmittedList(BaseModel):
    schema_: int = Field(1, serialization_alias="schema")
    jobs: list[SubmittedView]


class GpuList(BaseModel):
    schema_: int = Field(1, serialization_alias="schema")
    gpus: list[GpuView]


class GroupList(BaseModel):
    schema_: int = Field(1, serialization_alias="schema")
    groups: list[GroupView]


@router.post("/v1/arrays", status_code=201, summary="Submit one spec as many jobs; durable once this answers")
async def submit_array(request: ArrayRequest, service: TheService) -> SubmittedList:
    workdir = read_workdir(request)
    jobs = await service.submit_array(request.spec, workdir=workdir, env=request.env, array=request.array)
    return SubmittedList(schema_=1, jobs=jobs)


@router.get("/v1/groups", summary="The groups of the jobs that are not at rest, and those that are paused")
async def list_groups(service: TheService) -> GroupList:
    return GroupList(schema_=1, groups=service.desk.list_groups())


@router.post("/v1/groups/{name}/pause", summary="Start nothing of it; what runs saves and steps aside")
async def pause_group(name: str, service: TheService) -> GroupView:
    return service.desk.pause_group(name)


@router.post("/v1/groups/{name}/resume", summary="Let its jobs go on, each when its turn comes")
async def resume_group(name: str, service: TheService) -> GroupView:
    return service.desk.resume_group(name)


@router.get("/v1/gpus", summary="The GPUs that are given to jobs, as the driver tells of them now, and who has them")
async def list_gpus(service: TheService) -> GpuList:
    return GpuList(schema_=1, gpus=await service.desk.list_gpus())


@router.post("/v1/gpus/{uuid}/clear", summary="Give a GPU in quarantine to jobs again")
async def clear_gpu(uuid: str, service: TheService) -> GpuView:
    return service.desk.clear_gpu(uuid)
