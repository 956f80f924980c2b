"""A cap on request bodies, before anything is parsed: a spec and an environment fit into far less."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdured.errors import BadUsage

from .replies import reply_failure

MAX_BODY = 4 << 20
"""Bytes. Linux itself allows a process about 2 MiB of arguments and environment."""

TOO_LONG = BadUsage(
    "The request is too long.",
    f"A request may have at most {MAX_BODY} bytes.",
    "Submit a smaller spec, or fewer environment variables.",
)


class BodyTooLong(HTTPException):
    """Of FastAPI's own kind, because it takes any other exception while reading for a body that is no JSON."""

    def __init__(self) -> None:
        super().__init__(413)


class BodyLimit:
    """Refuses by the declared length; a body that comes in chunks and declares none is counted as it comes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _declared_length(scope) > MAX_BODY:
            await reply_failure(TOO_LONG, 413)(scope, receive, send)
        else:
            await self._app(scope, _count(receive), send)


def _count(receive: Receive) -> Receive:
    seen = 0

    async def receive_counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY:
            raise BodyTooLong
        return message

    return receive_counted


def _declared_length(scope: Scope) -> int:
    value = dict(scope["headers"]).get(b"content-length", b"0")
    return int(value) if value.isdigit() else 0
