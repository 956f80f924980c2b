"""Every check, every effect and every order taken out of the modules that carry a checkpoint to the disk.

What `test_mutants.py` does for syncs, for all else: see `support.mutation`. A mutant that survives wants a test; or it
does what the original does, and stands here with the reason.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from support.mutation import TARGETS, list_mutants
from support.survivors import SAME


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", list(TARGETS))
def test_no_rule_can_be_taken_out_without_a_test_that_misses_it(name: str) -> None:
    """In a process of its own, as it forks one for each mutant."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from support.mutation import main; main(*sys.argv[1:])", name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=1700,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    survivors = [line for line in done.stdout.splitlines() if not any(line.startswith(same) for same in SAME)]
    assert not survivors, survivors


def test_every_exception_is_a_mutant_that_exists() -> None:
    names = {m.name for target in TARGETS.values() for m in list_mutants(importlib.import_module(target.module))}
    assert len(names) > 300
    assert not [same for same in SAME if not any(name.startswith(same) for name in names)]
