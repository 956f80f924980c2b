"""The project's own sources as syntax trees, and the questions that the rules ask of them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DAEMON = ROOT / "daemon"
JOBS = ROOT / "jobs"


class Source(NamedTuple):
    name: str
    """Dotted, as it is imported: `perdured.core.decide`; a package's own module has the package's name."""
    path: Path
    tree: ast.Module


class Found(NamedTuple):
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@cache
def load_sources(root: Path, package: str) -> tuple[Source, ...]:
    """Every module of `package` below `root`."""
    return tuple(_load_source(root, path) for path in sorted((root / package).rglob("*.py")))


def _load_source(root: Path, path: Path) -> Source:
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Source(name, path, ast.parse(path.read_text(encoding="utf-8")))


def parse_source(text: str, name: str = "perdured.example", path: Path = Path("example.py")) -> Source:
    return Source(name, path, ast.parse(text))


def is_within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def find_imports(source: Source, *, at_import_only: bool = False) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that a module imports, relative names resolved; `from a import b` yields `a.b`.

    `at_import_only` leaves out what happens inside functions and for type checkers only.
    """
    for node in _walk_import_time(source.tree) if at_import_only else ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _resolve(source, node)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def _resolve(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_package = source.path.name == "__init__.py"
    parts = source.name.split(".")
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def _walk_import_time(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _walk_import_time(node)


def find_names(source: Source) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a module refers to, with what `import … as` and `from … import` renamed
    undone: `from os import kill as k; k(1)` yields `os.kill`."""
    known = dict(_renames(source.tree))
    for node in ast.walk(source.tree):
        dotted = _dotted(node)
        if dotted:
            head, _, rest = dotted.partition(".")
            yield node.lineno, ".".join(filter(None, [known.get(head, head), rest]))  # type: ignore[attr-defined]


def _renames(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name) for alias in node.names if alias.asname)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _dotted(node: ast.AST) -> str | None:
    """`a.b.c` for an attribute of a name, or the name; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return f"{base}.{node.attr}" if base else f"?.{node.attr}"
    return None


def functions_of(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def committed_files() -> list[Path]:
    """What a clone would hold; where git is missing, what lies here and is not hidden or built."""
    git = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=False)
    if git.returncode == 0:
        names = [name for name in git.stdout.decode().split("\0") if name]
        return [path for name in names if (path := ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not _is_built(path.relative_to(ROOT))]


def _is_built(path: Path) -> bool:
    return any(part in {"__pycache__", "build", "dist"} or part.startswith(".") for part in path.parts)
