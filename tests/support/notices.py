"""Notices for tests, each with the usual values unless told otherwise."""

from __future__ import annotations

from perdured.contract.pacing import Pace
from perdured.core.notice_plan import Answer, Speeds, plan_notice
from perdured.core.notices.merging import merge_notices
from perdured.core.notices.notice import Notice
from perdured.core.windows import Window
from support.jobs import NOW

BOOT = "boot-1"
MEASURED = Pace(
    save_every=200, snapshot_every=12, copy=0.1, write=2, slowest_copy=0.2, fastest_write=1.9, slowest_write=4,
    slowest_step=0.3,
)  # fmt: skip
"""Surely saved in 4.5 s and a half of that."""
SPEEDS = Speeds(MEASURED)


def make_notice(left: float | None = 120.0, *, at: float = NOW, **more: object) -> Notice:
    """It came at `at`, and leaves so many seconds."""
    usual = {
        "id": "aws-1", "kind": "reclaim", "source": "aws", "why": "AWS takes this spot instance back",
        "deadline": at + left if left is not None else None, "sureness": "exact", "follows": "power_off",
        "disk": "lost", "received_at": at, "boot_id": BOOT,
    }  # fmt: skip
    return Notice.model_validate(usual | more)


def answer(
    *notices: Notice, speeds: Speeds = SPEEDS, windows: tuple[Window, ...] = (), now: float = NOW
) -> Answer | None:
    return plan_notice(merge_notices(notices), speeds, windows, now)


def answered(*notices: Notice, speeds: Speeds = SPEEDS, windows: tuple[Window, ...] = (), now: float = NOW) -> Answer:
    """The same, where there is one."""
    found = answer(*notices, speeds=speeds, windows=windows, now=now)
    assert found is not None
    return found
