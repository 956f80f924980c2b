"""Hosts that have joined one bucket: each a daemon with a state directory, a home and a workdir of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

from support.daemons import COUNTER, Daemon, wait_for
from support.s3 import Bucket

LASTS = 9.0
"""Seconds of a lease: long enough for a machine under load, short enough to wait for its end."""


class FleetHost(Daemon):
    def __init__(self, root: Path, bucket: Bucket, lasts: float = LASTS, endpoint: str | None = None) -> None:
        root.mkdir()
        super().__init__(root)
        self.home = root / "home"
        self.work = self.home / "work"
        self.work.mkdir(parents=True)
        self.bucket = bucket
        self.credentials = bucket.env(endpoint)
        self.url = f"s3://{bucket.name}/fleet"
        self.lasts = lasts
        self.frozen: list[int] = []

    @property
    def env(self) -> dict[str, str]:
        return {**super().env, **self.credentials, "HOME": str(self.home)}

    def start(self, *arguments: str, is_to_live: bool = True) -> None:
        config = self.root / "perdured.toml"
        config.write_text(f'lease = {self.lasts}\njoin = "{self.url}"\n')
        super().start("--config", str(config), *arguments, is_to_live=is_to_live)

    def begin(self, *command: str, extra: str = "") -> str:
        """Submits in this host's workdir."""
        spec = self.work / "job.toml"
        spec.write_text(
            f'name = "gpt"\ncommand = {json.dumps(list(command))}\n{extra}\n'
            f'[checkpoint]\nremote = "{self.bucket.url}"\n[restart]\nbackoff = "10ms..50ms"\n'
        )
        done = self.run("submit", str(spec))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def count_steps(self, *options: str, extra: str = "") -> str:
        return self.begin(sys.executable, str(COUNTER), *options, extra=extra)

    def knows(self, job: str) -> bool:
        return any(each["id"] == job for each in self.client.list_jobs(everything=True))

    def fleet(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self.client.show_fleet())

    def wait_until_it_runs(self, job: str, ceiling: float = 60.0) -> dict[str, Any]:
        wait_for(lambda: self.knows(job), f"{job} to be taken over", ceiling)
        return self.wait_for_state(job, "running", "succeeded", ceiling=ceiling)

    def wait_until_remote_has(self, job: str, step: int) -> None:
        wait_for(lambda: (self.show(job)["remote"]["step"] or 0) >= step, f"step {step} to be on the remote", 40.0)

    def steps(self) -> list[int]:
        """Those that were made on this host, in order."""
        path = self.work / "steps.txt"
        return [int(line) for line in path.read_text().splitlines() if line.isdecimal()] if path.exists() else []

    def freeze(self) -> None:
        """The whole machine: the daemon, its messenger, keepers, jobs, whatever it has started."""
        assert self.process is not None
        while more := [pid for pid in list_tree(self.process.pid) if pid not in self.frozen]:
            for pid in more:
                os.kill(pid, signal.SIGSTOP)
            self.frozen += more

    def thaw(self) -> None:
        frozen, self.frozen = self.frozen, []
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)

    def lose(self) -> None:
        """The machine is gone, with all that ran on it."""
        assert self.process is not None
        self.freeze()
        gone, self.frozen = self.frozen, []
        for pid in gone:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        self.thaw()
        super().close()


def list_tree(pid: int) -> list[int]:
    """The process and all that came of it, as long as their parents live."""
    children = [
        int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()
    ]
    return [pid, *(each for child in children for each in list_tree(child))]
