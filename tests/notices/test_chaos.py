"""Whatever a service did in between: once it is well, what stands is what it says; and a fault withdraws nothing."""

from __future__ import annotations

import asyncio
import random

import pytest

from perdured.notices.aws import Aws
from perdured.notices.azure import Azure
from perdured.notices.eyes import Source
from perdured.notices.gcp import Gcp
from perdured.testing.metadata import FakeMetadata
from support.ears import Ear, listen, make_eyes

FAULTS: list[dict[str, object]] = [
    {"status": 500}, {"status": 503}, {"status": 429}, {"status": 403}, {"status": 404, "only": "PUT"},
    {"reset": True}, {"drop": True}, {"garbage": "\x16\x03\x01"}, {"redirect": "http://elsewhere/"},
    {"slow_body": 0.001}, {"delay": 0.05}, {"connections": 1},
]  # fmt: skip
SAYS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "aws": ({"spot": None, "rebalance": None}, {"spot": {"action": "stop", "in": 120}, "rebalance": {"in": 0}}),
    "gcp": ({"preempted": "FALSE"}, {"preempted": "TRUE"}),
    "azure": ({"events": []}, {"events": [{"id": "e1", "type": "Preempt", "in": 30}]}),
}
"""What each says while nothing stands, and while something does."""


def make_source(cloud: str, url: str) -> Source:
    eyes = make_eyes(haste=200.0)
    if cloud == "aws":
        return Aws(url, eyes)
    return Azure(url, eyes) if cloud == "azure" else Gcp(url, eyes, 30.0, 60.0)


@pytest.mark.parametrize("cloud", SAYS)
@pytest.mark.parametrize("seed", range(3))
def test_after_any_faults_what_stands_is_what_the_service_says(fake: FakeMetadata, cloud: str, seed: int) -> None:
    chance = random.Random(f"{cloud} {seed}")
    nothing, something = SAYS[cloud]

    async def scene(ear: Ear) -> None:
        await ear.wait_for_silence()
        for _ in range(12):
            is_standing = chance.random() < 0.5
            fake.change({cloud: something if is_standing else nothing})
            fake.change({"manners": {**chance.choice(FAULTS), "times": chance.randint(1, 8)}})
            if cloud == "aws" and chance.random() < 0.3:
                fake.change({"aws": {"forget_tokens": True}})
            await asyncio.sleep(chance.random() * 0.05)
            fake.change({"manners": None})
            count = len(SAYS[cloud][1]) if is_standing else 0
            await ear.wait(lambda report, count=count: report.is_whole and len(report.notices) == count)  # type: ignore[misc]

    async def inside() -> None:
        async with listen(make_source(cloud, fake.url)) as ear:
            await scene(ear)

    asyncio.run(inside())


@pytest.mark.parametrize("cloud", SAYS)
def test_a_notice_that_stands_is_told_through_any_fault(fake: FakeMetadata, cloud: str) -> None:
    fake.change({cloud: SAYS[cloud][1]})
    count = len(SAYS[cloud][1])

    async def scene(ear: Ear) -> None:
        await ear.wait(lambda report: len(report.notices) == count)
        told = len(ear.reports)
        for fault in FAULTS:
            fake.change({"manners": {**fault, "times": 2}})
            seen = len(fake.asked)
            while len(fake.asked) < seen + 2:
                fake.change({cloud: SAYS[cloud][1]})  # whoever hangs looks again
                await asyncio.sleep(0.01)
        fake.change({"manners": None})
        await ear.wait_for_state("works")
        assert all(len(report.notices) >= count for report in ear.reports[told:])

    async def inside() -> None:
        async with listen(make_source(cloud, fake.url)) as ear:
            await scene(ear)

    asyncio.run(inside())
