"""The training process is killed at any of its stores to the arena: a whole snapshot is there, never a mixed one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from support.arena_stores import find_torn_snapshots


def test_whatever_a_kill_leaves_in_the_memory_the_newest_complete_snapshot_is_found() -> None:
    """Every store of a life of a tier, every way to tear it; with commits under way, whose slots are not touched."""
    assert not list(find_torn_snapshots())


def test_sigkill_after_each_store_leaves_the_new_snapshot_or_the_one_before() -> None:
    """The simulation is right: real kills of real processes."""
    done = subprocess.run(
        [sys.executable, "-c", "from support.arena_stores import kill_at_each_store; kill_at_each_store()"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) > 7
    assert found == sorted(found)  # once the new one is complete, it stays so
    assert set(found) == {2, 3}
