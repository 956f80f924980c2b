"""Where things lie: the state directory's layout, and the defaults for a user (XDG) and for root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from perdured.contract import environment


def default_state_dir() -> Path:
    chosen = os.environ.get(environment.STATE_DIR)
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/perdure")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "perdure"


def default_socket_path() -> Path:
    chosen = os.environ.get(environment.SOCKET_PATH)
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/run/perdure/perdured.sock")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime or default_state_dir()) / "perdure" / "perdured.sock"


def find_socket_path() -> Path:
    """Where a client asks: its user's own daemon, and where there is none the machine's, if that serves all users."""
    own, machines = default_socket_path(), Path("/run/perdure/perdured.sock")
    is_chosen = bool(os.environ.get(environment.SOCKET_PATH))
    return machines if not is_chosen and not own.exists() and os.access(machines, os.W_OK) else own


class StateDir(NamedTuple):
    """The state directory. Each attempt's directory is its keeper's; all the rest is the daemon's."""

    root: Path

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def registry(self) -> Path:
        return self.root / "registry.sqlite"

    @property
    def groups(self) -> Path:
        """Which groups of jobs are paused."""
        return self.root / "groups.json"

    @property
    def fence(self) -> Path:
        """While the machine is about to be taken away: by which notices, and when it was last alive."""
        return self.root / "fence.json"

    @property
    def windows(self) -> Path:
        """How much of the time that notices promised was really there."""
        return self.root / "windows.json"

    @property
    def host(self) -> Path:
        """Who this host is to others that joined the same bucket."""
        return self.root / "host.json"

    @property
    def joined(self) -> Path:
        """Which place in a bucket it has joined."""
        return self.root / "joined.json"

    @property
    def gpus(self) -> Path:
        """Which GPUs are in quarantine."""
        return self.root / "gpus.json"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    def job(self, job: str) -> Path:
        return self.jobs / job

    def submission(self, job: str) -> Path:
        return self.job(job) / "submission.json"

    def rest(self, job: str) -> Path:
        return self.job(job) / "rest.json"

    def remote(self, job: str) -> Path:
        """What its carrier found on the job's remote tier."""
        return self.job(job) / "remote.json"

    def standby(self, job: str) -> Path:
        """Of the process that waits to be the next attempt."""
        return self.job(job) / "standby"

    def attempt(self, job: str, number: int) -> Path:
        return self.job(job) / "attempts" / str(number)

    def output(self, job: str, number: int) -> Path:
        """What the attempt printed. The job writes it itself; nobody stands in between."""
        return self.attempt(job, number) / "output.log"
