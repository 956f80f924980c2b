from __future__ import annotations

from fastapi import APIRouter

from perdured.notices.views import NoticesView

from .replies import FAILURES
from .seam import TheNotices

router = APIRouter(tags=["notices"], responses=FAILURES)


@router.get("/v1/notices", summary="Who may warn that this machine is taken away, how they are, and what they say")
async def list_notices(notices: TheNotices) -> NoticesView:
    return notices.describe()


@router.post("/v1/notices/{id}/approve", summary="Let what a notice warns of begin now (Azure)")
async def approve_notice(id: str, notices: TheNotices) -> NoticesView:
    await notices.approve(id)
    return notices.describe()
