"""The record: what is kept of a job, and the exit status that follows from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdured.core.record import PHASES as PHASE_TYPES
from perdured.core.record import RESTING, UNDER_WAY, JobRecord, Wish, exit_status
from support.jobs import NOW, PHASES, make_attempt, make_record

OWN = [
    pytest.param({"exit_code": 3}, 3, id="its exit code"),
    pytest.param({"exit_code": None, "signal": 9}, 137, id="128 + its signal"),
    pytest.param({"exit_code": 78}, 78, id="78"),
]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_a_record_survives_being_stored(phase: str, attempts: int) -> None:
    record = make_record(PHASES[phase], attempts=attempts, progress=7, failures=2)
    assert JobRecord.model_validate_json(record.model_dump_json()) == record


def test_a_record_of_a_newer_version_is_read_without_what_is_not_known() -> None:
    stored = json.loads(make_record().model_dump_json())
    stored["colour"] = stored["phase"]["colour"] = stored["attempts"][0]["colour"] = "blue"
    assert JobRecord.model_validate(stored) == make_record()


def test_every_phase_is_named_and_either_rests_or_is_under_way_or_waits() -> None:
    kinds = {phase.model_fields["kind"].default for phase in PHASE_TYPES}
    assert kinds == set(PHASES) == {*RESTING, *UNDER_WAY, "queued", "waiting"}
    assert not set(RESTING) & set(UNDER_WAY)


def test_an_attempt_is_replaced_by_its_number_or_added_in_order() -> None:
    record = make_record(attempts=3)
    assert record.with_attempt(make_attempt(2, step=7)).attempts[1].step == 7
    assert [a.number for a in record.but(attempts=()).with_attempt(make_attempt(4)).attempts] == [4]
    assert [a.number for a in record.with_attempt(make_attempt(4)).attempts] == [1, 2, 3, 4]


@pytest.mark.parametrize("wish", ["run", "stop", "park", "restart"])
def test_coming_to_rest_fulfils_every_wish(wish: Wish) -> None:
    rested = make_record(wish=wish).at_rest(PHASES["stopped"], "stopped", NOW)
    assert (rested.wish, rested.is_resting, rested.ended_at, rested.reason) == ("run", True, NOW, "stopped")


def test_coming_to_rest_does_not_forget_that_it_is_to_be_removed() -> None:
    assert make_record(wish="remove").at_rest(PHASES["failed"], "failed", NOW).wish == "remove"


# Exit status ----------------------------------------------------------------------------------------------------------


def _rest(phase: str, *, progress: int | None = None, wish: Wish = "run", **attempt: Any) -> JobRecord:
    record = make_record(PHASES[phase], progress=progress, wish=wish)
    return record.with_attempt(make_attempt(1, is_under_way=False, **attempt))


@pytest.mark.parametrize("phase", ["queued", "starting", "running", "saving", "waiting"])
def test_without_rest_there_is_no_exit_status(phase: str) -> None:
    assert exit_status(make_record(PHASES[phase])) is None


@pytest.mark.parametrize("phase", RESTING)
@pytest.mark.parametrize("wish", ["restart", "remove"])
def test_a_job_that_rests_but_is_asked_for_more_has_none_either(phase: str, wish: Wish) -> None:
    assert exit_status(_rest(phase, wish=wish)) is None


def test_success_is_0() -> None:
    assert exit_status(_rest("succeeded", exit_code=0)) == 0


@pytest.mark.parametrize(("attempt", "status"), OWN)
def test_a_failed_job_ends_as_its_command_did(attempt: dict[str, Any], status: int) -> None:
    assert exit_status(_rest("failed", progress=5, **attempt)) == status


def test_a_failure_without_an_exit_of_the_command_is_our_own() -> None:
    assert exit_status(_rest("failed", exit_code=None)) == 125
    assert exit_status(make_record(PHASES["failed"]).but(attempts=())) == 125


@pytest.mark.parametrize("phase", ["stopped", "parked"])
@pytest.mark.parametrize("attempt", [{"exit_code": 75}, {"exit_code": 0}, {"exit_code": None, "signal": 9}, {}])
def test_stopped_with_a_committed_checkpoint_is_75(phase: str, attempt: dict[str, Any]) -> None:
    assert exit_status(_rest(phase, progress=0, **attempt)) == 75


@pytest.mark.parametrize("phase", ["stopped", "parked"])
@pytest.mark.parametrize(("attempt", "status"), OWN)
def test_stopped_without_one_it_ends_as_its_command_did(phase: str, attempt: dict[str, Any], status: int) -> None:
    assert exit_status(_rest(phase, **attempt)) == status


@pytest.mark.parametrize("phase", ["stopped", "parked"])
def test_stopped_with_nothing_saved_is_never_0(phase: str) -> None:
    """A program that exits with 0 on SIGTERM has not finished; what comes after it in a script must not run."""
    assert exit_status(_rest(phase, exit_code=0)) == 143
    assert exit_status(_rest(phase, exit_code=None)) == 143
    assert exit_status(make_record(PHASES[phase]).but(attempts=())) == 143
