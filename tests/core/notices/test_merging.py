"""The hardest deadline wins, and what may come to nothing moves none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.core.notices.merging import Outlook, merge_notices, say_outlook
from perdured.core.notices.notice import ENDING, Notice, find_next_change, list_standing

BOOT = "boot-1"
NOW = 100.0


def make_notice(id: str, deadline: float | None, follows: str = "power_off", **more: object) -> Notice:
    given = {
        "id": id, "kind": "reclaim", "source": "aws", "why": f"{id} says so", "deadline": deadline,
        "sureness": "exact", "follows": follows, "received_at": NOW, "boot_id": BOOT,
    }  # fmt: skip
    return Notice.model_validate(given | more)


def merge(*notices: Notice, now: float = NOW) -> Outlook:
    return merge_notices(list_standing(notices, BOOT, now))


def test_without_a_notice_nothing_is_going_to_be_ended() -> None:
    assert merge() == Outlook()
    assert Outlook().deadline is None


def test_the_earliest_deadline_wins_with_its_sureness_and_what_follows() -> None:
    seen = merge(make_notice("late", 400.0), make_notice("early", 150.0, "kill", sureness="ceiling"))
    assert (seen.deadline, seen.sureness, seen.follows) == (150.0, "ceiling", "kill")


def test_a_guess_stays_a_cap_under_a_later_exact_one() -> None:
    assert merge(make_notice("guess", 130.0, sureness="guess"), make_notice("exact", 220.0)).deadline == 130.0


@pytest.mark.parametrize("follows", ["perhaps", "pause"])
def test_what_ends_nothing_moves_no_deadline(follows: str) -> None:
    soft = make_notice("soft", 101.0, follows)
    assert merge(soft).deadline is None
    assert merge(soft, make_notice("hard", 220.0)).deadline == 220.0


def test_advice_and_pauses_are_told_apart_from_ends() -> None:
    seen = merge(make_notice("a", None, "perhaps"), make_notice("b", 160.0, "pause"), make_notice("c", 200.0))
    assert [notice.id for notice in seen.advice] == ["a"]
    assert [notice.id for notice in seen.pauses] == ["b"]


def test_what_was_withdrawn_or_came_before_the_boot_has_no_say() -> None:
    assert merge(make_notice("a", 120.0, withdrawn_at=101.0), make_notice("b", 120.0, boot_id="other")) == Outlook()


def test_the_disk_is_as_lost_as_the_worst_says() -> None:
    kept, unknown, lost = (make_notice(fate, 200.0, disk=fate) for fate in ("kept", "unknown", "lost"))
    assert merge(kept).disk == "kept"
    assert merge(kept, unknown).disk == "unknown"
    assert merge(kept, unknown, lost).disk == "lost"
    assert merge(kept, make_notice("soft", 120.0, "perhaps", disk="lost")).disk == "kept"


def test_it_can_be_withdrawn_only_if_every_end_can() -> None:
    yes, no = make_notice("a", 200.0), make_notice("b", 300.0, withdrawable=False)
    assert merge(yes).is_withdrawable
    assert not merge(yes, no).is_withdrawable


def test_the_outlook_changes_by_itself_when_a_deadline_has_long_passed() -> None:
    notices = (make_notice("a", 220.0), make_notice("b", None, "perhaps"))
    at = find_next_change(notices, BOOT, NOW)
    assert at == 340.0
    assert merge(*notices, now=at).deadline == 220.0
    assert merge(*notices, now=at + 0.1).deadline is None
    assert find_next_change(notices, BOOT, at + 0.1) is None


def test_it_is_said_in_words() -> None:
    assert say_outlook(merge(make_notice("AWS", 218.0)), NOW) == "AWS says so: 1 min 58 s left"
    assert say_outlook(merge(make_notice("AWS", 130.0, sureness="ceiling")), NOW) == "AWS says so: 30 s left at most"
    assert say_outlook(merge(make_notice("AWS", 99.0)), NOW) == "AWS says so: now"
    assert say_outlook(Outlook(), NOW) == "no notice"


notices = st.builds(
    make_notice,
    st.text(min_size=1, max_size=3),
    st.floats(NOW, 1e4),
    st.sampled_from(["kill", "power_off", "reboot", "pause", "perhaps"]),
    sureness=st.sampled_from(["exact", "not_before", "ceiling", "guess"]),
)


@given(st.lists(notices, max_size=6), notices)
def test_one_more_notice_never_gives_more_time(known: list[Notice], more: Notice) -> None:
    before, after = merge(*known).deadline, merge(*known, more).deadline
    assert before is None or (after is not None and after <= before)


@given(st.lists(notices, max_size=6))
def test_the_order_in_which_they_came_decides_nothing(known: list[Notice]) -> None:
    ends = [notice.deadline for notice in known if notice.follows in ENDING and notice.deadline is not None]
    assert merge(*known).deadline == merge(*reversed(known)).deadline == min(ends, default=None)
