"""The size budget: what grows past it is two things."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from support.sources import DAEMON, JOBS, ROOT, Found, Source, functions_of, load_sources, parse_source

FUNCTION_LINES = 60
MODULE_LINES = 400
PARAMETERS = 6


def _own_sources() -> tuple[Source, ...]:
    daemon, jobs, examples = (load_sources(*at) for at in ((DAEMON, "perdured"), (JOBS, "perdure"), (JOBS, "examples")))
    return daemon + jobs + examples + load_sources(ROOT, "benchmarks")


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return (first.end_lineno or first.lineno) - first.lineno + 1 if is_text else 0


def find_oversized(source: Source) -> Iterator[Found]:
    lines = source.tree.body[-1].end_lineno or 0 if source.tree.body else 0
    if lines > MODULE_LINES:
        yield Found(source.name, f"{lines} lines")
    for node in functions_of(source):
        length = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
        if length > FUNCTION_LINES:
            yield Found(f"{source.name}.{node.name}", f"{length} lines")
        taken = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count = len([name for name in taken if name not in {"self", "cls"}])
        if count > PARAMETERS:
            yield Found(f"{source.name}.{node.name}", f"{count} parameters")


def test_everything_fits_the_budget() -> None:
    assert not [str(found) for source in _own_sources() for found in find_oversized(source)]


@pytest.mark.parametrize(
    "text",
    [
        "def f(a, b, c, d, e, f, *, g): ...",
        "def f():\n" + "    x = 1\n" * FUNCTION_LINES,
        "x = 1\n" * (MODULE_LINES + 1),
    ],
)
def test_the_rule_sees_what_is_too_big(text: str) -> None:
    assert list(find_oversized(parse_source(text)))


def test_a_docstring_does_not_count() -> None:
    text = 'def f():\n    """' + "words\n" * FUNCTION_LINES + '"""\n    return 1'
    assert not list(find_oversized(parse_source(text)))
