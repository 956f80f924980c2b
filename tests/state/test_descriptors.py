"""File descriptors: what the daemon takes, what its jobs get, and what it says when there are none."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from perdured.descriptors import has_descriptors

PROGRAM = """
import os, resource, subprocess, sys
soft = resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft * 2))
from perdured.descriptors import give_back_limit, most_connections, raise_limit
raise_limit()
here = resource.getrlimit(resource.RLIMIT_NOFILE)
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
give_back_limit(child.pid)
there = resource.prlimit(child.pid, resource.RLIMIT_NOFILE)
child.communicate(b"x\\n")
print(here[0] > soft, most_connections() < here[0], there == (soft, soft * 2))
"""


def test_the_daemon_takes_what_the_hard_limit_grants_and_its_jobs_get_what_it_was_started_with() -> None:
    limit = (1024, 4096)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
    )
    assert done.stdout.split() == ["True"] * 3


def test_it_is_seen_that_descriptors_run_short_and_none_is_kept() -> None:
    assert has_descriptors()
    before = os.listdir("/proc/self/fd")
    assert not has_descriptors(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    assert os.listdir("/proc/self/fd") == before
