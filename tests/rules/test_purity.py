"""`perdured.core` decides and does nothing else: no clock, no file, no process, no chance."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

import pytest

from support.sources import DAEMON, Found, Source, find_imports, find_names, is_within, load_sources, parse_source

PURE = (
    "__future__", "collections", "dataclasses", "difflib", "enum", "functools", "hashlib", "itertools", "json", "math",
    "operator", "re", "string", "textwrap", "tomllib", "tomli", "typing", "zlib",
)  # fmt: skip
OURS = ("perdured.core", "perdured.contract", "perdured.errors", "pydantic", "pydantic_core", "tomlkit")
# Of these modules only the parts that are tables, constants or pure functions.
PURE_PARTS = {
    "signal": ("signal.Signals",), "sys": ("sys.version_info",), "pathlib": ("pathlib.PurePosixPath",),
    "calendar": ("calendar.timegm",), "shlex": ("shlex.quote",),
}  # fmt: skip
IMPURE_CONTRACT = ("perdured.contract.durable", "perdured.contract.sockets", "perdured.contract.checkpoint")
# `hash` of a text differs from process to process, `id` from run to run.
IMPURE_BUILTINS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint", "hash", "id"}


def find_impurities(source: Source) -> Iterator[Found]:
    where = source.path.name
    for line, name in find_imports(source):
        if not _is_pure_import(name):
            yield Found(f"{where}:{line}", f"imports {name}")
    for line, name in find_names(source):
        module, dot, _ = name.partition(".")
        if dot and module in PURE_PARTS and not is_within(name, *PURE_PARTS[module]):
            yield Found(f"{where}:{line}", f"uses {name}")
    for node in _walk_without_main(source.tree):
        if isinstance(node, ast.Name) and node.id in IMPURE_BUILTINS and isinstance(node.ctx, ast.Load):
            yield Found(f"{where}:{node.lineno}", f"uses {node.id}")
        if isinstance(node, ast.Global | ast.Nonlocal | ast.Await | ast.AsyncFunctionDef):
            yield Found(f"{where}:{node.lineno}", f"{type(node).__name__}: state or effects outside the arguments")


def _is_pure_import(name: str) -> bool:
    if is_within(name, *IMPURE_CONTRACT):
        return False
    parts = [part for parts in PURE_PARTS.values() for part in parts]
    return is_within(name, *PURE, *OURS, *parts) or name in PURE_PARTS


def _walk_without_main(tree: ast.AST) -> Iterator[ast.AST]:
    """Everything but what runs only when the module is run as a program."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            continue
        yield node
        yield from _walk_without_main(node)


def test_the_core_is_pure() -> None:
    sources = [source for source in load_sources(DAEMON, "perdured") if is_within(source.name, "perdured.core")]
    assert sources
    assert not [str(found) for source in sources for found in find_impurities(source)]


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "import time",
        "from random import random",
        "from datetime import datetime",
        "from pathlib import Path",
        "import signal\nsignal.alarm(1)",
        "from sys import argv",
        "from perdured import clock",
        "from ..registry import Registry",
        "from perdured.contract import durable",
        "def f(path):\n    import socket",
        "def f(path):\n    return open(path).read()",
        "def f(text):\n    return hash(text)",
        "def f():\n    global cache",
    ],
)
def test_the_rule_sees_an_impurity(text: str) -> None:
    assert list(find_impurities(parse_source(text, "perdured.core.example")))


@pytest.mark.parametrize(
    "text",
    [
        "import math",
        "from signal import Signals",
        "import signal\nsignal.Signals.__members__",
        "from .record import JobRecord",
        "from perdured.contract import exits",
        "if __name__ == '__main__':\n    print(1)",
    ],
)
def test_the_rule_lets_purity_pass(text: str) -> None:
    assert not list(find_impurities(parse_source(text, "perdured.core.example")))


def test_the_forbidden_builtins_exist() -> None:
    """A misspelt name would forbid nothing."""
    assert all(hasattr(builtins, name) for name in IMPURE_BUILTINS)
