"""Failures as JSON: every answer of 400 and above is `{"error": {"what", "why", "todo", "exit_status"}}`."""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from perdured.errors import AmbiguousJob, BadUsage, DiskSilent, NoSpace, NoSuchJob, PerdureError, WrongState

log = logging.getLogger(__name__)


class Failure(BaseModel):
    what: str = Field(description="What happened.")
    why: str
    todo: str = Field(description="What to do about it.")
    exit_status: int = Field(description="What the command line ends with.")


class FailureReply(BaseModel):
    error: Failure


FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"model": FailureReply, "description": "The request or the spec is wrong; nothing was changed."},
    404: {"model": FailureReply, "description": "There is no such job, attempt or address."},
    409: {"model": FailureReply, "description": "The reference fits several jobs, or the job's state forbids it."},
    504: {"model": FailureReply, "description": "A disk did not answer in time; nothing was changed."},
    507: {"model": FailureReply, "description": "The disk is full; nothing was changed."},
}

# The first that fits, so the special ones come before their bases.
_STATUSES: tuple[tuple[type[PerdureError], int], ...] = (
    (AmbiguousJob, 409),
    (WrongState, 409),
    (BadUsage, 400),
    (NoSuchJob, 404),
    (NoSpace, 507),
    (DiskSilent, 504),
)


def reply_failure(error: PerdureError, status: int | None = None) -> JSONResponse:
    """The answer that tells of `error`."""
    chosen = status or next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    what, why, todo = (text.encode(errors="backslashreplace").decode() for text in (error.what, error.why, error.todo))
    told = Failure(what=what, why=why, todo=todo, exit_status=error.exit_status)
    return JSONResponse(FailureReply(error=told).model_dump(), chosen)


def explain_validation(errors: Sequence[Any]) -> BadUsage:
    """What is wrong with a request, as FastAPI found it."""
    lines = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors]
    if any(error["type"] == "json_invalid" for error in errors):
        lines = [f"The body is not JSON: {errors[0].get('ctx', {}).get('error', 'it cannot be read')}."]
    elif any(tuple(error["loc"]) == ("body",) for error in errors):
        lines = ["Its body has to be a JSON object, sent with the header `Content-Type: application/json`."]
    return BadUsage("The request is wrong.", "\n".join(lines), "GET /openapi.json describes every request.")


def explain_storage(error: Exception) -> PerdureError:
    """A full disk by its name; anything else as what it is."""
    is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "is full" in str(error)
    if is_full:
        todo = "Free some space and try again; nothing was changed and running jobs go on."
        return NoSpace("The daemon could not write: the disk is full.", str(error), todo)
    return PerdureError("The daemon could not do it.", str(error), "Its log has the details; running jobs go on.")


def install_handlers(app: FastAPI) -> None:
    @app.exception_handler(PerdureError)
    async def _(_request: Request, error: PerdureError) -> JSONResponse:
        return reply_failure(error)

    @app.exception_handler(RequestValidationError)
    async def _(_request: Request, error: RequestValidationError) -> JSONResponse:
        return reply_failure(explain_validation(error.errors()))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        what = f"{request.method} {request.url.path}: {error.detail}."
        told = BadUsage(what, "The daemon has no such request.", "GET /openapi.json describes every request.")
        return reply_failure(told, error.status_code)

    @app.exception_handler(sqlite3.OperationalError)
    @app.exception_handler(OSError)
    async def _(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return reply_failure(explain_storage(error))

    @app.exception_handler(Exception)
    async def _(_request: Request, error: Exception) -> JSONResponse:
        what = f"The daemon failed: {type(error).__name__}."
        return reply_failure(PerdureError(what, str(error), "Its log has the details; running jobs go on."))
