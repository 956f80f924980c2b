"""What AWS says, as its guide and the field reports write it down."""

from __future__ import annotations

import json

import pytest

from perdured.core.notices.answer import Answer, Failed, Look, find_ahead
from perdured.core.notices.aws import LIFECYCLE_GUESS, parse_lifecycle, parse_maintenance, parse_rebalance, parse_spot

TIME = "2017-09-18T08:22:00Z"
AT = 1505722920.0
LOOK = Look(at=AT - 120, boot_id="boot-1")
NOTHING = Answer(404, "<html><body>404 - Not Found</body></html>")


def say(content: object) -> Answer:
    return Answer(200, json.dumps(content))


def test_a_spot_notice_has_an_exact_time_and_takes_the_machine() -> None:
    (notice,) = parse_spot(say({"action": "terminate", "time": TIME}), LOOK)
    assert (notice.kind, notice.deadline, notice.sureness, notice.follows) == ("reclaim", AT, "exact", "power_off")
    assert notice.disk == "lost"
    assert notice.withdrawable


@pytest.mark.parametrize("action", ["stop", "hibernate", "something-new"])
def test_every_action_is_a_notice(action: str) -> None:
    (notice,) = parse_spot(say({"action": action, "time": TIME}), LOOK)
    assert (notice.kind, notice.disk) == ("reclaim", "unknown")


def test_the_same_content_is_the_same_notice_however_often_it_is_read() -> None:
    answer = say({"action": "terminate", "time": TIME})
    (first,), (later,) = parse_spot(answer, LOOK), parse_spot(answer, LOOK._replace(at=AT - 60))
    assert first.id == later.id
    (other,) = parse_spot(say({"action": "terminate", "time": "2017-09-18T08:23:00Z"}), LOOK)
    assert other.id != first.id


@pytest.mark.parametrize("parse", [parse_spot, parse_rebalance, parse_maintenance, parse_lifecycle])
def test_404_says_that_there_is_nothing(parse: object) -> None:
    assert callable(parse)
    assert parse(NOTHING, LOOK) == ()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, "<html>a captive portal</html>"),
        Answer(200, ""),
        Answer(200, "[]"),
        Answer(200, '{"action": "terminate"}'),
        Answer(200, '{"action": "terminate", "time": "soon"}'),
        Answer(200, "[" * 100_000),
        *(Answer(status) for status in (302, 403, 429, 500, 503)),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:20]}",
)
def test_what_cannot_be_read_is_neither_a_notice_nor_the_end_of_one(answer: Answer) -> None:
    with pytest.raises(Failed):
        parse_spot(answer, LOOK)


def test_a_refusal_will_not_mend_itself_and_an_overload_will() -> None:
    for status, is_lasting in ((403, True), (302, True), (429, False), (503, False)):
        with pytest.raises(Failed) as raised:
            parse_spot(Answer(status), LOOK)
        assert raised.value.is_lasting is is_lasting


def test_rebalance_advice_has_no_deadline_and_ends_nothing() -> None:
    (notice,) = parse_rebalance(say({"noticeTime": TIME}), LOOK)
    assert (notice.deadline, notice.follows) == (None, "perhaps")


EVENT = {
    "NotBefore": "18 Sep 2017 08:22:00 GMT", "NotAfter": "18 Sep 2017 10:22:00 GMT", "Code": "system-reboot",
    "Description": "scheduled reboot", "EventId": "instance-event-1", "State": "active",
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "kind", "follows", "disk"),
    [
        ("instance-reboot", "reboot", "reboot", "kept"),
        ("system-reboot", "reboot", "reboot", "kept"),
        ("system-maintenance", "maintenance", "pause", "kept"),
        ("instance-retirement", "retire", "power_off", "lost"),
        ("instance-stop", "stop", "power_off", "unknown"),
        ("unheard-of", "maintenance", "power_off", "unknown"),
    ],
)
def test_planned_maintenance_is_then_or_later(code: str, kind: str, follows: str, disk: str) -> None:
    (notice,) = parse_maintenance(say([EVENT | {"Code": code}]), LOOK)
    assert (notice.deadline, notice.sureness) == (AT, "not_before")
    assert (notice.kind, notice.follows, notice.disk) == (kind, follows, disk)


def test_events_that_are_over_or_called_off_are_none() -> None:
    events = [EVENT | {"State": state, "EventId": state} for state in ("completed", "canceled", "active")]
    (notice,) = parse_maintenance(say(events), LOOK)
    assert "active" in notice.raw
    assert parse_maintenance(say([]), LOOK) == ()


@pytest.mark.parametrize("text", ["InService", "Standby", "Detached", "Warmed:Stopped"])
def test_a_group_that_wants_the_instance_on_is_no_notice(text: str) -> None:
    assert parse_lifecycle(Answer(200, text), LOOK) == ()


def test_a_group_that_wants_it_gone_tells_no_time() -> None:
    (notice,) = parse_lifecycle(Answer(200, "Terminated"), LOOK)
    assert (notice.deadline, notice.sureness) == (LOOK.at + LIFECYCLE_GUESS, "guess")


def test_a_deadline_is_told_on_our_clock() -> None:
    """Ours is ten minutes behind: without that, two minutes would look like twelve."""
    answer = say({"action": "terminate", "time": TIME})._replace(headers={"date": "Mon, 18 Sep 2017 08:20:00 GMT"})
    ahead = find_ahead(answer, AT - 720)
    assert ahead == 600.0
    (notice,) = parse_spot(answer, Look(AT - 720, "boot-1", ahead))
    assert notice.deadline == AT - 600


@pytest.mark.parametrize("date", ["", "garbage", "Mon, 18 Sep 2017 08:20:01 GMT"])
def test_a_second_of_difference_is_none(date: str) -> None:
    assert find_ahead(Answer(200, headers={"date": date}), AT - 120) == 0.0
