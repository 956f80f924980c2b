"""Makes the fixtures of a version: what its daemon and its keepers leave on the disk, and what they say.

    env -i PATH=/usr/bin:/bin python tests/support/keep_version.py OUT

Run by hand when a version is released, with that version's own code; OUT is a folder in `tests/upgrades/kept`, and what
is in it is never changed. Jobs are named after the state in which they are kept. Nothing in it is of the machine that
it was made on: the root is ROOT, the boot id is BOOT.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import perdure
from perdured.contract import environment
from perdured.keeper.identity import read_boot_id
from support.daemons import Daemon
from support.keepers import listening

ROOT = Path("/tmp/kept")
BOOT = "6b1f0c1e-0000-4000-8000-000000000001"
JOB = Path(__file__).with_name("kept_job.py")
RECORDS = (
    *("submission.json", "rest.json", "attempts/*/want.json", "attempts/*/run.json", "attempts/*/stop.json"),
    *("attempts/*/exit.json", "attempts/*/output.log"),
)


def make_jobs(daemon: Daemon) -> str:
    """Returns the id of the one that runs."""
    work = ROOT / "work"
    shutil.copy(JOB, work / "job.py")

    def submit(name: str, *arguments: str, backoff: str = "10ms..10ms") -> str:
        extra = f'name = "{name}"\nworkdir = "{work}"\n[checkpoint]\ndir = "{name}"\n[restart]\nbackoff = "{backoff}"'
        return daemon.submit(work / name, "python3", "job.py", *arguments, extra=extra)

    daemon.wait_for_state(submit("succeeded", "exits", "1", "5"), "succeeded")
    daemon.wait_for_state(submit("failed", "exits", "78", "5"), "failed")
    daemon.wait_for_state(submit("waiting", "exits", "3", "5", backoff="1h..1h"), "waiting")
    for name, verb in (("stopped", "stop"), ("parked", "park")):
        job = submit(name, "runs")
        daemon.wait_for_step(job, 3)
        daemon.client.ask(job, verb)  # type: ignore[arg-type]
        daemon.wait_for_state(job, name)
    running = submit("running", "runs")
    daemon.wait_for_step(running, 3)
    return running


def read_status(attempt: Path) -> str:
    """What a keeper answers to a daemon's hello."""
    nonce = json.loads((attempt / "want.json").read_text())["nonce"]
    with socket.socket(socket.AF_UNIX) as keeper:
        keeper.connect(str(attempt / "keeper.sock"))
        keeper.sendall(json.dumps({"type": "hello", "role": "daemon", "version": 1, "nonce": nonce}).encode() + b"\n")
        return keeper.makefile().readline()


def keep(daemon: Daemon, out: Path, running: str) -> None:
    with sqlite3.connect(daemon.state / "registry.sqlite") as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        lines = [f"PRAGMA user_version = {version};", *db.iterdump()]
    write(out / "registry.sql", "\n".join(lines) + "\n")
    write(out / "status.json", read_status(daemon.state / "jobs" / running / "attempts" / "1"))
    for job in (daemon.state / "jobs").iterdir():
        for pattern in RECORDS:
            for path in job.glob(pattern):
                write(out / "jobs" / path.relative_to(daemon.state / "jobs"), path.read_text())


class Counter:
    """What a job of the kept words trains."""

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None: ...


def keep_words(out: Path) -> None:
    """What `perdure.Run` says to its keeper."""
    os.environ |= {environment.CHANNEL: str(ROOT / "k.sock"), environment.CHECKPOINT_DIR: str(ROOT / "words")}
    with listening(ROOT / "k.sock") as keeper:
        with perdure.Run(counter=Counter(), every="2 steps") as run:
            for _ in run.batches([1, 2, 3, 4]):
                run.report(loss=0.5, total=4)
        keeper.wait_for("checkpoint", 2)
        write(out / "job.jsonl", "".join(json.dumps(message) + "\n" for message in keeper.messages))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace(read_boot_id(), BOOT))


def main(out: Path) -> None:
    (ROOT / "work").mkdir(parents=True)
    daemon = Daemon(ROOT)
    daemon.start()
    try:
        running = make_jobs(daemon)
        daemon.kill()
        keep(daemon, out, running)
        keep_words(out)
    finally:
        daemon.close()
        shutil.rmtree(ROOT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
