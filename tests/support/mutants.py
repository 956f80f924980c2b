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
    """Functions and methods that were defined there; what a decorator wraps, instead of the wrapper."""
    for value in list(vars(module).values()):
        if inspect.isclass(value) and value.__module__ == module.__name__:
            for member in vars(value).values():
                yield from _find_function(member, module)
        else:
            yield from _find_function(value, module)


def _find_function(value: object, module: ModuleType) -> Iterator[FunctionType]:
    function = value.fget if isinstance(value, property) else value
    function = inspect.unwrap(function) if callable(function) else function
    # What a dataclass or a named tuple makes has no source.
    if inspect.isfunction(function) and function.__code__.co_filename == module.__file__:
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


def mutants_of_checks(module: ModuleType) -> Iterator[Mutant]:
    """For each condition, one mutant that always finds it true; for each half of an `and` or `or`, one without it."""
    for function in functions_in(module):
        tree = _parse(function)
        for number, node in enumerate(ast.walk(tree)):
            if isinstance(node, ast.If | ast.While | ast.IfExp):
                yield _mutate(function, "always", node.test, _replaced(tree, number, _always))
            if isinstance(node, ast.comprehension):
                for index, condition in enumerate(node.ifs):
                    yield _mutate(function, "unfiltered", condition, _replaced(tree, number, _unfilter, index))
            if isinstance(node, ast.BoolOp):
                for index, value in enumerate(node.values):
                    yield _mutate(function, "without half", value, _replaced(tree, number, _drop_half, index))


def _replaced(tree: ast.FunctionDef, number: int, change: Callable[..., None], *arguments: int) -> ast.FunctionDef:
    """A copy of the tree, with its n-th node changed."""
    changed = copy.deepcopy(tree)
    change(list(ast.walk(changed))[number], *arguments)
    return ast.fix_missing_locations(changed)


def _always(node: ast.If | ast.While | ast.IfExp) -> None:
    node.test = ast.Constant(True)


def _unfilter(node: ast.comprehension, index: int) -> None:
    del node.ifs[index]


def _drop_half(node: ast.BoolOp, index: int) -> None:
    node.values[index] = ast.Constant(isinstance(node.op, ast.And))


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
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True  # a page of documentation
    if isinstance(statement, ast.Assign):
        return not all(isinstance(target, ast.Subscript | ast.Attribute) for target in statement.targets)
    return isinstance(statement, ast.Return | ast.Raise | ast.AnnAssign)


def _mutate(function: FunctionType, how: str, statement: ast.AST, tree: ast.FunctionDef) -> Mutant:
    text = " ".join(ast.unparse(statement).split())
    name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__} {how}: {text[:70]}"
    # `from __future__ import annotations` holds for the original, so annotations must not be evaluated here either.
    module = compile(ast.Module([tree], []), f"<mutant of {function.__name__}>", "exec", flags=_FUTURE)
    code = next(const for const in module.co_consts if isinstance(const, CodeType))
    return Mutant(name, function, code)


_FUTURE = __import__("__future__").annotations.compiler_flag
