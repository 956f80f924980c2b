"""The lease of a job: what a host writes next, when it holds, and what it says."""

from __future__ import annotations

import pytest

from perdured.core.lease import (
    MARGIN,
    Aim,
    Entry,
    Hold,
    Host,
    Lease,
    Move,
    Round,
    Seen,
    Stand,
    State,
    Watch,
    decide_move,
    is_valid,
    note_begun,
    note_round,
    say_obstacle,
)

LASTS = 60.0
NOW = 1000.0
ME, OTHER = Host(id="a", boot="1", name="host-a"), Host(id="b", boot="1", name="host-b")
MINE = Lease(host=ME, state="held", lasts=LASTS, nonce="new")


def entry(token: int = 1, host: Host = OTHER, state: State = "held", nonce: str = "x", first: int = 1) -> Entry:
    return Entry(token, Lease(host=host, state=state, lasts=LASTS, nonce=nonce, first=first, why="parked at step 7"))


def seen(newest: Entry | None, since: float = NOW, hold: Hold | None = None) -> Stand:
    return Stand(Seen(newest), Watch(newest, since) if newest is not None else None, hold)


def holding(until: float = NOW + 30) -> Stand:
    own = entry(host=ME)
    return seen(own, hold=Hold(own, until, has_entered=True))


def move(stand: Stand, aim: Aim = "hold") -> Move | None:
    return decide_move(stand, aim, MINE, NOW)


def test_the_first_host_takes_token_1() -> None:
    made = move(Stand())
    assert made == Move(Entry(1, MINE), is_claim=True)
    stand = note_round(Stand(), made, Round(NOW, NOW + 1, Seen(Entry(1, MINE)), has_claimed=True), ME)
    assert is_valid(stand, NOW + LASTS - 0.1)
    assert not is_valid(stand, NOW + LASTS)


def test_a_lease_is_renewed_by_other_bytes_under_its_token() -> None:
    made = move(holding())
    assert made is not None
    assert (made.entry.token, made.is_claim, made.entry.lease.nonce) == (1, False, "new")
    stand = note_round(holding(), made, Round(NOW, NOW + 9, Seen(made.entry)), ME)
    assert stand.hold is not None
    assert stand.hold.until == NOW + LASTS, "it counts from before the request"


def test_a_renewal_does_not_count_where_another_has_the_next_token() -> None:
    stand = note_round(holding(), move(holding()), Round(NOW, NOW + 1, Seen(entry(2), entry(1, ME))), ME)
    assert stand.hold is None
    assert not is_valid(stand, NOW + 2)


@pytest.mark.parametrize(
    ("newest", "since", "claims"),
    [
        (entry(), NOW - LASTS * MARGIN, True),
        (entry(), NOW - LASTS * MARGIN + 0.1, False),
        (entry(state="claimed"), NOW - LASTS * MARGIN + 0.1, False),
        (entry(state="free"), NOW, True),
        (entry(state="over"), NOW, True),
        (entry(host=ME), NOW, True),
        (entry(host=ME, state="claimed"), NOW, False),
        (entry(host=Host(id="a", boot="0")), NOW, False),
    ],
)
def test_the_next_token_is_claimed_only_after_a_lease_that_nobody_believes_in(
    newest: Entry, since: float, claims: bool
) -> None:
    """The same state directory in another boot may be a copy: it is another host."""
    made = move(seen(newest, since))
    assert (made is not None) == claims
    assert made is None or (made.is_claim and made.entry.token == 2)


def test_a_lease_that_was_watched_counts_only_if_it_is_still_the_same() -> None:
    stand = note_round(seen(entry(), NOW - 500), None, Round(NOW - 1, NOW - 1, Seen(entry(nonce="y"))), ME)
    assert move(stand) is None


def test_who_claims_from_one_that_lives_waits_until_that_one_has_run_out() -> None:
    watched = seen(entry(), NOW - 500)
    made = move(watched)
    assert made is not None
    assert made.entry.lease.state == "claimed"
    alive = Round(NOW, NOW + 1, Seen(made.entry, entry(nonce="y")), has_claimed=True)
    stand = note_round(watched, made, alive, ME)
    assert not is_valid(stand, NOW + 1)
    assert "host-b" in (say_obstacle(stand, ME, NOW + 1) or "")
    again = note_round(stand, None, alive._replace(ended=NOW + 1 + LASTS * MARGIN, has_claimed=False), ME)
    assert again.hold is not None
    assert again.hold.has_entered


def test_what_was_claimed_and_not_entered_cannot_be_given_back() -> None:
    """A third host would enter at once, while the one before may live."""
    assert move(seen(entry(host=ME, state="claimed")), "free") is None
    assert move(seen(entry(host=ME)), "free") is not None


def test_who_lets_go_has_let_go_before_the_write_is_sent() -> None:
    """Whatever becomes of its answer."""
    made = move(holding(), "free")
    assert made is not None
    assert made.entry.lease.state == "free"
    assert not is_valid(note_begun(holding(), made), NOW)


@pytest.mark.parametrize("aim", ["free", "over", "none", "keep"])
def test_nothing_is_written_over_the_lease_of_another(aim: Aim) -> None:
    assert move(seen(entry(state="free")), aim) is None
    assert move(seen(entry()), aim) is None


def test_what_is_kept_is_renewed_and_never_claimed() -> None:
    assert move(holding(), "keep") is not None
    assert move(seen(entry(host=ME)), "keep") is None


def test_the_row_of_a_host_goes_on_over_its_own_leases_and_begins_anew_after_anothers() -> None:
    own = move(seen(entry(5, ME, first=3)))
    after = move(seen(entry(5, state="free", first=3)))
    assert own is not None
    assert after is not None
    assert (own.entry.lease.first, after.entry.lease.first) == (3, 6)


@pytest.mark.parametrize(
    ("newest", "says"),
    [
        (None, "not taken yet"),
        (entry(2), "host-b holds lease 2: the job goes on there"),
        (entry(2, state="free"), "host-b gave lease 2 back: parked at step 7"),
        (entry(2, state="over"), "the job is over: parked at step 7 on host-b"),
        (entry(2, ME), "has run out"),
        (entry(2, Host(id="a", boot="0", name="host-a")), "before it was started anew"),
    ],
)
def test_why_a_job_may_not_run_here_is_said(newest: Entry | None, says: str) -> None:
    assert says in (say_obstacle(seen(newest), ME, NOW) or "")


def test_there_is_nothing_to_say_of_a_lease_that_holds() -> None:
    assert say_obstacle(holding(), ME, NOW) is None
