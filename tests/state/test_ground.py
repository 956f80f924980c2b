"""What must hold before an attempt starts, where it resumes from, and what it is given."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path

import pytest

from perdured.contract import environment
from perdured.contract.checkpoint.commit import commit_checkpoint
from perdured.contract.checkpoint.layout import COMMIT, QUARANTINE
from perdured.contract.checkpoint.store import list_checkpoints, quarantine
from perdured.contract.holding import find_writer
from perdured.contract.pacing import Costs, History, format_past
from perdured.core.actions import Launch
from perdured.core.ends.cause import Cause
from perdured.core.observation import Refused
from perdured.processes import Belongings
from perdured.supervise import ground
from perdured.supervise.ground import Ground, Prepared, find_fault, prepare_ground, probe_storage
from support.damage import seal
from support.disk_jobs import make_job, make_submission
from support.stores import commit, facts_of, holding

FRESH = "fresh_start = true"


def prepare(
    workdir: Path, text: str = "", attempt: int = 1, reason: str | None = None, env: dict[str, str] | None = None
) -> Prepared:
    launch = Launch(attempt=attempt, restart_reason=reason, is_first=attempt == 1)
    return prepare_ground(make_job(workdir, text, env=env), launch)


def ground_of(prepared: Prepared) -> Ground:
    assert isinstance(prepared.result, Ground), prepared.result
    return prepared.result


def refusal_of(prepared: Prepared) -> Refused:
    assert isinstance(prepared.result, Refused), prepared.result
    return prepared.result


def flip(checkpoint: Path) -> None:
    """A bit of a payload file, whose name and length stay right."""
    file = checkpoint / "a.bin"
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


# Unfit ----------------------------------------------------------------------------------------------------------------


def test_good_ground_has_no_fault_and_its_checkpoint_directory_is_made(tmp_path: Path, root: Path) -> None:
    assert find_fault(make_submission(tmp_path)) is None
    assert root.is_dir()


@pytest.mark.parametrize("name", ["missing", "file", "file/below", "x" * 300, "loop"])
def test_a_workdir_that_is_none_is_refused_for_now(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    fault = find_fault(make_submission(tmp_path / name))
    assert fault is not None
    assert not fault.permanent, "it may be a mount that is not there yet"
    assert str(tmp_path / name) in fault.why
    assert "`workdir`" in fault.why


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_checkpoint_directory_that_cannot_be_made_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    fault = find_fault(make_submission(tmp_path, f'checkpoint.dir = "{place}"'))
    assert fault is not None
    assert "`checkpoint.dir`" in fault.why


@pytest.mark.parametrize(("place", "mode"), [("work", 0o300), ("work", 0o600), ("work/checkpoints", 0o500)])
def test_a_place_without_permission_is_refused(
    tmp_path: Path, place: str, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may do anything, so where the tests run as root, the answer for somebody else is worked out."""
    (tmp_path / "work" / "checkpoints").mkdir(parents=True)
    (tmp_path / place).chmod(mode)
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "access", lambda path, want: (Path(path).stat().st_mode >> 6) & want == want)
    fault = find_fault(make_submission(tmp_path / "work"))
    (tmp_path / place).chmod(0o700)
    assert fault is not None
    assert f"uid {os.geteuid()}" in fault.why


def test_a_full_disk_is_refused_for_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 4096))
    refused = refusal_of(prepare(tmp_path))
    assert not refused.permanent
    assert "4.0 KiB are free" in refused.why
    assert "16 MiB are needed" in refused.why


def test_a_directory_that_another_process_writes_to_is_refused_for_now(tmp_path: Path, root: Path) -> None:
    """A job of a daemon, a `perdure run`, a plain script: the second would fall, be started again, and fall."""
    root.mkdir()
    with holding(root) as pid:
        assert find_writer(root) == f"process {pid}"
        refused = refusal_of(prepare(tmp_path))
        assert not refused.permanent
        assert refused.why.startswith(f"process {pid} writes its checkpoints to {root}")
    before = os.listdir("/proc/self/fd")
    assert find_writer(root) is None
    assert os.listdir("/proc/self/fd") == before
    ground_of(prepare(tmp_path))


# Where it resumes from ------------------------------------------------------------------------------------------------


def test_without_checkpoints_it_starts_afresh(tmp_path: Path) -> None:
    env = ground_of(prepare(tmp_path)).env
    assert environment.RESUME_FROM not in env
    assert environment.RESUME_STEP not in env


def test_it_resumes_from_the_newest(tmp_path: Path, root: Path) -> None:
    commit(root, 100)
    newest = commit(root, 200)
    env = ground_of(prepare(tmp_path)).env
    assert (env[environment.RESUME_FROM], env[environment.RESUME_STEP]) == (str(newest.path), "200")


def test_an_attempt_that_outlived_its_keeper_is_a_rival_all_the_same(tmp_path: Path, root: Path) -> None:
    """It holds no lock any more; the daemon whose job it is knows that it writes."""
    link = tmp_path / "link"
    link.symlink_to(root)
    fault = find_fault(make_submission(tmp_path), {"job a (gpt)": link})
    assert fault is not None
    assert (fault.cause, "job a (gpt)" in fault.why) == (Cause.IN_USE, True)
    assert find_fault(make_submission(tmp_path), {"job a (gpt)": tmp_path / "elsewhere"}) is None


def test_a_broken_newest_goes_to_quarantine_and_the_one_before_is_used(tmp_path: Path, root: Path) -> None:
    older, newest = commit(root, 100), commit(root, 200)
    flip(newest.path)
    prepared = prepare(tmp_path)
    assert ground_of(prepared).env[environment.RESUME_STEP] == "100"
    assert [event.kind for event in prepared.events] == ["quarantined"]
    assert newest.path.name in prepared.events[0].text
    assert "a.bin" in prepared.events[0].text
    assert (root / QUARANTINE / newest.path.name / COMMIT).exists()
    assert [listed.path for listed in list_checkpoints(root)] == [older.path]


def test_several_broken_ones_all_go_to_quarantine(tmp_path: Path, root: Path) -> None:
    commit(root, 100)
    for step in (200, 300, 400):
        flip(commit(root, step).path)
    prepared = prepare(tmp_path)
    assert ground_of(prepared).env[environment.RESUME_STEP] == "100"
    assert len(prepared.events) == 3


def test_when_all_are_broken_it_stops_and_says_so(tmp_path: Path, root: Path) -> None:
    for step in (100, 200):
        flip(commit(root, step).path)
    prepared = prepare(tmp_path)
    refused = refusal_of(prepared)
    assert refused.permanent
    assert str(root / QUARANTINE) in refused.why
    assert "fresh_start" in refused.why
    assert len(prepared.events) == 2


def test_it_stays_refused_at_every_later_start(tmp_path: Path, root: Path) -> None:
    """The daemon may be killed right after it set them aside, and people resume what has failed."""
    flip(commit(root, 100).path)
    for attempt in (1, 1, 2, 3):
        assert refusal_of(prepare(tmp_path, attempt=attempt)).permanent


@pytest.mark.parametrize("text", ["", FRESH])
def test_what_is_lost_later_counts_whatever_was_asked_for_at_first(text: str, tmp_path: Path, root: Path) -> None:
    """A job that was submitted to begin at step 0 must not do so again after three weeks."""
    ground_of(prepare(tmp_path, text))
    flip(commit(root, 100).path)
    for attempt in (2, 3):
        refused = refusal_of(prepare(tmp_path, text, attempt=attempt))
        assert str(root / QUARANTINE) in refused.why


def test_after_a_fresh_start_what_was_lost_before_is_in_nobodys_way(tmp_path: Path, root: Path) -> None:
    flip(commit(root, 100).path)
    refusal_of(prepare(tmp_path))
    ground_of(prepare(tmp_path, FRESH))
    assert environment.RESUME_FROM not in ground_of(prepare(tmp_path, attempt=2)).env


def test_what_a_training_set_aside_on_purpose_does_not_count(tmp_path: Path, root: Path) -> None:
    quarantine(commit(root, 100).path, "the run went back to step 0", counts=False)
    assert environment.RESUME_FROM not in ground_of(prepare(tmp_path)).env


def test_one_that_is_brought_back_is_used(tmp_path: Path, root: Path) -> None:
    checkpoint = commit(root, 100)
    flip(checkpoint.path)
    refusal_of(prepare(tmp_path))
    (root / QUARANTINE / checkpoint.path.name).rename(checkpoint.path)
    flip(checkpoint.path)
    assert ground_of(prepare(tmp_path)).env[environment.RESUME_STEP] == "100"


def test_an_unhealthy_one_is_passed_over_and_stays(tmp_path: Path, root: Path) -> None:
    commit(root, 100)
    commit(root, 200, healthy=False)
    prepared = prepare(tmp_path)
    assert ground_of(prepared).env[environment.RESUME_STEP] == "100"
    assert (prepared.events, len(list_checkpoints(root))) == ((), 2)


def test_only_unhealthy_ones_are_no_reason_to_begin_again(tmp_path: Path, root: Path) -> None:
    commit(root, 100, healthy=False)
    refused = refusal_of(prepare(tmp_path))
    assert refused.permanent
    assert "unhealthy" in refused.why


def test_one_of_a_newer_format_is_neither_set_aside_nor_passed_over(tmp_path: Path, root: Path) -> None:
    """To resume from the one before would silently throw away what is probably there."""
    commit(root, 100)
    newer = commit(root, 200)
    seal(newer.path, {"format": 99}, format=99)
    prepared = prepare(tmp_path)
    refused = refusal_of(prepared)
    assert refused.permanent
    assert newer.path.name in refused.why
    assert newer.path.is_dir()
    assert prepared.events == ()


def test_a_fresh_start_sets_the_old_ones_aside_and_deletes_nothing(tmp_path: Path, root: Path) -> None:
    old = [commit(root, step) for step in (100, 200)]
    prepared = prepare(tmp_path, FRESH)
    assert environment.RESUME_FROM not in ground_of(prepared).env
    assert list_checkpoints(root) == []
    assert {path.name for path in (root / QUARANTINE).iterdir() if path.is_dir()} == {each.path.name for each in old}
    assert "2 older checkpoints" in prepared.events[0].text


def test_a_fresh_start_is_fresh_only_once(tmp_path: Path, root: Path) -> None:
    commit(root, 900)
    ground_of(prepare(tmp_path, FRESH))
    commit(root, 5)
    assert ground_of(prepare(tmp_path, FRESH, attempt=2)).env[environment.RESUME_STEP] == "5"


def test_a_fresh_start_that_died_before_its_first_checkpoint_starts_afresh_again(tmp_path: Path, root: Path) -> None:
    commit(root, 900)
    for attempt in (1, 2, 3):
        assert environment.RESUME_FROM not in ground_of(prepare(tmp_path, FRESH, attempt=attempt)).env


# What it is given -----------------------------------------------------------------------------------------------------


def test_the_environment_is_the_submitters_and_the_attempts_and_nothing_else(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_DAEMON", "1")
    checkpoint = commit(root, 200)
    text = '[checkpoint]\nevery = "500 steps"\nkeep = 4\n[stop]\ngrace = "1min30s"'
    prepared = prepare(tmp_path, text, attempt=3, reason="exit code 1", env={"PATH": "/bin", "MINE": "1"})
    assert ground_of(prepared).env == {
        "PATH": "/bin",
        "MINE": "1",
        "PERDURE_JOB_ID": "k7mq2xwp",
        "PERDURE_ATTEMPT": "3",
        "PERDURE_FIRST": "0",
        "PERDURE_CHECKPOINT_DIR": str(root),
        "PERDURE_RESUME_FROM": str(checkpoint.path),
        "PERDURE_RESUME_STEP": "200",
        "PERDURE_RESTART_REASON": "exit code 1",
        "PERDURE_GRACE_SECONDS": "90",
        "PERDURE_CHECKPOINT_EVERY": "500 steps",
        "PERDURE_CHECKPOINT_KEEP": "4",
        "PERDURE_CHECKPOINT_MEMORY": "1",
        "PERDURE_CHECKPOINT_PAST": format_past(History(), Costs()),
    }


def test_a_port_that_the_attempt_before_listened_on_and_somebody_has_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt would die of it."""
    monkeypatch.setattr(ground, "RETURN_CEILING", 0.0)
    job = make_job(tmp_path)
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        job.had = Belongings(ports=frozenset({port}))
        refused = refusal_of(prepare_ground(job, Launch(attempt=2)))
    assert refused.why.startswith(
        f"port {port}, on which the attempt before listened, is taken by process {os.getpid()}"
    )
    assert not refused.permanent
    assert isinstance(prepare_ground(job, Launch(attempt=2)).result, Ground)


def test_what_was_left_over_of_another_attempt_is_dropped(tmp_path: Path) -> None:
    """Somebody submits from inside a job: that job's checkpoint, socket and nonce are not this one's."""
    stale = dict.fromkeys(environment.ATTEMPT_VARIABLES, "stale")
    env = ground_of(prepare(tmp_path, env=stale)).env
    assert "stale" not in env.values()
    assert not {environment.RESUME_FROM, environment.CHANNEL, environment.ATTEMPT_NONCE} & set(env)


def test_settings_of_the_tools_are_the_submitters_own(tmp_path: Path) -> None:
    """So that `perdure` inside a job finds the daemon that its submitter talks to."""
    env = ground_of(prepare(tmp_path, env={environment.SOCKET_PATH: "/run/x.sock"})).env
    assert env[environment.SOCKET_PATH] == "/run/x.sock"


RESUME = 'checkpoint.pattern = "c-*.pt"\ncheckpoint.resume_args = ["--resume={checkpoint}", "--copy", "{checkpoint}"]'


def test_arguments_to_resume_with_are_appended_only_when_there_is_something_to_resume_from(
    tmp_path: Path, root: Path
) -> None:
    assert ground_of(prepare(tmp_path, RESUME)).argv == ("python", "train.py")
    checkpoint = commit(root, 200)
    argv = ground_of(prepare(tmp_path, RESUME)).argv
    assert argv == ("python", "train.py", f"--resume={checkpoint.path}", "--copy", str(checkpoint.path))


def test_a_checkpoint_of_one_file_is_given_as_that_file(tmp_path: Path, root: Path) -> None:
    checkpoint = commit_checkpoint(root, 7, {"c-7.pt": [b"x"]}, facts_of("c-*.pt"))
    argv = ground_of(prepare(tmp_path, RESUME)).argv
    assert argv[2] == f"--resume={checkpoint.path}/c-7.pt"


# Storage, and checkpoints that are stepped over -----------------------------------------------------------------------


def test_a_disk_without_room_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdured.supervise.ground.ROOM", 1 << 62)
    fault = find_fault(make_submission(tmp_path))
    assert fault is not None
    assert (fault.cause, fault.permanent) == (Cause.DISK_FULL, False)


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, Cause.DISK_FULL),
        (errno.EDQUOT, Cause.QUOTA),
        (errno.EROFS, Cause.READ_ONLY),
        (errno.EIO, Cause.REFUSED),
    ],
)
def test_a_probe_says_why_no_file_is_taken_and_leaves_nothing(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: Cause
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        path.write_bytes(data[:100])
        raise OSError(number, os.strerror(number))

    submission = make_submission(tmp_path)
    assert probe_storage(submission) is None
    monkeypatch.setattr("perdured.supervise.ground.write_file", refuse)
    fault = probe_storage(submission)
    assert fault is not None
    assert fault.cause == cause
    assert os.strerror(number) in fault.why
    assert os.listdir(root) == []


def test_what_is_stepped_over_stays_where_it_is_and_the_one_before_is_chosen(tmp_path: Path, root: Path) -> None:
    old, suspect = commit(root, 100), commit(root, 200)
    launch = Launch(attempt=3, step_over=(str(suspect.path),))
    ground = ground_of(prepare_ground(make_job(tmp_path), launch))
    assert ground.env[environment.RESUME_FROM] == str(old.path)
    assert suspect.path.is_dir()
    assert not (root / QUARANTINE).exists()


def test_where_nothing_else_is_left_no_job_begins_at_step_0_by_itself(tmp_path: Path, root: Path) -> None:
    suspect = commit(root, 200)
    refused = refusal_of(prepare_ground(make_job(tmp_path), Launch(attempt=3, step_over=(str(suspect.path),))))
    assert refused.permanent
    assert f"but those with which attempts died ({suspect.path.name})" in refused.why
