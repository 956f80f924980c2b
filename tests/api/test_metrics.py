"""`GET /metrics`, read back by the parsers of the library that its readers have."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from prometheus_client import parser as plain
from prometheus_client.openmetrics import parser as openmetrics

from perdured.api.app import make_app
from perdured.core.ledger import PARTS
from support.fake_service import FakeService, make_job, make_ledger

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PARSERS = {"": plain, OPENMETRICS: openmetrics}


def read(service: FakeService, accept: str = "") -> httpx.Response:
    async def inside() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(make_app(service, service.board)), base_url="http://d"
        ) as client:
            return await client.get("/metrics", headers={"Accept": accept})

    return asyncio.run(inside())


def samples(service: FakeService, accept: str = "") -> dict[tuple[str, ...], float]:
    """By name and labels, the latter without their names."""
    families = PARSERS[accept].text_string_to_metric_families(read(service, accept).text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_the_format_is_the_one_that_was_asked_for() -> None:
    service = FakeService((make_job(),))
    assert read(service).headers["content-type"].startswith("text/plain")
    assert read(service, OPENMETRICS).headers["content-type"].startswith("application/openmetrics-text")
    assert read(service, OPENMETRICS).text.endswith("# EOF\n")


@pytest.mark.parametrize("accept", PARSERS)
def test_every_part_of_the_ledger_is_there_and_what_else_is_known_of_a_job(accept: str) -> None:
    ledger = make_ledger(useful=485.0, redone=10.0, hung=5.0)
    told = samples(FakeService((make_job("abc", "gpt", ledger=ledger, restarts=2),)), accept)
    times = {part: told["perdure_job_time_seconds", "abc", "gpt", part] for part in PARTS}
    assert times == dict.fromkeys(PARTS, 0.0) | {"useful": 485.0, "redone": 10.0, "hung": 5.0}
    assert told["perdure_job_goodput_ratio", "abc", "gpt"] == 0.97
    assert told["perdure_job_step", "abc", "gpt"] == 1200
    assert told["perdure_job_planned_steps", "abc", "gpt"] == 4000
    assert told["perdure_job_loss", "abc", "gpt"] == 2.3134
    assert told["perdure_job_checkpoint_step", "abc", "gpt"] == 1100
    assert told["perdure_job_checkpoint_timestamp_seconds", "abc", "gpt"] == 1795514700.0
    assert told["perdure_job_restarts_total", "abc", "gpt"] == 2


@pytest.mark.parametrize("accept", PARSERS)
def test_what_is_not_known_is_left_out(accept: str) -> None:
    bare = make_job("abc", state="queued", step=None, total=None, loss=None, checkpoint=None, goodput=None)
    told = samples(FakeService((bare, make_job("def"))), accept)
    assert ("perdure_job_loss", "def", "gpt") in told
    unknown = ("goodput_ratio", "step", "planned_steps", "loss", "checkpoint_step", "checkpoint_timestamp_seconds")
    assert not {f"perdure_job_{name}" for name in unknown} & {key[0] for key in told if "abc" in key}
    assert (told["perdure_jobs", "queued"], told["perdure_jobs", "running"]) == (1, 1)


def test_without_jobs_the_daemon_is_there_all_the_same() -> None:
    assert [key[0] for key in samples(FakeService())] == ["perdure_info"]
