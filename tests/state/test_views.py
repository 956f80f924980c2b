"""What is shown of a job: the arithmetic of goodput as a table, and what counts as a restart."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from perdured.core.record import AttemptRecord, JobRecord
from perdured.views import Place, describe_job, measure_goodput
from perdured.wire import Attempt, Job
from support.jobs import NOW, PHASES, held, make_attempt, make_record, observed

PLACE = Place(workdir="/data/run", checkpoint_dir="/data/run/checkpoints", log=None, remote=None)


class Ran(NamedTuple):
    """Seconds after the first start: when it started, when it ended, until when its work was kept."""

    start: float | None
    end: float | None = None
    kept: float | None = None


def record_of(phase: str, *attempts: Ran, rested_at: float | None = None) -> JobRecord:
    history = tuple(
        AttemptRecord(number=n, started_at=_at(ran.start), ended_at=_at(ran.end), kept_until=_at(ran.kept))
        for n, ran in enumerate(attempts, start=1)
    )
    return make_record(PHASES[phase]).but(attempts=history, ended_at=_at(rested_at))


def _at(seconds: float | None) -> float | None:
    return NOW + seconds if seconds is not None else None


@pytest.mark.parametrize(
    ("phase", "attempts", "rested_at", "goodput"),
    [
        pytest.param("queued", [], None, None, id="nothing has started"),
        pytest.param("waiting", [Ran(None, 5)], None, None, id="nothing could be started"),
        pytest.param("running", [Ran(0)], None, 1.0, id="what runs counts until now"),
        pytest.param("running", [Ran(50)], None, 1.0, id="the wait in the queue does not count"),
        pytest.param("succeeded", [Ran(0, 80, 60)], 80, 1.0, id="what finished counts whole"),
        pytest.param("waiting", [Ran(0, 50)], None, 0.0, id="what was never saved is lost"),
        pytest.param("waiting", [Ran(0, 50, 25)], None, 0.25, id="what came after the last checkpoint is lost"),
        pytest.param("running", [Ran(0, 50, 40), Ran(60)], None, 0.8, id="downtime and lost work"),
        pytest.param("running", [Ran(0, 50, 60), Ran(60)], None, 0.9, id="a checkpoint dated after the end"),
        pytest.param("running", [Ran(0, 50, -500), Ran(60)], None, 0.4, id="a checkpoint dated before the start"),
        pytest.param("stopped", [Ran(0, 40, 40)], 50, 0.8, id="time at rest does not count"),
        pytest.param("failed", [Ran(0, 10), Ran(20, 30)], 40, 0.0, id="nothing came of it"),
        pytest.param("succeeded", [Ran(0, 40, 20), Ran(60, 80, 80)], 80, 0.5, id="the end of one of two"),
        pytest.param("starting", [Ran(0, 50, 50), Ran(None)], None, 0.5, id="the next has not started"),
        pytest.param("running", [Ran(100)], None, None, id="started this very moment"),
        pytest.param("running", [Ran(200)], None, None, id="started in the future, by a clock that was set back"),
    ],
)  # fmt: skip
def test_goodput_is_useful_time_by_wall_time(
    phase: str, attempts: list[Ran], rested_at: float | None, goodput: float | None
) -> None:
    record = record_of(phase, *attempts, rested_at=rested_at)
    assert measure_goodput(record, NOW + 100) == pytest.approx(goodput)


def test_goodput_is_a_share_whatever_the_clocks_did() -> None:
    for start in (-100.0, 0.0, 100.0, 300.0):
        for end in (-50.0, 0.0, 50.0):
            for kept in (None, -1000.0, 0.0, 1000.0):
                goodput = measure_goodput(record_of("running", Ran(start, end, kept), Ran(20)), NOW + 100)
                assert goodput is None or 0.0 <= goodput <= 1.0


def test_only_attempts_that_ran_count_as_restarts() -> None:
    record = record_of("running", Ran(0, 10), Ran(None, 12), Ran(20))
    assert describe_job(record, observed(held(3)), PLACE, NOW + 100).restarts == 1
    assert describe_job(record_of("queued"), observed(), PLACE, NOW).restarts == 0


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
    }
    assert set(shown["attempts"][0]) == set(Attempt.__annotations__)
    assert set(shown["checkpoint"]) == {"step", "path", "committed_at"}
