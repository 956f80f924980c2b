"""The source of Azure against the fake one, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from perdured.core.notices.answer import Failed
from perdured.notices.azure import Azure
from perdured.testing.metadata import FakeMetadata
from support.ears import Ear, listen, make_eyes


def play(fake: FakeMetadata, scene: Callable[[Ear, Azure], Awaitable[None]]) -> None:
    async def inside() -> None:
        azure = Azure(fake.url, make_eyes())
        async with listen(azure) as ear:
            await scene(ear, azure)

    asyncio.run(inside())


def events(*events: dict[str, object]) -> dict[str, dict[str, object]]:
    return {"azure": {"machine": "gpu-7", "events": list(events)}}


def test_an_event_is_scheduled_and_starts_and_is_over(fake: FakeMetadata) -> None:
    fake.change(events())

    async def scene(ear: Ear, _azure: Azure) -> None:
        await ear.wait_for_silence()
        fake.change(events({"id": "e1", "type": "Preempt", "in": 30}))
        scheduled = await ear.wait_for_notice()
        assert (scheduled.id, scheduled.sureness) == ("azure-e1", "ceiling")
        fake.change(events({"id": "e1", "type": "Preempt", "status": "Started"}))
        await ear.wait(lambda report: any("Started" in notice.raw for notice in report.notices))
        assert ear.reports[-1].notices[0].id == scheduled.id
        fake.change(events())
        await ear.wait_for_silence()

    play(fake, scene)


def test_a_neighbours_event_is_not_heard(fake: FakeMetadata) -> None:
    both = {"id": "both", "type": "Reboot", "in": 900, "machines": ["gpu-8", "gpu-7"]}
    fake.change(events({"id": "theirs", "type": "Preempt", "in": 30, "machines": ["gpu-8"]}, both))

    async def scene(ear: Ear, _azure: Azure) -> None:
        assert (await ear.wait_for_notice()).id == "azure-both"

    play(fake, scene)


def test_the_first_answer_may_be_late_and_is_waited_for(fake: FakeMetadata) -> None:
    """Later ones have to come within `WITHIN`."""
    fake.change({**events({"id": "e1", "in": 30}), "manners": {"delay": 2.3, "only": "scheduledevents", "times": 1}})

    async def scene(ear: Ear, _azure: Azure) -> None:
        await ear.wait_for_notice()
        assert not any(report.status.state == "blind" for report in ear.reports)

    play(fake, scene)


def test_the_number_of_the_document_may_jump_or_stay(fake: FakeMetadata) -> None:
    fake.change({"azure": {"incarnation": 7}})

    async def scene(ear: Ear, _azure: Azure) -> None:
        await ear.wait_for_silence()
        fake.change({"azure": {"events": [{"id": "e1", "in": 30}]}})
        await ear.wait_for_notice()

    play(fake, scene)


def test_an_event_is_approved_by_its_id_and_another_is_not_taken(fake: FakeMetadata) -> None:
    fake.change(events({"id": "e1", "type": "Reboot", "in": 900}))

    async def scene(ear: Ear, azure: Azure) -> None:
        notice = await ear.wait_for_notice()
        await azure.approve(notice)
        assert fake.approved == ["e1"]
        with pytest.raises(Failed):
            await azure.approve(notice.model_copy(update={"id": "azure-unknown"}))

    play(fake, scene)


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 400}, {"drop": True}, {"garbage": "no\r\n\r\n"}], ids=str
)
def test_a_service_that_is_ill_withdraws_nothing(fake: FakeMetadata, fault: dict[str, object]) -> None:
    fake.change(events({"id": "e1", "in": 30}))

    async def scene(ear: Ear, _azure: Azure) -> None:
        await ear.wait_for_notice()
        fake.change({"manners": fault})
        await ear.wait_for_state("blind")
        assert [notice.id for notice in ear.reports[-1].notices] == ["azure-e1"]
        fake.change({"manners": None})
        await ear.wait_for_state("works")

    play(fake, scene)
