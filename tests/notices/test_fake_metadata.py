"""The fake server does what the real ones are documented, or were seen, to do."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from perdured.testing.metadata import BadScript, FakeMetadata, parse_script
from support.daemons import wait_for

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
FLAVOR = {"Metadata-Flavor": "Google"}
EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"


@pytest.fixture
def client(fake: FakeMetadata) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fake.url, trust_env=False, timeout=10) as client:
        yield client


def grant(client: httpx.Client, ttl: str = "60") -> dict[str, str]:
    return {TOKEN: client.put("/latest/api/token", headers={TTL: ttl}).text}


@pytest.mark.parametrize(
    ("ttl", "status"), [("1", 200), ("21600", 200), ("0", 400), ("21601", 400), ("x", 400), (None, 400)]
)
def test_aws_grants_a_token_for_a_time_within_its_bounds(client: httpx.Client, ttl: str | None, status: int) -> None:
    answer = client.put("/latest/api/token", headers={TTL: ttl} if ttl is not None else {})
    assert answer.status_code == status
    assert answer.headers.get(TTL) == (ttl if status == 200 else None)


def test_aws_refuses_a_token_through_a_proxy_or_at_another_place(client: httpx.Client) -> None:
    assert client.put("/latest/api/token", headers={TTL: "60", "X-Forwarded-For": "10.0.0.1"}).status_code == 403
    assert client.put("/2021-01-03/api/token", headers={TTL: "60"}).status_code == 403


def test_aws_wants_a_token_unless_told_otherwise(fake: FakeMetadata, client: httpx.Client) -> None:
    place = "/latest/meta-data/instance-life-cycle"
    assert client.get(place).status_code == 401
    assert client.get(place, headers={TOKEN: "another instance's"}).status_code == 401
    assert client.get(place, headers=grant(client)).text == "spot"
    fake.change({"aws": {"tokens_optional": True}})
    assert client.get(place).status_code == 200


def test_aws_forgets_tokens(fake: FakeMetadata, client: httpx.Client) -> None:
    token = grant(client)
    fake.change({"aws": {"token_lasts_requests": 2}})
    place = "/latest/meta-data/instance-life-cycle"
    assert [client.get(place, headers=token).status_code for _ in range(3)] == [200, 200, 401]
    token = grant(client)
    fake.change({"aws": {"forget_tokens": True}})
    assert client.get(place, headers=token).status_code == 401


def test_aws_turned_off_refuses_everything(fake: FakeMetadata, client: httpx.Client) -> None:
    fake.change({"aws": {"off": True}})
    assert client.put("/latest/api/token", headers={TTL: "60"}).status_code == 403
    assert client.get("/latest/meta-data/spot/instance-action").status_code == 403


def test_aws_says_404_in_html_until_there_is_a_notice_whose_time_then_stands(
    fake: FakeMetadata, client: httpx.Client
) -> None:
    place, token = "/latest/meta-data/spot/instance-action", grant(client)
    nothing = client.get(place, headers=token)
    assert (nothing.status_code, "<html" in nothing.text) == (404, True)
    fake.change({"aws": {"spot": {"action": "terminate", "in": 120}}})
    first = client.get(place, headers=token)
    assert first.json()["action"] == "terminate"
    assert first.headers["content-type"] == "text/plain"
    time.sleep(1.1)  # a time that slid would be another second by now
    assert client.get(place, headers=token).text == first.text
    fake.change({"aws": {"spot": None}})
    assert client.get(place, headers=token).status_code == 404


def test_aws_tells_maintenance_as_a_list_and_dates_without_a_weekday(fake: FakeMetadata, client: httpx.Client) -> None:
    place, token = "/latest/meta-data/events/maintenance/scheduled", grant(client)
    assert client.get(place, headers=token).json() == []
    fake.change({"aws": {"maintenance": [{"at": 1548061243, "Code": "system-reboot"}]}})
    (event,) = client.get(place, headers=token).json()
    assert (event["NotBefore"], event["Code"], event["State"]) == (
        "21 Jan 2019 09:00:43 GMT",
        "system-reboot",
        "active",
    )
    fake.change({"aws": {"maintenance": "404"}})
    assert client.get(place, headers=token).status_code == 404


def test_google_wants_its_header_and_no_proxy(client: httpx.Client) -> None:
    place = "/computeMetadata/v1/instance/preempted"
    assert client.get(place).status_code == 403
    assert client.get(place, headers={**FLAVOR, "X-Forwarded-For": "10.0.0.1"}).status_code == 403
    answer = client.get(place, headers=FLAVOR)
    assert (answer.text, answer.headers["metadata-flavor"]) == ("FALSE", "Google")


def test_google_hangs_until_a_change_and_misses_none_between_two_requests(
    fake: FakeMetadata, client: httpx.Client
) -> None:
    place = "/computeMetadata/v1/instance/preempted?wait_for_change=true"
    etag = client.get(f"{place}&last_etag=0", headers=FLAVOR).headers["etag"]
    fake.change({"gcp": {"preempted": "TRUE"}})
    fake.change({"gcp": {"preempted": "FALSE"}})
    missed = client.get(f"{place}&last_etag={etag}&timeout_sec=60", headers=FLAVOR)
    assert (missed.text, missed.headers["etag"] != etag) == ("FALSE", True)
    threading.Timer(0.2, fake.change, [{"gcp": {"preempted": "TRUE"}}]).start()
    assert client.get(f"{place}&last_etag={missed.headers['etag']}&timeout_sec=60", headers=FLAVOR).text == "TRUE"


def test_google_answers_the_same_when_the_time_is_over(client: httpx.Client) -> None:
    place = "/computeMetadata/v1/instance/maintenance-event?wait_for_change=true&timeout_sec=0.1"
    assert client.get(place, headers=FLAVOR).text == "NONE"


def test_google_warns_nobody_who_never_asked(fake: FakeMetadata, client: httpx.Client) -> None:
    fake.change({"gcp": {"subscribed_only": True}})
    place = "/computeMetadata/v1/instance/maintenance-event"
    fake.change({"gcp": {"maintenance_event": "TERMINATE_ON_HOST_MAINTENANCE"}})
    assert client.get(place, headers=FLAVOR).text == "NONE"
    fake.change({"gcp": {"maintenance_event": "TERMINATE_ON_HOST_MAINTENANCE"}})
    assert client.get(place, headers=FLAVOR).text == "TERMINATE_ON_HOST_MAINTENANCE"


def test_azure_wants_its_header_and_a_version(client: httpx.Client) -> None:
    assert client.get(EVENTS).status_code == 400
    assert client.get("/metadata/scheduledevents", headers={"Metadata": "true"}).status_code == 400
    assert client.get(EVENTS, headers={"Metadata": "true"}).json()["Events"] == []


def test_azure_tells_events_and_starts_those_that_are_approved(fake: FakeMetadata, client: httpx.Client) -> None:
    fake.change({"azure": {"machine": "gpu-7", "events": [{"id": "e1", "type": "Reboot", "at": 1474309787}]}})
    before = client.get(EVENTS, headers={"Metadata": "true"}).json()
    (event,) = before["Events"]
    assert (event["NotBefore"], event["Resources"]) == ("Mon, 19 Sep 2016 18:29:47 GMT", ["gpu-7"])
    for body, status in (
        ("{", 400),
        ('{"StartRequests": [{"EventId": "?"}]}', 400),
        ('{"StartRequests": [{"EventId": "e1"}]}', 200),
    ):
        assert client.post(EVENTS, headers={"Metadata": "true"}, content=body).status_code == status
    after = client.get(EVENTS, headers={"Metadata": "true"}).json()
    assert (after["Events"][0]["EventStatus"], after["Events"][0]["NotBefore"]) == ("Started", "")
    assert after["DocumentIncarnation"] > before["DocumentIncarnation"]
    assert fake.approved == ["e1"]


def test_azure_answers_the_first_request_late(fake: FakeMetadata, client: httpx.Client) -> None:
    fake.change({"azure": {"first_answer_after": 0.3}})
    began = time.monotonic()
    client.get(EVENTS, headers={"Metadata": "true"})
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"silent": True}, httpx.ReadTimeout),
        ({"reset": True}, httpx.ReadError),
        ({"drop": True}, httpx.RemoteProtocolError),
        ({"garbage": "hello?\r\n\r\n"}, httpx.RemoteProtocolError),
        ({"delay": 0.5}, httpx.ReadTimeout),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_it_misbehaves_as_often_as_it_was_told(
    fake: FakeMetadata, client: httpx.Client, fault: dict[str, object], error: type[Exception]
) -> None:
    fake.change({"manners": {**fault, "times": 1}})
    with pytest.raises(error):
        client.get("/latest/meta-data/instance-life-cycle", timeout=0.2)
    assert client.get("/latest/meta-data/instance-life-cycle").status_code == 401


def test_it_misbehaves_towards_those_only_whom_it_was_told(fake: FakeMetadata, client: httpx.Client) -> None:
    fake.change({"manners": {"only": "PUT /latest/api/token", "status": 503}})
    assert client.put("/latest/api/token", headers={TTL: "60"}).status_code == 503
    assert client.get("/latest/meta-data/instance-life-cycle").status_code == 401
    fake.change({"manners": None})
    assert client.put("/latest/api/token", headers={TTL: "60"}).status_code == 200


def test_a_body_may_come_slowly_and_a_redirect_lead_away(fake: FakeMetadata, client: httpx.Client) -> None:
    fake.change({"manners": {"slow_body": 0.01, "times": 1}})
    assert client.get("/computeMetadata/v1/instance/preempted", headers=FLAVOR).text == "FALSE"
    fake.change({"manners": {"redirect": "http://example.invalid/"}})
    answer = client.get("/latest/meta-data/")
    assert (answer.status_code, answer.headers["location"]) == (302, "http://example.invalid/")


def test_more_connections_than_it_takes_are_reset(fake: FakeMetadata, client: httpx.Client) -> None:
    host, port = fake.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))):
        wait_for(lambda: fake._server.open == 1, "the connection to be taken")
        fake.change({"manners": {"connections": 1}})
        with pytest.raises(httpx.ReadError):
            client.get("/latest/meta-data/instance-life-cycle")


def test_it_tells_what_was_asked_and_takes_changes_over_http(fake: FakeMetadata, client: httpx.Client) -> None:
    client.get("/computeMetadata/v1/instance/preempted", headers=FLAVOR)
    assert client.get("/_fake/asked").json() == [{"method": "GET", "path": "/computeMetadata/v1/instance/preempted"}]
    assert client.post("/_fake/change", json={"gcp": {"preempted": "TRUE"}}).status_code == 200
    assert client.get("/computeMetadata/v1/instance/preempted", headers=FLAVOR).text == "TRUE"
    assert client.post("/_fake/change", json={"gcp": {"preempt": "TRUE"}}).status_code == 400


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"steps": 1}', '{"steps": [{}]}', '{"steps": [{"at": 0, "aws": 1}]}',
        '{"steps": [{"at": 0, "was": {}}]}', '{"steps": [{"at": 0, "aws": {"spott": null}}]}',
    ],
)  # fmt: skip
def test_a_script_that_nobody_would_follow_is_refused(text: str) -> None:
    with pytest.raises(BadScript):
        parse_script(text)


def test_a_script_is_played_in_the_order_of_its_times(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    steps = [{"at": 2, "gcp": {"preempted": "TRUE"}, "say": "the notice"}, {"at": 0, "gcp": {"preempted": "FALSE"}}]
    script.write_text(json.dumps({"steps": steps}))
    command = [sys.executable, "-m", "perdured.testing.metadata", str(script), "--speed", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        try:
            url = server.stdout.readline().strip()
            said = [server.stderr.readline(), server.stderr.readline()]
            answer = httpx.get(f"{url}/computeMetadata/v1/instance/preempted", headers=FLAVOR, trust_env=False)
        finally:
            server.terminate()
    assert "the notice" in said[1]
    assert answer.text == "TRUE"
