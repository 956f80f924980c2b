"""Whose turn it is to be copied up, and how long a copy that failed waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perdured.core.tiers import Held, RemoteTrouble
from perdured.core.uploads import (
    Upload,
    decide_turn,
    is_hopeless,
    note_behind,
    note_failure,
    note_success,
    note_turn,
)

NOW = 1000.0
BEHIND = Held(10, 1, "run")
TROUBLE = RemoteTrouble(what="It failed.", why="It is a test.", todo="Nothing.")
uploads = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(
        Upload,
        st.sampled_from([None, BEHIND]),
        st.booleans(),
        st.floats(0, 2 * NOW),
        st.integers(0, 5),
        st.floats(0, 2 * NOW),
    ),
)


@given(uploads)
def test_a_turn_goes_to_one_that_lacks_something_and_does_not_wait(known: dict[str, Upload]) -> None:
    """If there is one; and else it is known when there will be."""
    turn = decide_turn(known, NOW)
    waiting = {job: upload for job, upload in known.items() if upload.behind is not None}
    ready = {job for job, upload in waiting.items() if upload.retry_at <= NOW}
    assert turn.job in ready if ready else turn.job is None
    if not ready:
        assert turn.wake_at == min((upload.retry_at for upload in waiting.values()), default=None)


def test_a_job_that_parts_comes_first_and_then_who_waited_longest() -> None:
    """A machine that is taken away does not wait for the others."""
    known = {"a": Upload(BEHIND, had_turn_at=2.0), "b": Upload(BEHIND, had_turn_at=1.0)}
    assert decide_turn(known, NOW).job == "b"
    assert decide_turn(known | {"c": Upload(BEHIND, is_parting=True, had_turn_at=3.0)}, NOW).job == "c"


def test_every_job_has_its_turn() -> None:
    """However fast the others save."""
    known = {job: Upload(BEHIND) for job in "abc"}
    served = []
    for time in range(6):
        job = decide_turn(known, NOW + time).job
        assert job is not None
        known[job] = note_turn(known[job], NOW + time)
        served.append(job)
    assert served[:3] == served[3:]
    assert sorted(served[:3]) == ["a", "b", "c"]


def test_a_failure_waits_longer_each_time_and_a_success_forgets_it() -> None:
    """And the trouble is kept, to be shown."""
    upload, waits = Upload(BEHIND), []
    for _ in range(4):
        upload = note_failure(upload, "job", TROUBLE, NOW)
        waits.append(upload.retry_at - NOW)
    assert waits == sorted(waits)
    assert waits[-1] >= 4
    assert upload.trouble == TROUBLE
    assert note_success(upload) == Upload(BEHIND)


def test_one_that_is_about_to_part_does_not_wait_for_its_next_try() -> None:
    """It may be the last chance. It is tried at once, once; not again and again."""
    upload = note_failure(Upload(BEHIND), "job", TROUBLE, NOW)
    parting = note_behind(upload, BEHIND, is_parting=True)
    assert parting.retry_at == 0.0
    again = note_failure(parting, "job", TROUBLE, NOW)
    assert note_behind(again, BEHIND, is_parting=True).retry_at > NOW


def test_it_is_no_use_to_wait_for_what_fails_again_and_again_or_does_not_pass() -> None:
    """Such as a bucket that does not exist."""
    passing, lasting = TROUBLE, TROUBLE.model_copy(update={"nature": "lasting"})
    assert not is_hopeless(Upload(BEHIND, failures=2, trouble=passing), 3)
    assert is_hopeless(Upload(BEHIND, failures=3, trouble=passing), 3)
    assert is_hopeless(Upload(BEHIND, failures=1, trouble=lasting), 3)
    assert not is_hopeless(Upload(BEHIND), 3)
