"""What a job printed, as it lies on the disk. Folding progress bars and adding colours is the viewer's business."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from perdured.errors import NoSuchJob

from .replies import FAILURES
from .seam import TheService

MAX_CHUNK = 1 << 20
"""Bytes in one answer; a reader asks again from where it ends."""

router = APIRouter(tags=["logs"], responses=FAILURES)


class LogView(BaseModel):
    attempt: int
    path: str
    bytes: int


@router.get("/v1/jobs/{ref}/logs", summary="The output file of each attempt")
async def list_logs(ref: str, service: TheService) -> list[LogView]:
    return [LogView(attempt=n, path=str(path), bytes=_size_of(path)) for n, path in service.log_files(ref)]


@router.get(
    "/v1/jobs/{ref}/logs/{attempt}",
    summary="One attempt's output from a byte offset on",
    description="At most 1 MiB of raw bytes; an empty answer means that there is nothing after `offset` yet.",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def read_log(
    ref: str, attempt: int, service: TheService, offset: Annotated[int, Query(ge=0, lt=1 << 63)] = 0
) -> Response:
    path = dict(service.log_files(ref)).get(attempt)
    if path is None:
        raise NoSuchJob(f"Job {ref} has no attempt {attempt}.", "", f"`perdure show {ref}` lists its attempts.")
    content = await asyncio.to_thread(_read_chunk, path, offset)
    return Response(content, media_type="application/octet-stream")


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read_chunk(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            if offset >= file.seek(0, os.SEEK_END):  # the file system may refuse to go so far
                return b""
            file.seek(offset)
            return file.read(MAX_CHUNK)
    except FileNotFoundError:
        return b""
