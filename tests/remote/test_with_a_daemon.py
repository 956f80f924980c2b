"""The remote tier through a real daemon, a real job and a real S3 server: machines come and go, the run goes on."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemons import BIN, COUNTER, Daemon, wait_for
from support.s3 import Bad, Bucket, Proxy, Request, Script

SECRET = "a-secret-of-the-submitter"
Boot = Callable[[str], "Box"]


class Box(Daemon):
    """A machine: a daemon, and a folder for the job."""

    def __init__(self, root: Path, bucket: Bucket, proxy: Proxy) -> None:
        root.mkdir()
        super().__init__(root)
        self.work = root / "work"
        self.bucket = bucket
        self.credentials = bucket.env(proxy.url) | {"AWS_SESSION_TOKEN": SECRET}

    def begin(self, *command: str, name: str = "gpt", extra: str = "") -> str:
        """Submits; the spec is the same on every machine."""
        done = self.try_to_begin(*command, name=name, extra=extra)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def try_to_begin(self, *command: str, name: str = "gpt", extra: str = "") -> subprocess.CompletedProcess[str]:
        self.work.mkdir(exist_ok=True)
        spec = self.work / "job.toml"
        spec.write_text(
            f'name = "{name}"\ncommand = {json.dumps(list(command))}\n'
            f'[checkpoint]\nremote = "{self.bucket.url}"\n{extra}\n[restart]\nbackoff = "10ms..50ms"\n'
        )
        return self.run("submit", str(spec), env=self.credentials)

    def count(self, *options: str, **others: str) -> str:  # type: ignore[override]
        return self.begin(sys.executable, str(COUNTER), *options, **others)

    def remote(self, job: str) -> dict[str, Any]:
        remote: dict[str, Any] = self.show(job)["remote"]
        return remote

    def wait_until_remote_has(self, job: str, step: int, ceiling: float = 40.0) -> None:
        wait_for(lambda: (self.remote(job)["step"] or 0) >= step, f"step {step} to be on the remote", ceiling)

    def wait_until_settled(self, job: str) -> None:
        wait_for(lambda: self.remote(job)["pending_step"] is None, "nothing to be pending", 40.0)

    def kinds(self, job: str) -> list[str]:
        return [event["kind"] for event in json.loads(self.run("events", job, "--json").stdout)["events"]]

    def lose(self) -> int:
        """The machine with all that it had. Returns how far it had come."""
        self.close()
        reached = self.steps()[-1]
        shutil.rmtree(self.root)
        return reached

    def steps(self) -> list[int]:
        return [int(line) for line in (self.work / "steps.txt").read_text().splitlines() if line.isdecimal()]


def refuse_payload(status: int, code: str) -> Script:
    bad = Bad(status=status, code=code)
    return lambda request: bad if (request.method, request.file) == ("PUT", "count.json") else None


@pytest.fixture
def boot(tmp_path: Path, bucket: Bucket, proxy: Proxy) -> Iterator[Boot]:
    boxes: list[Box] = []

    def boot(name: str) -> Box:
        boxes.append(Box(tmp_path / name, bucket, proxy))
        boxes[-1].start()
        return boxes[-1]

    yield boot
    for box in boxes:
        box.close()


def test_a_new_machine_goes_on_with_nothing_but_the_spec_and_the_bucket(boot: Boot) -> None:
    """No step that reached the remote is done again."""
    old = boot("a")
    job = old.count("100000", "--pause", "0.2")
    old.wait_until_remote_has(job, 3)
    target = old.lose() + 20
    new = boot("b")
    job = new.count(str(target), "--pause", "0.02")
    shown = new.wait_for_state(job, "succeeded", ceiling=40)
    assert shown["attempts"][0]["resumed_from_step"] >= 3
    assert min(new.steps()) == shown["attempts"][0]["resumed_from_step"] + 1
    assert "fetched" in new.kinds(job)
    new.wait_until_settled(job)
    assert new.remote(job)["step"] == target


def test_a_job_that_is_done_says_that_its_copy_is_pending(boot: Boot, proxy: Proxy) -> None:
    """`wait` ends, with a word; `show` says what is in the way; and the copy is made once the store is back."""
    box = boot("a")
    proxy.script = refuse_payload(400, "ExpiredToken")
    job = box.count("1", "--pause", "0.5")
    box.wait_for_state(job, "succeeded")
    waited = box.run("wait", job)
    assert waited.returncode == 0
    assert "step 1 is not in s3://" in waited.stderr
    wait_for(lambda: box.remote(job)["trouble"], "the trouble to be told")
    page = box.run("show", job).stdout
    assert "step 1 is not there yet" in page
    assert "have expired" in page
    assert "remote" in box.kinds(job)
    proxy.script = lambda request: None
    box.wait_until_settled(job)
    assert "not there yet" not in box.run("show", job).stdout
    assert box.remote(job)["trouble"] is None
    assert "uploaded" in box.kinds(job)


def test_checkpoints_says_which_tier_holds_which(boot: Boot) -> None:
    """And lists what is on the remote alone."""
    box = boot("a")
    job = box.count("2", "--pause", "0.5")
    box.wait_for_state(job, "succeeded")
    box.wait_until_settled(job)
    tiers = {each["step"]: each["tiers"] for each in box.client.list_checkpoints(job)}
    assert tiers[2] == ["disk", "remote"]
    for path in (box.work / "checkpoints").glob("step-000000000002-*"):
        shutil.rmtree(path)
    alone = box.client.list_checkpoints(job)[0]
    assert (alone["step"], alone["tiers"]) == (2, ["remote"])
    assert alone["path"].startswith(f"{box.bucket.url}/step-000000000002-")
    assert "remote" in box.run("checkpoints", job).stdout


def test_a_stopped_job_has_its_last_checkpoint_on_the_remote(boot: Boot) -> None:
    """And its next start here looks there once."""
    box = boot("a")
    job = box.count("100000", "--pause", "0.1")
    box.wait_for_step(job, 2)
    assert box.run("stop", job).returncode == 0
    box.wait_until_settled(job)
    shown = box.show(job)
    assert shown["remote"]["step"] == shown["checkpoint"]["step"]


def test_a_limit_is_lifted_when_the_job_parts(boot: Boot) -> None:
    """Its machine may be about to be taken away. At 1 byte a second this would take minutes."""
    box = boot("a")
    job = box.count("100000", "--pause", "0.1", extra="remote_limit = 1")
    box.wait_for_step(job, 2)
    box.run("stop", job)
    box.wait_until_settled(job)


def test_a_broken_newest_of_the_disk_is_fetched_from_the_remote(boot: Boot) -> None:
    """Instead of going on from the one before."""
    box = boot("a")
    job = box.count("100000", "--pause", "0.1")
    box.wait_for_step(job, 3)
    box.run("stop", job)
    box.wait_until_settled(job)
    newest = Path(box.show(job)["checkpoint"]["path"])
    (newest / "count.json").write_bytes(b"X" * (newest / "count.json").stat().st_size)
    box.run("resume", job)
    shown = box.wait_for_state(job, "running")
    step = int(newest.name[5:17])
    wait_for(lambda: box.show(job)["attempts"][-1]["resumed_from_step"] == step, f"going on from step {step}")
    assert {"quarantined", "fetched"} <= set(box.kinds(job))
    assert shown["state"] == "running"


def test_nothing_begins_while_the_remote_cannot_be_asked(boot: Boot, proxy: Proxy) -> None:
    """Unknown is not absent: a new machine waits, says so, and goes on when the store answers."""
    old = boot("a")
    job = old.count("100000", "--pause", "0.2")
    old.wait_until_remote_has(job, 2)
    target = old.lose() + 20
    proxy.script = lambda request: Bad(status=403, code="AccessDenied")
    new = boot("b")
    job = new.count(str(target))
    shown = new.wait_for_state(job, "failed")
    assert "Access to s3://" in shown["reason"]
    assert "is denied" in shown["reason"]
    assert not (new.work / "steps.txt").exists()
    proxy.script = lambda request: None
    new.run("resume", job)
    new.wait_for_state(job, "succeeded", ceiling=40)
    assert min(new.steps()) > 2


def test_a_store_that_is_away_for_now_holds_the_job(boot: Boot, proxy: Proxy) -> None:
    """No attempt is spent on it, and `perdure show` says what it waits for."""
    box = boot("a")
    proxy.script = lambda request: Bad(status=500)
    job = box.count("3")
    shown = box.wait_for_state(job, "waiting", ceiling=50)
    assert shown["waiting_for"] == "the remote to answer"
    assert shown["attempts"][0]["cause"] == "remote"
    proxy.script = lambda request: None
    box.run("restart", job)
    box.wait_for_state(job, "succeeded")
    assert box.steps() == [1, 2, 3]


def test_a_stop_is_heard_while_the_remote_is_asked(boot: Boot, proxy: Proxy) -> None:
    """However long the store takes."""
    box = boot("a")
    proxy.script = lambda request: Bad(status=503, code="SlowDown")
    job = box.count("3")
    wait_for(lambda: box.remote(job)["doing"] == "fetching", "the remote to be asked")
    assert box.run("stop", job).returncode == 0
    assert box.show(job)["state"] == "stopped"


def test_training_goes_on_while_the_remote_is_away(boot: Boot, proxy: Proxy) -> None:
    """Where the disk has something to go on from."""
    box = boot("a")
    job = box.count("100000", "--pause", "0.1")
    box.wait_for_step(job, 2)
    box.run("stop", job)
    proxy.script = lambda request: Bad(status=403, code="AccessDenied")
    box.run("resume", job)
    shown = box.wait_for_state(job, "running", ceiling=40)
    assert shown["attempts"][-1]["resumed_from_step"] is not None
    assert "Going on from what the disk has." in box.run("events", job).stdout


def test_two_jobs_on_one_remote_are_refused(boot: Boot) -> None:
    """Of one daemon when it is submitted, of another when it would start."""
    box = boot("a")
    job = box.count("100000", "--pause", "0.1")
    box.wait_until_remote_has(job, 1)
    spec = (box.work / "job.toml").read_text().replace("[checkpoint]", '[checkpoint]\ndir = "other"')
    (box.work / "second.toml").write_text(spec)
    second = box.run("submit", str(box.work / "second.toml"), env=box.credentials)
    assert second.returncode == 2
    assert f"Job {job} (gpt) already copies its checkpoints to {box.bucket.url}." in second.stderr
    elsewhere = boot("b")
    other = elsewhere.count("3", name="bert")
    assert 'holds the checkpoints of "gpt"' in elsewhere.wait_for_state(other, "failed")["reason"]
    assert not (elsewhere.work / "steps.txt").exists()


def test_the_daemon_may_be_killed_while_it_copies(boot: Boot) -> None:
    """Its carrier ends with it, and the next daemon goes on."""
    box = boot("a")
    job = box.count("100000", "--pause", "0.05")
    box.wait_until_remote_has(job, 1)
    for _ in range(2):
        box.kill()
        box.start()
    step = box.show(job)["checkpoint"]["step"]
    box.wait_until_remote_has(job, step)


def test_no_credential_is_told_or_kept_but_in_the_environment(boot: Boot, proxy: Proxy) -> None:
    """What the store answers may quote them. The environment itself is kept as every job's is, for its owner alone."""
    box = boot("a")
    proxy.script = refuse_payload(400, f"Odd {SECRET}")
    job = box.count("1", "--pause", "0.5")
    wait_for(lambda: box.remote(job)["trouble"], "the trouble to be told")
    told = box.run("show", job).stdout + box.run("show", job, "--json").stdout + box.run("events", job).stdout
    assert SECRET not in told + box.log.read_text()
    with sqlite3.connect(box.state / "registry.sqlite") as registry:
        rows = (
            registry.execute("SELECT spec, record FROM jobs").fetchall()
            + registry.execute("SELECT * FROM events").fetchall()
        )
    registry.close()
    assert SECRET not in repr(rows)
    holding = [path for path in box.state.rglob("*.json") if SECRET in path.read_text()]
    assert {path.name for path in holding} <= {"submission.json", "want.json"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in holding)


# In the foreground -----------------------------------------------------------------------------------------------


def run_spec(box: Box, *options: str, extra: str = "") -> subprocess.Popen[str]:
    box.work.mkdir(exist_ok=True)
    command = json.dumps([sys.executable, str(COUNTER), *options])
    (box.work / "job.toml").write_text(
        f'command = {command}\n[checkpoint]\nremote = "{box.bucket.url}"\n{extra}\n[restart]\nbackoff = "10ms..50ms"\n'
    )
    return subprocess.Popen(
        [str(BIN / "perdure"), "run", str(box.work / "job.toml")],
        env={**box.env, **box.credentials},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def container(tmp_path: Path, bucket: Bucket, proxy: Proxy) -> Iterator[Box]:
    box = Box(tmp_path / "container", bucket, proxy)
    yield box
    box.state = box.work / "checkpoints" / ".perdure"
    box.close()


def test_a_foreground_run_copies_its_last_checkpoint_before_it_ends(container: Box, bucket: Bucket) -> None:
    """A container is gone with its disk when it ends."""
    process = run_spec(container, "100000", "--pause", "0.05")
    wait_for(lambda: (container.work / "steps.txt").exists() and len(container.steps()) > 3, "some steps")
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=50)
    assert process.returncode == 75, told
    last = max(int(path.name[5:17]) for path in (container.work / "checkpoints").glob("step-*"))
    assert last in {int(key[5:17]) for key in bucket.objects() if key.endswith("COMMIT")}


def test_further_sigterms_do_not_cut_the_last_copy_short(container: Box, bucket: Bucket, proxy: Proxy) -> None:
    """Slurm sends several before the kill, and a container's runtime one more."""
    process = run_spec(container, "100000", "--pause", "0.05")
    wait_for(lambda: (container.work / "steps.txt").exists() and len(container.steps()) > 3, "some steps")

    def tell_again(_: Request) -> None:
        process.send_signal(signal.SIGTERM)
        signal.sigtimedwait([], 0.1)  # it is heard before the copy is done

    process.send_signal(signal.SIGTERM)
    proxy.script = tell_again
    _, told = process.communicate(timeout=50)
    assert process.returncode == 75, told
    last = max(int(path.name[5:17]) for path in (container.work / "checkpoints").glob("step-*"))
    assert last in {int(key[5:17]) for key in bucket.objects() if key.endswith("COMMIT")}, told


def test_a_foreground_run_does_not_wait_for_a_copy_that_cannot_be_made(container: Box, proxy: Proxy) -> None:
    """It says what is where, and ends as the job did."""
    proxy.script = refuse_payload(403, "AccessDenied")
    process = run_spec(container, "2", "--pause", "0.5")
    _, told = process.communicate(timeout=50)
    assert process.returncode == 0, told
    assert "is denied" in told
    assert "step 2 is on this machine only" in told
