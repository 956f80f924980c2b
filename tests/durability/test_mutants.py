"""Each sync taken out, and each put on the wrong side of its neighbour: some check of the protocol must turn red.

These are the rules that nobody would miss in daily use: without them everything works until the power fails.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.faults import Kernel, installed
from support.mutants import Mutant, mutants_swapped, mutants_without, mutated
from support.scenarios import SCENARIOS, Judge, find_violations, record
from support.stores import commit, payload_of
from support.traces import find_misorders

MODULES = [
    importlib.import_module(f"perdured.contract.{name}")
    for name in ("durable", "checkpoint.commit", "checkpoint.sweep", "checkpoint.store", "checkpoint.claims")
]

# Mutants that do what the original does.
SAME = {
    "commit.seal swapped: check()": "the deadline is looked at before or after a sync",
    "durable.make_directories swapped: if not directory.is_dir()": "an error instead, before or after a sync",
    "sweep.empty_trash swapped: if not trash: return": "a sync too many",
    "store.move_aside swapped: durable.fsync_directory(aside)": "both are done before it returns; between them a torn "
    "rename may be lost either way",
    "store.move_aside swapped: durable.fsync_directory(path.parent)": "the reason is durable before it returns as well",
}


def _calls(statement: ast.stmt) -> bool:
    """A plain call; not a docstring that speaks of one."""
    return (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) and "fsync" in ast.unparse(statement)
    )


def _mutants() -> Iterator[Mutant]:
    for module in MODULES:
        yield from mutants_without(module, _calls)
        yield from mutants_swapped(module, _calls)


def _is_same(mutant: Mutant) -> bool:
    return any(mutant.name.startswith(name) for name in SAME)


def _find_red(scratch: Path, judge: Judge) -> Iterator[str]:
    root = scratch / "root"
    commit(root, 10)
    with installed(Kernel()) as kernel:
        commit(root, 20)
    yield from find_misorders(kernel.done, root, set(payload_of(20)))
    for number, scenario in enumerate(SCENARIOS):
        recorded = record(scenario, scratch / str(number) / "base")
        for torn in (False, True):
            yield from find_violations(scenario, recorded, judge, torn=torn)


@pytest.mark.parametrize("mutant", [m for m in _mutants() if not _is_same(m)], ids=lambda mutant: mutant.name)
def test_the_mutant_is_seen(mutant: Mutant, memory: Path, judge: Judge) -> None:
    with mutated(mutant):
        try:
            red = next(_find_red(memory, judge), None)
        except OSError as error:
            red = f"it does not work at all: {error}"
    assert red is not None


def test_every_exception_is_a_mutant_that_exists() -> None:
    names = [mutant.name for mutant in _mutants()]
    assert len(names) > 15
    assert not [name for name in SAME if not any(mutant.startswith(name) for mutant in names)]
