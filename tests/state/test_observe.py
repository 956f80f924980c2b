"""What the daemon takes for the state of a job: its own knowledge first, then the keeper's word, then the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from perdured.core.observation import Absent, CheckpointSeen, Ended, Held, Lost, Refused, Unverifiable
from perdured.processes import KeeperLink, KeeperStatus, observe_resume
from perdured.state.paths import StateDir
from perdured.supervise.job import Job
from perdured.supervise.observe import observe, observe_newest_checkpoint
from support.disk_jobs import make_job, save_exit, save_run, save_want
from support.jobs import NOW, PHASES, make_record
from support.stores import commit

STATUS = KeeperStatus(
    leader_pid=77,
    started_at=NOW,
    step=12,
    loss=0.5,
    total=100,
    checkpoint_step=None,
    checkpoint_path=None,
    saving=False,
    stop_reason="stop",
    exit=None,
)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make_job(tmp_path, record=make_record(id="job"))


def test_a_job_that_outlived_its_keeper_is_at_least_where_its_newest_checkpoint_is(state: StateDir, job: Job) -> None:
    """The keeper's last word is old by then; the loss at the checkpoint is nobody's to know."""
    job.status, job.newest = STATUS, CheckpointSeen(step=80, path="/c/80", committed_at=NOW)
    seen = observe(job, state)
    assert (seen.step, seen.loss, seen.total) == (80, None, 100)
    job.link = cast(KeeperLink, object())
    assert observe(job, state).step == 12, "its keeper knows better"
    job.link, job.newest = None, CheckpointSeen(step=7, path="/c/7", committed_at=NOW)
    assert (observe(job, state).step, observe(job, state).loss) == (12, 0.5)


def test_a_job_that_never_told_its_step_is_where_its_newer_checkpoint_is(state: StateDir, job: Job) -> None:
    job.status, job.record = replace(STATUS, step=None, loss=None), job.record.but(progress=80)
    job.newest = CheckpointSeen(step=80, path="/c/80", committed_at=NOW)
    assert observe(job, state).step is None, "what it resumed from is in the record already"
    job.newest = CheckpointSeen(step=120, path="/c/120", committed_at=NOW)
    assert observe(job, state).step == 120


def test_a_job_without_an_attempt_under_way_is_not_looked_for(state: StateDir, tmp_path: Path) -> None:
    save_exit(save_want(state, "job", 1))
    job = make_job(tmp_path, record=make_record(PHASES["waiting"], id="job"))
    assert observe(job, state).attempt == Absent()


def test_the_disk_is_read_where_no_keeper_speaks(state: StateDir, job: Job) -> None:
    directory = save_want(state, "job", 1, PERDURE_RESUME_STEP="300")
    save_run(directory)
    save_exit(directory, exit_code=3)
    seen = observe(job, state)
    assert isinstance(seen.attempt, Ended)
    assert seen.attempt.exit.exit_code == 3
    assert seen.attempt.is_clean
    assert seen.resumed_from_step == 300


def test_an_end_that_its_keeper_did_not_see_through_is_clean_once_we_have_cleaned(state: StateDir, job: Job) -> None:
    directory = save_want(state, "job", 1)
    save_run(directory)
    save_exit(directory, exit_code=1, usage=None)
    seen = observe(job, state).attempt
    assert isinstance(seen, Ended)
    assert not seen.is_clean
    job.cleaned = 1
    seen = observe(job, state).attempt
    assert isinstance(seen, Ended)
    assert seen.is_clean


def test_what_we_cleaned_of_an_earlier_attempt_says_nothing_of_this_one(state: StateDir, tmp_path: Path) -> None:
    job = make_job(tmp_path, record=make_record(PHASES["running"].model_copy(update={"attempt": 2}), id="job"))
    save_run(save_want(state, "job", 2))
    job.cleaned = 1
    seen = observe(job, state).attempt
    assert isinstance(seen, Lost)
    assert not seen.is_clean


def test_an_end_of_before_a_reboot_is_clean(state: StateDir, job: Job) -> None:
    directory = save_want(state, "job", 1)
    save_run(directory, boot_id="an earlier one")
    save_exit(directory, exit_code=1, usage=None)
    seen = observe(job, state).attempt
    assert isinstance(seen, Ended)
    assert seen.is_clean


def test_the_keepers_word_is_taken_over_the_disk(state: StateDir, job: Job) -> None:
    save_exit(save_want(state, "job", 1))
    job.link, job.status = cast(KeeperLink, object()), STATUS
    seen = observe(job, state)
    assert seen.attempt == Held(pid=77, started_at=NOW, stop_reason="stop")
    assert (seen.step, seen.loss, seen.total) == (12, 0.5, 100)


def test_the_keepers_last_word_is_remembered_after_it_has_gone(state: StateDir, job: Job) -> None:
    save_exit(save_want(state, "job", 1))
    job.status = STATUS
    seen = observe(job, state)
    assert isinstance(seen.attempt, Ended)
    assert seen.step == 12


def test_one_who_is_not_believed_makes_the_attempt_unverifiable_and_never_dead(state: StateDir, job: Job) -> None:
    save_exit(save_want(state, "job", 1))
    job.distrust = "another process answers"
    assert observe(job, state).attempt == Unverifiable(why="another process answers")


def test_unfit_ground_is_what_is_seen_of_an_attempt_that_it_kept_from_starting(state: StateDir, job: Job) -> None:
    job.refused = Refused(why="the disk is full", permanent=False)
    assert observe(job, state).attempt == job.refused


@pytest.mark.parametrize(("value", "step"), [("300", 300), ("0", 0), ("x", None), ("-1", None), (None, None)])
def test_the_step_to_resume_from_is_read_off_what_the_attempt_was_told(
    state: StateDir, value: str | None, step: int | None
) -> None:
    env = {} if value is None else {"PERDURE_RESUME_STEP": value}
    assert observe_resume(save_want(state, "job", 1, **env)).step == step


def test_an_attempt_without_readable_orders_resumed_from_nothing_known(state: StateDir) -> None:
    assert observe_resume(state.attempt("job", 1)) == (None, None)
    directory = save_want(state, "job", 1)
    (directory / "want.json").write_text("{")
    assert observe_resume(directory) == (None, None)


# Checkpoints ----------------------------------------------------------------------------------------------------------


def test_the_newest_checkpoint_is_the_newest_that_could_be_resumed_from(tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    assert observe_newest_checkpoint(root) is None
    good = commit(root, 100)
    commit(root, 300, healthy=False)
    torn = commit(root, 200)
    (torn.path / "a.bin").write_bytes(b"")
    seen = observe_newest_checkpoint(root)
    assert seen is not None
    assert (seen.step, seen.path) == (100, str(good.path))
    assert observe_newest_checkpoint(root, [str(good.path)]) is None, "what is stepped over is not resumed from"
