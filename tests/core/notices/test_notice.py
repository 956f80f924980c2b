"""A notice is one warning, however often it is seen; what a source tells no more is withdrawn."""

from __future__ import annotations

import pytest

from perdured.core.notices.notice import Notice, Sight, find_expiry, is_standing, make_notice_id, take_sight

BOOT = "boot-1"


def make_notice(id: str = "aws-1", *, at: float = 100.0, deadline: float | None = 220.0, **more: object) -> Notice:
    given = {
        "id": id, "kind": "reclaim", "source": "aws", "why": "AWS takes it back", "deadline": deadline,
        "sureness": "exact", "follows": "power_off", "received_at": at, "boot_id": BOOT,
    }  # fmt: skip
    return Notice.model_validate(given | more)


def see(*notices: Notice, at: float = 105.0) -> Sight:
    return Sight("aws", notices, at, BOOT)


def test_the_same_warning_seen_again_is_the_same_notice_of_its_first_time() -> None:
    known = take_sight((), see(make_notice(at=100.0)))
    assert take_sight(known, see(make_notice(at=102.0))) == known


def test_what_a_source_tells_no_more_is_withdrawn_at_the_time_of_that_look() -> None:
    known = take_sight((make_notice(),), see(at=107.0))
    assert known[0].withdrawn_at == 107.0
    assert not is_standing(known[0], BOOT, 107.0)
    assert take_sight(known, see(at=109.0)) == known


def test_a_look_of_one_source_withdraws_nothing_of_another() -> None:
    other = make_notice("gcp-1", source="gcp")
    assert take_sight((other,), see()) == (other,)


def test_a_look_at_a_part_of_the_source_withdraws_nothing() -> None:
    known = (make_notice(),)
    assert take_sight(known, see(at=107.0)._replace(is_whole=False)) == known


def test_one_that_was_withdrawn_and_comes_again_is_received_anew() -> None:
    withdrawn = take_sight((make_notice(),), see(at=107.0))
    (again,) = take_sight(withdrawn, see(make_notice(at=110.0)))
    assert (again.received_at, again.withdrawn_at) == (110.0, None)


def test_a_source_may_move_the_deadline_of_its_notice() -> None:
    known = take_sight((make_notice(sureness="guess", deadline=130.0),), see(make_notice(at=103.0, deadline=220.0)))
    assert (known[0].deadline, known[0].sureness, known[0].received_at) == (220.0, "exact", 100.0)


@pytest.mark.parametrize("sureness", ["guess", "ceiling"])
def test_a_time_that_counts_from_the_look_does_not_move_on_with_each_look(sureness: str) -> None:
    known = take_sight((), see(make_notice(deadline=130.0, sureness=sureness)))
    (again,) = take_sight(known, see(make_notice(deadline=135.0, sureness=sureness)))
    assert again.deadline == 130.0
    (sooner,) = take_sight(known, see(make_notice(deadline=120.0, sureness=sureness)))
    assert sooner.deadline == 120.0


def test_a_second_is_what_clocks_differ_by_and_moves_no_deadline() -> None:
    known = take_sight((), see(make_notice(deadline=220.0)))
    assert take_sight(known, see(make_notice(deadline=221.9))) == known
    assert take_sight(known, see(make_notice(deadline=222.0)))[0].deadline == 222.0


def test_after_another_boot_it_stands_no_more_and_was_not_withdrawn_either() -> None:
    (old,) = take_sight((make_notice(boot_id="boot-0"),), see())
    assert old.withdrawn_at is None
    assert not is_standing(old, BOOT, 105.0)


def test_the_same_warning_after_another_boot_is_received_anew() -> None:
    (seen,) = take_sight((make_notice(boot_id="boot-0"),), see(make_notice(at=300.0)))
    assert (seen.boot_id, seen.received_at) == (BOOT, 300.0)


def test_a_deadline_that_passed_and_brought_nothing_was_a_false_alarm() -> None:
    notice = make_notice(at=100.0, deadline=220.0)
    assert find_expiry(notice) == 340.0
    assert is_standing(notice, BOOT, 340.0)
    assert not is_standing(notice, BOOT, 340.1)


def test_a_deadline_that_was_long_past_when_first_seen_never_stands() -> None:
    assert not is_standing(make_notice(at=1000.0, deadline=220.0), BOOT, 1000.0)


def test_a_deadline_that_is_now_stands_for_a_minute() -> None:
    """AWS hibernates at once: its time is now."""
    notice = make_notice(at=100.0, deadline=99.0)
    assert is_standing(notice, BOOT, 159.0)
    assert not is_standing(notice, BOOT, 160.0)


def test_a_pause_is_no_false_alarm_while_it_lasts() -> None:
    notice = make_notice(follows="pause", kind="freeze", lasts=300.0, at=100.0, deadline=100.0)
    assert find_expiry(notice) == 460.0


def test_advice_without_a_deadline_stands_until_it_is_withdrawn() -> None:
    notice = make_notice(follows="perhaps", kind="rebalance", deadline=None)
    assert find_expiry(notice) is None
    assert is_standing(notice, BOOT, 1e9)


def test_of_those_that_are_over_the_oldest_are_forgotten_and_none_that_stands() -> None:
    over = tuple(make_notice(f"aws-{n}", withdrawn_at=1.0) for n in range(60))
    kept = take_sight((make_notice("aws-first"), *over), see(make_notice("aws-first")))
    assert [notice.id for notice in kept] == ["aws-first", *(f"aws-{n}" for n in range(10, 60))]


def test_the_id_is_made_of_the_content_and_tells_its_source() -> None:
    assert make_notice_id("aws", "terminate", "t") == make_notice_id("aws", "terminate", "t")
    assert make_notice_id("aws", "ab", "c") != make_notice_id("aws", "a", "bc")
    assert make_notice_id("gcp", "x").startswith("gcp-")
