"""The source of AWS against the fake one, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from perdured.core.notices.notice import Sight, is_standing, take_sight
from perdured.notices.aws import Aws
from perdured.testing.metadata import FakeMetadata
from support.ears import BOOT, Ear, listen, make_eyes

SPOT = {"aws": {"spot": {"action": "terminate", "in": 120}}}
GONE = {"aws": {"spot": None}}


def play(fake: FakeMetadata, scene: Callable[[Ear], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with listen(Aws(fake.url, make_eyes())) as ear:
            await scene(ear)

    asyncio.run(inside())


def count(fake: FakeMetadata, part: str) -> int:
    return sum(part in f"{asked.method} {asked.path}" for asked in fake.asked)


def test_a_notice_comes_and_is_withdrawn_and_comes_again(fake: FakeMetadata) -> None:
    async def scene(ear: Ear) -> None:
        await ear.wait_for_silence()
        assert await ear.wait_for_state("works")
        fake.change(SPOT)
        first = await ear.wait_for_notice()
        assert (first.kind, first.sureness) == ("reclaim", "exact")
        fake.change(GONE)
        await ear.wait_for_silence()
        fake.change(SPOT)
        await ear.wait_for_notice()

    play(fake, scene)


def test_each_kind_of_warning_is_heard(fake: FakeMetadata) -> None:
    fake.change(
        {
            "aws": {
                "spot": {"action": "hibernate", "in": 0},
                "rebalance": {"in": 0},
                "maintenance": [{"in": 3600, "Code": "instance-stop", "EventId": "instance-event-1"}],
                "lifecycle": "Terminated",
            }
        }
    )

    async def scene(ear: Ear) -> None:
        report = await ear.wait(lambda report: report.is_whole)
        assert {notice.kind for notice in report.notices} == {"reclaim", "rebalance", "stop", "retire"}

    play(fake, scene)


def test_one_token_serves_all_parts_and_is_renewed_once_when_it_is_refused(fake: FakeMetadata) -> None:
    async def scene(ear: Ear) -> None:
        await ear.wait_for_silence()
        assert count(fake, "PUT") == 1
        fake.change({"aws": {"forget_tokens": True, "spot": {"action": "stop", "in": 120}}})
        await ear.wait_for_notice()
        assert count(fake, "PUT") == 2
        assert not any(report.status.state == "blind" for report in ear.reports)

    play(fake, scene)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503}, {"status": 429}, {"status": 500}, {"reset": True}, {"drop": True}, {"garbage": "no\r\n\r\n"},
        {"status": 404, "only": "PUT"}, {"status": 401},
    ],
    ids=str,
)  # fmt: skip
def test_a_service_that_is_ill_withdraws_nothing_and_is_blind_until_it_is_well(
    fake: FakeMetadata, fault: dict[str, object]
) -> None:
    fake.change(SPOT)

    async def scene(ear: Ear) -> None:
        notice = await ear.wait_for_notice()
        await ear.wait(lambda report: report.is_whole)
        fake.change({"manners": fault, "aws": {"forget_tokens": True}})
        assert await ear.wait_for_state("blind")
        assert {each.id for each in ear.reports[-1].notices} == {notice.id}
        fake.change({"manners": None})
        await ear.wait_for_state("works")

    play(fake, scene)


def test_two_answers_that_fail_are_no_reason_to_call_it_blind(fake: FakeMetadata) -> None:
    fake.change({"manners": {"status": 503, "times": 2, "only": "spot"}})

    async def scene(ear: Ear) -> None:
        await ear.wait_for_state("works")
        assert not any(report.status.state == "blind" for report in ear.reports)

    play(fake, scene)


def test_a_token_that_never_arrives_is_told_as_the_hop_limit(fake: FakeMetadata) -> None:
    fake.change({"manners": {"silent": True, "only": "PUT"}})

    async def scene(ear: Ear) -> None:
        assert "hop limit" in await ear.wait_for_state("blind")

    play(fake, scene)


def test_where_no_token_arrives_and_none_is_needed_it_is_asked_without_and_says_so(fake: FakeMetadata) -> None:
    """In a container with a hop limit of one, on an instance that allows IMDSv1."""
    fake.change({"aws": {"tokens_optional": True}, "manners": {"silent": True, "only": "PUT"}})

    async def scene(ear: Ear) -> None:
        assert "IMDSv1" in await ear.wait_for_state("works")
        fake.change(SPOT)
        assert (await ear.wait_for_notice()).kind == "reclaim"
        assert count(fake, "PUT") == 1, "not each time"
        asked = [each for each in fake.asked if each.method == "GET"]
        assert not any("x-aws-ec2-metadata-token" in each.headers for each in asked)

    play(fake, scene)


def test_an_instance_that_comes_to_require_tokens_is_asked_for_one_again(fake: FakeMetadata) -> None:
    fake.change({"aws": {"tokens_optional": True}, "manners": {"silent": True, "only": "PUT"}})

    async def scene(ear: Ear) -> None:
        assert "IMDSv1" in await ear.wait_for_state("works")
        fake.change({"aws": {"tokens_optional": None}})
        assert "hop limit" in await ear.wait_for_state("blind")
        fake.change({"manners": None})
        await ear.wait(lambda report: report.status.state == "works" and "IMDSv1" not in report.status.why)

    play(fake, scene)


def test_a_service_that_is_turned_off_is_blind_at_once(fake: FakeMetadata) -> None:
    fake.change({"aws": {"off": True}})

    async def scene(ear: Ear) -> None:
        assert "403" in await ear.wait_for_state("blind")
        assert not ear.reports[-1].is_whole

    play(fake, scene)


def test_a_proxy_that_answers_in_its_place_is_blind_at_once(fake: FakeMetadata) -> None:
    fake.change({"manners": {"redirect": "http://login.example/"}})

    async def scene(ear: Ear) -> None:
        assert "proxy" in await ear.wait_for_state("blind")

    play(fake, scene)


def test_a_part_that_cannot_be_read_hides_none_of_the_others(fake: FakeMetadata) -> None:
    """A spot notice is heard while the maintenance events cannot be had, and what was known of them stays."""
    fake.change({"manners": {"status": 500, "only": "maintenance"}, **SPOT})

    async def scene(ear: Ear) -> None:
        notice = await ear.wait_for_notice()
        report = ear.reports[-1]
        assert not report.is_whole
        known = notice.model_copy(update={"id": "aws-maintenance", "received_at": 1.0})
        sight = Sight("aws", report.notices, 2.0, BOOT, is_whole=report.is_whole)
        assert all(each.withdrawn_at is None for each in take_sight((known,), sight))

    play(fake, scene)


def test_a_time_that_is_long_past_and_stays_is_no_notice_that_stands(fake: FakeMetadata) -> None:
    """EC2 failed to terminate the instance: its notice stays, and the machine lives."""
    fake.change({"aws": {"spot": {"action": "terminate", "in": -3600}}})

    async def scene(ear: Ear) -> None:
        notice = await ear.wait_for_notice()
        assert not is_standing(notice, BOOT, notice.received_at)

    play(fake, scene)
