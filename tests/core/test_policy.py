"""When to start again: pure arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.core.policy import backoff_delay, count_idle_ends, has_advanced, wish_on_return
from perdured.core.record import JobRecord, Wish
from perdured.core.spec import Backoff
from support.jobs import PHASES, make_attempt, make_record

delays = st.floats(min_value=0.001, max_value=1e9)
backoffs = st.tuples(delays, delays).map(lambda pair: Backoff(first=min(pair), longest=max(pair)))
counts = st.integers(1, 2000)
ids = st.text(min_size=1, max_size=8)


@given(backoffs, counts, ids)
def test_a_delay_is_the_doubled_one_or_up_to_half_less(backoff: Backoff, failures: int, job: str) -> None:
    full = min(backoff.first * 2.0 ** min(failures - 1, 1000), backoff.longest)
    assert full / 2 <= backoff_delay(backoff, failures, job) <= full * (1 + 1e-12)


@given(backoffs, counts, ids)
def test_a_delay_is_a_pure_function(backoff: Backoff, failures: int, job: str) -> None:
    assert backoff_delay(backoff, failures, job) == backoff_delay(backoff, failures, job)


def test_jobs_that_fell_together_do_not_rise_together() -> None:
    delays = {round(backoff_delay(Backoff(first=8.0, longest=300.0), 3, f"job{n}"), 1) for n in range(100)}
    assert len(delays) > 50
    assert max(delays) - min(delays) > 12.0, "they spread over nearly all of the half that jitter may take"


def test_without_a_failure_there_is_no_delay() -> None:
    assert backoff_delay(Backoff(first=8.0, longest=300.0), 0, "job") == 0.0


@pytest.mark.parametrize(
    ("progress", "resumed_from", "newest", "advanced"),
    [
        (None, None, None, False),
        (None, None, 0, True),
        (None, None, 100, True),
        (100, None, 100, False),
        (100, None, 101, True),
        (100, None, None, False),
        (100, 100, 99, False),
        (None, 100, 100, False),
        (None, 100, 200, True),
        (200, 100, 150, False),
        (100, 200, 150, False),
    ],
)
def test_progress_is_a_checkpoint_newer_than_all_before(
    progress: int | None, resumed_from: int | None, newest: int | None, advanced: bool
) -> None:
    record = make_record(progress=progress, attempts=1).with_attempt(make_attempt(resumed_from_step=resumed_from))
    assert has_advanced(record, newest) is advanced


def test_an_attempt_that_never_ran_made_no_progress() -> None:
    """What lies in the directory, of an earlier job perhaps, is not its own."""
    assert not has_advanced(make_record().with_attempt(make_attempt(pid=None)), 100)
    assert not has_advanced(make_record().but(attempts=()), 100)


def _with_ends(*kept_until: float | None) -> JobRecord:
    attempts = (make_attempt(n, kept_until=kept) for n, kept in enumerate(kept_until, start=1))
    return make_record().but(attempts=tuple(attempts))


@pytest.mark.parametrize(
    ("kept_until", "count"),
    [((), 0), ((None,), 1), ((5.0,), 0), ((None, 5.0, None, None), 2), ((None, None, 5.0), 0)],
)
def test_idle_ends_are_counted_back_to_the_last_progress(kept_until: tuple[float | None, ...], count: int) -> None:
    assert count_idle_ends(_with_ends(*kept_until)) == count


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("wish", ["run", "stop", "park", "restart", "remove"])
def test_when_the_machine_is_back_only_what_was_parked_or_about_to_be_is_changed(phase: str, wish: Wish) -> None:
    wished = wish_on_return(make_record(PHASES[phase], wish=wish))
    if phase == "parked" and wish in ("run", "park"):
        assert wished == "restart"
    else:
        assert wished == ("run" if wish == "park" else wish)
