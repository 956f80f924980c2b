"""Each request of the API, and each way it can fail, without a socket."""

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_type_hints

import httpx
import pytest
from pydantic import BaseModel

from perdured import wire
from perdured.api.app import make_app
from perdured.api.body_limit import MAX_BODY
from perdured.api.events import EventList, EventView
from perdured.api.health import Health
from perdured.api.logs import MAX_CHUNK, LogView
from perdured.api.replies import Failure
from perdured.core.events import Event
from perdured.notices.views import NoticesView, NoticeView, SourceView
from perdured.views import AttemptView, CheckpointView, JobView, LedgerView, NewestCheckpoint, SubmittedView
from support.fake_service import FakeService, make_checkpoint, make_job, make_notice

SPEC = 'command = ["python", "train.py"]\n'


def send(service: FakeService, method: str, path: str, **what: object) -> httpx.Response:
    async def inside() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(service, service.board), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://perdured") as client:
            return await client.request(method, path, **what)  # type: ignore[arg-type]

    return asyncio.run(inside())


def submit(service: FakeService, **changes: object) -> httpx.Response:
    return send(service, "POST", "/v1/jobs", json={"spec": SPEC, "workdir": "/runs", "env": {"A": "1"}, **changes})


def failure_of(answer: httpx.Response) -> dict[str, object]:
    error = answer.json()["error"]
    assert set(error) == {"what", "why", "todo", "exit_status"}
    assert isinstance(error, dict)
    return error


def test_health_names_version_and_process() -> None:
    answer = send(FakeService(), "GET", "/v1/health").json()
    assert answer["schema"] == 1
    assert answer["version"]
    assert answer["pid"] > 0


def test_notices_are_told_with_their_sources() -> None:
    service = FakeService()
    service.board.notices = (make_notice(),)
    told = send(service, "GET", "/v1/notices").json()
    assert told["outlook"] == "AWS takes this spot instance back: 1 min 58 s left"
    assert [source["state"] for source in told["sources"]] == ["works", "blind"]
    assert [(notice["id"], notice["stands"]) for notice in told["notices"]] == [("aws-1", True)]


def test_a_notice_is_approved_by_its_id() -> None:
    service = FakeService()
    assert send(service, "POST", "/v1/notices/azure-1/approve").status_code == 200
    assert service.board.approved == ["azure-1"]


def test_jobs_that_succeeded_are_listed_only_when_asked_for() -> None:
    service = FakeService((make_job("aaaa"), make_job("bbbb", state="succeeded")))
    assert [job["id"] for job in send(service, "GET", "/v1/jobs").json()["jobs"]] == ["aaaa"]
    everything = send(service, "GET", "/v1/jobs?all=1").json()
    assert everything["schema"] == 1
    assert [job["id"] for job in everything["jobs"]] == ["aaaa", "bbbb"]


def test_a_submission_reaches_the_service_with_spec_workdir_and_environment() -> None:
    service = FakeService()
    answer = submit(service)
    assert answer.status_code == 201
    assert answer.json()["name"] == "train"
    [submission] = service.submitted
    assert submission.spec.command == ("python", "train.py")
    assert submission.workdir == "/runs"
    assert submission.env == {"A": "1"}


def test_a_wrong_spec_is_refused_with_every_error_in_it() -> None:
    service = FakeService()
    answer = submit(service, spec="comand = []\n[checkpoint]\nkeep = 0\n")
    error = failure_of(answer)
    assert answer.status_code == 400
    assert error["exit_status"] == 2
    assert "comand" in str(error["why"])
    assert "checkpoint.keep" in str(error["why"])
    assert service.submitted == []


def test_a_relative_workdir_is_refused() -> None:
    answer = submit(FakeService(), workdir="runs")
    assert answer.status_code == 400
    assert "'runs'" in str(failure_of(answer)["why"])


def test_a_body_without_its_content_type_is_told_which_header_it_needs() -> None:
    """As `curl -d` sends it."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = send(FakeService(), "POST", "/v1/jobs", content=json.dumps({"spec": SPEC}), headers=headers)
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["error"]["why"]


def test_a_body_that_is_no_json_says_so() -> None:
    answer = send(FakeService(), "POST", "/v1/jobs", content=b'{"spec": ', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "not JSON" in str(failure_of(answer)["why"])


@pytest.mark.parametrize(
    ("body", "named"), [({"workdir": "/"}, "body.spec"), ({"spec": SPEC, "workdir": "/", "enw": {}}, "body.enw")]
)
def test_a_missing_or_unknown_field_is_named(body: dict[str, object], named: str) -> None:
    answer = send(FakeService(), "POST", "/v1/jobs", json=body)
    assert answer.status_code == 400
    assert named in str(failure_of(answer)["why"])


def test_an_unknown_address_is_an_error_like_the_others() -> None:
    answer = send(FakeService(), "GET", "/v2/jobs")
    assert answer.status_code == 404
    assert failure_of(answer)["exit_status"] == 2


def test_an_unknown_job_is_404_and_exit_status_4() -> None:
    answer = send(FakeService(), "GET", "/v1/jobs/nope")
    assert answer.status_code == 404
    assert failure_of(answer)["exit_status"] == 4


def test_a_prefix_of_two_jobs_is_409_and_exit_status_2() -> None:
    answer = send(FakeService((make_job("ab1"), make_job("ab2"))), "GET", "/v1/jobs/ab")
    assert answer.status_code == 409
    assert failure_of(answer)["exit_status"] == 2


def test_a_wish_that_the_state_forbids_is_409() -> None:
    answer = send(FakeService((make_job("aaaa", state="succeeded"),)), "POST", "/v1/jobs/aaaa/resume")
    assert answer.status_code == 409


@pytest.mark.parametrize("wish", ["stop", "resume", "restart", "park", "save"])
def test_each_wish_reaches_the_service(wish: str) -> None:
    service = FakeService((make_job("aaaa"),))
    assert send(service, "POST", f"/v1/jobs/aaaa/{wish}").status_code == 200
    assert service.asked == [("aaaa", wish)]


def test_delete_asks_to_remove() -> None:
    service = FakeService((make_job("aaaa"),))
    assert send(service, "DELETE", "/v1/jobs/aaaa").json()["id"] == "aaaa"
    assert service.asked == [("aaaa", "remove")]


@pytest.mark.parametrize(
    "full",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_507_and_says_so(full: Exception) -> None:
    service = FakeService()
    service.failure = full
    answer = submit(service)
    assert answer.status_code == 507
    assert "disk is full" in str(failure_of(answer)["what"])


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), RuntimeError("a bug")])
def test_any_other_failure_is_500_with_its_words(error: Exception) -> None:
    service = FakeService()
    service.failure = error
    answer = submit(service)
    assert answer.status_code == 500
    assert failure_of(answer)["exit_status"] == 125
    assert str(error) in str(failure_of(answer)["why"])


def test_a_body_over_the_limit_is_refused_by_its_declared_length() -> None:
    service = FakeService()
    answer = submit(service, spec="#" * (MAX_BODY + 1))
    assert answer.status_code == 413
    assert failure_of(answer)["exit_status"] == 2
    assert service.submitted == []


def test_a_body_over_the_limit_is_refused_when_it_declares_no_length() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 65536 + 1):
            yield b" " * 65536

    answer = send(FakeService(), "POST", "/v1/jobs", content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_checkpoints_come_as_the_service_lists_them() -> None:
    service = FakeService((make_job("aaaa"),))
    service.saved["aaaa"] = [make_checkpoint(20), make_checkpoint(10, valid=False)]
    answer = send(service, "GET", "/v1/jobs/aaaa/checkpoints").json()
    assert [(each["step"], each["valid"]) for each in answer["checkpoints"]] == [(20, True), (10, False)]


def test_a_log_is_read_from_an_offset_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    content = bytes(range(256)) * (MAX_CHUNK // 256) + b"\xff the end"
    path.write_bytes(content)
    service = FakeService((make_job("aaaa"),))
    service.logs["aaaa"] = [(3, path)]
    listed = send(service, "GET", "/v1/jobs/aaaa/logs").json()
    assert listed == [{"attempt": 3, "path": str(path), "bytes": len(content)}]
    first = send(service, "GET", "/v1/jobs/aaaa/logs/3").content
    rest = send(service, "GET", f"/v1/jobs/aaaa/logs/3?offset={len(first)}").content
    assert len(first) == MAX_CHUNK
    assert first + rest == content
    assert send(service, "GET", f"/v1/jobs/aaaa/logs/3?offset={len(content)}").content == b""


def test_a_log_that_is_not_there_yet_is_empty_and_one_of_no_attempt_an_error(tmp_path: Path) -> None:
    service = FakeService((make_job("aaaa"),))
    service.logs["aaaa"] = [(1, tmp_path / "not yet")]
    assert send(service, "GET", "/v1/jobs/aaaa/logs/1").content == b""
    assert send(service, "GET", "/v1/jobs/aaaa/logs/2").status_code == 404
    assert send(service, "GET", "/v1/jobs/aaaa/logs/1?offset=-1").status_code == 400


def test_events_are_those_after_a_number_of_one_job_or_all() -> None:
    service = FakeService((make_job("aaaa"), make_job("bbbb", "other")))
    for job, text in (("aaaa", "one"), ("bbbb", "two"), ("aaaa", "three")):
        service.tell(job, Event(kind="asked", text=text))
    answer = send(service, "GET", "/v1/events?after=1").json()
    assert [event["text"] for event in answer["events"]] == ["two", "three"]
    assert answer["next"] == 3
    of_one = send(service, "GET", "/v1/events?job=other").json()
    assert [event["text"] for event in of_one["events"]] == ["two"]
    assert send(service, "GET", "/v1/events?job=nope").status_code == 404


def test_without_news_next_is_where_the_question_began() -> None:
    service = FakeService((make_job("aaaa"),))
    service.tell("aaaa", Event(kind="asked", text="one"))
    assert send(service, "GET", "/v1/events?after=1").json() == {"schema": 1, "events": [], "next": 1}


def test_the_description_has_a_summary_for_every_request_and_one_shape_of_errors() -> None:
    description = send(FakeService(), "GET", "/openapi.json").json()
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    assert len(operations) == 25
    assert all(operation["summary"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert "HTTPValidationError" not in json.dumps([op["responses"].get("400") for op in operations])


def test_the_built_in_pages_which_load_from_a_foreign_host_are_off() -> None:
    assert send(FakeService(), "GET", "/docs").status_code == 404
    assert send(FakeService(), "GET", "/redoc").status_code == 404


@pytest.mark.parametrize(
    ("view", "shape"),
    [
        (JobView, wire.Job),
        (SubmittedView, wire.Submitted),
        (AttemptView, wire.Attempt),
        (LedgerView, wire.Ledger),
        (NewestCheckpoint, wire.NewestCheckpoint),
        (CheckpointView, wire.Checkpoint),
        (LogView, wire.Log),
        (EventView, wire.Event),
        (NoticeView, wire.Notice),
        (NoticesView, wire.Notices),
        (SourceView, wire.NoticeSource),
        (EventList, wire.Events),
        (Health, wire.Health),
        (Failure, wire.Failure),
    ],
)
def test_what_the_daemon_sends_is_what_clients_expect(view: type[BaseModel], shape: type) -> None:
    """Two descriptions of one thing: fields and their simple types must agree."""
    sent = {
        field.serialization_alias or field.alias or name: field.annotation for name, field in view.model_fields.items()
    }
    expected = get_type_hints(shape)
    assert set(sent) == set(expected)
    simple = {name for name, kind in expected.items() if kind in (int, str, float, bool, int | None, str | None)}
    assert {name: sent[name] for name in simple} == {name: expected[name] for name in simple}


ODD = ["\0", "/\0", "/\udcff", "", "x" * 70_000, "/" + "x" * 70_000, "/a" * 3000, "\x1b[2J", "/..\u202e", "=", "a=b"]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_nothing_that_is_sent_makes_the_daemon_fail(odd: str) -> None:
    """A NUL or half of a surrogate pair in the workdir once was a 500."""
    bodies: list[object] = [
        {"spec": SPEC, "workdir": odd},
        {"spec": odd, "workdir": "/w"},
        {"spec": SPEC, "workdir": "/w", "env": {odd: "x"}},
        {"spec": SPEC, "workdir": "/w", "env": {"x": odd}},
        {"spec": f"{SPEC}workdir = {json.dumps(odd)}", "workdir": "/w"},
        {odd: odd},
        odd,
        [odd],
    ]
    for body in bodies:
        content = json.dumps(body).encode()
        answer = send(FakeService(), "POST", "/v1/jobs", content=content, headers={"content-type": "application/json"})
        assert answer.status_code < 500, (body, answer.text)
        if answer.status_code >= 400:
            assert failure_of(answer)["what"]


@pytest.mark.parametrize("offset", [(1 << 63) - 1, 1 << 62, 1 << 44, -1, 1 << 63, 1 << 200])
def test_no_offset_in_a_log_makes_the_daemon_fail(tmp_path: Path, offset: int) -> None:
    service = FakeService((make_job("k7mq2xwp"),))
    (tmp_path / "log").write_bytes(b"abc")
    service.logs["k7mq2xwp"] = [(1, tmp_path / "log")]
    answer = send(service, "GET", f"/v1/jobs/k7mq2xwp/logs/1?offset={offset}")
    assert answer.status_code in (200, 400)
    assert answer.status_code == 400 or answer.content == b""


@pytest.mark.parametrize("query", ["after=-1", "after=x", "wait=nan", "wait=-1", "wait=x", "job=%00", "job=%ff"])
def test_no_question_about_events_makes_the_daemon_fail(query: str) -> None:
    assert send(FakeService(), "GET", f"/v1/events?{query}").status_code in (200, 400, 404)
