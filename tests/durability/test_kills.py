"""Whenever the process is killed, the next one finds a whole checkpoint, works, and clears up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from perdured.contract.checkpoint import choose_checkpoint
from support.crashes import load_tree
from support.faults import Fault, Way
from support.seeds import make_random
from support.stores import commit, debris_in, is_whole
from support.sweeps import SWEEPS, Sweep, find_complaints


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.name)
@pytest.mark.parametrize("way", ["kill before", "kill after", "kill half way"])
def test_a_kill_at_any_call_leaves_a_whole_checkpoint_and_no_debris_for_long(
    sweep: Sweep, way: Way, memory: Path
) -> None:
    """Simulated: no clean-up runs, and what was open and locked is let go."""
    assert not list(find_complaints(sweep, Fault(0, way), memory))


CHILD = """
import sys
from pathlib import Path
from support.faults import Fault, Kernel, installed
from support.seeds import make_random
from support.stores import commit
with installed(Kernel(Fault(int(sys.argv[2]), "really kill"))) as kernel:
    commit(Path(sys.argv[1]), 20)
print(len(kernel.calls))
"""


def _commit_in_child(root: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(root), str(kill_at)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_sigkill_at_random_calls(tmp_path: Path) -> None:
    """The simulation is right: a real kill of a real process leaves nothing that the reader takes for more."""
    random = make_random()
    commit(tmp_path / "whole", 10)
    whole = _commit_in_child(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    calls = int(whole.stdout)
    for number in sorted(random.sample(range(1, calls + 1), 10)):
        root = tmp_path / str(number)
        commit(root, 10)
        assert _commit_in_child(root, number).returncode == -signal.SIGKILL
        choice = choose_checkpoint(root)
        assert choice.chosen is not None
        assert not choice.rejected
        assert is_whole(load_tree(choice.chosen.path), choice.chosen.step)
        commit(root, 30)
        assert not [name for name in debris_in(root) if name.startswith(".")]
