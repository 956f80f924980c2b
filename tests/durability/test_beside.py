"""The writer commits while another process drops what is old, and dies at it: two at one directory, in any order."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from perdured.contract.checkpoint import choose_checkpoint, list_checkpoints, retain, retention, verify_checkpoint
from support.crashes import load_tree
from support.faults import Fault, Kernel, Killed, Place, installed
from support.stores import commit, commit_large, debris_in, is_whole

KEEP = 2


def _prepare(root: Path) -> None:
    for step in (10, 20, 30, 40):
        commit(root, step)


def _write(root: Path) -> None:
    commit_large(root, 50, are_images=True)


def _retain(root: Path) -> None:
    retention._verified.clear()
    retain(root, KEEP)


def _at_each_call(act: Callable[[Path], None], then: Callable[[Kernel, Path], None], scratch: Path) -> Iterator[Path]:
    """`act`, and in the middle of it, before each of its calls in turn, `then`."""
    template, root = scratch / "template", scratch / "root"
    _prepare(template)
    for place in _list_places(act, template, root):
        shutil.copytree(template, root)
        with installed(Kernel(Fault(0, "really kill", place=place))) as kernel:
            kernel.at_strike = lambda kernel=kernel: then(kernel, root)  # type: ignore[misc]
            try:
                act(root)
            except Killed:
                assert kernel.is_dead
        assert kernel.has_struck, place
        yield root
        shutil.rmtree(root)


def _list_places(act: Callable[[Path], None], template: Path, root: Path) -> list[Place]:
    shutil.copytree(template, root)
    with installed(Kernel()) as kernel:
        act(root)
    shutil.rmtree(root)
    return kernel.places


def _check(root: Path) -> None:
    choice = choose_checkpoint(root)
    assert choice.chosen is not None
    assert choice.chosen.step == 50
    listed = list_checkpoints(root)
    assert all(verify_checkpoint(each.path).is_valid and is_whole(load_tree(each.path), each.step) for each in listed)
    assert [each.step for each in listed][:2] == [50, 40]
    _retain(root)
    assert [each.step for each in list_checkpoints(root)] == [50, 40]
    assert not debris_in(root)


def test_what_is_old_may_be_dropped_at_any_call_of_a_commit(memory: Path) -> None:
    """The directory that is being written is nobody's debris, and the two newest stay."""
    for root in _at_each_call(_write, lambda kernel, root: _retain(root), memory):
        _check(root)


def test_a_commit_may_come_at_any_call_of_retention(memory: Path) -> None:
    for root in _at_each_call(_retain, lambda kernel, root: _write(root), memory):
        _check(root)


def test_retention_may_die_at_any_call_after_a_commit_came_in_between(memory: Path) -> None:
    def commit_and_die(kernel: Kernel, root: Path) -> None:
        _write(root)
        kernel._die()

    for root in _at_each_call(_retain, commit_and_die, memory):
        _check(root)
