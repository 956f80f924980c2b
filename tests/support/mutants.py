"""Functions of the code under test with one statement taken out, or two in the wrong order.

A rule that no test misses when it is gone is not tested. The mutant's code is put into the live function object, so
every module that imported it sees the change, and taken out again at the end.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType

Change = Callable[[ast.FunctionDef], None]


@dataclass(frozen=True)
class Mutant:
    """`name` says what was done where, for people and as the id of a test."""

    name: str
    function: FunctionType
    code: CodeType


def functions_in(module: ModuleType) -> Iterator[FunctionType]:
    """Module-level functions that were defined there; what a decorator wraps, instead of the wrapper."""
    for value in vars(module).values():
        function = inspect.unwrap(value) if callable(value) else value
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            yield function


def mutants_without(module: ModuleType, is_wanted: Callable[[ast.stmt], bool]) -> Iterator[Mutant]:
    """One mutant for each wanted statement, with the statement gone."""
    for function in functions_in(module):
        tree = _parse(function)
        for body, index in _statements(tree):
            if is_wanted(body[index]):
                yield _mutate(function, "without", body[index], _at(tree, body, index, _remove))


def mutants_swapped(module: ModuleType, is_wanted: Callable[[ast.stmt], bool]) -> Iterator[Mutant]:
    """One mutant for each pair of neighbours, of which one is wanted, in the other order."""
    for function in functions_in(module):
        tree = _parse(function)
        for body, index in _statements(tree):
            pair = body[index : index + 2]
            if len(pair) == 2 and any(map(is_wanted, pair)) and not any(map(_is_fixed, pair)):
                yield _mutate(function, "swapped", body[index], _at(tree, body, index, _swap))


@contextlib.contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    original = mutant.function.__code__
    mutant.function.__code__ = mutant.code
    try:
        yield
    finally:
        mutant.function.__code__ = original


def _parse(function: FunctionType) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list = []
    return tree


def _statements(tree: ast.FunctionDef) -> Iterator[tuple[list[ast.stmt], int]]:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list):
                for index in range(len(body)):
                    yield body, index


def _at(
    tree: ast.FunctionDef, body: list[ast.stmt], index: int, change: Callable[[list[ast.stmt], int], None]
) -> ast.FunctionDef:
    """A copy of the tree, changed at the place that corresponds."""
    place = [id(found) for found, _ in _statements(tree)].index(id(body))
    changed = copy.deepcopy(tree)
    change(list(_statements(changed))[place][0], index)
    return changed


def _remove(body: list[ast.stmt], index: int) -> None:
    body[index] = ast.copy_location(ast.Pass(), body[index])


def _swap(body: list[ast.stmt], index: int) -> None:
    body[index], body[index + 1] = body[index + 1], body[index]


def _is_fixed(statement: ast.stmt) -> bool:
    """Nothing can come after it, or its value is what follows needs."""
    return isinstance(statement, ast.Return | ast.Raise | ast.Assign | ast.AnnAssign)


def _mutate(function: FunctionType, how: str, statement: ast.stmt, tree: ast.FunctionDef) -> Mutant:
    text = " ".join(ast.unparse(statement).split())
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__} {how}: {text[:60]}"
    # `from __future__ import annotations` holds for the original, so annotations must not be evaluated here either.
    module = compile(ast.Module([tree], []), f"<mutant of {function.__name__}>", "exec", flags=_FUTURE)
    code = next(const for const in module.co_consts if isinstance(const, CodeType))
    return Mutant(name, function, code)


_FUTURE = __import__("__future__").annotations.compiler_flag
