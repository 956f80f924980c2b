"""A registry with a long past: one job that has really run and succeeded, and thousands like it."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

from perdured.state import beside
from perdured.state.paths import StateDir
from perdured.state.registry import Registry
from support import Daemon, wait_for


def fill_history(daemon: Daemon, root: Path, count: int) -> None:
    """The daemon is killed for it, and started again by whoever goes on."""
    job = daemon.submit(root, ("true",))
    wait_for(lambda: daemon.client.show(job)["state"] == "succeeded", "one job to succeed", pause=0.05)
    daemon.kill()
    state = StateDir(daemon.state)
    registry = Registry(state.registry)
    ((submission, record),) = registry.load_jobs()
    events = [stored.event for stored in registry.load_events(0, job)]
    _make_fast(registry)
    with patch.object(beside, "write_file", _write):
        for number in range(count - 1):
            other = record.but(id=f"h{number:07d}")
            registry.save_submission(submission, other, events, record.submitted_at)
            beside.save_beside(state, submission, other)
            (state.job(other.id) / "attempts").symlink_to(state.job(job) / "attempts")
    registry.close()


def _make_fast(registry: Registry) -> None:
    """What is written here may be lost with the machine."""
    registry._db.execute("PRAGMA synchronous = OFF")


def _write(path: Path, content: bytes, mode: int) -> None:
    path.write_bytes(content)
    path.chmod(mode)
