"""The application: the routes of one file each, errors as JSON, bodies capped."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from fastapi.routing import APIRoute

from perdured import __version__

from . import checkpoints, events, fleet, health, jobs, logs, metrics, notices, queue, wishes
from .body_limit import TOO_LONG, BodyLimit, BodyTooLong
from .replies import install_handlers, reply_failure
from .seam import Notices, Service

_DESCRIPTION = """Submit training jobs, watch them, and ask things of them.

A job is named by its id, a unique prefix of the id, or its name. Times are RFC 3339 in UTC, durations seconds.
Who may connect to the socket may do everything: it belongs to one user and nobody else."""


def make_app(service: Service, board: Notices) -> FastAPI:
    """The API in front of `service` and the board of notices, to be served in the loop they live in."""
    # The built-in pages load their scripts from a foreign host: off.
    app = FastAPI(
        title="Perdure",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_name_of,
    )
    app.state.service = service
    app.state.notices = board
    app.state.closing = asyncio.Event()
    app.add_middleware(BodyLimit)
    app.add_exception_handler(BodyTooLong, lambda _request, _error: reply_failure(TOO_LONG, 413))
    install_handlers(app)
    for module in (health, metrics, jobs, wishes, queue, checkpoints, logs, events, notices, fleet):
        app.include_router(module.router)
    return app


def _name_of(route: APIRoute) -> str:
    return route.name
