from __future__ import annotations

import json

import pytest

from perdured.core.notices.answer import Answer, Failed, Look
from perdured.core.notices.azure import parse_events, parse_machine_name
from perdured.core.notices.notice import Notice

BEFORE = "Mon, 19 Sep 2016 18:29:47 GMT"
AT = 1474309787.0
LOOK = Look(at=AT - 30, boot_id="boot-1")


def say(*events: dict[str, object]) -> Answer:
    return Answer(200, json.dumps({"DocumentIncarnation": 3, "Events": events}))


def event(**more: object) -> dict[str, object]:
    usual = {
        "EventId": "602d9444", "EventType": "Preempt", "ResourceType": "VirtualMachine", "Resources": ["gpu-7"],
        "EventStatus": "Scheduled", "NotBefore": BEFORE, "Description": "", "EventSource": "Platform",
        "DurationInSeconds": -1,
    }  # fmt: skip
    return usual | more


def read(*events: dict[str, object]) -> tuple[Notice, ...]:
    return parse_events(say(*events), LOOK, "gpu-7")


def test_a_preemption_is_at_the_latest_then() -> None:
    (notice,) = read(event())
    assert (notice.id, notice.kind, notice.deadline, notice.sureness) == ("azure-602d9444", "reclaim", AT, "ceiling")
    assert notice.lasts is None


@pytest.mark.parametrize(
    ("type", "kind", "follows", "disk"),
    [
        ("Freeze", "freeze", "pause", "kept"),
        ("Reboot", "reboot", "reboot", "kept"),
        ("Redeploy", "maintenance", "reboot", "lost"),
        ("Terminate", "retire", "power_off", "lost"),
        ("Unheard", "maintenance", "power_off", "unknown"),
    ],
)
def test_the_others_are_then_or_later(type: str, kind: str, follows: str, disk: str) -> None:
    (notice,) = read(event(EventType=type))
    assert (notice.kind, notice.follows, notice.disk, notice.sureness) == (kind, follows, disk, "not_before")


def test_a_neighbours_event_is_not_ours() -> None:
    assert read(event(Resources=["gpu-8"])) == ()
    assert len(read(event(Resources=["gpu-8", "GPU-7"]))) == 1


def test_one_that_has_started_has_no_time_and_is_now() -> None:
    (started,) = read(event(EventStatus="Started", NotBefore=""))
    assert (started.deadline, started.id) == (LOOK.at, "azure-602d9444")


def test_a_freeze_tells_how_long_it_lasts() -> None:
    (notice,) = read(event(EventType="Freeze", DurationInSeconds=5))
    assert notice.lasts == 5.0


def test_a_user_who_asked_for_it_is_named() -> None:
    (notice,) = read(event(EventSource="User"))
    assert "a user asked" in notice.why


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, ""), Answer(200, "{}"), Answer(400), Answer(500), say(event(NotBefore="soon")),
        say({"EventId": "1"}), say(event(EventType=None)), Answer(200, '{"Events": [7]}'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_neither_a_notice_nor_the_end_of_one(answer: Answer) -> None:
    with pytest.raises(Failed):
        parse_events(answer, LOOK, "gpu-7")


def test_the_machines_own_name() -> None:
    assert parse_machine_name(Answer(200, '{"name": "gpu-7"}')) == "gpu-7"
    for body in ("{}", '{"name": ""}', "[]"):
        with pytest.raises(Failed):
            parse_machine_name(Answer(200, body))
