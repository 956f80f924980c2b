"""A registry made anew from the job directories: each job goes on from where the disk says it is."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdured.contract.pacing import History, Pace
from perdured.core.decide import decide
from perdured.core.observation import Observation
from perdured.core.pacing import count_history
from perdured.core.record import JobRecord, Queued, Starting
from perdured.processes import observe_attempt
from perdured.state.paths import StateDir
from perdured.state.rebuild import rebuild_registry
from perdured.state.registry import Registry
from perdured.state.submission import Submission
from support.disk_jobs import make_submission, save_exit, save_run, save_submission, save_want
from support.jobs import NOW


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "state")
    state.jobs.mkdir(parents=True)
    return state


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = Registry(tmp_path / "registry.sqlite")
    yield registry
    registry.close()


def rebuilt(state: StateDir, registry: Registry) -> tuple[Submission, JobRecord]:
    """Of the only job there is."""
    assert rebuild_registry(registry, state, NOW) == 1
    (job,) = registry.load_jobs()
    return job


def next_of(record: JobRecord, state: StateDir) -> JobRecord:
    """What is decided next, from what the disk shows."""
    last = record.last_attempt
    seen = observe_attempt(state.attempt(record.id, last.number)) if last else Observation().attempt
    return decide(make_submission(state.root).spec, record, Observation(attempt=seen), NOW).record


def test_what_was_submitted_is_found_as_it_was(state: StateDir, registry: Registry, tmp_path: Path) -> None:
    text = 'name = "gpt"\n[checkpoint]\nevery = "500 steps"\n[stop]\ngrace = "90s"\n[restart]\nbackoff = "2s..1h"'
    submission = make_submission(tmp_path, text, {"PATH": "/bin", "ODD": "not UTF-8: \udcff", "LINE": "a\nb"})
    save_submission(state, "job", submission)
    found, record = rebuilt(state, registry)
    assert found == submission
    assert (record.id, record.name, record.submitted_at, record.phase) == ("job", "gpt", NOW, Queued())
    assert [stored.event.text for stored in registry.load_events(0, "job")] == ["found again on the disk"]


def test_only_the_owner_may_read_what_was_submitted(state: StateDir, tmp_path: Path) -> None:
    save_submission(state, "job", make_submission(tmp_path, env={"AWS_SECRET_ACCESS_KEY": "x"}))
    assert state.submission("job").stat().st_mode & 0o777 == 0o600
    assert state.job("job").stat().st_mode & 0o777 == 0o700


def _attempt(state: StateDir, tmp_path: Path, number: int = 1) -> Path:
    if not state.submission("job").exists():
        save_submission(state, "job", make_submission(tmp_path))
    return save_want(state, "job", number)


def test_an_attempt_that_never_ran_is_started_under_its_number(
    state: StateDir, registry: Registry, tmp_path: Path
) -> None:
    """And costs nothing of the budget: the daemon had died before it could start it."""
    _attempt(state, tmp_path)
    _, record = rebuilt(state, registry)
    after = next_of(record, state)
    assert after.phase == Starting(attempt=1, launches=2)
    assert after.failures == 0


def test_what_the_job_has_been_through_is_found_again_and_so_is_what_its_saves_cost(
    state: StateDir, registry: Registry, tmp_path: Path
) -> None:
    """The interval `auto` is chosen by it."""
    pace = Pace(save_every=200.0, copy=0.1, write=1.3)
    for number in (1, 2):
        directory = _attempt(state, tmp_path, number)
        save_run(directory)
        save_exit(directory, exit_code=1, pace=pace if number == 1 else None)
    _, record = rebuilt(state, registry)
    assert record.pace == pace
    assert count_history(next_of(record, state)) == History(run_seconds=96.0, failures=2)


@pytest.mark.parametrize(
    ("exit", "phase"),
    [
        ({"exit_code": 0}, "succeeded"),
        ({"exit_code": 78}, "failed"),
        ({"exit_code": 1}, "waiting"),
        ({"exit_code": 75}, "waiting"),
        ({"reason": "not_started", "exit_code": None, "error": "no such command"}, "failed"),
        ({"exit_code": 75, "stop_reason": "stop"}, "stopped"),
        ({"exit_code": 0, "stop_reason": "stop"}, "stopped"),
        ({"exit_code": 75, "stop_reason": "preempted"}, "waiting"),
        ({"exit_code": 75, "stop_reason": "restart"}, "waiting"),
    ],
)
def test_an_attempt_that_ended_is_judged(
    state: StateDir, registry: Registry, tmp_path: Path, exit: dict[str, Any], phase: str
) -> None:
    directory = _attempt(state, tmp_path)
    save_run(directory)
    save_exit(directory, **exit)
    _, record = rebuilt(state, registry)
    after = next_of(record, state)
    assert after.phase.kind == phase
    assert after.attempts[0].exit_code == exit["exit_code"]
    assert after.attempts[0].started_at == NOW - 50


def test_an_attempt_of_before_a_reboot_is_started_again(state: StateDir, registry: Registry, tmp_path: Path) -> None:
    save_run(_attempt(state, tmp_path), boot_id="an earlier one")
    _, record = rebuilt(state, registry)
    after = next_of(record, state)
    assert (after.phase.kind, after.attempts[0].why, after.failures) == ("waiting", "the machine was restarted", 0)


def test_an_attempt_whose_end_nobody_saw_is_cleared_away_before_anything_else(
    state: StateDir, registry: Registry, tmp_path: Path
) -> None:
    save_run(_attempt(state, tmp_path))
    _, record = rebuilt(state, registry)
    assert next_of(record, state).phase.kind == "starting"
    assert "clearing" in next_of(record, state).reason


def test_earlier_attempts_are_shown_with_their_ends(state: StateDir, registry: Registry, tmp_path: Path) -> None:
    """And in the order of their numbers, the tenth after the ninth."""
    for number in range(1, 12):
        directory = _attempt(state, tmp_path, number)
        save_run(directory, boot_id="an earlier one" if number == 2 else None)
        if number != 2:
            save_exit(directory, exit_code=number)
    _, record = rebuilt(state, registry)
    assert [attempt.number for attempt in record.attempts] == list(range(1, 12))
    assert record.phase == Starting(attempt=11)
    first, second = record.attempts[:2]
    assert (first.exit_code, first.why, first.started_at, first.ended_at) == (1, "exit code 1", NOW - 50, NOW - 2)
    assert (second.exit_code, second.why) == (None, "the machine was restarted")
    assert next_of(record, state).attempts[-1].exit_code == 11


def test_a_record_of_an_attempt_that_is_garbled_is_left_alone(
    state: StateDir, registry: Registry, tmp_path: Path
) -> None:
    """Unknown is not dead: nothing is started beside what may live."""
    directory = _attempt(state, tmp_path)
    (directory / "run.json").write_text("{")
    _, record = rebuilt(state, registry)
    after = next_of(record, state)
    assert after.phase == Starting(attempt=1)
    assert "cannot be observed" in after.reason


BAD = {
    "garbage": b"{",
    "a list": b"[]",
    "no spec": b'{"env": {}, "workdir": "/"}',
    "a wrong spec": b'{"spec": {"command": 3}, "env": {}, "workdir": "/"}',
    "a wrong environment": b'{"spec": {"command": ["x"]}, "env": 3, "workdir": "/"}',
    "a wrong time": b'{"spec": {"command": ["x"]}, "env": {}, "workdir": "/", "submitted_at": "noon"}',
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_one_job_that_cannot_be_read_is_named_and_left_and_the_others_are_found(
    state: StateDir, registry: Registry, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    save_submission(state, "good", make_submission(tmp_path))
    state.job("bad").mkdir()
    state.submission("bad").write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert rebuild_registry(registry, state, NOW) == 1
    assert "bad" in caplog.text
    assert state.submission("bad").read_bytes() == content
    assert [record.id for _, record in registry.load_jobs()] == ["good"]


def test_strange_things_among_the_attempts_are_passed_over(state: StateDir, registry: Registry, tmp_path: Path) -> None:
    _attempt(state, tmp_path)
    for name in ("x", "-1", "1.tmp", "²"):
        (state.job("job") / "attempts" / name).mkdir()
    _, record = rebuilt(state, registry)
    assert [attempt.number for attempt in record.attempts] == [1]


def test_what_a_newer_version_adds_to_a_submission_is_passed_over(
    state: StateDir, registry: Registry, tmp_path: Path
) -> None:
    save_submission(state, "job", make_submission(tmp_path))
    content = json.loads(state.submission("job").read_bytes())
    state.submission("job").write_text(json.dumps(content | {"colour": "blue"}))
    assert rebuild_registry(registry, state, NOW) == 1
