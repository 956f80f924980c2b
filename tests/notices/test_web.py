"""One request has one end, whatever answers; nothing stands between this machine and its metadata service."""

from __future__ import annotations

import asyncio
import time

import pytest

from perdured.core.notices.answer import Answer, Failed
from perdured.notices.web import LARGEST, Request, Silent, fetch
from perdured.testing.metadata import FakeMetadata

PLACE = "/latest/meta-data/instance-life-cycle"


def ask(url: str, within: float = 5.0) -> Answer:
    return asyncio.run(fetch(Request("GET", url), within))


def test_an_answer_has_status_body_and_headers(fake: FakeMetadata) -> None:
    fake.change({"aws": {"tokens_optional": True}})
    answer = ask(fake.url + PLACE)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, "spot", "text/plain")


def test_proxies_of_the_environment_are_not_asked(fake: FakeMetadata, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ask(fake.url + PLACE).status == 401
    assert "x-forwarded-for" not in fake.asked[0].headers


def test_a_redirect_is_an_answer_and_not_followed(fake: FakeMetadata) -> None:
    fake.change({"manners": {"redirect": f"{fake.url}/elsewhere"}})
    assert ask(fake.url + PLACE).status == 302
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    "fault", [{"silent": True}, {"delay": 2}, {"slow_body": 0.5}], ids=lambda fault: next(iter(fault))
)
def test_the_whole_exchange_ends_in_time(fake: FakeMetadata, fault: dict[str, object]) -> None:
    fake.change({"manners": fault, "aws": {"tokens_optional": True}})
    began = time.monotonic()
    with pytest.raises(Silent):
        ask(fake.url + PLACE, within=0.2)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "fault",
    [{"reset": True}, {"drop": True}, {"garbage": "SSH-2.0-OpenSSH_9.2\r\n"}],
    ids=lambda fault: next(iter(fault)),
)
def test_what_is_no_answer_is_said_so(fake: FakeMetadata, fault: dict[str, object]) -> None:
    fake.change({"manners": fault})
    with pytest.raises(Failed) as raised:
        ask(fake.url + PLACE)
    assert not isinstance(raised.value, Silent)


def test_an_answer_without_an_end_is_given_up(fake: FakeMetadata) -> None:
    fake.change({"aws": {"tokens_optional": True, "life_cycle": "x" * (LARGEST + 1)}})
    with pytest.raises(Failed):
        ask(fake.url + PLACE)


def test_where_nobody_listens_is_said_so() -> None:
    with pytest.raises(Failed, match="nobody listens"):
        ask("http://127.0.0.1:1/")
