"""The daemon may die at any time: no job notices, none is started twice, no exit is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from pathlib import Path

from support.daemons import Daemon, wait_for


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_printing_job_does_not_notice(daemon: Daemon, tmp_path: Path) -> None:
    """It prints on while nobody is there, and the next daemon adopts it: same process, same attempt."""
    work = tmp_path / "work"
    job = daemon.count(work, "100000", "--pause", "0.01", "--print")
    before = daemon.wait_for_step(job, 3)
    daemon.kill()
    written = (work / "steps.txt").stat().st_size
    wait_for(lambda: (work / "steps.txt").stat().st_size > written + 20, "the job to go on without a daemon")
    daemon.start()
    after = daemon.wait_for_state(job, "running")
    assert after["attempts"] == before["attempts"]
    daemon.run("stop", job)
    shown = daemon.wait_for_state(job, "stopped")
    assert len(shown["attempts"]) == 1


def test_an_exit_while_nobody_looked_is_not_lost(daemon: Daemon, tmp_path: Path) -> None:
    """The keeper wrote it down."""
    work = tmp_path / "work"
    job = daemon.count(work, "10", "--pause", "0.05", "--exit", "78")
    pid = daemon.wait_for_step(job, 2)["attempts"][-1]["pid"]
    daemon.kill()
    wait_for(lambda: not alive(pid), "the job to end")
    daemon.start()
    shown = daemon.wait_for_state(job, "failed", "succeeded", "waiting")
    assert (shown["state"], shown["attempts"][-1]["exit_code"], shown["step"]) == ("failed", 78, 10)


def test_a_stop_that_was_asked_for_is_fulfilled_by_the_next_daemon(daemon: Daemon, tmp_path: Path) -> None:
    """What was answered is durable."""
    job = daemon.count(tmp_path / "work", "100000", "--pause", "0.01")
    daemon.wait_for_step(job, 2)
    daemon.run("stop", "--no-wait", job)
    daemon.kill()
    daemon.start()
    assert daemon.wait_for_state(job, "stopped")["exit_status"] == 75


def test_jobs_survive_the_orderly_end_of_the_daemon(daemon: Daemon, tmp_path: Path) -> None:
    """SIGTERM to the daemon is an upgrade, not the end of the world."""
    job = daemon.count(tmp_path / "work", "100000", "--pause", "0.01")
    pid = daemon.wait_for_step(job, 2)["attempts"][-1]["pid"]
    daemon.kill(signal.SIGTERM)
    assert daemon.process is not None
    assert daemon.process.returncode == 0
    assert alive(pid)
    daemon.start()
    assert daemon.wait_for_state(job, "running")["attempts"][-1]["pid"] == pid


def test_a_closed_terminal_does_not_end_the_daemon_and_each_end_by_a_signal_leaves_a_line(daemon: Daemon) -> None:
    """`perdured &` is what the README begins with; the jobs must not go unsupervised when the window is closed."""
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "SIGHUP is ignored" in daemon.log.read_text(), "the daemon to say so")
    assert daemon.process.poll() is None
    daemon.client.health()
    for number in (signal.SIGTERM, signal.SIGINT):
        daemon.kill(number)
        assert f"{number.name}: ending" in daemon.log.read_text()
        assert daemon.process.returncode == 0
        daemon.start()


def test_parked_jobs_go_on_with_the_next_start(daemon: Daemon, tmp_path: Path) -> None:
    """`--on-stop park`: as at the shutdown of the machine."""
    work = tmp_path / "work"
    job = daemon.count(work, "60", "--pause", "0.05")
    daemon.wait_for_step(job, 2)
    daemon.kill()
    daemon.start("--on-stop", "park")
    pid = daemon.wait_for_state(job, "running")["attempts"][-1]["pid"]
    daemon.kill(signal.SIGTERM)
    assert not alive(pid)
    daemon.start()
    assert daemon.run("wait", job, "--timeout", "30").returncode == 0
    numbers = [int(line) for line in (work / "steps.txt").read_text().splitlines() if line.isdecimal()]
    assert numbers == list(range(1, 61))
    told = [event["text"] for event in daemon.client.list_all_events(job)[0] if event["kind"] == "asked"]
    assert told == ["the daemon was told to stop: asked to park", "the daemon is back: going on"]


def test_after_a_reboot_jobs_go_on_from_their_newest_checkpoint(daemon: Daemon, tmp_path: Path) -> None:
    """Keeper and job are gone, and the boot id is another: not the job's fault, so it is not counted."""
    work = tmp_path / "work"
    job = daemon.count(work, "40", "--pause", "0.05")
    pid = daemon.wait_for_step(job, 3)["attempts"][-1]["pid"]
    daemon.kill()
    run = daemon.state / "jobs" / job / "attempts" / "1" / "run.json"
    record = json.loads(run.read_text())
    os.kill(record["keeper"]["pid"], signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), "the job to be gone")
    for who in ("keeper", "leader"):
        record[who]["boot_id"] = "an earlier boot"
    run.write_text(json.dumps(record))
    daemon.start()
    assert daemon.run("wait", job, "--timeout", "30").returncode == 0
    shown = daemon.show(job)
    assert shown["attempts"][0]["cause"] == "rebooted"
    assert shown["attempts"][1]["resumed_from_step"] >= 3


def test_a_lost_keeper_loses_no_job(daemon: Daemon, tmp_path: Path) -> None:
    """The job goes on without its keeper; nothing is killed, nothing is started beside it; its exit is unknown."""
    work = tmp_path / "work"
    job = daemon.count(work, "60", "--pause", "0.05")
    daemon.wait_for_step(job, 2)
    run = json.loads((daemon.state / "jobs" / job / "attempts" / "1" / "run.json").read_text())
    os.kill(run["keeper"]["pid"], signal.SIGKILL)
    wait_for(lambda: "without its keeper" in daemon.show(job)["reason"], "the loss to be seen")
    assert alive(run["leader"]["pid"])
    assert len(daemon.show(job)["attempts"]) == 1


def test_a_lost_registry_loses_no_job(daemon: Daemon, tmp_path: Path) -> None:
    """It is rebuilt from the directories: the running job is adopted, the ended one judged, the stopped one left."""
    running = daemon.count(tmp_path / "a", "100000", "--pause", "0.01")
    done = daemon.count(tmp_path / "b", "2")
    stopped = daemon.count(tmp_path / "c", "100000", "--pause", "0.01")
    daemon.run("wait", done)
    daemon.wait_for_step(stopped, 1)
    daemon.run("stop", stopped)
    daemon.wait_for_state(stopped, "stopped")
    pid = daemon.wait_for_step(running, 2)["attempts"][-1]["pid"]
    daemon.kill()
    for path in daemon.state.glob("registry.sqlite*"):
        path.unlink()
    daemon.start()
    assert daemon.wait_for_state(running, "running")["attempts"][-1]["pid"] == pid
    assert daemon.wait_for_state(done, "succeeded")["step"] == 2
    assert daemon.wait_for_state(stopped, "stopped")["exit_status"] == 75


def test_a_broken_registry_is_set_aside_and_made_anew(daemon: Daemon, tmp_path: Path) -> None:
    """Never deleted, never a reason to start empty."""
    job = daemon.count(tmp_path / "a", "2")
    daemon.run("wait", job)
    daemon.kill(signal.SIGTERM)
    (daemon.state / "registry.sqlite").write_bytes(b"this is no database" * 1000)
    daemon.start()
    assert daemon.wait_for_state(job, "succeeded")["step"] == 2
    assert list(daemon.state.glob("registry.sqlite.broken-*"))


def test_a_newer_state_is_refused_and_left_alone(daemon: Daemon, tmp_path: Path) -> None:
    """Guessing at a newer version's state could lose jobs."""
    job = daemon.count(tmp_path / "a", "2")
    daemon.run("wait", job)
    daemon.kill(signal.SIGTERM)
    registry = daemon.state / "registry.sqlite"
    with sqlite3.connect(registry) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = registry.read_bytes()
    refused = daemon.run_daemon()
    assert refused.returncode == 125
    assert "newer Perdure" in refused.stderr
    assert registry.read_bytes() == before


def test_two_daemons_on_one_state_directory_are_refused(daemon: Daemon) -> None:
    """By the kernel's lock."""
    refused = daemon.run_daemon("--socket", str(daemon.root / "other.sock"))
    assert refused.returncode == 125
    assert "is in use" in refused.stderr


def test_two_daemons_on_one_socket_are_refused(daemon: Daemon) -> None:
    """The first goes on serving."""
    refused = daemon.run_daemon("--state-dir", str(daemon.root / "other"))
    assert refused.returncode == 125
    assert "already served" in refused.stderr
    assert daemon.run("ps").returncode == 0
