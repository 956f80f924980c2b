"""The hosts that have joined one bucket."""

from __future__ import annotations

from fastapi import APIRouter

from perdured.views import FleetView

from .replies import FAILURES
from .seam import TheService

router = APIRouter(tags=["fleet"], responses=FAILURES)


@router.get("/v1/fleet", summary="The jobs in the bucket that this host has joined, and which host has each")
async def show_fleet(service: TheService) -> FleetView:
    return service.describe_fleet()
