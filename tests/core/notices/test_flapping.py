"""A source that changes its mind again and again is believed only when it stays with it."""

from __future__ import annotations

from perdured.core.notices.flapping import (
    IMMINENT,
    LATELY,
    MOST,
    SETTLES_AFTER,
    find_flapping,
    find_settled,
    list_settled,
)
from perdured.core.notices.notice import Notice, Sight, take_sight
from support.notices import BOOT, make_notice

NOW = 10_000.0
LONG = 3600.0


def tell_and_take_back(times: int, every: float, notice: Notice) -> tuple[Notice, ...]:
    """The same notice each time, the last of it withdrawn at NOW."""
    known: tuple[Notice, ...] = ()
    for number in range(times):
        at = NOW - (times - 1 - number) * every
        told = notice.model_copy(update={"received_at": at - 1})
        known = take_sight(known, Sight(notice.source, (told,), at - 1, BOOT))
        known = take_sight(known, Sight(notice.source, (), at, BOOT))
    return known


def test_so_many_withdrawals_of_late_are_flapping_and_fewer_or_older_ones_are_not() -> None:
    notice = make_notice(LONG, at=NOW)
    assert find_flapping(tell_and_take_back(MOST, 10.0, notice), NOW) == frozenset()
    assert find_flapping(tell_and_take_back(MOST + 1, 10.0, notice), NOW) == {"aws"}
    assert find_flapping(tell_and_take_back(9, 10.0, notice), NOW) == {"aws"}
    assert find_flapping(tell_and_take_back(9, LATELY / 2, notice), NOW) == frozenset()
    assert find_flapping(tell_and_take_back(9, 10.0, notice), NOW + LATELY + 1) == frozenset()


def test_withdrawals_are_counted_also_after_the_same_notice_came_again() -> None:
    known = tell_and_take_back(MOST + 1, 10.0, make_notice(LONG, at=NOW))
    again = take_sight(known, Sight("aws", (make_notice(LONG, at=NOW),), NOW, BOOT))
    assert again[0].withdrawn_at is None
    assert find_flapping(again, NOW) == {"aws"}
    seen_again = take_sight(again, Sight("aws", (make_notice(LONG, at=NOW),), NOW + 5, BOOT))
    assert find_flapping(seen_again, NOW + 5) == {"aws"}


def test_one_that_leaves_time_counts_once_it_was_told_for_a_while() -> None:
    notice = make_notice(LONG, at=NOW)
    assert find_settled(notice, {"aws"}) == NOW + SETTLES_AFTER
    assert list_settled([notice], {"aws"}, NOW) == ()
    assert list_settled([notice], {"aws"}, NOW + SETTLES_AFTER) == (notice,)
    assert list_settled([make_notice(None, at=NOW, follows="perhaps")], {"aws"}, NOW) == ()


def test_one_that_leaves_little_counts_at_once() -> None:
    soon = make_notice(IMMINENT - 1, at=NOW)
    assert list_settled([soon], {"aws"}, NOW) == (soon,)
    nearing = make_notice(IMMINENT + 3, at=NOW)
    assert find_settled(nearing, {"aws"}) == NOW + 3


def test_other_sources_are_believed_at_once() -> None:
    notice = make_notice(LONG, at=NOW)
    assert find_settled(notice, {"azure"}) is None
    assert list_settled([notice], {"azure"}, NOW) == (notice,)
