"""The source of Google Compute Engine against the fake one, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from perdured.notices.gcp import Gcp
from perdured.testing.metadata import FakeMetadata
from support.ears import Ear, listen, make_eyes


def play(fake: FakeMetadata, scene: Callable[[Ear], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with listen(Gcp(fake.url, make_eyes(), 30.0, 60.0)) as ear:
            await scene(ear)

    asyncio.run(inside())


def test_a_preemption_is_heard_while_the_request_hangs(fake: FakeMetadata) -> None:
    async def scene(ear: Ear) -> None:
        await ear.wait_for_silence()
        asked = len(fake.asked)
        fake.change({"gcp": {"preempted": "TRUE"}})
        notice = await ear.wait_for_notice()
        assert (notice.kind, notice.sureness) == ("reclaim", "ceiling")
        assert len(fake.asked) <= asked + 3  # both hung: nobody polls
        fake.change({"gcp": {"preempted": "FALSE"}})
        await ear.wait_for_silence()

    play(fake, scene)


def test_its_first_question_subscribes_it_to_maintenance(fake: FakeMetadata) -> None:
    fake.change({"gcp": {"subscribed_only": True}})

    async def scene(ear: Ear) -> None:
        await ear.wait_for_silence()
        fake.change({"gcp": {"maintenance_event": "MIGRATE_ON_HOST_MAINTENANCE"}})
        assert (await ear.wait_for_notice()).follows == "pause"
        fake.change({"gcp": {"maintenance_event": "TERMINATE_ON_HOST_MAINTENANCE"}})
        await ear.wait(lambda report: [notice.follows for notice in report.notices] == ["power_off"])

    play(fake, scene)


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"drop": True}, {"reset": True}, {"garbage": "no\r\n\r\n"}], ids=str
)
def test_what_changed_while_it_was_ill_is_heard_once_it_is_well(fake: FakeMetadata, fault: dict[str, object]) -> None:
    async def scene(ear: Ear) -> None:
        await ear.wait_for_silence()
        fake.change({"manners": {"drop": True, **fault}})  # those that hang are dropped
        fake.change({"gcp": {"preempted": "TRUE", "maintenance_event": "MIGRATE_ON_HOST_MAINTENANCE"}})
        await ear.wait_for_state("blind")
        assert ear.reports[-1].notices == ()
        fake.change({"manners": None})
        await ear.wait(lambda report: len(report.notices) == 2 and report.status.state == "works")

    play(fake, scene)


def test_two_503_are_normal_around_maintenance(fake: FakeMetadata) -> None:
    fake.change({"manners": {"status": 503, "times": 2}, "gcp": {"preempted": "TRUE"}})

    async def scene(ear: Ear) -> None:
        await ear.wait_for_notice()
        assert not any(report.status.state == "blind" for report in ear.reports)

    play(fake, scene)
