from __future__ import annotations

import pytest

from perdured.core.notices.answer import Answer, Failed, Look
from perdured.core.notices.gcp import parse_maintenance, parse_preempted

LOOK = Look(at=1000.0, boot_id="boot-1")


def say(word: str) -> Answer:
    return Answer(200, word, {"metadata-flavor": "Google", "etag": "1"})


def test_a_preemption_counts_from_when_it_was_seen() -> None:
    (notice,) = parse_preempted(say("TRUE"), LOOK, window=30.0)
    assert (notice.kind, notice.deadline, notice.sureness) == ("reclaim", 1030.0, "ceiling")
    assert parse_preempted(say("FALSE"), LOOK, window=30.0) == ()


def test_a_live_migration_is_a_pause_and_ends_nothing() -> None:
    (notice,) = parse_maintenance(say("MIGRATE_ON_HOST_MAINTENANCE"), LOOK, window=60.0)
    assert (notice.kind, notice.follows, notice.deadline) == ("migrate", "pause", 1060.0)


def test_a_machine_that_does_not_migrate_is_stopped() -> None:
    (notice,) = parse_maintenance(say("TERMINATE_ON_HOST_MAINTENANCE"), LOOK, window=3600.0)
    assert (notice.kind, notice.follows, notice.deadline) == ("maintenance", "power_off", 4600.0)
    assert parse_maintenance(say("NONE"), LOOK, window=60.0) == ()


def test_what_answers_without_the_flavour_is_not_believed() -> None:
    with pytest.raises(Failed) as raised:
        parse_preempted(Answer(200, "TRUE"), LOOK, window=30.0)
    assert raised.value.is_lasting


@pytest.mark.parametrize("answer", [say("MAYBE"), say(""), Answer(503), Answer(404)])
def test_what_cannot_be_read_is_neither_a_notice_nor_the_end_of_one(answer: Answer) -> None:
    with pytest.raises(Failed):
        parse_preempted(answer, LOOK, window=30.0)
    with pytest.raises(Failed):
        parse_maintenance(answer, LOOK, window=60.0)
