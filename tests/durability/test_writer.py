"""The keeper's writer under the same torture as the commit protocol that it uses, and what it alone can do wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from perdured.contract.checkpoint.arena import create_arena
from perdured.keeper.priority import Priority
from perdured.keeper.writer import _Writer
from support.faults import Fault, Way
from support.sweeps import Sweep, find_complaints
from support.writers import WRITER_SWEEPS, held_arena, noted_priorities, order_of

OTHERS = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EINTR]
SLOW = [pytest.param(sweep, marks=pytest.mark.slow) for sweep in WRITER_SWEEPS[1:]]
each_sweep = pytest.mark.parametrize("sweep", [WRITER_SWEEPS[0], *SLOW], ids=lambda sweep: sweep.name)
each_length = pytest.mark.parametrize("forever", [False, True], ids=["once", "for ever"])


@each_sweep
@each_length
@pytest.mark.parametrize(
    "error",
    [errno.EIO, *(pytest.param(error, marks=pytest.mark.slow) for error in OTHERS)],
    ids=errno.errorcode.get,
)
def test_an_error_at_any_call_is_told_and_the_next_order_is_obeyed(
    sweep: Sweep, error: int, forever: bool, memory: Path
) -> None:
    """The one before is not touched, and the job hears the system's own word for what went wrong."""
    assert not list(find_complaints(sweep, Fault(0, "refuse", error, forever), memory))


@each_sweep
@pytest.mark.parametrize("way", ["lose the answer", "short", "nothing", "kill before", "kill after", "kill half way"])
def test_whatever_else_happens_at_any_call_a_whole_checkpoint_is_found(sweep: Sweep, way: Way, memory: Path) -> None:
    assert not list(find_complaints(sweep, Fault(0, way), memory))


@pytest.mark.parametrize(("urgent", "priority"), [(False, Priority.IDLE), (True, Priority.NORMAL)])
def test_the_writer_stands_back_unless_it_is_urgent(urgent: bool, priority: Priority, memory: Path) -> None:
    """Training reads its data from the same disk."""
    with held_arena() as arena, noted_priorities() as noted:
        _Writer(arena).obey(order_of(memory / "root", last=False, urgent=urgent))
    assert noted == [priority]


def test_a_reason_that_is_not_the_systems_is_told_in_its_own_words(memory: Path) -> None:
    with held_arena() as arena, noted_priorities():
        answer = _Writer(arena).obey(order_of(memory / "a\0b", last=False))
    assert answer == {"generation": 1, "why": "embedded null byte"}


def test_an_arena_without_a_snapshot_has_no_last_one(memory: Path) -> None:
    with closing(create_arena(1 << 20)) as arena, noted_priorities():
        answer = _Writer(arena).obey(order_of(memory / "root", last=True))
    assert answer == {"generation": None, "step": None, "path": None}


@pytest.mark.parametrize("whom", ["writer", "keeper"])
@pytest.mark.parametrize("last", ["last", pytest.param("on request", marks=pytest.mark.slow)])
def test_sigkill_at_each_call_of_the_writer(whom: str, last: str, memory: Path) -> None:
    """Of the writer itself; and of the keeper, whose writer then goes on to the end of what it does, and ends."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from support.writers import main; main(*sys.argv[1:])", memory, whom, last],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout, done.stdout
