"""What is copied between the tiers, and what may be deleted on the remote: as tables, and over random tiers."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.core.ends.cause import Cause
from perdured.core.tiers import (
    FLOOR,
    Held,
    Look,
    RemoteTrouble,
    decide_downloads,
    decide_proofs,
    decide_removals,
    decide_upload,
    is_remote_asked,
    judge_look,
    list_behind,
    upload_delay,
)

tiers = st.lists(
    st.builds(Held, st.integers(0, 9), st.integers(0, 9), st.sampled_from("ab"), st.booleans(), st.booleans()),
    unique_by=lambda held: held.place,
    max_size=12,
)


def held(step: int, *, series: str = "run", healthy: bool = True, is_proven: bool = True) -> Held:
    return Held(step, step, series, healthy, is_proven)


def of_series(tier: list[Held], series: str) -> list[Held]:
    return [each for each in tier if each.series == series and each.healthy]


@given(tiers, tiers)
def test_the_newest_that_the_remote_lacks_goes_up(local: list[Held], remote: list[Held]) -> None:
    """And nothing that is older than what is there, nor an unhealthy one."""
    chosen = decide_upload(local, remote)
    newer = [
        each
        for each in local
        if each.healthy and all(each.place > other.place for other in remote if other.series == each.series)
    ]
    assert chosen == max(newer, key=lambda each: each.place, default=None)
    assert sorted(list_behind(local, remote)) == sorted(newer)


@given(tiers, st.integers(2, 4))
def test_the_floor_is_never_broken(remote: list[Held], keep: int) -> None:
    """As many proven ones of each series stay as there were, or `keep`; and the newest is proven."""
    gone = decide_removals(remote, keep)
    left = [each for each in remote if each not in gone]
    for series in "ab":
        before, after = of_series(remote, series), of_series(left, series)
        proven = [each for each in before if each.is_proven]
        assert len([each for each in after if each.is_proven]) >= min(keep, len(proven))
        if len(after) < len(before):
            assert max(before, key=lambda each: each.place).is_proven
            assert not [each for each in before if each not in after and each.place > min(e.place for e in after)]


@given(tiers, st.integers(2, 4))
def test_what_is_asked_to_be_proven_lets_retention_finish(remote: list[Held], keep: int) -> None:
    """Once all of that is proven, no more than `keep` healthy ones of a series stay."""
    wanted = decide_proofs(remote, keep)
    proven = [each._replace(is_proven=True) if each in wanted else each for each in remote]
    gone = decide_removals(proven, keep)
    for series in "ab":
        assert len([each for each in of_series(proven, series) if each not in gone]) <= keep


def test_two_stay_whatever_is_asked_for() -> None:
    assert FLOOR == 2
    assert decide_removals([held(1), held(2), held(3)], 1) == [held(1)]
    assert decide_removals([held(1), held(2)], 0) == []
    assert decide_removals([], 2) == []


def test_nothing_has_to_be_proven_where_nothing_would_go() -> None:
    """Reading back costs money."""
    assert decide_proofs([held(1, is_proven=False), held(2, is_proven=False)], 2) == []


@given(tiers, tiers)
def test_only_what_is_newer_than_the_disk_comes_down(local: list[Held], remote: list[Held]) -> None:
    """Of each series, newest first: the next one only if the one before is broken."""
    for candidates in decide_downloads(local, remote):
        assert len({each.series for each in candidates}) == 1
        assert candidates == sorted(candidates, key=lambda each: each.place, reverse=True)
        assert all(each.healthy for each in candidates)
        ours = of_series(local, candidates[0].series)
        assert all(each.place > other.place for each in candidates for other in ours)
    flat = {each for candidates in decide_downloads(local, remote) for each in candidates}
    assert {each for each in remote if each.healthy and not of_series(local, each.series)} <= flat


def test_a_start_looks_at_the_remote_where_the_disk_could_be_behind() -> None:
    """After a rest, after something was broken, and where nothing is; not at every restart."""
    assert is_remote_asked(has_looked=False, has_chosen=True, has_rejected=False)
    assert is_remote_asked(has_looked=True, has_chosen=True, has_rejected=True)
    assert is_remote_asked(has_looked=True, has_chosen=False, has_rejected=False)
    assert not is_remote_asked(has_looked=True, has_chosen=True, has_rejected=False)


@given(st.integers(1, 200), st.text("abc123", min_size=1, max_size=8))
def test_the_wait_doubles_up_to_five_minutes_with_the_jitter_of_the_job(failures: int, job: str) -> None:
    """The same every time it is asked, so that the daemon may die in between."""
    full = min(2.0 ** (failures - 1), 300.0)
    assert full / 2 <= upload_delay(failures, job) <= full
    assert upload_delay(failures, job) == upload_delay(failures, job)


def trouble(nature: Literal["passing", "lasting", "foreign"]) -> RemoteTrouble:
    return RemoteTrouble(what="It failed.", why="It is a test.", todo="Nothing.", nature=nature)


@pytest.mark.parametrize("has_chosen", [True, False])
@pytest.mark.parametrize(
    ("look", "with_disk", "without"),
    [
        (Look(), "starts", "starts"),
        (Look(holds_any=True), "starts", "refused for good"),
        (Look(trouble=trouble("passing")), "starts", "held"),
        (Look(trouble=trouble("lasting")), "starts", "refused for good"),
        (Look(trouble=trouble("foreign")), "refused for good", "refused for good"),
    ],
)
def test_whether_it_starts_once_the_remote_was_looked_at(
    look: Look, with_disk: str, without: str, has_chosen: bool
) -> None:
    """Unknown is not absent: without a word from the remote nothing begins at step 0."""
    refused = judge_look(look, has_chosen=has_chosen)
    found = "starts" if refused is None else "refused for good" if refused.permanent else "held"
    assert found == (with_disk if has_chosen else without)
    assert refused is None or found != "held" or refused.cause is Cause.REMOTE
