"""The sources of Alibaba and Tencent against the fake ones, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from perdured.notices.eyes import Source
from perdured.notices.termination import Alibaba, Tencent
from perdured.testing.metadata import FakeMetadata
from support.ears import Ear, listen, make_eyes

MAKERS = ("alibaba", "tencent")


def play(fake: FakeMetadata, maker: str, scene: Callable[[Ear], Awaitable[None]]) -> None:
    source: Source = Alibaba(fake.url, make_eyes()) if maker == "alibaba" else Tencent(fake.url, make_eyes())
    if maker == "tencent":
        fake.change({"tencent": {"here": True}})

    async def inside() -> None:
        async with listen(source) as ear:
            await scene(ear)

    asyncio.run(inside())


@pytest.mark.parametrize("maker", MAKERS)
def test_a_notice_comes_with_its_time_and_is_withdrawn(fake: FakeMetadata, maker: str) -> None:
    """Also where the time is told in another zone, and without saying so."""

    async def scene(ear: Ear) -> None:
        await ear.wait_for_silence()
        assert "spot" in await ear.wait_for_state("works")
        fake.change({maker: {"termination_time": {"in": 120}}})
        notice = await ear.wait_for_notice()
        assert (notice.source, notice.kind, notice.sureness) == (maker, "reclaim", "exact")
        assert notice.deadline is not None
        assert 110 < notice.deadline - notice.received_at <= 121
        fake.change({maker: {"termination_time": None}})
        await ear.wait_for_silence()

    play(fake, maker, scene)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"garbage": "no"}], ids=str)
def test_a_service_that_is_ill_withdraws_nothing_and_is_blind(
    fake: FakeMetadata, maker: str, fault: dict[str, object]
) -> None:
    fake.change({maker: {"termination_time": {"in": 120}}})

    async def scene(ear: Ear) -> None:
        notice = await ear.wait_for_notice()
        fake.change({"manners": fault})
        assert await ear.wait_for_state("blind")
        assert {each.id for each in ear.reports[-1].notices} == {notice.id}

    play(fake, maker, scene)


@pytest.mark.parametrize("maker", MAKERS)
def test_what_is_no_time_is_said(fake: FakeMetadata, maker: str) -> None:
    fake.change({maker: {"termination_time": "soon"}})

    async def scene(ear: Ear) -> None:
        assert "'soon'" in await ear.wait_for_state("blind")

    play(fake, maker, scene)


def test_a_token_serves_until_it_is_refused(fake: FakeMetadata) -> None:
    def count_tokens() -> int:
        return sum(asked.method == "PUT" for asked in fake.asked)

    async def scene(ear: Ear) -> None:
        await ear.wait_for_silence()
        assert count_tokens() == 1
        fake.change({"aws": {"forget_tokens": True}, "alibaba": {"termination_time": {"in": 120}}})
        await ear.wait_for_notice()
        assert count_tokens() == 2
        assert not any(report.status.state == "blind" for report in ear.reports)

    play(fake, "alibaba", scene)
