"""Following what happens, by long poll: ask with the last `next`, and the answer comes when there is something new.

No event is lost or seen twice, whatever breaks in between: `seq` grows and is never used again, also over restarts.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from perdured.clock import format_time, start_clock
from perdured.state.registry import StoredEvent

from .replies import FAILURES
from .seam import Closing, Service, TheService

MAX_WAIT = 60.0
"""Seconds. Short enough that an abandoned poll does not linger."""

router = APIRouter(tags=["events"], responses=FAILURES)


class EventView(BaseModel):
    seq: int
    at: str
    job: str
    kind: str
    text: str
    attempt: int | None
    step: int | None


class EventList(BaseModel):
    schema_: int = Field(1, serialization_alias="schema")
    events: list[EventView]
    next: int = Field(description="What to send as `after` the next time.")


@router.get("/v1/events", summary="What happened after a given event, waiting for it if asked to")
async def list_events(
    service: TheService,
    closing: Closing,
    after: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
    job: str | None = None,
    wait: Annotated[float, Query(ge=0, description="Seconds, at most 60.")] = 0.0,
) -> EventList:
    ref = service.show(job).id if job is not None else None
    events, seen = await _events_within(service, closing, (after, ref), min(wait, MAX_WAIT))
    return EventList(schema_=1, events=[_describe_event(event) for event in events], next=seen)


async def _events_within(
    service: Service, closing: asyncio.Event, query: tuple[int, str | None], wait: float
) -> tuple[list[StoredEvent], int]:
    """The events, and the `after` of the next question: past other jobs' events too, so that they wake nobody twice."""
    seen, ref = query
    now = start_clock()
    deadline = now() + wait
    while True:
        events = service.events(query[0], ref)
        left = deadline - now()
        if events:
            return events, events[-1].seq
        if left <= 0 or closing.is_set():
            return events, seen
        seen = max(seen, await _wait_for_change(service, closing, seen, left))


async def _wait_for_change(service: Service, closing: asyncio.Event, seen: int, limit: float) -> int:
    """The newest event's number, or `seen` when nothing happened within `limit` seconds or the server closes."""
    change = asyncio.ensure_future(service.wait_for_change(seen))
    closed = asyncio.ensure_future(closing.wait())
    try:
        await asyncio.wait({change, closed}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        return change.result() if change.done() else seen
    finally:
        change.cancel()
        closed.cancel()


def _describe_event(stored: StoredEvent) -> EventView:
    event = stored.event
    return EventView(
        seq=stored.seq,
        at=format_time(stored.at) or "",
        job=stored.job,
        kind=event.kind,
        text=event.text,
        attempt=event.attempt,
        step=event.step,
    )
