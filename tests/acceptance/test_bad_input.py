"""Each mistake has a message that says what to do, and loses nothing."""

from __future__ import annotations

import sys
from pathlib import Path

from support.daemons import Daemon, wait_for


def submit_text(daemon: Daemon, folder: Path, text: str) -> tuple[int, str]:
    folder.mkdir(exist_ok=True)
    (folder / "job.toml").write_text(text)
    done = daemon.run("submit", str(folder / "job.toml"))
    return done.returncode, done.stderr


def test_wrong_keys_are_all_named_at_once(daemon: Daemon, tmp_path: Path) -> None:
    """With their lines and what was meant."""
    status, said = submit_text(daemon, tmp_path / "w", 'comand = ["x"]\n[checkpoint]\nkeep = 1\n')
    assert status == 2
    assert 'line 1: comand: unknown key; did you mean "command"?' in said
    assert "line 3: checkpoint.keep: found 1" in said
    assert daemon.run("ps", "--all").stdout.count("job") == 0 or "no jobs" in daemon.run("ps").stdout.lower()


def test_a_command_that_does_not_exist(daemon: Daemon, tmp_path: Path) -> None:
    """Fails at once, names the command, and is not retried."""
    job = daemon.submit(tmp_path / "w", "no-such-program-at-all", "--x")
    assert daemon.run("wait", job).returncode == 125
    shown = daemon.show(job)
    assert "no-such-program-at-all" in shown["reason"]
    assert len(shown["attempts"]) == 1


def test_a_workdir_that_does_not_exist(daemon: Daemon, tmp_path: Path) -> None:
    """Is refused at submit."""
    status, said = submit_text(daemon, tmp_path / "w", 'command = ["true"]\nworkdir = "not/here"\n')
    assert status == 2
    assert "not/here does not exist" in said


def test_a_checkpoint_directory_that_cannot_be_made(daemon: Daemon, tmp_path: Path) -> None:
    """Where a file is in the way."""
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "checkpoints").write_text("a file")
    status, said = submit_text(daemon, tmp_path / "w", 'command = ["true"]\n')
    assert status == 2
    assert "cannot be made" in said


def test_a_checkpoint_directory_that_another_job_writes(daemon: Daemon, tmp_path: Path) -> None:
    """Two writers on one directory are impossible."""
    job = daemon.count(tmp_path / "w", "100000", "--pause", "0.01")
    status, said = submit_text(daemon, tmp_path / "w", f'command = ["{sys.executable}"]\n')
    assert status == 2
    assert job in said


def test_a_broken_newest_checkpoint_is_quarantined_and_the_one_before_is_used(daemon: Daemon, tmp_path: Path) -> None:
    """One flipped bit is found by its hash, moved aside, told, and costs one checkpoint."""
    work = tmp_path / "w"
    job = daemon.count(work, "60", "--pause", "0.05")
    daemon.wait_for_step(job, 4)
    daemon.run("stop", job)
    newest = Path(daemon.wait_for_state(job, "stopped")["checkpoint"]["path"])
    payload = newest / "count.json"
    broken = bytearray(payload.read_bytes())
    broken[0] ^= 1
    payload.write_bytes(bytes(broken))
    step = daemon.show(job)["checkpoint"]["step"]
    daemon.run("resume", job)
    wait_for(lambda: len(daemon.show(job)["attempts"]) == 2 and daemon.show(job)["attempts"][1]["pid"], "attempt 2")
    assert daemon.show(job)["attempts"][1]["resumed_from_step"] == step - 1
    assert (work / "checkpoints" / "quarantine" / newest.name).is_dir()
    assert "count.json" in daemon.run("events", job).stdout


def test_when_all_checkpoints_are_broken_nothing_starts_from_scratch(daemon: Daemon, tmp_path: Path) -> None:
    """A garbage COMMIT in each: the job stops, says so, and every file is still there."""
    work = tmp_path / "w"
    job = daemon.count(work, "100000", "--pause", "0.01")
    daemon.wait_for_step(job, 4)
    daemon.run("stop", job)
    daemon.wait_for_state(job, "stopped")
    for commit in (work / "checkpoints").glob("step-*/COMMIT"):
        commit.write_bytes(b"\xff\x00 garbage")
    daemon.run("resume", job)
    shown = daemon.wait_for_state(job, "failed")
    assert "fresh_start" in shown["reason"]
    assert len(list((work / "checkpoints" / "quarantine").glob("step-*"))) >= 2


def test_no_daemon_says_how_to_start_one(tmp_path: Path) -> None:
    """Exit 69."""
    done = Daemon(tmp_path).run("ps")
    assert done.returncode == 69
    assert "perdured" in done.stderr


def test_an_unknown_job_is_named_and_the_nearest_offered(daemon: Daemon, tmp_path: Path) -> None:
    """Exit 4."""
    job = daemon.submit(tmp_path / "w", "true", extra='name = "resnet"\n')
    done = daemon.run("show", "resnte")
    assert done.returncode == 4
    assert "resnet" in done.stderr or job in done.stderr


def test_the_spool_takes_good_specs_and_says_why_it_rejects_others(daemon: Daemon, tmp_path: Path) -> None:
    """A spec that is renamed into the folder."""
    work = tmp_path / "w"
    work.mkdir()
    spool = daemon.state / "spool"
    wait_for(spool.is_dir, "the spool folder")
    for name, command in (("good", '["true"]'), ("bad", '"true"')):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\ncommand = {command}\nworkdir = "{work}"\n')
        (tmp_path / f"{name}.toml").rename(spool / f"{name}.toml")
    accepted = wait_for(lambda: list((spool / "accepted").glob("*good.toml")), "the good one")
    reason = wait_for(lambda: list((spool / "rejected").glob("bad.toml.reason")), "the reason")
    assert "list of words" in reason[0].read_text()
    assert daemon.run("wait", accepted[0].name.split("-")[0]).returncode == 0
