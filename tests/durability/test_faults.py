"""Whichever system call fails, with whatever error, once or for ever: nothing older is lost, nothing broken chosen."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from perdured.contract.checkpoint import list_checkpoints
from support.faults import Fault, Kernel, installed
from support.stores import commit
from support.sweeps import COMMIT, LARGE, SWEEPS, Outcome, Sweep, check_commit, find_complaints, list_places

ERRORS = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS]
# Errors that some code path treats in its own way, and so might take for something else.
ODD_ERRORS = [
    errno.EACCES,
    errno.EINTR,
    errno.EEXIST,
    errno.EINVAL,
    errno.EMFILE,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ESTALE,
]

each_sweep = pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.name)
each_length = pytest.mark.parametrize("forever", [False, True], ids=["once", "for ever"])


@each_sweep
@each_length
def test_an_error_at_any_call_leaves_the_older_ones_and_nothing_broken(
    sweep: Sweep, forever: bool, memory: Path
) -> None:
    """The next operation without the fault works, and clears up what the failed one had to leave."""
    assert not list(find_complaints(sweep, Fault(0, "refuse", errno.EIO, forever), memory))


@pytest.mark.parametrize("error", ERRORS[1:], ids=errno.errorcode.get)
def test_a_full_disk_a_quota_and_a_read_only_disk_are_no_different(error: int, memory: Path) -> None:
    """For a commit; for the rest see the next one."""
    assert not list(find_complaints(COMMIT, Fault(0, "refuse", error, forever=True), memory))


@pytest.mark.slow
@each_sweep
@each_length
@pytest.mark.parametrize("error", [*ERRORS[1:], *ODD_ERRORS], ids=errno.errorcode.get)
def test_any_error_at_any_call_of_any_operation(sweep: Sweep, error: int, forever: bool, memory: Path) -> None:
    """The whole grid."""
    assert not list(find_complaints(sweep, Fault(0, "refuse", error, forever), memory))


@each_sweep
def test_an_error_after_the_call_was_carried_out_is_no_different(sweep: Sweep, memory: Path) -> None:
    """As over a network, when the answer is lost."""
    assert not list(find_complaints(sweep, Fault(0, "lose the answer", errno.EIO), memory))


each_size = pytest.mark.parametrize("sweep", [COMMIT, LARGE], ids=lambda sweep: sweep.name)


@each_size
@each_length
def test_a_write_that_takes_only_half_is_gone_on_with(sweep: Sweep, forever: bool, memory: Path) -> None:
    """Short writes are no error, and the commit succeeds; also where the rest is no whole block for O_DIRECT."""
    assert not list(find_complaints(replace(sweep, check=_check_succeeded), Fault(0, "short", forever=forever), memory))


@each_size
@each_length
@pytest.mark.timeout(20)
def test_a_write_that_takes_nothing_is_an_error_and_not_tried_for_ever(
    sweep: Sweep, forever: bool, memory: Path
) -> None:
    """As a file system in user space may answer."""
    assert not list(find_complaints(sweep, Fault(0, "nothing", forever=forever), memory))


def test_every_run_makes_the_same_calls_whatever_its_threads_do(memory: Path) -> None:
    """So that the n-th call is the same one in each."""
    template = memory / "template" / "root"
    LARGE.prepare(template)
    runs = [list_places(LARGE, template, memory) for _ in range(20)]
    assert len({frozenset(places) for places in runs}) == 1
    assert len(set(runs[0])) == len(runs[0])


def _check_succeeded(outcome: Outcome) -> Iterator[str]:
    if outcome.error is not None:
        yield f"it raised {outcome.error!r}"
    yield from check_commit(outcome)


def test_a_checkpoint_that_can_neither_be_sealed_nor_moved_away_loses_its_commit(memory: Path) -> None:
    """The last sync fails, and the rename to trash as well: then at least no reader takes it for one."""

    class Failing(Kernel):
        def fsync(self, descriptor: int) -> None:
            if "COMMIT" in os.listdir(descriptor if os.path.isdir(f"/proc/self/fd/{descriptor}") else memory):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            super().fsync(descriptor)

        def renameat2(self, source: Path, target: Path) -> None:
            if ".trash-" in target.name:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            super().renameat2(source, target)

    commit(memory / "root", 10)
    with installed(Failing()), pytest.raises(OSError, match=os.strerror(errno.EIO)):
        commit(memory / "root", 20)
    assert [listed.step for listed in list_checkpoints(memory / "root")] == [10]
