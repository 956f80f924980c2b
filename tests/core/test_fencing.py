"""Which commits of a remote count: never one that came late from a host that had lost its lease."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perdured.core.fencing import list_counting


def test_a_late_commit_of_an_older_token_never_counts_whatever_its_step() -> None:
    commits = {"step-90": 1, "step-200 (late)": 1, "step-100": 2}
    assert list_counting(commits, 2, ["step-90"]) == {"step-90", "step-100"}


def test_a_commit_that_came_before_the_base_counts() -> None:
    assert list_counting({"step-90": 1, "step-95": 1}, 2, ["step-90", "step-95"]) == {"step-90", "step-95"}


def test_a_commit_without_a_token_counts() -> None:
    """It is of a host that has joined no others, or of one from before."""
    assert list_counting({"step-5": None}, 3, []) == {"step-5"}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("commit"), st.integers(0, 3), st.integers(0, 10**6)),
            st.tuples(st.just("take"), st.integers(0, 3), st.just(0)),
        ),
        max_size=60,
    )
)
def test_two_hosts_commits_are_never_both_current(events: list[tuple[str, int, int]]) -> None:
    """Hosts take the lease and commit in any order, also with tokens that they have lost. What counts is always what
    was committed under a lease while it was the newest, or was current when the next one was entered."""
    tokens, commits, valid = dict.fromkeys(range(4), 0), dict[int, int | None](), set[int]()
    base, inherited, newest = 0, set[int](), 0
    for number, (kind, host, _) in enumerate(events):
        if kind == "take":
            newest += 1
            tokens[host] = newest
            inherited, base = list_counting(commits, base, inherited), newest
        elif tokens[host]:
            commits[number] = tokens[host]
            if tokens[host] == newest:
                valid.add(number)
        assert list_counting(commits, base, inherited) == valid
