"""From a spec to the end, through a real daemon, real keepers and the real command line."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from support.daemons import Daemon, wait_for

BACK_AT_ONCE = '[restart]\nbackoff = "10ms..50ms"\n'


def lines(folder: Path) -> list[str]:
    path = folder / "steps.txt"
    return path.read_text().splitlines() if path.exists() else []


def steps(folder: Path) -> list[int]:
    return [int(line) for line in lines(folder) if line.isdecimal()]


def test_a_job_runs_to_its_end(daemon: Daemon, tmp_path: Path) -> None:
    """Submitted, started, watched, done: `wait` ends with 0, and `show` tells the story."""
    job = daemon.count(tmp_path / "work", "3")
    assert daemon.run("wait", job).returncode == 0
    shown = daemon.show(job)
    assert (shown["state"], shown["step"], shown["restarts"], shown["exit_status"]) == ("succeeded", 3, 0, 0)
    assert [a["exit_code"] for a in shown["attempts"]] == [0]
    assert shown["checkpoint"]["step"] == 3
    assert Path(shown["checkpoint"]["path"]).name.startswith("step-000000000003-")
    assert steps(tmp_path / "work") == [1, 2, 3]


def test_a_killed_job_goes_on_from_its_newest_checkpoint(daemon: Daemon, tmp_path: Path) -> None:
    """The step it died in is done again, and no other."""
    job = daemon.count(tmp_path / "work", "6", "--crash-at", "4", extra=BACK_AT_ONCE)
    assert daemon.run("wait", job).returncode == 0
    shown = daemon.show(job)
    assert [a["signal"] for a in shown["attempts"]] == [signal.SIGKILL, None]
    assert [a["resumed_from_step"] for a in shown["attempts"]] == [None, 3]
    assert shown["attempts"][0]["cause"] == "signal"
    assert steps(tmp_path / "work") == [1, 2, 3, 4, 4, 5, 6]


def test_a_stopped_job_saves_first_and_resumes_where_it_was(daemon: Daemon, tmp_path: Path) -> None:
    """`stop` ends in a checkpoint and exit 75; `resume` loses no step."""
    work = tmp_path / "work"
    job = daemon.count(work, "40", "--pause", "0.05")
    daemon.wait_for_step(job, 3)
    assert daemon.run("stop", job).returncode == 0
    shown = daemon.wait_for_state(job, "stopped")
    assert shown["exit_status"] == 75
    assert daemon.run("wait", job).returncode == 75
    assert shown["checkpoint"]["step"] == steps(work)[-1]
    assert daemon.run("resume", job).returncode == 0
    assert daemon.run("wait", job, "--timeout", "30").returncode == 0
    assert steps(work) == list(range(1, 41))


def test_a_restarted_job_is_a_new_attempt_that_loses_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """`restart` saves, ends and starts again."""
    work = tmp_path / "work"
    job = daemon.count(work, "60", "--pause", "0.05")
    first = daemon.wait_for_step(job, 2)["attempts"][-1]["pid"]
    assert daemon.run("restart", job).returncode == 0
    wait_for(lambda: len(daemon.show(job)["attempts"]) == 2, "a second attempt")
    shown = daemon.wait_for_step(job, 5)
    assert shown["attempts"][-1]["pid"] != first
    assert daemon.run("stop", job).returncode == 0
    daemon.wait_for_state(job, "stopped")
    assert steps(work) == list(range(1, len(steps(work)) + 1))


def test_a_failing_job_is_given_up_with_the_reason(daemon: Daemon, tmp_path: Path) -> None:
    """Failures in a row without progress end the job; `wait` ends as the job did."""
    job = daemon.submit(
        tmp_path / "work",
        sys.executable,
        "-c",
        "raise SystemExit(7)",
        extra='[restart]\nbackoff = "1ms..2ms"\nfailures = 3',
    )
    assert daemon.run("wait", job).returncode == 7
    shown = daemon.show(job)
    assert shown["state"] == "failed"
    assert len(shown["attempts"]) == 3
    assert shown["reason"] == "exit code 7; gave up after 3 failures in a row without progress"


def test_exit_78_is_not_retried(daemon: Daemon, tmp_path: Path) -> None:
    """A job may say that trying again cannot help."""
    job = daemon.submit(tmp_path / "work", sys.executable, "-c", "raise SystemExit(78)")
    assert daemon.run("wait", job).returncode == 78
    assert len(daemon.show(job)["attempts"]) == 1


def test_a_deaf_job_is_killed_when_the_grace_is_over(daemon: Daemon, tmp_path: Path) -> None:
    """SIGTERM is a request, the deadline is not."""
    job = daemon.count(tmp_path / "work", "1000", "--pause", "0.02", "--deaf", extra='[stop]\ngrace = "300ms"\n')
    daemon.wait_for_step(job, 1)
    daemon.run("stop", job)
    shown = daemon.wait_for_state(job, "stopped")
    assert shown["attempts"][-1]["signal"] == signal.SIGKILL
    assert "grace was over" in shown["attempts"][-1]["why"]


def test_logs_are_the_jobs_own_output(daemon: Daemon, tmp_path: Path) -> None:
    """Of every attempt, in order."""
    job = daemon.count(tmp_path / "work", "3", "--print", "--crash-at", "2", extra=BACK_AT_ONCE)
    daemon.run("wait", job)
    printed = [line for line in daemon.run("logs", job).stdout.splitlines() if line.startswith("step")]
    assert printed == ["step 1", "step 2", "step 2", "step 3"]


def test_events_tell_what_happened_in_order(daemon: Daemon, tmp_path: Path) -> None:
    """From submitted to succeeded."""
    job = daemon.count(tmp_path / "work", "2")
    daemon.run("wait", job)
    kinds = [event["kind"] for event in json.loads(daemon.run("events", job, "--json").stdout)["events"]]
    assert kinds[0] == "submitted"
    assert [kind for kind in kinds if kind in ("starting", "started", "succeeded")] == [
        "starting",
        "started",
        "succeeded",
    ]
    assert "checkpoint" in kinds


def test_the_environment_is_the_submitters(daemon: Daemon, tmp_path: Path) -> None:
    """Captured at submit, with the spec's `env` over it, and never the daemon's own."""
    (tmp_path / "work").mkdir()
    spec = tmp_path / "work" / "job.toml"
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    spec.write_text(f'command = {json.dumps([sys.executable, "-c", show])}\nenv = {{ B = "spec" }}\n')
    done = daemon.run("submit", str(spec), env={"A": "submitter", "B": "submitter", "PERDURE_RESUME_FROM": "stale"})
    job = done.stdout.strip()
    daemon.run("wait", job)
    seen = json.loads(daemon.run("logs", job).stdout)
    assert (seen["A"], seen["B"]) == ("submitter", "spec")
    assert seen["PERDURE_JOB_ID"] == job
    assert "PERDURE_RESUME_FROM" not in seen
    assert "PYTEST_CURRENT_TEST" not in os.environ or seen["PERDURE_ATTEMPT"] == "1"


def test_a_program_that_writes_its_own_files_is_resumed_from_the_copy(daemon: Daemon, tmp_path: Path) -> None:
    """Its file is torn when it is killed in the middle of saving; the committed copy of the one before is whole."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "own.py").write_text(
        "import os, sys, zipfile\n"
        "print('resume', sys.argv[1:], flush=True)\n"
        "if len(sys.argv) > 1:\n"
        "    with zipfile.ZipFile(sys.argv[2]) as z: print('found', z.read('n').decode(), flush=True)\n"
        "    sys.exit(0)\n"
        "with zipfile.ZipFile('own.pth', 'w') as z: z.writestr('n', 'good')\n"
        "import time\n"
        "from pathlib import Path\n"
        "while not list(Path('checkpoints').glob('step-*/COMMIT')): time.sleep(0.02)\n"
        "Path('own.pth').write_bytes(b'PK half a file')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    extra = '[checkpoint]\npattern = "own.pth"\nresume_args = ["--resume", "{checkpoint}"]\n' + BACK_AT_ONCE
    job = daemon.submit(work, sys.executable, "own.py", extra=extra)
    assert daemon.run("wait", job, "--timeout", "30").returncode == 0
    assert "found good" in daemon.run("logs", job).stdout


def test_a_removed_job_leaves_its_checkpoints(daemon: Daemon, tmp_path: Path) -> None:
    """`rm` forgets the job, and nothing that it trained."""
    job = daemon.count(tmp_path / "work", "2")
    daemon.run("wait", job)
    assert daemon.run("rm", "-y", job).returncode == 0
    wait_for(lambda: daemon.run("show", job).returncode == 4, "the job to be forgotten")
    assert list((tmp_path / "work" / "checkpoints").glob("step-*/COMMIT"))


def test_a_running_job_is_saved_and_ended_before_it_is_removed(daemon: Daemon, tmp_path: Path) -> None:
    """Removing is also a stop."""
    work = tmp_path / "work"
    job = daemon.count(work, "1000", "--pause", "0.02")
    pid = daemon.wait_for_step(job, 2)["attempts"][-1]["pid"]
    assert daemon.run("rm", "-y", job).returncode == 0
    wait_for(lambda: daemon.run("show", job).returncode == 4, "the job to be forgotten")
    assert not Path(f"/proc/{pid}").exists()
