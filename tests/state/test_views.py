"""What is shown of a job: its ledger, and what counts as a restart."""

from __future__ import annotations

from perdured.core.ledger import PARTS
from perdured.core.record import Running
from perdured.views import Place, describe_job
from perdured.wire import Attempt, Job, Ledger
from support.jobs import NOW, PHASES, held, make_attempt, make_record, observed

PLACE = Place(workdir="/data/run", checkpoint_dir="/data/run/checkpoints", log=None, remote=None)


def test_the_ledger_is_shown_with_its_whole_and_the_share_of_it_that_was_useful() -> None:
    record = make_record(submitted_at=NOW - 50).with_attempt(make_attempt(started_at=NOW - 40, launched_at=NOW - 50))
    shown = describe_job(record, observed(held()), PLACE, NOW)
    assert shown.ledger.model_dump() == dict.fromkeys(PARTS, 0.0) | {"whole": 50.0, "starting": 10.0, "useful": 40.0}
    assert shown.goodput == 0.8


def test_a_job_that_never_ran_has_no_goodput_but_a_ledger() -> None:
    shown = describe_job(make_record(PHASES["queued"], attempts=0), observed(), PLACE, NOW)
    assert (shown.goodput, shown.ledger.queued, shown.ledger.whole) == (None, 100.0, 100.0)


def test_only_attempts_that_ran_count_as_restarts() -> None:
    record = make_record(Running(attempt=3))
    record = record.with_attempt(make_attempt(2, is_under_way=False, started_at=None)).with_attempt(make_attempt(3))
    assert describe_job(record, observed(held(3)), PLACE, NOW + 100).restarts == 1
    assert describe_job(make_record(PHASES["queued"], attempts=0), observed(), PLACE, NOW).restarts == 0


def test_the_step_is_the_one_reported_or_else_the_one_saved() -> None:
    record = make_record(progress=100)
    reported = observed(held(), saved=100).model_copy(update={"step": 120, "loss": 0.5, "total": 500})
    shown = describe_job(record, reported, PLACE, NOW)
    assert (shown.step, shown.loss, shown.total) == (120, 0.5, 500)
    assert describe_job(record, observed(held()), PLACE, NOW).step == 100
    assert describe_job(record, reported.model_copy(update={"step": 0}), PLACE, NOW).step == 0


def test_what_was_reported_last_is_shown_when_nobody_reports_any_more() -> None:
    """After a restart of the daemon, or of a job that was done already."""
    record = make_record(PHASES["succeeded"], progress=80, loss=0.25, total=80)
    shown = describe_job(record, observed(saved=80), PLACE, NOW)
    assert (shown.step, shown.total, shown.loss) == (80, 80, 0.25)


def test_the_loss_of_an_earlier_attempt_is_not_shown_beside_a_step_of_this_one() -> None:
    record = make_record(progress=80, loss=0.25, total=80)
    silent = observed(held()).model_copy(update={"step": 90})
    shown = describe_job(record, silent, PLACE, NOW)
    assert (shown.step, shown.total, shown.loss) == (90, None, None)


def test_times_are_utc_and_unknown_is_null() -> None:
    record = make_record(submitted_at=0.0).with_attempt(make_attempt(started_at=1.5))
    shown = describe_job(record, observed(held(), saved=7), PLACE, NOW).model_dump()
    assert shown["submitted_at"] == "1970-01-01T00:00:00.000Z"
    assert shown["attempts"][0]["started_at"] == "1970-01-01T00:00:01.500Z"
    assert (shown["ended_at"], shown["exit_status"], shown["log"]) == (None, None, None)
    assert shown["checkpoint"]["step"] == 7


def test_a_job_has_the_keys_that_are_promised() -> None:
    """The page's, at least; and all that the clients' types know, no more."""
    shown = describe_job(make_record(), observed(held(), saved=7), PLACE, NOW).model_dump()
    page = {"schema", "id", "name", "state", "reason", "step", "restarts", "attempts", "checkpoint", "goodput"}
    assert page <= set(shown) == set(Job.__annotations__)
    assert shown["schema"] == 1
    assert set(shown["attempts"][0]) == {
        *("number", "pid", "started_at", "ended_at", "exit_code", "signal", "cause", "resumed_from_step"),
        *("why", "error", "fingerprint", "sender", "advice", "decision", "step", "traceback", "output", "kernel"),
        "not_saved",
    }
    assert set(shown["attempts"][0]) == set(Attempt.__annotations__)
    assert set(shown["checkpoint"]) == {"step", "path", "committed_at"}
    assert set(shown["ledger"]) == set(Ledger.__annotations__) == {"whole", *PARTS}
