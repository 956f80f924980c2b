"""`GET /metrics`: the jobs for Prometheus, or whatever reads its text or OpenMetrics."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from .seam import TheService

RECENT = 3600.0
"""Seconds after its end for which a job is told of: longer than anybody waits between two looks."""

router = APIRouter(tags=["daemon"])


@router.get(
    "/metrics",
    summary="The jobs as metrics, in the text format of Prometheus, or in OpenMetrics if asked for",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
)
async def read_metrics(request: Request, service: TheService) -> Response:
    from .exposition import expose  # a library that nobody else needs

    content, kind = expose(service.list_recent(RECENT), request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": kind})
