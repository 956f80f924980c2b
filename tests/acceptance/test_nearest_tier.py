"""A killed attempt's memory is where the next one goes on from, and it is given back as soon as it is not needed."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from support.counting import format_counting
from support.daemons import Daemon, wait_for

SCRIPT = format_counting('every="1000000 steps"')
SPEC = '[restart]\nbackoff = "10ms..50ms"\n'


def _list_arenas(daemon: Daemon) -> set[int]:
    """The inodes of those that the daemon holds."""
    assert daemon.process is not None
    found = set()
    for link in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if "memfd:" in os.readlink(link):
                found.add(link.stat().st_ino)
    return found


def test_the_next_attempt_goes_on_from_the_memory_of_the_one_that_was_killed(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text(SCRIPT)
    job = daemon.submit(tmp_path, sys.executable, "count.py", extra=SPEC)
    first = wait_for(lambda: _list_arenas(daemon), "the daemon to hold the arena")
    # The arena is there before a snapshot is in it; of the first copy the job tells how long it took.
    wait_for(lambda: (daemon.show(job)["pace"] or {}).get("copy") is not None, "the first snapshot")
    os.kill(daemon.show(job)["attempts"][-1]["pid"], signal.SIGKILL)
    wait_for(lambda: ", from memory)" in daemon.run("logs", job).stdout, "the next attempt to go on from memory")
    second = wait_for(lambda: _list_arenas(daemon) - first, "the new attempt's arena")
    wait_for(lambda: _list_arenas(daemon) == second, "the old one to be given back")
    daemon.run("stop", job)
    wait_for(lambda: not _list_arenas(daemon), "that of a job which rests to be given back")
