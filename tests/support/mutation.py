"""Takes every rule out of a module, one by one, and asks the tests that should miss it. For a process of its own.

A mutant is put into a child that this process forks, and the tests named for its module run there until the first one
fails. A child that is not done in time hangs for want of what was taken out, which is as red as any failure. So the
time is bounded: by the number of the mutants, and by the few seconds that the tests of one module take.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from support import processes
from support.mutants import Mutant, mutants_of_checks, mutants_swapped, mutants_without, mutated

_TESTS = Path(__file__).parents[1]


class Target(NamedTuple):
    """A module, and the tests that defend it; the quickest and those that see most come first."""

    module: str
    tests: tuple[str, ...]
    only: str = ""
    """An expression of pytest's `-k`. Left out is what starts programs of its own, in which the mutant is not."""


CEILING = 60.0
"""Seconds for one mutant; several times what all the tests take when nothing is wrong."""
_PATIENCE = 4.0
_GREEN = 42
"""The exit status of a child whose tests all passed. Not 0: code under test that ends its process says that as well."""
_CONTRACT = "perdured.contract.checkpoint."
_COMMITS = ("durability/test_call_order.py", "durability/test_power_cuts.py", "durability/test_faults.py")
TARGETS = {
    "copier": Target(
        _CONTRACT + "copier",
        ("contract/test_copier.py", *_COMMITS),
        "test_copier or several or O_DIRECT and not kernel_sees",
    ),
    "gather": Target(_CONTRACT + "gather", ("contract/test_copier.py", "contract/test_checkpoint_commit.py")),
    "holding": Target("perdured.contract.holding", ("contract/test_holding.py", "state/test_ground.py")),
    "arena": Target(
        _CONTRACT + "arena",
        ("contract/test_arena.py", "durability/test_arena_stores.py", "durability/test_keeper_memory.py"),
        "not killed_at_any and not sigkill",
    ),
    "commit": Target(
        _CONTRACT + "commit",
        ("contract/test_checkpoint_commit.py", *_COMMITS),
        "not kernel_sees and not retention and not quarantine",
    ),
    "writer": Target(
        "perdured.keeper.writer",
        ("durability/test_keeper_memory.py", "durability/test_writer.py"),
        "not sigkill and not whatever",
    ),
    "keeper memory": Target("perdured.keeper.memory", ("durability/test_keeper_memory.py",)),
    "writer link": Target("perdured.keeper.writer_link", ("durability/test_keeper_memory.py",)),
    "memory": Target(
        "perdure.memory", ("durability/test_memory_tier.py", "durability/test_arena_stores.py"), "not sigkill"
    ),
}


def list_mutants(module: ModuleType) -> Iterator[Mutant]:
    """Each effect and each check taken out, each check always true, each pair of effects in the other order.

    The order in which a new object gets its attributes is nobody's business.
    """
    yield from mutants_without(module, _is_rule)
    yield from mutants_of_checks(module)
    yield from (m for m in mutants_swapped(module, _is_effect) if m.function.__name__ != "__init__")


def _is_effect(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call)
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Subscript | ast.Attribute) for target in statement.targets)
    return isinstance(statement, ast.AugAssign | ast.Delete)


def _is_rule(statement: ast.stmt) -> bool:
    return _is_effect(statement) or isinstance(statement, ast.If | ast.Raise | ast.Break | ast.Continue)


def find_survivors(target: Target) -> Iterator[str]:
    """The names of the mutants that no test missed."""
    module = importlib.import_module(target.module)
    if _ask(target, None):
        raise AssertionError(f"the tests of {target.module} fail without any mutant")
    for mutant in list_mutants(module):
        if not _ask(target, mutant):
            yield mutant.name


def _ask(target: Target, mutant: Mutant | None) -> bool:
    """Whether the tests turn red."""
    child = os.fork()
    if child == 0:
        _be_child(target, mutant)
    deadline = time.monotonic() + CEILING
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) != _GREEN
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _be_child(target: Target, mutant: Mutant | None) -> None:
    os.setpgid(0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    # What does not come about without the rule is not waited for as long as on a busy day.
    processes.wait_until.__defaults__ = ("", _PATIENCE)
    try:
        arguments = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not root", "-k", target.only]
        arguments += [str(_TESTS / test) for test in target.tests]
        with mutated(mutant) if mutant is not None else contextlib.nullcontext():
            os._exit(_GREEN if pytest.main(arguments) == 0 else 1)
    finally:
        os._exit(70)


def main(name: str) -> None:
    for survivor in find_survivors(TARGETS[name]):
        sys.stdout.write(survivor + "\n")
        sys.stdout.flush()
